"""Writes the golden files of core/src/formats/gguf with the PyPI package `gguf`, which llama.cpp's authors publish.

Run: python3 -m pip install gguf==0.19.0 && python3 tests/golden/gguf/make.py

dequantized.bin: for each block type its number, a count of blocks, the blocks, and their values as f32.
quantized.bin: for each written type its number, a count of values, the values, and their blocks.
tiny.gguf: a Llama of one block. The value of row r and column c of its n-th tensor, in Hugging Face's order, is
((7 r + 3 c + 5 n) mod 29 - 14) / 8, which all of its types hold exactly.
All numbers are little-endian and 32 bits wide.
"""

import pathlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

HERE = pathlib.Path(__file__).parent
READ = [Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0]
K_QUANTS = [Type.Q4_K, Type.Q5_K, Type.Q6_K]
WRITTEN = [Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0]
# Where blocks hold 16-bit floats: scales and minima.
SCALES = {Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0]}
SCALES |= {Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208]}


def head(kind, count):
    return np.array([kind, count], dtype="<u4").tobytes()


def dequantized(random):
    """Blocks of random bytes; scales are random finite numbers, among them tiny and negative ones and zero."""
    for kind in READ + K_QUANTS:
        size, width = GGML_QUANT_SIZES[kind]
        count = 4 if size == 256 else 16 if size == 32 else 64
        blocks = random.integers(0, 256, (count, width), dtype=np.uint8)
        for at in SCALES.get(kind, []):
            scales = (random.standard_normal(count) * 10.0 ** random.integers(-7, 3, count)).astype("<f2")
            scales[0] = 0.0
            blocks[:, at : at + 2] = scales.view(np.uint8).reshape(count, 2)
        if size == 1:
            # Any bits, but no NaN: its payload may change on the way.
            floats = random.standard_normal(count).astype("<f4")
            blocks = quantize(floats, kind).view(np.uint8).reshape(count, width)
        values = dequantize(blocks, kind).astype("<f4")
        yield head(kind, count) + blocks.tobytes() + values.tobytes()


def quantized(random):
    """Blocks of zeros, of ties, of one large value, of tiny and of ordinary ones."""
    values = random.standard_normal((12, 32)).astype("<f4")
    values[0] = 0.0
    values[1] = np.arange(32) - 16.0
    values[2] = np.arange(32) / 2.0 - 8.0
    values[3, 5] = -1000.0
    values[4] *= 1e-6
    values[5] = np.where(np.arange(32) % 2 == 0, 1.0, -1.0)
    values[6] = 3.0
    values[7] *= 1e3
    values[8, :31] = 0.0
    values = values.reshape(1, -1)
    for kind in WRITTEN:
        yield head(kind, values.size) + values.tobytes() + quantize(values, kind).tobytes()


def permute(weights, heads):
    """LlamaModel.permute of convert_hf_to_gguf.py."""
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def alphabet():
    """GPT-2's letters for the 256 bytes, in the order of their code points."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [chr(byte) for byte in kept] + [chr(0x100 + i) for i in range(256 - len(kept))]


def tiny(path):
    """Heads of 8, 4 for queries and 2 for keys; rows of 32, so that all types fit."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(8)
    merges = ["h e", "he l", "l o", "Ġ w"]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet(), *(m.replace(" ", "") for m in merges)]
    tokens += [f"[PAD{i}]" for i in range(len(tokens), 272)]
    kinds = [3, 3, 3] + [1] * (len(alphabet()) + len(merges))
    kinds += [5] * (272 - len(kinds))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    shapes = [
        ("token_embd", (272, 32), Type.F16),
        ("blk.0.attn_norm", (32,), Type.F32),
        ("blk.0.attn_q", (32, 32), Type.F16),
        ("blk.0.attn_k", (16, 32), Type.BF16),
        ("blk.0.attn_v", (16, 32), Type.F32),
        ("blk.0.attn_output", (32, 32), Type.F16),
        ("blk.0.ffn_norm", (32,), Type.F32),
        ("blk.0.ffn_gate", (64, 32), Type.F16),
        ("blk.0.ffn_up", (64, 32), Type.BF16),
        ("blk.0.ffn_down", (32, 64), Type.F16),
        ("output_norm", (32,), Type.F32),
    ]
    for n, (name, shape, kind) in enumerate(shapes):
        places = np.indices(shape)
        row, column = places if len(shape) == 2 else (0 * places[0], places[0])
        values = (((7 * row + 3 * column + 5 * n) % 29 - 14) / 8).astype(np.float32)
        heads = {"blk.0.attn_q": 4, "blk.0.attn_k": 2}.get(name)
        values = permute(values, heads) if heads else values
        writer.add_tensor(f"{name}.weight", quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


random = np.random.default_rng(20240706)
(HERE / "dequantized.bin").write_bytes(b"".join(dequantized(random)))
(HERE / "quantized.bin").write_bytes(b"".join(quantized(random)))
tiny(HERE / "tiny.gguf")
