"""Kindling beside the PyPI package `gguf`: blocks of few bits decode to the same numbers, and what Kindling writes is
read there.

    python -B tests/interop/blocks.py KINDLING FOLDER [--only read|written]

KINDLING is the program, FOLDER an empty directory to work in; tests/interop/run installs what this needs.
tests/golden/gguf has a few blocks of each type in files; here are fresh ones, in whole models, at every run.
"""

import importlib.metadata
import secrets

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize
from safetensors.numpy import load_file

from checks import NANO, arguments, check, finish, kindling, near

FLOATS = [Type.F32, Type.F16, Type.BF16]
# Where blocks hold 16-bit floats.
SCALES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
}
HIDDEN, WIDE, ROWS, LAYERS, HEADS, KEY_HEADS = 256, 512, 300, 2, 8, 2
# GGUF, Hugging Face, rows, columns
TENSORS = [
    ("attn_q", "self_attn.q_proj", HIDDEN, HIDDEN),
    ("attn_k", "self_attn.k_proj", HIDDEN // 4, HIDDEN),
    ("attn_v", "self_attn.v_proj", HIDDEN // 4, HIDDEN),
    ("attn_output", "self_attn.o_proj", HIDDEN, HIDDEN),
    ("ffn_gate", "mlp.gate_proj", WIDE, HIDDEN),
    ("ffn_up", "mlp.up_proj", WIDE, HIDDEN),
    ("ffn_down", "mlp.down_proj", HIDDEN, WIDE),
]


def blocks(random, kind, rows, columns):
    """Rows of random bytes; only their scales are kept from being no numbers."""
    size, width = GGML_QUANT_SIZES[kind]
    if kind in FLOATS:
        return quantize(random.standard_normal((rows, columns)).astype(np.float32), kind).view(np.uint8)
    count = rows * columns // size
    block = random.integers(0, 256, (count, width), dtype=np.uint8)
    for at in SCALES[kind]:
        scale = random.integers(0, 1 << 16, count, dtype=np.uint16)
        # All exponent bits set would be infinity or NaN.
        scale[(scale & 0x7C00) == 0x7C00] ^= 0x4000
        block[:, at : at + 2] = scale.view(np.uint8).reshape(count, 2)
    return block.reshape(rows, -1)


def rotated_back(values, heads):
    """Hugging Face's order of the rows of queries and keys: llama.cpp's turn neighbours, its turn halves."""
    pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, values.shape[1])
    return pairs.swapaxes(1, 2).reshape(values.shape)


def write(path, family, kind, random):
    """A model of this family whose matrices are all of one type; what its tensors hold by Hugging Face's names."""
    writer = gguf.GGUFWriter(path, family)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(WIDE)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    held = {}

    def matrix(name, hf, rows, columns):
        raw = blocks(random, kind, rows, columns)
        writer.add_tensor(f"{name}.weight", raw, raw_dtype=kind)
        values = dequantize(raw.reshape(-1), kind).reshape(rows, columns)
        heads = {"attn_q": HEADS, "attn_k": KEY_HEADS}.get(name.split(".")[-1])
        turned = heads and family == "llama"
        held[f"{hf}.weight"] = rotated_back(values, heads) if turned else values

    def vector(name, hf, size):
        values = random.standard_normal(size).astype(np.float32)
        writer.add_tensor(name, values)
        held[hf] = values

    matrix("token_embd", "model.embed_tokens", ROWS, HIDDEN)
    matrix("output", "lm_head", ROWS, HIDDEN)
    vector("output_norm.weight", "model.norm.weight", HIDDEN)
    for layer in range(LAYERS):
        there, here = f"blk.{layer}", f"model.layers.{layer}"
        for name, hf, rows, columns in TENSORS:
            matrix(f"{there}.{name}", f"{here}.{hf}", rows, columns)
        vector(f"{there}.attn_norm.weight", f"{here}.input_layernorm.weight", HIDDEN)
        vector(f"{there}.ffn_norm.weight", f"{here}.post_attention_layernorm.weight", HIDDEN)
        if family == "qwen2":
            for name, rows in [("q", HIDDEN), ("k", HIDDEN // 4), ("v", HIDDEN // 4)]:
                vector(f"{there}.attn_{name}.bias", f"{here}.self_attn.{name}_proj.bias", rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


def read(work):
    """Random blocks of every type that Kindling reads, bit for bit as the package decodes them."""
    seed = secrets.randbits(32)
    print(f"random blocks of seed {seed}")
    random = np.random.default_rng(seed)
    for kind in [*FLOATS, *SCALES]:
        for family in ["llama", "qwen2"]:
            path, folder = work / f"{family}-{kind.name}.gguf", work / f"{family}-{kind.name}"
            held = write(path, family, kind, random)
            kindling("export", "--to", "hf", "--model", path, "--out", folder)
            ours = load_file(folder / "model.safetensors")
            same = ours.keys() == held.keys()
            same = same and all(np.array_equal(ours[name], held[name]) for name in held)
            values = sum(values.size for values in held.values())
            check(f"{kind.name} in a {family}: {values:,} values equal", same)


def written(work):
    """The package reads what Kindling writes, and finds the numbers that Kindling reads there itself."""
    for kind in ["f32", "f16", "bf16", "q8_0", "q4_0"]:
        path, folder = work / f"nano-{kind}.gguf", work / f"nano-{kind}"
        kindling("export", "--to", "gguf", "--weights", kind, "--model", NANO, "--out", path)
        kindling("export", "--to", "hf", "--model", path, "--out", folder)
        ours = load_file(folder / "model.safetensors")
        theirs = {
            tensor.name: dequantize(tensor.data, tensor.tensor_type).reshape([int(n) for n in tensor.shape[::-1]])
            for tensor in gguf.GGUFReader(path).tensors
        }
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, 4)
        theirs_by_ours = {name: theirs[names.get_name(name, try_suffixes=[".weight"])] for name in ours}
        check(f"nano as {kind}: the same tensors", len(theirs) == len(ours))
        off = max(float(np.abs(theirs_by_ours[name] - ours[name]).max()) for name in ours)
        near(f"nano as {kind}: values", off, 0.0)


args = arguments(__doc__, ["read", "written"])
print(f"gguf {importlib.metadata.version('gguf')}")
for part in [read, written]:
    if args.only in (None, part.__name__):
        part(args.folder)
finish()
