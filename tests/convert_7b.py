"""Converts a random set of shards in the shape of Mistral 7B within 8 GB of memory, by hand: it needs 30 GB of disk.

    cargo build --release -p native && python3 tests/convert_7b.py [FOLDER] [--layers 32]

Writes about 14 GB of bf16 weights in shards of 2 GB, runs `kindling convert --to diffusion` on them, tells the most memory
that it held, and fails above 8 GB, or where a weight is not what it was. FOLDER is a new one, and is removed at the end.
"""

import argparse
import json
import pathlib
import random
import resource
import shutil
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
LIMIT = 8e9
SHARD = 2 << 30
D, WIDTH, KV, VOCAB = 4096, 14336, 1024, 32000


def tensors(layers):
    yield "model.embed_tokens.weight", [VOCAB, D]
    for i in range(layers):
        for name, shape in [
            ("input_layernorm", [D]), ("self_attn.q_proj", [D, D]), ("self_attn.k_proj", [KV, D]),
            ("self_attn.v_proj", [KV, D]), ("self_attn.o_proj", [D, D]), ("post_attention_layernorm", [D]),
            ("mlp.gate_proj", [WIDTH, D]), ("mlp.up_proj", [WIDTH, D]), ("mlp.down_proj", [D, WIDTH]),
        ]:
            yield f"model.layers.{i}.{name}.weight", shape
    yield "model.norm.weight", [D]
    yield "lm_head.weight", [VOCAB, D]


def size(shape):
    count = 2
    for side in shape:
        count *= side
    return count


def block(name):
    """A megabyte of bf16 numbers between 0.008 and 0.03 of either sign, other ones for every tensor."""
    numbers = random.Random(name)
    low = numbers.randbytes(1 << 19)
    high = bytes(60 if bit & 1 else 188 for bit in numbers.randbytes(1 << 19))
    both = bytearray(1 << 20)
    both[0::2], both[1::2] = low, high
    return bytes(both)


def shards(layers):
    group, filled = [], 0
    for name, shape in tensors(layers):
        if filled and filled + size(shape) > SHARD:
            yield group
            group, filled = [], 0
        group.append((name, shape))
        filled += size(shape)
    yield group


def make(folder, layers):
    config = dict(
        model_type="mistral", vocab_size=VOCAB, hidden_size=D, intermediate_size=WIDTH, num_hidden_layers=layers,
        num_attention_heads=32, num_key_value_heads=8, max_position_embeddings=32768, rms_norm_eps=1e-5,
        rope_theta=10000.0, sliding_window=4096, tie_word_embeddings=False, torch_dtype="bfloat16",
    )
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    places = {}
    for i, group in enumerate(shards(layers)):
        header, end = {}, 0
        for name, shape in group:
            header[name] = dict(dtype="BF16", shape=shape, data_offsets=[end, end + size(shape)])
            end += size(shape)
            places[name] = f"part-{i}.safetensors"
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(folder / f"part-{i}.safetensors", "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name, shape in group:
                ones, left = block(name), size(shape)
                while left:
                    left -= file.write(ones[:left])
    (folder / "model.safetensors.index.json").write_text(json.dumps(dict(weight_map=places)))


def first_bytes(folder, name):
    """The first bytes of a tensor, as many as a block has at most."""
    index = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    with open(folder / index[name], "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        begin, end = json.loads(file.read(length))[name]["data_offsets"]
        file.seek(8 + length + begin)
        return file.read(min(end - begin, 1 << 20))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("folder", nargs="?", type=pathlib.Path, default=pathlib.Path("convert_7b"))
    arguments.add_argument("--layers", type=int, default=32, help="fewer for a machine with less disk")
    arguments.add_argument("--program", default=str(ROOT / "target/release/kindling"))
    args = arguments.parse_args()
    if args.folder.exists():
        sys.exit(f"{args.folder} exists; name a folder that is absent")
    try:
        make(args.folder / "causal", args.layers)
        command = [args.program, "convert", "--to", "diffusion", "--model", args.folder / "causal", "--out", args.folder / "masked"]
        subprocess.run(command, check=True)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        for name, _ in tensors(args.layers):
            if first_bytes(args.folder / "causal", name) != first_bytes(args.folder / "masked", name):
                sys.exit(f"{name} is not what it was")
    finally:
        shutil.rmtree(args.folder, ignore_errors=True)
    print(f"most memory held: {peak / 1e9:.2f} GB of {LIMIT / 1e9:.0f}")
    sys.exit(peak > LIMIT)


main()
