"""Kindling beside llama.cpp, by way of the wheel `xllamacpp`: a .gguf that Kindling writes computes the same there.

    python -B tests/interop/llama.py KINDLING FOLDER [--only families|spaces|real] [--shared ../shared]

KINDLING is the program, FOLDER an empty directory to work in; tests/interop/run installs what this needs. It is not
called after llama.cpp, because Python would take it for the package of that name.
"""

import json

import numpy as np
import xllamacpp
from safetensors.numpy import load_file, save_file

from checks import FAMILIES, NANO, ROOT, arguments, check, finish, ids, kindling, near, refusal, skip
from served import Llama

# The golden models have 64 tokens; llama.cpp wants a text for each. GPT-2's letters for a line feed and a space lead.
LETTERS = ["Ċ", "Ġ", *map(chr, [*range(ord("0"), ord("9") + 1), *range(ord("A"), ord("Z") + 1)])]
LETTERS += [letter.lower() for letter in LETTERS[12:]]
# Golden models that GGUF cannot express: the word that the refusal must name, and what of the config must change.
FULL = ["full_attention", "full_attention"]
REFUSED = {
    "llama-dynamic": ("rope_type", None),
    "mistral": ("sliding_window", dict(sliding_window=None)),
    "qwen2-sliding": ("sliding_window", dict(sliding_window=None, use_sliding_window=False, layer_types=FULL)),
    "qwen3": ("attention_bias", dict(attention_bias=False)),
    "qwen3-moe": ("model.layers.0.mlp.", None),
    "qwen3-moe-one": ("norm_topk_prob", dict(norm_topk_prob=True, num_experts_per_tok=2)),
}
# YaRN whose cosines and sines are multiplied by another number than its factor says.
YARN = dict(rope_type="yarn", factor=4.0, rope_theta=1e4, original_max_position_embeddings=16, attention_factor=1.5)
# A tokenizer of SentencePiece as transformers 5 saves it, and its ids for some texts.
METASPACE = ROOT / "tests/golden/metaspace"
TEXTS = [
    "Once upon a time there was a little girl; she didn't know what she'd find.",
    "In 2024, 1234567 people walked 42.195 km -- that's far!",
    "  two spaces,\ttabs\n\n  and\r\nlines   ",
    "def f(x):\n    return {'a': x ** 2}  # a comment\n",
    "今天天气很好，我们去公园散步吧。你叫什么名字？",
    "naïve café, Straße, Привет, こんにちは, 안녕하세요 🙂👍🏽",
]


def greedy_here(model, tokens, count):
    flags = ["--temperature", 0, "--max-new-tokens", count, "--ignore-eos"]
    return kindling("generate", "--model", model, "--tokens", ids(tokens), *flags)["tokens"]


def scored_here(model, tokens):
    """The log-probability of every token but the first, and those of all tokens behind the last."""
    scored = kindling("score", "--model", model, "--tokens", ids(tokens), "--logits")
    last = np.array(scored["logits"], dtype=np.float64)
    highest = last.max()
    return np.array(scored["logprobs"][1:]), last - highest - np.log(np.exp(last - highest).sum())


def compute_the_same(name, folder, gguf, tokens):
    """The model in `folder` here, and its .gguf there."""
    there = Llama(gguf, 64)
    logprobs, last = scored_here(folder, tokens)
    off = np.abs(logprobs - there.logprobs(tokens, len(last))).max()
    off = max(off, np.abs(last - there.distribution(tokens, len(last))).max())
    near(f"{name}: log-probabilities", float(off))
    check(f"{name}: greedy text", greedy_here(folder, tokens[:8], 16) == there.greedy(tokens[:8], 16))
    there.close()


def families(work):
    """The golden models: written for llama.cpp, or refused by name and then written without what is refused."""
    for golden in sorted(path for path in FAMILIES.iterdir() if path.is_dir()):
        folder, gguf = work / golden.name, work / f"{golden.name}.gguf"
        kindling("export", "--to", "hf", "--model", golden, "--out", folder)
        add_letters(folder)
        export = ["export", "--to", "gguf", "--weights", "f32", "--model", folder, "--out", gguf]
        if golden.name in REFUSED:
            word, change = REFUSED[golden.name]
            why = refusal(*export)
            check(f"{golden.name} is refused: {why.removeprefix(f'{folder}: ')}", word in why)
            if change is None:
                continue
            alter(folder, change)
        kindling(*export)
        tokens = json.loads((golden / "expected.json").read_text())["tokens"]
        compute_the_same(golden.name + (", so changed" if golden.name in REFUSED else ""), folder, gguf, tokens)
        if golden.name == "llama-yarn":
            alter(folder, dict(rope_parameters=YARN))
            kindling(*export[:-1], work / "factor.gguf")
            compute_the_same("llama-yarn with an attention factor of its own", folder, work / "factor.gguf", tokens)


def add_letters(folder):
    """Gives a model a tokenizer of single letters."""
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    vocabulary = {letter: i for i, letter in enumerate(LETTERS)}
    tokenizer = {
        "version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": level, "decoder": level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def alter(folder, change):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    if change.get("attention_bias") is False:
        weights = load_file(folder / "model.safetensors")
        save_file({name: w for name, w in weights.items() if not name.endswith(".bias")}, folder / "model.safetensors")


def spaces(work):
    """Metaspace by each prepend_scheme: tokens there as the golden file says of llama.cpp, here as of the scheme."""
    rows = json.loads((METASPACE / "expected.json").read_text())
    for scheme in ["first", "always", "never"]:
        folder, gguf = work / f"metaspace-{scheme}", work / f"metaspace-{scheme}.gguf"
        tiny_llama(folder, scheme)
        kindling("export", "--to", "gguf", "--weights", "f32", "--model", folder, "--out", gguf)
        there = Llama(gguf, 128)
        wrong = [row["text"] for row in rows if there.tokens(row["text"])[1:] != row[as_there(scheme)]]
        there.close()
        check(f"metaspace, {scheme}: tokens of {len(rows)} texts there, {wrong[:3]} differ", not wrong)
        for row in rows[1:26]:
            here = kindling("score", "--model", gguf, f"--text={row['text']}")["tokens"]
            bos = [] if row["text"].startswith("<s>") else [1]
            check(f"metaspace, {scheme}: tokens of {row['text']!r} here, from the .gguf", here == bos + row[scheme])
        compute_the_same(f"metaspace, {scheme}", folder, gguf, [1, *rows[2][scheme]])


def as_there(scheme):
    """llama.cpp's ways are those of transformers 4, with the space and without."""
    return "never" if scheme == "never" else "prepend"


def tiny_llama(folder, scheme):
    """A model of random weights with the golden tokenizer."""
    tokenizer = json.loads((METASPACE / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"]["prepend_scheme"] = scheme
    if scheme == "never":
        tokenizer["decoder"]["decoders"].pop()
    config = dict(
        model_type="llama", architectures=["LlamaForCausalLM"], vocab_size=443, hidden_size=32, intermediate_size=64,
        num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=128,
        rms_norm_eps=1e-5, rope_theta=1e4, hidden_act="silu", tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
    )
    shapes = {"self_attn.q_proj": (32, 32), "self_attn.k_proj": (16, 32), "self_attn.v_proj": (16, 32)}
    shapes |= {"self_attn.o_proj": (32, 32), "input_layernorm": (32,), "post_attention_layernorm": (32,)}
    shapes |= {"mlp.gate_proj": (64, 32), "mlp.up_proj": (64, 32), "mlp.down_proj": (32, 64)}
    shapes = {f"layers.0.{name}": shape for name, shape in shapes.items()} | {"embed_tokens": (443, 32), "norm": (32,)}
    random = np.random.default_rng(5)
    weights = {f"model.{name}.weight": random.normal(0, 0.3, shape).astype("f4") for name, shape in shapes.items()}
    folder.mkdir()
    roles = dict(tokenizer_class="LlamaTokenizer", bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    for name, content in [("config", config), ("tokenizer", tokenizer), ("tokenizer_config", roles)]:
        (folder / f"{name}.json").write_text(json.dumps(content))
    save_file(weights, folder / "model.safetensors")


def real(work, shared):
    """Models with tokenizers: one byte-level, one of SentencePiece, and one of it as transformers 5 saves it."""
    models = [("nano", NANO, TEXTS[-2])]
    for name, place in [("stories260k", "data/weights/stories260k/hf"), ("k_v5sm", "cases/interop/k_v5sm")]:
        if shared and (shared / place).is_dir():
            models.append((name, shared / place, TEXTS[0]))
        else:
            skip(name, "KINDLING_SHARED names no folder that has it")
    for name, model, text in models:
        gguf = work / f"{name}.gguf"
        kindling("export", "--to", "gguf", "--weights", "f32", "--model", model, "--out", gguf)
        tokenize_the_same(name, model, gguf, metaspace=name == "k_v5sm")
        there = Llama(gguf)
        tokens = there.tokens(text)
        there.close()
        compute_the_same(name, model, gguf, tokens)
    there = Llama(work / "nano.gguf")
    question = "What is your name?"
    flags = ["--prompt", question, "--temperature", 0, "--max-new-tokens", 48]
    here, answer = kindling("chat", "--model", NANO, *flags)["content"], there.chat(question, 48)
    check(f"nano in a chat: {answer!r}", here.strip() == answer.strip())
    there.close()


def tokenize_the_same(name, model, gguf, metaspace):
    there = Llama(gguf)
    for text in TEXTS:
        here = kindling("score", "--model", model, "--text", text)["tokens"]
        # Metaspace takes a space that begins a text for the one that llama.cpp puts before it.
        asked = text.removeprefix(" ") if metaspace else text
        check(f"{name}: tokens of {text!r}", here == there.tokens(asked))
    there.close()


def main():
    args = arguments(__doc__, ["families", "spaces", "real"], ("--shared", "the reference data"))
    print(f"xllamacpp {xllamacpp.__version__}")
    if args.only in (None, "families"):
        families(args.folder)
    if args.only in (None, "spaces"):
        spaces(args.folder)
    if args.only in (None, "real"):
        real(args.folder, args.shared)
    finish()


if __name__ == "__main__":
    main()
