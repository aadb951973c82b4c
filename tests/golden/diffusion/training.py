"""Makes training.json: 20 optimizer steps of masked diffusion in plain PyTorch, on masks that are kept beside the losses.

    python3 -m venv v && v/bin/pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2
    v/bin/python tests/golden/diffusion/training.py [--check]

With --check nothing is written, and what is kept is compared.

The models are those of ../training, their causal masks removed and token 63 for a mask. `pretrain` and `sft` are the
losses of LLaDA's GUIDELINES.md (https://github.com/ML-GSAI/LLaDA/blob/main/GUIDELINES.md), transcribed below; `block` sees
the noised and the clean copy of each row under the mask of BD3-LM (`block_diff_mask` of
https://github.com/kuleshov-group/bd3lms/blob/main/models/dit.py). With `shift` the logits of the token before predict
a token, which in a block model are those of the clean copy where that token is of the block before. A row is its ids, how
many of them are a prompt, which ones are hidden, and with which probability.
"""

import json
import pathlib
import sys

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "training"))
import make  # noqa: E402  (the plain loop of the other goldens)

MASK, END, SEQ, ROWS, ACCUMULATE, STEPS, EPS = 63, 1, 24, 2, 2, 20, 1e-3
STAGES = {
    "pretrain": dict(model="qwen3", shift=False, block=None, weight="inverse-t", answers=False,
                     settings=make.settings(3e-3, 0.1, 2.2)),
    "sft": dict(model="llama", shift=True, block=None, weight="inverse-t", answers=True,
                settings=make.settings(2e-3, 0.2, 3.8)),
    "uniform": dict(model="llama", shift=True, block=None, weight="uniform", answers=False,
                    settings=make.settings(2e-3, 0.1, 2.2)),
    "block": dict(model="llama", shift=False, block=4, weight="uniform", answers=False,
                  settings=make.settings(2e-3, 0.1, 2.2)),
    "block-shift": dict(model="qwen3", shift=True, block=5, weight="inverse-t", answers=False,
                        settings=make.settings(3e-3, 0.1, 2.2)),
}


def forward_process(input_ids, eps=EPS):
    b, l = input_ids.shape
    t = torch.rand(b)
    p_mask = (1 - eps) * t + eps
    p_mask = p_mask[:, None].repeat(1, l)
    masked_indices = torch.rand((b, l)) < p_mask
    return masked_indices, p_mask


def draw(stage):
    """Steps, micro-batches, rows."""
    torch.manual_seed(sum(map(ord, stage)))
    options, steps = STAGES[stage], []
    for _ in range(STEPS):
        step = []
        for _ in range(ACCUMULATE):
            if options["answers"]:
                prompts = [2 + int(torch.randint(5, ())) for _ in range(ROWS)]
                texts = [make.sequence(prompt + 2 + int(torch.randint(10, ()))) for prompt in prompts]
                longest = max(map(len, texts))
                # Short answers end with end tokens, up to the longest row.
                ids = [text + [END] * (longest - len(text)) for text in texts]
            else:
                # The first token has none before it that would predict it.
                prompts = [int(options["shift"])] * ROWS
                ids = [make.sequence(SEQ) for _ in range(ROWS)]
            ids = torch.tensor(ids) % MASK
            hidden, p = forward_process(ids)
            rows = zip(ids.tolist(), prompts, hidden.tolist(), p[:, 0].tolist())
            step.append([
                dict(ids=own, prompt=prompt, hidden="".join("01"[h and i >= prompt] for i, h in enumerate(hides)), p=odds)
                for own, prompt, hides, odds in rows
            ])
        steps.append(step)
    return steps


def tensors(batch):
    """Clean ids, hidden places, probabilities, and the lengths of the prompts."""
    hidden = torch.tensor([[mark == "1" for mark in row["hidden"]] for row in batch])
    p = torch.tensor([row["p"] for row in batch])[:, None].repeat(1, hidden.shape[1])
    return torch.tensor([row["ids"] for row in batch]), hidden, p, torch.tensor([row["prompt"] for row in batch])


def block_diff_mask(q_idx, kv_idx, block_size, n):
    x0_flag_q, x0_flag_kv = q_idx >= n, kv_idx >= n
    block_q = torch.where(x0_flag_q, (q_idx - n) // block_size, q_idx // block_size)
    block_kv = torch.where(x0_flag_kv, (kv_idx - n) // block_size, kv_idx // block_size)
    block_diagonal = (block_q == block_kv) & (x0_flag_q == x0_flag_kv)
    offset_block_causal = (block_q > block_kv) & x0_flag_kv & ~x0_flag_q
    block_causal = (block_q >= block_kv) & x0_flag_kv & x0_flag_q
    return block_diagonal | offset_block_causal | block_causal


class Masked:
    """`loss` times what the batch weighs, so that batches of a step add up to its mean."""

    def __init__(self, shift, block, weight, answers, mask=MASK, **_):
        self.shift, self.block, self.kind, self.answers, self.mask = shift, block, weight, answers, mask

    def logits(self, model, clean, hidden):
        """Of every token the logits that predict it."""
        noisy, (b, n) = torch.where(hidden, self.mask, clean), clean.shape
        if self.block is None:
            seen = torch.zeros(b, 1, n, n)
            logits = model(noisy, attention_mask=seen, use_cache=False).logits
            return torch.cat([logits[:, :1], logits[:, :-1]], dim=1) if self.shift else logits
        places = torch.arange(2 * n)
        seen = block_diff_mask(places[:, None], places[None, :], self.block, n)
        seen = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float32).min).expand(b, 1, -1, -1)
        positions = torch.cat([places[:n], places[:n]]).expand(b, -1)
        both = model(
            torch.cat([noisy, clean], 1), attention_mask=seen, position_ids=positions, use_cache=False).logits
        if not self.shift:
            return both[:, :n]
        before = [0] + [i - 1 if i % self.block else n + i - 1 for i in range(1, n)]
        return both[:, before]

    def weight(self, batch):
        clean, hidden, _, prompts = batch
        if self.kind == "uniform":
            return hidden.sum()
        return len(clean) if self.answers else clean.numel() - prompts.sum()

    def loss(self, model, batch):
        clean, hidden, p_mask, prompts = batch
        logits = self.logits(model, clean, hidden)
        token_loss = F.cross_entropy(logits[hidden], clean[hidden], reduction="none")
        if self.kind == "uniform":
            return token_loss.sum()
        token_loss = token_loss / p_mask[hidden]
        if not self.answers:
            return token_loss.sum()
        answer_lengths = (clean.shape[1] - prompts)[:, None].repeat(1, clean.shape[1])
        return torch.sum(token_loss / answer_lengths[hidden])


def train(model, settings, steps, objective):
    """The plain loop, on rows with hidden tokens."""
    of_others, make.tensors = make.tensors, tensors
    losses, norms, _ = make.train(model, settings, steps, objective)
    make.tensors = of_others
    return losses, norms


def run(stage, steps):
    options = STAGES[stage]
    model = make.opened(make.HERE / options["model"])
    return train(model, options["settings"], steps, Masked(**options))


def main():
    torch.set_num_threads(1)
    path = HERE / "training.json"
    if "--check" in sys.argv:
        for stage, kept in json.loads(path.read_text())["stages"].items():
            apart = max(abs(a / b - 1) for a, b in zip(run(stage, kept["steps"])[0], kept["losses"]))
            print(f"{stage}: losses {apart:.1e} apart")
            assert apart < 1e-5, stage
        return
    stages = {}
    for stage, options in STAGES.items():
        steps = draw(stage)
        losses, norms = run(stage, steps)
        print(stage, losses[0], losses[-1], norms[0], norms[-1])
        stages[stage] = dict(**options, steps=steps, losses=losses, grad_norms=norms)
    text = json.dumps(dict(made_by=make.MADE_BY, mask=MASK, stages=stages))
    path.write_text(text.replace('{"ids"', '\n{"ids"') + "\n")


if __name__ == "__main__":
    main()
