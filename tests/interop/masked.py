"""Predictors of masked tokens beside PyTorch: the steps of training, what they write, and LLaDA's own published code.

    python -B tests/interop/masked.py KINDLING FOLDER [--only steps|written|published] [--list] [--llada CODE]

KINDLING is the program, FOLDER an empty directory to work in, CODE one with LLaDA's configuration_llada.py, modeling_llada.py
and generate.py, without which the last part is skipped; tests/interop/run fetches what this needs.
"""

import importlib.util
import json
import sys

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, Qwen2Config
from transformers.utils import logging

import lessons
from checks import FAMILIES, NANO, ROOT, alike, apart, arguments, check, finish, ids, kindling, near, skip
from llada import CODE, Published

sys.path.insert(0, str(ROOT / "tests/golden/diffusion"))
import training  # noqa: E402  (the plain loop that made the goldens)
from fresh import fresh_model  # noqa: E402  (of the goldens that the loop takes its steps on)

spec = importlib.util.spec_from_file_location("unmask", ROOT / "tests/golden/unmask/make.py")
unmask = importlib.util.module_from_spec(spec)
spec.loader.exec_module(unmask)

logging.set_verbosity_error()
logging.disable_progress_bar()
SEED = 42
# Streams of the seed and numbers of core/src: train/noising.rs, batch/loader.rs, loss/masking.rs.
NOISED, BUCKET, CUT_SHARE, PAD = 0x6E6F69736564, 0x6275636B, 0.01, 16
# The verb, what `convert` is told, how much hidden tokens count, their shares.
LESSONS = {
    "texts by 1/t": ("pretrain", dict(shift=True, block=None), "inverse-t", (0.0, 1.0)),
    "texts": ("pretrain", dict(shift=False, block=None), "uniform", (0.05, 1.0)),
    "answers": ("sft", dict(shift=True, block=None), "inverse-t", (0.0, 1.0)),
    "blocks": ("pretrain", dict(shift=False, block=4), "uniform", (0.05, 1.0)),
    "blocks, shifted": ("pretrain", dict(shift=True, block=4), "inverse-t", (0.0, 1.0)),
}
RATE = 3e-4


def convert(model, out, shift, block):
    more = ["--block-length", block] if block else []
    return kindling("convert", "--to", "diffusion", "--model", model, "--shift-logits", str(shift).lower(), "--out", out, *more)


def opened(folder, base):
    """A masked predictor with the weights of `folder`, as the family of `base` that transformers has."""
    config = AutoConfig.from_pretrained(base)
    config.vocab_size = json.loads((folder / "config.json").read_text())["vocab_size"]
    # PyTorch's embedding learns nothing of its padding token where that is read, and here it is the end of a text.
    config.pad_token_id = None
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    assert not unexpected and set(missing) <= ({"lm_head.weight"} if config.tie_word_embeddings else set())
    return model


def rows(verb, tokenizer):
    """Two rows, the shorter one first: as the program reads them, and tokens with how many of them are a prompt."""
    if verb == "pretrain":
        data, encoded = lessons.documents(tokenizer)
        two = [(row, (tokens, 0)) for row, (tokens, _) in zip(data, encoded)][:2]
    else:
        data, encoded = lessons.preferences(tokenizer)
        two = []
        for pair, (tokens, said) in list(zip(data, encoded[::2]))[:2]:
            messages = [dict(role="user", content=pair["prompt"]), dict(role="assistant", content=pair["chosen"])]
            end = len(said) - said[::-1].index(1)
            assert set(said[said.index(1) : end]) == {1}
            two.append((dict(messages=messages), (tokens[:end], said.index(1))))
    return sorted(two, key=lambda row: len(row[1][0]))


def hide(random, batch, verb, options, weight, shares):
    """What core/src/loss/masking.rs hides of a batch, as rows of tests/golden/diffusion/training.py."""
    width = -(-max(len(tokens) for tokens, _ in batch) // PAD) * PAD
    least = int(options["shift"] and verb == "pretrain")
    if verb == "sft":
        for _ in batch:
            # One answer of those that a row has.
            random.below(1)
        batch = [(tokens + [tokens[-1]] * (width - len(tokens)), prompt) for tokens, prompt in batch]
    elif random.uniform() < CUT_SHARE:
        width = 1 + least + random.below(width - least)
        batch = [(tokens[:width], prompt) for tokens, prompt in batch]
    first, made = random.uniform(), []
    for number, (tokens, prompt) in enumerate(batch):
        t = (first + number / len(batch)) % 1
        p = (1 - training.EPS) * (shares[0] + (shares[1] - shares[0]) * t) + training.EPS
        begin = max(prompt, least)
        hidden = "".join("01"[at >= begin and random.uniform() < p] for at in range(len(tokens)))
        made.append(dict(ids=tokens, prompt=begin, hidden=hidden, p=p))
    if weight == "uniform" and not any("1" in row["hidden"] for row in made):
        at = random.below(sum(len(row["ids"]) - row["prompt"] for row in made))
        for row in made:
            may = len(row["ids"]) - row["prompt"]
            if 0 <= at < may:
                row["hidden"] = "0" * (row["prompt"] + at) + "1" + "0" * (may - at - 1)
            at -= may
    return made


def batches(two, *lesson):
    """Of each step two batches, each of one row twice, so that their order alone tells which numbers they draw."""
    for epoch in range(lessons.STEPS):
        order = [0, 1]
        if unmask.Random(SEED, BUCKET ^ epoch << 40).below(2) == 0:
            order.reverse()
        step = []
        for served, row in enumerate(order, 1):
            stream = NOISED
            for part in [epoch, 0, 0, served]:
                stream = unmask.Random(part, stream).next_u64()
            step.append(hide(unmask.Random(SEED, stream), [two[row]] * 2, *lesson))
        yield step


def steps(work):
    """The program hides tokens and learns them; PyTorch learns the same ones, which it draws itself."""
    nano = work / "nano"
    kindling("export", "--to", "hf", "--model", NANO, "--out", nano)
    tokenizer = AutoTokenizer.from_pretrained(nano)
    for name, (verb, options, weight, shares) in LESSONS.items():
        base, data, out = (work / f"{name.replace('/', '')}-{what}" for what in ["base", "data.jsonl", "out"])
        mask = convert(nano, base, **options)["mask_token_id"]
        two = rows(verb, tokenizer)
        lessons.write(data, [row for row, _ in two for _ in range(2)])
        model = opened(base, nano)
        objective = training.Masked(**options, weight=weight, answers=verb == "sft", mask=mask)
        drawn = list(batches([tokens for _, tokens in two], verb, options, weight, shares))
        losses, norms = training.train(model, {"learning_rate": RATE, **lessons.SETTINGS}, drawn, objective)
        flags = ["--loss-weight", weight, "--t-range", ",".join(map(str, shares)), "--seed", SEED]
        found = lessons.trained_here(verb, base, data, out, RATE, *flags)
        alike(f"hidden tokens, {name}: losses of {lessons.STEPS} steps", found["loss"], losses, 1e-5)
        near(f"hidden tokens, {name}: gradient norms", apart(found["grad_norm"], norms), 1e-3)
        moved = apart_weights(load_file(out / "model.safetensors"), model.state_dict())
        near(f"hidden tokens, {name}: weights after them", moved, 1e-3)


def apart_weights(found, expected):
    return max((weight - expected[name]).abs().max().item() for name, weight in found.items())


def written(work):
    """Fresh models write the ids of LLaDA's sampler in plain PyTorch, drawn ones too."""
    causal = work / "causal"
    torch.manual_seed(1)
    config = AutoConfig.from_pretrained(FAMILIES / "qwen3")
    AutoModelForCausalLM.from_config(config, attn_implementation="eager").save_pretrained(causal)
    for name, settings in unmask.CASES.items():
        folder, options = work / f"writes-{name}", dict(settings)
        mask = convert(causal, folder, options.get("shift", False), None)["mask_token_id"]
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | dict(eos_token_id=list(options.get("forbidden", [])))))
        there = unmask.write(opened(folder, causal), mask=mask, **options)
        here = ids_here(folder, unmask.PROMPT, 16, **options)
        same_ids(f"written, {name}", here, there)


def ids_here(model, prompt, new, steps=16, block=16, temperature=0, cfg=0, remasking="low_confidence", seed=SEED, **_):
    flags = ["--steps", steps, "--block-length", block, "--temperature", temperature, "--cfg-scale", cfg, "--seed", seed]
    flags += ["--remasking", remasking.replace("_", "-"), "--top-k", 0, "--top-p", 1, "--ignore-eos"]
    return kindling("generate", "--model", model, "--tokens", ids(prompt), "--max-new-tokens", new, *flags)["tokens"]


def same_ids(what, here, there):
    check(f"{what}: ids {ids(here)}" + ("" if here == there else f", and there {ids(there)}"), here == there)


def llama_like(work):
    """Fresh models of the shapes that LLaDA's code has, as transformers saves them."""
    sizes = dict(
        vocab_size=64, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, initializer_range=0.3, bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )
    for name, config in {
        "untied": LlamaConfig(**sizes, num_key_value_heads=4, tie_word_embeddings=False),
        "grouped heads": LlamaConfig(**sizes, num_key_value_heads=2, tie_word_embeddings=False, rms_norm_eps=1e-5),
        "tied, biases": Qwen2Config(**sizes, num_key_value_heads=1, tie_word_embeddings=True, use_sliding_window=False),
    }.items():
        model = fresh_model(config, name)
        model.save_pretrained(work / name)
        yield name, work / name


def published(work):
    """A converted model as LLaDA's code opens it: names, shapes, settings, logits, and what its sampler writes."""
    code = Published(args.llada) if args.llada and all((args.llada / name).is_file() for name in CODE) else None
    if code is None:
        return skip("LLaDA's published code", f"{args.llada or 'no folder'} does not hold {', '.join(CODE)}; where they "
                    "cannot be fetched, put them there by hand, or name their folder in KINDLING_LLADA")
    for name, causal in llama_like(work):
        plain, folder = work / f"{name}-plain", work / f"{name}-llada"
        mask = convert(causal, plain, False, None)["mask_token_id"]
        kindling("export", "--to", "hf", "--model", plain, "--out", folder)
        model, problems = code.opened(folder)
        check(f"LLaDA's code, {name}: names, shapes and settings{problems}", not problems)
        if problems:
            continue
        near(f"LLaDA's code, {name}: log-probabilities at masks", sure_apart(model, folder, mask))
        for steps, block, cfg in [(16, 16, 0), (8, 4, 0), (16, 8, 1.5)]:
            there = code.generate(model, unmask.PROMPT, mask, 16, steps, block, cfg)
            what = f"generate.py, {name}, {steps} steps in blocks of {block}" + (", guided" if cfg else "")
            same_ids(what, ids_here(folder, unmask.PROMPT, 16, steps, block, cfg=cfg), there)


def sure_apart(model, folder, mask, new=12, seeds=24):
    """All masks filled at once, at a temperature that takes any token: the program tells how likely each one is."""
    with torch.no_grad():
        canvas = torch.tensor([unmask.PROMPT + [mask] * new])
        logits = model(canvas, return_dict=True).logits[0, len(unmask.PROMPT) :].double()
    # A mask is never written.
    logits[:, mask] = -torch.inf
    expected, off, seen = logits.log_softmax(-1), 0.0, set()
    for seed in range(seeds):
        flags = ["--steps", 1, "--block-length", new, "--temperature", 50, "--top-k", 0, "--top-p", 1, "--seed", seed]
        flags += ["--max-new-tokens", new, "--ignore-eos", "--show-steps"]
        made = kindling("generate", "--model", folder, "--tokens", ids(unmask.PROMPT), *flags)
        for filled in made["steps"][0]["filled"]:
            place, token = filled["place"], filled["id"]
            off = max(off, abs(torch.tensor(filled["confidence"]).double().log().item() - expected[place, token].item()))
            seen.add((place, token))
    # Few of them would say little.
    return off if len(seen) > 5 * seeds else float("inf")


args = arguments(__doc__, ["steps", "written", "published"], ("--llada", "LLaDA's published code"))
print(f"transformers {transformers.__version__}, torch {torch.__version__}")
for part in [steps, written, published]:
    if args.only in (None, part.__name__):
        part(args.folder)
finish()
