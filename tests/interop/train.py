"""Training beside PyTorch: the kept goldens still hold there, and the program takes the steps of a plain loop.

    python -B tests/interop/train.py KINDLING FOLDER [--only goldens|steps]

KINDLING is the program, FOLDER an empty directory to work in; tests/interop/run installs torch, transformers and peft.
"""

import copy
import json
import re
import sys

import torch
import transformers
from transformers import AutoTokenizer
from transformers.utils import logging

from checks import NANO, ROOT, arguments, check, finish, ids, kindling, near

GOLDEN = ROOT / "tests/golden/training"
sys.path.insert(0, str(GOLDEN))
import make  # noqa: E402  (the plain loop that made the goldens)

MASKED = ROOT / "tests/golden/diffusion"
sys.path.insert(0, str(MASKED))
import training  # noqa: E402  (the same of hidden tokens)

logging.set_verbosity_error()
logging.disable_progress_bar()
STEPS = 20
SETTINGS = dict(warmup_ratio=0.1, min_lr_ratio=0.1, weight_decay=0.1, grad_clip=1.0)
TEXTS = [
    f"In the harbour of {place} the ferry {ship} waits for {count} {animals}. It leaves when the bell rings {count}."
    for place, ship, count, animals in [
        ("Ostrava-on-Sea", "Marigold", 3, "otters"), ("Lind", "Old Tern", 12, "goats, two of them asleep"),
        ("Queller", "Brass Button", 7, "herons"), ("Mirrow", "Nine Lamps", 4, "hares and a very small horse"),
    ]
]
QUESTIONS = [
    ("Where does the Marigold wait?", "In the harbour of Ostrava-on-Sea.", 1),
    ("Who sleeps on the Old Tern?", "Two goats.", 0.5),
    ("How often does the bell of Queller ring?", "Seven times, and then the Brass Button leaves.", 1),
    ("Who rides the Nine Lamps?", "Hares and a very small horse.", 0.25),
]


def apart(found, expected):
    """The largest difference, as a share of what was expected; infinite where the numbers differ in count."""
    if len(found) != len(expected):
        return float("inf")
    return max(abs(a - b) / abs(b) for a, b in zip(found, expected))


def goldens(_work):
    """What tests/golden/training holds is what PyTorch computes."""
    for stage in make.STAGES:
        kept = json.loads((GOLDEN / f"{stage}.json").read_text())
        now = make.run(kept, kept["steps"])
        near(f"{stage}, kept: losses", apart(now["losses"], kept["losses"]), 1e-5)
        if "aux_losses" in kept:
            near(f"{stage}, kept: what gates add", apart(now["aux_losses"], kept["aux_losses"]), 1e-5)
        near(f"{stage}, kept: gradient norms", apart(now["grad_norms"], kept["grad_norms"]), 1e-4)
        near(f"{stage}, kept: logits", (torch.tensor(now["logits"]) - torch.tensor(kept["logits"])).abs().max().item())
        check(f"{stage}, kept: the same weights train", now["moved"].keys() == kept["moved"].keys())
        near(f"{stage}, kept: ways of the weights",
             apart([now["moved"][name] for name in kept["moved"]], list(kept["moved"].values())), 3e-4)
    for stage, kept in json.loads((MASKED / "training.json").read_text())["stages"].items():
        losses, norms = training.run(stage, kept["steps"])
        near(f"hidden tokens, {stage}, kept: losses", apart(losses, kept["losses"]), 1e-5)
        near(f"hidden tokens, {stage}, kept: gradient norms", apart(norms, kept["grad_norms"]), 1e-4)


def documents(tokenizer):
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    texts = [tokenizer(text, add_special_tokens=False).input_ids + [end] for text in TEXTS]
    return [{"text": text} for text in TEXTS], [(text, [1] * len(text)) for text in texts]


def conversations(tokenizer):
    """Each holds two answers; the second weighs what its message says."""
    rows, encoded = [], []
    for (question, answer, _), (other, reply, weight) in zip(QUESTIONS, QUESTIONS[1:] + QUESTIONS[:1]):
        messages = [
            {"role": "user", "content": question}, {"role": "assistant", "content": answer},
            {"role": "user", "content": other}, {"role": "assistant", "content": reply},
        ]
        made = tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        said = made["assistant_masks"]
        # Behind the first answer's last token lies the question of the second.
        second = said.index(0, said.index(1))
        weights = [said[i] * (weight if i >= second else 1) for i in range(len(said))]
        rows.append({"messages": messages[:3] + [{**messages[3], "weight": weight}]})
        encoded.append((made["input_ids"], weights))
    return rows, encoded


def preferences(tokenizer):
    """The answer of each question against that of the next one."""
    rows, encoded = [], []
    for (question, answer, _), (_, other, _) in zip(QUESTIONS, QUESTIONS[1:] + QUESTIONS[:1]):
        rows.append({"prompt": question, "chosen": answer, "rejected": other})
        for said in (answer, other):
            messages = [{"role": "user", "content": question}, {"role": "assistant", "content": said}]
            made = tokenizer.apply_chat_template(
                messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
            encoded.append((made["input_ids"], made["assistant_masks"]))
    return rows, encoded


def reasoned(tokenizer):
    """Answers that think first; all tokens that hold a character of a tag count ten times."""
    rows, encoded = [], []
    for question, answer, _ in QUESTIONS:
        content = f"<think>\n{question} {answer}\n</think>\n<answer>\n{answer}\n</answer>"
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": content}]
        made = tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        assert places.input_ids == made["input_ids"]
        tags = [match.span() for match in re.finditer("</?(think|answer)>", text)]
        held = [any(a < end and start < b for a, b in tags) for start, end in places.offset_mapping]
        rows.append({"messages": messages})
        encoded.append((made["input_ids"], [said * (10 if tag else 1) for said, tag in zip(made["assistant_masks"], held)]))
    return rows, encoded


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def trained_here(stage, nano, data, out, rate, *more):
    """The loss and the gradient norm of every step. All rows are in every step, so that their order does not count."""
    settings = [word for key, value in SETTINGS.items() for word in (f"--{key.replace('_', '-')}", value)]
    flags = ["--steps", STEPS, "--batch-size", 2, "--grad-accum", 2, "--packing", "false", "--log-every", 1]
    kindling(stage, "--model", nano, "--data", data, "--out", out, "--learning-rate", rate, *flags, *settings, *more)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "event" not in line]
    return [line["loss"] for line in lines], [line["grad_norm"] for line in lines]


def steps(work):
    """The program trains on rows, and PyTorch on the tokens that transformers makes of them."""
    nano = work / "nano"
    kindling("export", "--to", "hf", "--model", NANO, "--out", nano)
    tokenizer = AutoTokenizer.from_pretrained(nano)
    probe = tokenizer(TEXTS[0], add_special_tokens=False).input_ids
    # PyTorch trains on these rows alone.
    lora = ["--lora-rank", 4, "--lora-alpha", 8, "--keep-share", 0]
    adapters = {
        "lora": lora, "dora": [*lora, "--dora"], "modules": [*lora, "--modules-to-save", "embed_tokens,lm_head"],
    }
    for stage, content, rate, limit in [
        ("pretrain", documents, 1e-3, 1e-5), ("sft", conversations, 3e-4, 1e-5), ("lora", conversations, 3e-3, 2e-5),
        ("dora", conversations, 3e-3, 2e-5), ("modules", conversations, 3e-4, 2e-5),
        ("dpo", preferences, 1e-4, 1e-5), ("distill", conversations, 3e-4, 1e-5),
        ("reason", reasoned, 3e-4, 1e-5),
    ]:
        rows, encoded = content(tokenizer)
        data, out, fresh = work / f"{stage}.jsonl", work / stage, None
        write(data, rows)
        verb, more = ("lora", adapters[stage]) if stage in adapters else (stage, [])
        if stage in adapters:
            # A step of no length leaves the adapter as fresh as the run below begins with.
            fresh = work / f"fresh-{stage}"
            nothing = ["--steps", 1, "--learning-rate", 1e-30]
            kindling(verb, "--model", nano, "--data", data, "--out", fresh, *nothing, *more)
        model = make.opened(nano, fresh)
        there = [{"ids": row, "weights": weights, "segments": [1] * len(row)} for row, weights in encoded]
        objective = make.NextToken()
        if stage == "dpo":
            objective = make.Pairs(copy.deepcopy(model), beta=0.1)
        if stage == "distill":
            teacher, how = work / "sft", dict(alpha=0.25, kd_temperature=1.5, kd_loss="reverse-kl")
            objective = make.Taught(make.opened(teacher), **how)
            more = ["--teacher", teacher, *(x for key, value in how.items() for x in (f"--{key.replace('_', '-')}", value))]
        if stage == "reason":
            # All rows are trained, and none is held out.
            more = ["--val-split", 0]
        half = len(there) // 2
        batches = [[there[:half], there[half:]]] * STEPS
        losses, norms, _ = make.train(model, {"learning_rate": rate, **SETTINGS}, batches, objective)
        found = trained_here(verb, nano, data, out, rate, *more)
        near(f"{stage}: losses of {STEPS} steps", apart(found[0], losses), limit)
        near(f"{stage}: gradient norms", apart(found[1], norms), 1e-3)
        which = ["--model", nano, "--adapter", out] if fresh else ["--model", out]
        scored = kindling("score", *which, "--tokens", ids(probe), "--logits")
        with torch.no_grad():
            logits = model(torch.tensor([probe])).logits[0, -1]
        near(f"{stage}: logits after them", (torch.tensor(scored["logits"]) - logits).abs().max().item(), 1e-3)
    # What began as PiSSA is a plain LoRA of twice the rank beside the unchanged base.
    out = work / "began-as-pissa"
    trained_here("lora", nano, work / "lora.jsonl", out, 1e-3, *lora, "--init-lora", "pissa")
    model = make.opened(nano, out)
    check("pissa: the rank that is saved", model.peft_config["default"].r == 8)
    scored = kindling("score", "--model", nano, "--adapter", out, "--tokens", ids(probe), "--logits")
    with torch.no_grad():
        logits = model(torch.tensor([probe])).logits[0, -1]
    near("pissa: logits in peft", (torch.tensor(scored["logits"]) - logits).abs().max().item(), 1e-3)


args = arguments(__doc__, ["goldens", "steps"])
print(f"transformers {transformers.__version__}, torch {torch.__version__}")
for part in [goldens, steps]:
    if args.only in (None, part.__name__):
        part(args.folder)
finish()
