"""GGUF files for seeds.py."""

import struct

HUGE = 1 << 63
U8, U32, I32, F32, BOOL, TEXT, ARRAY, U64 = 0, 4, 5, 6, 7, 8, 9, 10
FORMATS = {U8: "B", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q"}
SIZES = {"embedding_length": 4, "attention.head_count": 2, "attention.head_count_kv": 1, "feed_forward_length": 2,
         "block_count": 1, "context_length": 16}
SHAPES = {
    "token_embd.weight": [4, 4],
    "blk.0.attn_norm.weight": [4],
    "blk.0.attn_q.weight": [4, 4],
    "blk.0.attn_k.weight": [2, 4],
    "blk.0.attn_v.weight": [2, 4],
    "blk.0.attn_output.weight": [4, 4],
    "blk.0.ffn_norm.weight": [4],
    "blk.0.ffn_gate.weight": [2, 4],
    "blk.0.ffn_up.weight": [2, 4],
    "blk.0.ffn_down.weight": [4, 2],
    "output_norm.weight": [4],
}


def string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, content):
    if kind == TEXT:
        return string(content)
    if kind == ARRAY:
        element, items = content
        return struct.pack("<IQ", element, len(items)) + b"".join(value(element, item) for item in items)
    return struct.pack("<" + FORMATS[kind], content)


def entry(name, kind, content):
    """A metadata entry; bytes stand as they are."""
    return string(name) + struct.pack("<I", kind) + (content if isinstance(content, bytes) else value(kind, content))


def tensor(name, shape, offset, kind=0):
    dims = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
    return string(name) + dims + struct.pack("<IQ", kind, offset)


def tensors(shapes):
    """Entries of f32 tensors one behind the other, and the bytes of their data."""
    entries, end = [], 0
    for name, shape in shapes.items():
        entries.append(tensor(name, shape, end))
        count = 4
        for size in shape:
            count *= size
        end += -(-count // 32) * 32
    return entries, end


def file(metadata, table, size, version=3, counts=None, magic=b"GGUF"):
    counts = counts or (len(table), len(metadata))
    head = magic + struct.pack("<IQQ", version, *counts) + b"".join(metadata) + b"".join(table)
    return head.ljust(-(-len(head) // 32) * 32, b"\0") + b"\0\0\0\x3f" * (size // 4)


def sizes(family="llama", **changes):
    changed = {**SIZES, **{key.replace("__", "."): size for key, size in changes.items()}}
    numbers = [entry(f"{family}.{key}", U64 if size >= 1 << 32 else U32, size) for key, size in changed.items()]
    return [entry("general.architecture", TEXT, family), *numbers]


def vocabulary(model, tokens, **parts):
    tokens = [entry("tokenizer.ggml.model", TEXT, model), entry("tokenizer.ggml.tokens", ARRAY, (TEXT, tokens))]
    return tokens + [entry(f"tokenizer.ggml.{key}", ARRAY, part) for key, part in parts.items()]


def model(metadata=(), shapes=SHAPES, family="llama", version=3, **changes):
    return file([*sizes(family, **changes), *metadata], *tensors(shapes), version=version)


def sound():
    bytes_of_words = vocabulary("gpt2", ["a", "b", "ab", "<s>"], merges=(TEXT, ["a b"]), token_type=(I32, [1, 1, 1, 3]))
    pieces = vocabulary("llama", ["<unk>", "<s>", "</s>", "a"], scores=(F32, [0.0, 0.0, 0.0, -1.0]),
                        token_type=(I32, [2, 3, 3, 1]))
    norms = {f"blk.0.attn_{part}_norm.weight": [2] for part in "qk"}
    experts = {"blk.0.ffn_gate_inp.weight": [2, 4], "blk.0.ffn_gate_exps.weight": [2, 2, 4],
               "blk.0.ffn_up_exps.weight": [2, 2, 4], "blk.0.ffn_down_exps.weight": [2, 4, 2]}
    plain = {name: shape for name, shape in SHAPES.items() if ".ffn_" not in name or "norm" in name}
    yield "opens-version-2", model(version=2)
    yield "opens-version-3", model(bytes_of_words)
    yield "opens-pieces", model(pieces)
    yield "opens-qwen3", model(shapes={**SHAPES, **norms}, family="qwen3")
    yield "opens-experts", model(shapes={**plain, **norms, **experts}, family="qwen3moe", expert_count=2,
                                 expert_used_count=1, expert_feed_forward_length=2)
    yield "opens-yarn", model([entry("llama.rope.scaling.type", TEXT, "yarn"),
                               entry("llama.rope.scaling.factor", F32, 4.0)])
    yield "opens-frequencies-of-llama-3", model(shapes={**SHAPES, "rope_freqs.weight": [1]})
    yield "opens-all-kinds-of-values", model([
        entry("u8", U8, 1), entry("flag", BOOL, True), entry("u64", U64, HUGE), entry("nested", ARRAY, (ARRAY, [
            (TEXT, ["a"]), (U8, [1, 2])])), entry("none", ARRAY, (TEXT, []))])


def headers():
    good = model()
    yield "magic", b"GGML" + good[4:]
    yield "version-1", good[:4] + b"\x01" + good[5:]
    yield "version-4", good[:4] + b"\x04" + good[5:]
    yield "big-endian", good[:4] + b"\0\0\0\x03" + good[8:]
    for cut in (0, 3, 23, 24, 100, len(good) - 20):
        yield f"cut-at-{cut}", good[:cut]
    for name, counts in [("tensors-half-of-all", (HUGE, 0)), ("tensors-all", (2**64 - 1, 0)),
                         ("entries-half-of-all", (0, HUGE)), ("entries-all", (2**64 - 1, 2**64 - 1)),
                         ("one-more", (1, 0))]:
        yield name, file([], [], 32, counts=counts)


def metadata():
    long, more = struct.pack("<Q", HUGE), struct.pack("<Q", 1 << 32)
    nested = struct.pack("<IQ", ARRAY, 1) * 500
    yield "text-length-huge", entry("k", TEXT, long)
    yield "text-length-4-gb", entry("k", TEXT, more)
    yield "text-not-utf-8", entry("k", TEXT, b"\x01" + bytes(7) + b"\xff")
    yield "name-length-huge", long
    for kind in (U8, F32, TEXT, ARRAY, U64):
        yield f"array-of-{kind}-huge", entry("k", ARRAY, struct.pack("<I", kind) + long)
    yield "array-of-empty-texts", entry("k", ARRAY, struct.pack("<I", TEXT) + more)
    yield "array-of-nothing-known", entry("k", ARRAY, struct.pack("<IQ", 13, 1))
    yield "nested-arrays", entry("k", ARRAY, nested)
    yield "kind-13", entry("k", 13, b"")
    yield "flag-2", entry("k", BOOL, b"\x02")
    for alignment in (0, 24):
        yield f"alignment-{alignment}", entry("general.alignment", U32, alignment)
    yield "alignment-text", entry("general.alignment", TEXT, "32")
    yield "split", entry("split.count", U32, 3)
    yield "same-name-twice", entry("k", BOOL, True) * 2


def places():
    embedding = "token_embd.weight"
    yield "no-dimensions", [tensor(embedding, [], 0)]
    yield "five-dimensions", [tensor(embedding, [1] * 5, 0)]
    yield "many-dimensions", [string(embedding) + struct.pack("<I", 2**32 - 1)]
    yield "dimension-0", [tensor(embedding, [4, 0], 0)]
    yield "shape-beyond-all", [tensor(embedding, [1 << 40, 1 << 40], 0)]
    yield "shape-huge", [tensor(embedding, [HUGE, 4], 0)]
    yield "type-99", [tensor(embedding, [4, 4], 0, 99)]
    yield "type-not-read", [tensor(embedding, [1, 256], 0, 10)]
    yield "half-a-block", [tensor(embedding, [1, 33], 0, 8)]
    yield "offset-huge", [tensor(embedding, [4, 4], HUGE)]
    yield "offset-last", [tensor(embedding, [4, 4], 2**64 - 32)]
    yield "offset-odd", [tensor(embedding, [4, 4], 4)]
    yield "behind-the-end", [tensor(embedding, [64, 64], 0)]
    yield "one-on-another", [tensor(embedding, [4, 4], 0), tensor("output.weight", [4, 4], 32)]
    yield "same-tensor-twice", [tensor(embedding, [4, 4], 0)] * 2


def contents():
    yield "alignment-half-of-all", model([entry("general.alignment", U64, HUGE)])
    yield "family", model(family="gemma3")
    yield "no-family", file([], *tensors(SHAPES))
    for key, size in [("block_count", HUGE), ("embedding_length", HUGE), ("attention__head_count", 0),
                      ("attention__head_count", 3), ("attention__head_count_kv", 3), ("context_length", HUGE)]:
        yield f"{key.replace('__', '-')}-{'huge' if size == HUGE else size}", model(**{key: size})
    yield "uneven-heads", model([entry("llama.attention.sliding_window", ARRAY, (U32, [1, 2]))])
    yield "frequencies-of-wider-heads", model(shapes={**SHAPES, "rope_freqs.weight": [2]})
    yield "a-tensor-of-another-family", model(shapes={**SHAPES, "blk.0.attn_q_norm.weight": [2]})
    yield "a-layer-beyond-all", model(shapes={**SHAPES, f"blk.{HUGE}.attn_q.weight": [4, 4]})
    yield "a-vector-for-a-matrix", model(shapes={**SHAPES, "blk.0.attn_q.weight": [5]})
    many = {"token_embd.weight": [4, 4], "blk.0.ffn_up_exps.weight": [4100, 1, 1]}
    yield "thousands-of-experts", model(shapes=many, family="qwen3moe", expert_count=4100,
                                      expert_used_count=1, expert_feed_forward_length=1)
    for name, words in [
        ("tokens-twice", vocabulary("gpt2", ["a", "a"], merges=(TEXT, []))),
        ("tokens-without-types", vocabulary("gpt2", ["a", "b"], merges=(TEXT, []), token_type=(I32, [1]))),
        ("no-tokens", [entry("tokenizer.ggml.model", TEXT, "gpt2")]),
        ("no-merges", vocabulary("gpt2", ["a"])),
        ("merge-of-one", vocabulary("gpt2", ["a"], merges=(TEXT, ["a"]))),
        ("merge-that-is-no-token", vocabulary("gpt2", ["a", "b"], merges=(TEXT, ["a b"]))),
        ("more-tokens-than-rows", vocabulary("gpt2", ["a", "b", "c", "d", "e"], merges=(TEXT, []))),
        ("pieces-without-scores", vocabulary("llama", ["<unk>", "a"], scores=(F32, [0.0]))),
        ("an-endless-piece", vocabulary("llama", ["a" * 300], scores=(F32, [0.0]))),
        ("too-many-pairs", vocabulary("llama", ["a" * n for n in range(1, 60)], scores=(F32, [0.0] * 59))),
        ("a-tokenizer-of-another-kind", vocabulary("bert", ["a"])),
        ("tokens-of-numbers", [entry("tokenizer.ggml.model", TEXT, "gpt2"),
                               entry("tokenizer.ggml.tokens", ARRAY, (U32, [1]))]),
    ]:
        yield name, model(words)


def gguf():
    yield from sound()
    for name, content in headers():
        yield f"refused-{name}", content
    for name, content in metadata():
        count = 2 if name == "same-name-twice" else 1
        yield f"refused-{name}", file([content], [], 64, counts=(0, count))
    for name, table in places():
        yield f"refused-{name}", file(sizes(), table, 128)
    for name, content in contents():
        yield f"refused-{name}", content
