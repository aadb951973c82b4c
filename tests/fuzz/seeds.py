"""Writes the seeds of tests/fuzz/corpus: `opens-…` are sound files, `refused-…` damaged and hostile ones.

Run: python3 tests/fuzz/seeds.py

Every run makes the same bytes. Files that fuzzers found lie beside them under other names, and stay.
"""

import json
import struct
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # it would lie beside this file

from seeds_gguf import gguf  # noqa: E402
from seeds_zip import pickle, zips  # noqa: E402

CORPUS = Path(__file__).parent / "corpus"
SEPARATOR = b"\xff"
HUGE = 1 << 63
CONFIG = {
    "model_type": "llama", "vocab_size": 4, "hidden_size": 4, "intermediate_size": 2, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 16, "eos_token_id": 3,
}
SHAPES = {
    "model.embed_tokens.weight": [4, 4],
    "model.layers.0.input_layernorm.weight": [4],
    "model.layers.0.mlp.down_proj.weight": [4, 2],
    "model.layers.0.mlp.gate_proj.weight": [2, 4],
    "model.layers.0.mlp.up_proj.weight": [2, 4],
    "model.layers.0.post_attention_layernorm.weight": [4],
    "model.layers.0.self_attn.k_proj.weight": [2, 4],
    "model.layers.0.self_attn.o_proj.weight": [4, 4],
    "model.layers.0.self_attn.q_proj.weight": [4, 4],
    "model.layers.0.self_attn.v_proj.weight": [2, 4],
    "model.norm.weight": [4],
}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def text(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def tokenizer(**parts):
    added = {"id": 3, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": True}
    model = {"type": "BPE", "unk_token": None, "vocab": {"a": 0, "b": 1, "ab": 2, "<s>": 3}, "merges": [["a", "b"]]}
    whole = {"version": "1.0", "added_tokens": [added], "normalizer": None, "pre_tokenizer": None, "decoder": None,
             "model": model}
    return text({**whole, **parts})


def product(shape):
    count = 1
    for size in shape:
        count *= size
    return count


def header(tensors, texts=None, width=4, dtype="F32"):
    """The header of tensors that stand one behind the other, and their data."""
    entries, end = {} if texts is None else {"__metadata__": texts}, 0
    for name, shape in tensors.items():
        begin, end = end, end + width * product(shape)
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    return text(entries).encode(), (b"\x00\x00\x00\x3f" * (end // 4 + 1))[:end]


def with_length(head, data, length=None):
    return struct.pack("<Q", len(head) if length is None else length) + head + data


def whole(texts, tensors=SHAPES, **options):
    return with_length(*header(tensors, texts, **options))


def one(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def safetensors():
    texts = {"kindling.format": "1", "config.json": text(CONFIG), "tokenizer.json": tokenizer(),
             "tokenizer_config.json": text({"eos_token": "<s>", "chat_template": "{{ messages[0].content }}"})}
    run = {**SHAPES, "optimizer.first.model.norm.weight": [4]}
    sound = whole(texts)
    yield "opens-model", sound
    yield "opens-half-precision", whole(texts, width=2, dtype="BF16")
    yield "opens-run", whole({**texts, "training.json": text({"step": 3})}, run)
    yield "opens-parts", SEPARATOR.join(header(SHAPES, texts))
    yield "refused-nothing", b""
    yield "refused-optimizer-alone", whole(texts, run)
    yield "refused-newer", whole({**texts, "kindling.format": "2"})
    yield "refused-without-config", whole({"kindling.format": "1"})
    yield "refused-plain-weights", whole({"format": "pt"})
    yield "refused-whole-numbers", whole(texts, width=8, dtype="I64")
    yield "refused-nested-text", whole({**texts, "tokenizer.json": "[" * 5000})
    for cut in (7, 8, 100, len(sound) - 1):
        yield f"refused-cut-at-{cut}", sound[:cut]
    yield "refused-longer-than-its-header-says", sound + b"\0"
    head, data = header({"a": [1]}, texts)
    lengths = {"huge": 2**64 - 1, "half-of-all": HUGE, "above-the-limit": 100_000_001, "of-the-limit": 100_000_000,
               "one-more": len(head) + len(data) + 1, "nothing": 0}
    for name, length in lengths.items():
        yield f"refused-header-length-{name}", with_length(head, data, length)
    for name, entries, size in [
        ("overlapping-tensors", {"a": one(shape=(2,), offsets=(0, 8)), "b": one(shape=(2,), offsets=(4, 12))}, 12),
        ("a-gap", {"a": one(), "b": one(offsets=(8, 12))}, 12),
        ("offsets-backwards", {"a": one(offsets=(4, 0))}, 4),
        ("offsets-huge", {"a": one(offsets=(HUGE, HUGE + 4))}, 4),
        ("a-huge-shape", {"a": one(shape=(1 << 40, 1 << 40))}, 4),
        ("a-huge-empty-shape", {"a": one(shape=(HUGE, HUGE, 0), offsets=(0, 0))}, 0),
        ("sizes-that-sum-to-almost-all", {str(i): one("U8", [2**61 - 1], [i * (2**61 - 1), (i + 1) * (2**61 - 1)])
                                          for i in range(7)}, 8),
        ("an-unknown-type", {"a": one("Q8")}, 4),
        ("a-number-for-a-name", {"__metadata__": {"format": 1}, "a": one()}, 4),
    ]:
        yield f"refused-{name}", with_length(text(entries).encode(), b"\0" * size)
    twice = text({"a": one()})[:-1] + "," + text({"a": one(offsets=(4, 8))})[1:]
    yield "refused-one-name-twice", with_length(twice.encode(), b"\0" * 8)
    yield "refused-deep-header", with_length(b'{"a":' + b"[" * 5000, b"")


def parts(config=None, generation=None, tok=None, settings=None, index=None, adapter=None, weights=None):
    """A directory: its texts, and the header and data of its weights."""
    texts = [config, generation, tok, settings, index, adapter]
    texts = [part if isinstance(part, str) else "" if part is None else text(part) for part in texts]
    return SEPARATOR.join([part.encode() for part in texts] + list(weights or header(SHAPES)))


def configs():
    yield "opens-mistral", {"model_type": "mistral", "sliding_window": 8}
    yield "opens-a-claimed-context", {"max_position_embeddings": 1 << 24}
    yield "opens-yarn", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}
    moe = {"model_type": "qwen3_moe", "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 2}
    yield "opens-experts", moe
    # Both make a list with an entry for each layer.
    yield "refused-half-of-all-layers", {"model_type": "mistral", "sliding_window": 8, "num_hidden_layers": HUGE - 1}
    yield "refused-a-million-experts", {**moe, "num_experts": 1 << 50}
    yield "refused-a-million-layers", {"num_hidden_layers": 1 << 20}
    yield "refused-no-heads", {"num_attention_heads": 0}
    yield "refused-half-of-all-words", {"vocab_size": HUGE}
    yield "refused-a-negative-width", {"hidden_size": -4}
    yield "refused-a-fractional-width", {"hidden_size": 4.5}
    yield "refused-a-base-of-nothing", {"rope_theta": 0}
    yield "refused-longrope", {"rope_scaling": {"rope_type": "longrope"}}


def tokenizers():
    """What the crate `tokenizers` would take without a look."""
    usual = {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, REPLACE]},
             "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}, STRIP]}}
    bpe = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]}
    yield "opens-usual-steps", tokenizer(**usual)
    yield "opens-bytes", tokenizer(pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False,
                                                  "trim_offsets": True, "use_regex": True})
    yield "opens-unigram", tokenizer(model={"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0]]})
    yield "refused-cut-in-its-decoder", '{"decoder":{"type":"Fu'
    yield "refused-a-decoder-with-a-huge-number", '{"decoder":{"a":1e999}}'
    yield "refused-a-broken-table", tokenizer(normalizer={"type": "Precompiled"})
    yield "refused-a-lying-table", tokenizer(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="})
    yield "refused-a-merge-that-is-no-token", tokenizer(model=bpe)
    yield "refused-a-prefix-longer-than-a-merge", tokenizer(model={**bpe, "continuing_subword_prefix": "##"})
    yield "refused-pieces-of-no-length", tokenizer(pre_tokenizer={"type": "FixedLength", "length": 0})
    yield "refused-strips-what-is-not-there", tokenizer(decoder={**STRIP, "stop": 9})
    double = [{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}] * 50
    yield "refused-doubles-fifty-times", tokenizer(normalizer={"type": "Sequence", "normalizers": double})
    nested = {"type": "StripAccents"}
    for _ in range(50):
        nested = {"type": "Sequence", "normalizers": [nested]}
    yield "refused-nested-steps", tokenizer(normalizer=nested)
    long = [["<unk>", 0.0], ["a" * 5000, -1.0]]
    yield "refused-an-endless-piece", tokenizer(model={"type": "Unigram", "unk_id": 0, "vocab": long})
    yield "refused-more-ids-than-the-model", tokenizer(model={**bpe, "vocab": {"a": 2**32 - 1}, "merges": []})
    yield "refused-a-regex-of-many-repeats", tokenizer(
        pre_tokenizer={"type": "Split", "pattern": {"Regex": "(\\pL{99}){9999}"}, "behavior": "Isolated",
                       "invert": False})


def directory():
    yield "opens-model", parts(CONFIG, {"eos_token_id": [3, 2]}, tokenizer(), {"eos_token": "<s>"})
    index = {"weight_map": {name: "model-00001-of-00001.safetensors" for name in SHAPES}}
    yield "opens-shards", parts(CONFIG, index=index)
    for name, place in [("up", "../a.safetensors"), ("root", "/etc/a.safetensors"), ("drive", "C:a.safetensors"),
                        ("backslash", "..\\a.safetensors"), ("another-ending", "config.json"), ("nothing", "")]:
        yield f"refused-shard-{name}", parts(CONFIG, index={"weight_map": {"x": place}})
    yield "refused-shard-number", parts(CONFIG, index={"weight_map": {"x": 1}})
    yield "refused-deep-index", parts(CONFIG, index='{"weight_map":' + "[" * 5000)
    yield "refused-deep-config", parts('{"a":' * 500)
    yield "refused-no-json", parts("{")
    for name, change in configs():
        yield name, parts({**CONFIG, **change})
    for name, tok in tokenizers():
        yield name, parts(CONFIG, tok=tok)
    # A template is refused when it is used, and the model opens without it.
    for name, template in [("minus", "{{ " + "-" * 8000 + "1 }}"), ("not", "{{ " + "not " * 6000 + "1 }}"),
                           ("sums", "{{ " + "1+" * 6000 + "1 }}"), ("elif", "{% if a %}" + "{% elif a %}" * 1000),
                           ("constants", "{{ 'a' * 99999999 }}" * 20), ("unfinished", "{% generation %}{{ '"),
                           ("brackets", "{{ " + "[" * 3000)]:
        yield f"opens-template-of-{name}", parts(CONFIG, tok=tokenizer(), settings={"chat_template": template})
    names = [f"base_model.model.model.layers.0.self_attn.q_proj.lora_{half}.weight" for half in "AB"]
    lora, pair = {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}, dict(zip(names, [[2, 4], [4, 2]]))
    yield "opens-adapter", parts(adapter=lora, weights=header(pair))
    yield "refused-adapter-ia3", parts(adapter={**lora, "peft_type": "IA3"}, weights=header(pair))
    yield "refused-adapter-without-halves", parts(adapter=lora, weights=header({"lora_C.weight": [1]}))
    yield "refused-adapter-rank", parts(adapter={**lora, "r": -1}, weights=header(pair))
    yield "refused-adapter-of-nothing", parts(adapter=lora, weights=header({}))
    yield "refused-adapter-of-empty-halves", parts(adapter=lora, weights=header(dict.fromkeys(names, [0])))
    for verdict, name, pattern in [("opens", "a-pattern", ".*(?=q_proj)q_proj"), ("refused", "no-pattern", "a)(b"),
                                   ("refused", "many-steps", r"(?:(.+)+)+\1x"),
                                   ("refused", "many-states", "(?:a{1000}){1000}")]:
        yield f"{verdict}-adapter-by-{name}", parts(adapter={**lora, "target_modules": pattern}, weights=header(pair))
    mlx = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": {"rank": 2, "scale": 1.5}}
    turned = {"model.layers.0.self_attn.q_proj.lora_a": [4, 2], "model.layers.0.self_attn.q_proj.lora_b": [2, 4]}
    far = {name.replace("0", str(HUGE)): shape for name, shape in turned.items()}
    yield "opens-adapter-of-mlx", parts(adapter=mlx, weights=header(turned))
    yield "refused-adapter-of-mlx-with-a-gap", parts(adapter=mlx | {"num_layers": -1}, weights=header(turned | far))


def vocabulary(pieces):
    pieces = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *pieces]
    return b"\x07\0\0\0" + b"".join(struct.pack("<fI", -i, len(piece)) + piece for i, piece in enumerate(pieces))


def llama2c():
    sizes, floats = [4, 2, 1, 2, 1, 3, 4], 12 + (4 + 16 + 8 + 8 + 16 + 4 + 24) + 4
    old = struct.pack("<7i", *sizes) + b"\0" * 4 * (floats + 8)
    new = struct.pack("<2i7iB", 0x616B3432, 1, *sizes, 1).ljust(256, b"\0") + b"\0" * 4 * floats
    yield "opens-version-0", old
    yield "opens-version-1", new
    yield "opens-vocabulary", vocabulary([b"a", b"b", b"ab", b" ", b" a"])
    yield "refused-version-2", new[:4] + b"\x02" + new[5:]
    yield "refused-cut", old[:-1]
    for name, wrong in [("largest", [2**31 - 1] * 7), ("none", [0] * 7), ("smallest", [-(2**31)] * 7),
                        ("layers", [4, 2, 2**31 - 1, 2, 1, 3, 4]), ("heads", [4, 2, 1, 3, 1, 3, 4])]:
        yield f"refused-sizes-{name}", struct.pack("<7i", *wrong) + b"\0" * 64
    yield "refused-vocabulary-of-long-pieces", vocabulary([b"a" * 129])
    yield "refused-vocabulary-cut", vocabulary([b"ab"])[:-1]
    yield "refused-vocabulary-twice", vocabulary([b"a", b"a"])
    yield "refused-vocabulary-of-pairs", vocabulary([b"a" * length for length in range(1, 61)])
    yield "refused-vocabulary-without-scores", vocabulary([b"a"])[:-9] + struct.pack("<fI", float("nan"), 1) + b"a"
    yield "refused-vocabulary-length", vocabulary([b"a"])[:-5] + struct.pack("<I", 2**32 - 1) + b"a"


def main():
    for make in (safetensors, directory, gguf, pickle, zips, llama2c):
        folder = CORPUS / make.__name__.replace("zips", "zip")
        folder.mkdir(parents=True, exist_ok=True)
        for pattern in ("opens-*", "refused-*"):
            for old in folder.glob(pattern):
                old.unlink()
        for name, content in make():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
