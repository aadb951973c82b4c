"""Makes likelihood.json: what LLaDA's get_log_likelihood.py computes, on a model that is kept.

    python3 -m venv v && v/bin/pip install torch==2.15.0 transformers==5.24.0
    v/bin/python tests/golden/diffusion/likelihood.py

`counts` are how many tokens a batch of draws hides (`forward_process` of
https://github.com/ML-GSAI/LLaDA/blob/main/get_log_likelihood.py, transcribed below). `answers` are what the model
../training/llama, its causal mask removed and token 63 for a mask, gives to a few answers: the exact bound, which is the
mean over all sets of hidden tokens, and the script's own estimate of it. Logits are those of the position itself, or with
`shift` those of the position before.
"""

import itertools
import json
import pathlib

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
MASK = 63


def counts(first, length, draws):
    """The part of forward_process that is not random."""
    x = torch.round(torch.linspace(float(first), first + (draws - 1) * (length / draws), steps=draws)).long()
    return ((x - 1) % length) + 1


def logits_of(model, batch, shift):
    seen = torch.zeros(batch.shape[0], 1, batch.shape[1], batch.shape[1])
    logits = model(batch, attention_mask=seen).logits
    return torch.cat([logits[:, :1], logits[:, :-1]], dim=1) if shift else logits


def guided(model, batch, prompt, scale, shift):
    logits = logits_of(model, batch, shift)
    if scale > 0.0:
        without = batch.clone()
        without[:, :prompt] = MASK
        un_logits = logits_of(model, without, shift)
        logits = un_logits + (scale + 1) * (logits - un_logits)
    return logits


def loss_of(model, seq, hidden, prompt, scale, shift):
    """Sum over the hidden tokens of their cross-entropy."""
    noised = torch.where(hidden, MASK, seq)[None]
    logits = guided(model, noised, prompt, scale, shift)[0]
    return F.cross_entropy(logits[hidden], seq[hidden], reduction="sum").item()


def exact(model, seq, prompt, scale, shift):
    """The mean over x in 1..L and over all sets of x hidden tokens of `sum CE · L / x`."""
    answer, total = len(seq) - prompt, 0.0
    for x in range(1, answer + 1):
        sets = list(itertools.combinations(range(prompt, len(seq)), x))
        for places in sets:
            hidden = torch.zeros(len(seq), dtype=torch.bool)
            hidden[list(places)] = True
            total += loss_of(model, seq, hidden, prompt, scale, shift) / x / len(sets)
    return total


def estimated(model, seq, prompt, scale, shift, mc=128, batch=16):
    answer, losses = len(seq) - prompt, []
    for _ in range(mc // batch):
        first = torch.randint(1, answer + 1, ()).item()
        loss = 0.0
        for x in counts(first, answer, batch).tolist():
            hidden = torch.zeros(len(seq), dtype=torch.bool)
            hidden[prompt + torch.randperm(answer)[:x]] = True
            loss += loss_of(model, seq, hidden, prompt, scale, shift) * answer / x
        losses.append(loss / batch)
    return sum(losses) / len(losses)


@torch.no_grad()
def main():
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_pretrained(HERE / "../training/llama", attn_implementation="eager").eval()
    rows = []
    for length, draws in [(1, 16), (2, 16), (3, 16), (5, 16), (8, 16), (10, 16), (31, 16), (200, 16), (7, 5), (12, 8), (9, 1)]:
        for first in sorted({1, 2, length // 2, length - 1, length} & set(range(1, length + 1))):
            rows.append(dict(first=first, length=length, draws=draws, counts=counts(first, length, draws).tolist()))
    # One length from every beginning.
    for first in range(1, 13):
        rows.append(dict(first=first, length=12, draws=16, counts=counts(first, 12, 16).tolist()))
    answers = []
    for prompt, answer in [(4, 1), (1, 1), (3, 4), (1, 6)]:
        ids = torch.randint(0, MASK, (prompt + answer,))
        for shift, scale in itertools.product([False, True], [0.0, 0.5]):
            args = (model, ids, prompt, scale, shift)
            answers.append(dict(
                ids=ids.tolist(), prompt=prompt, shift=shift, cfg_scale=scale, exact=exact(*args), estimate=estimated(*args)))
    out = json.dumps(dict(mask=MASK, counts=rows, answers=answers))
    (HERE / "likelihood.json").write_text(out.replace('{"first"', '\n{"first"').replace('{"ids"', '\n{"ids"') + "\n")


main()
