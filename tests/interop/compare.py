"""Kindling beside `transformers` and `peft`: models and adapters go both ways and compute the same.

    python -B tests/interop/compare.py KINDLING FOLDER [--only families|stretched|tokenizers|adapters]

KINDLING is the program, FOLDER an empty directory to work in. The families, stretched models and tokenizers need torch and transformers,
the adapters also peft; tests/interop/run installs them, and tests/cli/live.rs runs this wherever python3 has them.
"""

import json
import shutil

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig
from transformers.utils import logging

from checks import FAMILIES, NANO, ROOT, arguments, call, check, finish, ids, kindling, near

logging.set_verbosity_error()
logging.disable_progress_bar()
TOKENS = [(7 * i * i + 3 * i + 1) % 64 for i in range(24)]


def numbers_here(model, *more):
    """The log-probability of every token but the first, then the logits of the last."""
    scored = kindling("score", "--model", model, "--tokens", ids(TOKENS), "--logits", *more)
    return torch.tensor(scored["logprobs"][1:] + scored["logits"])


def greedy_here(model, *more):
    flags = ["--temperature", 0, "--max-new-tokens", 16, "--ignore-eos"]
    return kindling("generate", "--model", model, "--tokens", ids(TOKENS[:8]), *flags, *more)["tokens"]


def numbers_there(model):
    with torch.no_grad():
        logits = model(torch.tensor([TOKENS])).logits[0].float()
    logprobs = logits[:-1].log_softmax(-1).gather(1, torch.tensor(TOKENS[1:])[:, None])[:, 0]
    return torch.cat([logprobs, logits[-1]])


def greedy_there(model):
    with torch.no_grad():
        return model.generate(torch.tensor([TOKENS[:8]]), max_new_tokens=16, do_sample=False)[0, 8:].tolist()


def opened(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def same(name, folder, model, *more):
    near(f"{name}: logits", (numbers_here(folder, *more) - numbers_there(model)).abs().max().item())
    there = greedy_there(model)
    # There an end token ends it.
    check(f"{name}: greedy text", greedy_here(folder, *more)[: len(there)] == there)


def families(work):
    """Fresh random models of every family: theirs opens here, ours opens there."""
    for golden in sorted(path for path in FAMILIES.iterdir() if path.is_dir()):
        config = AutoConfig.from_pretrained(golden)
        torch.manual_seed(1)
        theirs, ours = work / f"{golden.name}-theirs", work / f"{golden.name}-ours"
        AutoModelForCausalLM.from_config(config, attn_implementation="eager").save_pretrained(theirs)
        same(f"{golden.name}, theirs", theirs, opened(theirs))
        kindling("export", "--to", "hf", "--model", golden, "--out", ours)
        same(f"{golden.name}, ours", ours, opened(ours))
        check(f"{golden.name}: the same class", type(opened(ours)) is type(opened(golden)))


def stretched(work):
    """A model that is stretched here, at use or in its files, is what transformers makes of its config.json."""
    short = work / "stretched-none"
    shutil.copytree(FAMILIES / "llama", short)
    config = json.loads((short / "config.json").read_text()) | dict(max_position_embeddings=16)
    (short / "config.json").write_text(json.dumps(config))
    for kind, factor in [("linear", 2), ("dynamic", 2), ("yarn", 2), ("yarn", 4), ("llama3", 2)]:
        name, flags = f"stretched {factor} times ({kind})", ["--rope-scaling", kind, "--rope-factor", factor]
        ours = work / f"stretched-{kind}-{factor}"
        kindling("export", "--to", "hf", "--model", short, "--out", ours, *flags)
        same(f"{name}, in its files", ours, opened(ours))
        same(f"{name}, at use", short, opened(ours), *flags)
        rope = AutoConfig.from_pretrained(ours).rope_parameters
        check(f"{name}: read as such there", (rope["rope_type"], rope["factor"]) == (kind, factor))


def tokenizers(work):
    """A tokenizer as transformers 4 saved Llama's, which version 5 opens otherwise: told, and alike once written."""
    golden = ROOT / "tests/golden"
    tokenizer = json.loads((golden / "metaspace/tokenizer.json").read_text())
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    steps = [{"type": "Prepend", "prepend": "▁"}, replace]
    tokenizer |= {"normalizer": {"type": "Sequence", "normalizers": steps}, "pre_tokenizer": None}
    texts = [text for text in json.loads((golden / "classes/expected.json").read_text())["texts"] if text]
    sizes = dict(vocab_size=443, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4)
    theirs, ours = work / "classes-theirs", work / "classes-ours"
    AutoModelForCausalLM.from_config(LlamaConfig(**sizes)).save_pretrained(theirs)
    roles = dict(tokenizer_class="LlamaTokenizer", bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    for name, content in [("tokenizer", tokenizer), ("tokenizer_config", roles)]:
        (theirs / f"{name}.json").write_text(json.dumps(content))
    here = [kindling("score", "--model", theirs, f"--text={text}")["tokens"] for text in texts]
    differ = here != [AutoTokenizer.from_pretrained(theirs).encode(text) for text in texts]
    said = call("score", "--model", theirs, "--text=a b").stderr
    told = "transformers 5 opens the tokenizer as LlamaTokenizer" in said
    found = "other ids" if differ else "the same ids"
    check(f"tokenizer_class LlamaTokenizer: {found} there, told: {told}", differ == told)
    kindling("export", "--to", "hf", "--model", theirs, "--out", ours)
    opened = AutoTokenizer.from_pretrained(ours)
    for text, tokens in zip(texts, here):
        check(f"ids of {text!r} once written here", opened.encode(text) == tokens)


def adapters(work):
    """Adapters of `peft` act here; one trained here acts there, and merged natively says the same."""
    import peft

    print(f"peft {peft.__version__}")
    layers, one = ["q_proj", "v_proj", "o_proj", "down_proj"], "layers.0.self_attn.q_proj"
    for name, what, more in [
        ("llama", "alpha", dict(lora_alpha=12)),
        ("qwen3", "rslora", dict(lora_alpha=4, use_rslora=True)),
        ("llama", "head", dict(target_modules=["q_proj", "lm_head"])),
        ("llama", "patterns", dict(rank_pattern={"v_proj": 5}, alpha_pattern={one: 20})),
        ("qwen3", "blocks", dict(layers_to_transform=[1])),
        ("qwen3", "others", dict(target_modules=r".*\.(q|up)_proj", exclude_modules=[one])),
    ]:
        base = FAMILIES / name
        torch.manual_seed(2)
        settings = dict(r=3, target_modules=layers) | more
        model = peft.get_peft_model(opened(base), peft.LoraConfig(**settings)).eval()
        with torch.no_grad():
            for key, weight in model.named_parameters():
                if "lora_B" in key:
                    weight.normal_(0, 0.2)
        theirs, merged = work / f"{name}-{what}", work / f"{name}-{what}-merged"
        model.save_pretrained(theirs)
        same(f"{name}, an adapter of peft ({what})", base, model, "--adapter", theirs)
        kindling("merge", "--model", base, "--adapter", theirs, "--out", merged)
        same(f"{name}, merged here ({what})", merged, model)
    nano, data, ours = work / "nano", work / "data", work / "nano-adapter"
    kindling("export", "--to", "hf", "--model", NANO, "--out", nano)
    kindling("sample-data", data)
    flags = ["--steps", 8, "--batch-size", 4, "--learning-rate", 0.01, "--lora-alpha", 24]
    kindling("lora", "--model", nano, "--data", data / "lora.jsonl", "--out", ours, *flags)
    same("nano, an adapter of ours", nano, peft.PeftModel.from_pretrained(opened(nano), ours).eval(), "--adapter", ours)


args = arguments(__doc__, ["families", "stretched", "tokenizers", "adapters"])
print(f"transformers {transformers.__version__}, torch {torch.__version__}")
for part in [families, stretched, tokenizers, adapters]:
    if args.only in (None, part.__name__):
        part(args.folder)
finish()
