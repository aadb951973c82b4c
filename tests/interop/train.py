"""Training beside PyTorch: the kept goldens still hold there, and the program takes the steps of a plain loop.

    python -B tests/interop/train.py KINDLING FOLDER [--only goldens|steps] [--list]

KINDLING is the program, FOLDER an empty directory to work in; tests/interop/run installs torch, transformers and peft.
"""

import json
import shutil
import sys

import torch
import transformers
from transformers import AutoTokenizer
from transformers.utils import logging

from checks import NANO, ROOT, alike, apart, arguments, check, finish, ids, kindling, near
from lessons import SETTINGS, STEPS, TEXTS, conversations, documents, preferences, reasoned, trained_here, write

GOLDEN = ROOT / "tests/golden/training"
sys.path.insert(0, str(GOLDEN))
import make  # noqa: E402  (the plain loop that made the goldens)
import mixture  # noqa: E402

MASKED = ROOT / "tests/golden/diffusion"
sys.path.insert(0, str(MASKED))
import training  # noqa: E402  (the same of hidden tokens)

logging.set_verbosity_error()
logging.disable_progress_bar()
# PyTorch trains on these rows alone.
LORA = ["--lora-rank", 4, "--lora-alpha", 8, "--keep-share", 0]
ADAPTERS = {"lora": LORA, "dora": [*LORA, "--dora"], "modules": [*LORA, "--modules-to-save", "embed_tokens,lm_head"]}
TAUGHT = dict(alpha=0.25, kd_temperature=1.5, kd_loss="reverse-kl")
# What they train on, the learning rate, how far the losses of 20 steps may differ.
LESSONS = {
    "pretrain": (documents, 1e-3, 1e-5),
    "sft": (conversations, 3e-4, 1e-5),
    "lora": (conversations, 3e-3, 2e-5),
    "dora": (conversations, 3e-3, 2e-5),
    "modules": (conversations, 3e-4, 2e-5),
    "dpo": (preferences, 1e-4, 1e-5),
    "distill": (conversations, 3e-4, 1e-5),
    "reason": (reasoned, 3e-4, 1e-5),
    "experts": (documents, 3e-4, 1e-5),
    "experts-one": (documents, 3e-4, 1e-5),
}
# Seeds of mixtures whose tokens choose clearly in all steps: two experts that are nearly as good to a token would be
# chosen by rounding, and from there on the runs are two.
SEEDS = {"experts": 2, "experts-one": 0}
CLEAR = 5e-5


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


def save_mixture(name, nano, folder):
    """A fresh mixture of experts in plain PyTorch, with nano's tokens."""
    known = json.loads((nano / "config.json").read_text())
    ends = {key: known[key] for key in ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")}
    torch.manual_seed(SEEDS[name])
    mixture.Mixture({**make.EXPERTS, **make.MIXTURES[name], **ends, "max_position_embeddings": 512}).save(folder)
    for path in nano.glob("tokenizer*"):
        shutil.copy(path, folder)


def padded(row):
    """Rows of the program end in padding, unless they fill their batch, and so their last token chooses experts, too."""
    return {"ids": row["ids"] + [0], "weights": row["weights"] + [0], "segments": row["segments"] + [0]}


def note_choices(model):
    """By how much the worst expert that a token chooses is better than the best that it does not, of each pass."""
    gaps, routing = [], model.routing

    def noted():
        found = routing()
        for logits, _, _ in found:
            ranked = logits.detach().sort(-1, descending=True).values
            last = model.config["num_experts_per_tok"]
            gaps.append((ranked[..., last - 1] - ranked[..., last]).min().item())
        return found

    model.routing = noted
    return gaps


def flags(options):
    return [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", value)]


def pieces(stage, work, nano):
    """Which model begins, the adapter that trains, the objective in PyTorch, the program's verb and its flags."""
    if stage in make.MIXTURES:
        save_mixture(stage, nano, work / stage)
        return work / stage, None, make.NextToken(), "pretrain", []
    if stage in ADAPTERS:
        # A step of no length leaves the adapter as fresh as both runs begin with.
        fresh, more = work / f"fresh-{stage}", ADAPTERS[stage]
        nothing = ["--steps", 1, "--learning-rate", 1e-30]
        kindling("lora", "--model", nano, "--data", work / f"{stage}.jsonl", "--out", fresh, *nothing, *more)
        return nano, fresh, make.NextToken(), "lora", more
    if stage == "dpo":
        return nano, None, make.Pairs(make.opened(nano), beta=0.1), stage, []
    if stage == "distill":
        teacher = work / "trained-sft"
        return nano, None, make.Taught(make.opened(teacher), **TAUGHT), stage, ["--teacher", teacher, *flags(TAUGHT)]
    # All rows are trained, and none is held out.
    return nano, None, make.NextToken(), stage, ["--val-split", 0] if stage == "reason" else []


def logits_apart(model, probe, *which):
    """How far the logits behind the probe differ."""
    scored = kindling("score", *which, "--tokens", ids(probe), "--logits")
    causal = torch.full((len(probe), len(probe)), torch.finfo(torch.float32).min).triu(1)[None, None]
    with torch.no_grad():
        logits = make.forward(model, torch.tensor([probe]), causal)[0, -1]
    return (torch.tensor(scored["logits"]) - logits).abs().max().item()


def steps(work):
    """The program trains on rows, and PyTorch on the tokens that transformers makes of them."""
    nano = work / "nano"
    kindling("export", "--to", "hf", "--model", NANO, "--out", nano)
    tokenizer = AutoTokenizer.from_pretrained(nano)
    probe = tokenizer(TEXTS[0], add_special_tokens=False).input_ids
    for stage, (content, rate, limit) in LESSONS.items():
        rows, encoded = content(tokenizer)
        data, out = work / f"{stage}.jsonl", work / f"trained-{stage}"
        write(data, rows)
        base, fresh, objective, verb, more = pieces(stage, work, nano)
        model = make.opened(base, fresh)
        there = [{"ids": row, "weights": weights, "segments": [1] * len(row)} for row, weights in encoded]
        gaps = note_choices(model) if stage in make.MIXTURES else []
        if stage in make.MIXTURES:
            there = [padded(row) for row in there]
        half = len(there) // 2
        batches = [[there[:half], there[half:]]] * STEPS
        losses, norms, added = make.train(model, {"learning_rate": rate, **SETTINGS}, batches, objective)
        found = trained_here(verb, base, data, out, rate, *more)
        alike(f"{stage}: losses of {STEPS} steps", found["loss"], losses, limit)
        near(f"{stage}: gradient norms", apart(found["grad_norm"], norms), 1e-3)
        if added:
            near(f"{stage}: what gates add", apart(found["aux_loss"], added), limit)
            check(f"{stage}: every choice is clear, by {min(gaps):.1e}", min(gaps) > CLEAR)
        which = ["--model", base, "--adapter", out] if fresh else ["--model", out]
        near(f"{stage}: logits after them", logits_apart(model, probe, *which), 1e-3)
    pissa(work, nano, probe)


def pissa(work, nano, probe):
    """What began as PiSSA is a plain LoRA of twice the rank beside the unchanged base."""
    out = work / "began-as-pissa"
    trained_here("lora", nano, work / "lora.jsonl", out, 1e-3, *LORA, "--init-lora", "pissa")
    model = make.opened(nano, out)
    check("pissa: the rank that is saved", model.peft_config["default"].r == 8)
    near("pissa: logits in peft", logits_apart(model, probe, "--model", nano, "--adapter", out), 1e-3)


args = arguments(__doc__, ["goldens", "steps"])
print(f"transformers {transformers.__version__}, torch {torch.__version__}")
for part in [goldens, steps]:
    if args.only in (None, part.__name__):
        part(args.folder)
finish()
