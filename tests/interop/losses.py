"""trl's own losses beside those of the program: whole steps of preferences, and of answers that are rewarded.

    python -B tests/interop/losses.py KINDLING FOLDER [--only dpo|grpo] [--list]

KINDLING is the program, FOLDER an empty directory to work in; tests/interop/run installs trl. Without it the script is
skipped: the formulas themselves are those of tests/golden/training/make.py.
"""

import copy
import json
import sys

import torch
from transformers import AutoTokenizer
from transformers.utils import logging

import lessons
from checks import NANO, ROOT, alike, arguments, finish, kindling, skip

GOLDEN = ROOT / "tests/golden/training"
sys.path.insert(0, str(GOLDEN))
import make  # noqa: E402  (the plain loop that made the goldens)

logging.set_verbosity_error()
logging.disable_progress_bar()
# On this machine's CPU, in 32 bits, and nothing told to anyone.
ALONE = dict(use_cpu=True, bf16=False, report_to=[], gradient_checkpointing=False, disable_tqdm=True)
BETA, RATE = 0.1, 1e-4


def dataset(rows):
    """Rows as trl wants them. They get a name, because some versions of pyarrow have a table that cannot name itself."""
    return datasets.Dataset(pyarrow.Table.from_pylist(rows), fingerprint="rows")


def tokens_of(batch):
    """Whole rows, and which of their tokens but the first are an answer's."""
    inputs, _, targets, weights = batch[:4]
    return torch.cat([inputs[:, :1], targets], 1), weights.long()


class Pairs(make.Pairs):
    """The same rows under DPOTrainer's loss, which wants the chosen answers first."""

    def __init__(self, trainer):
        super().__init__(None, BETA)
        self.trainer = trainer

    def loss(self, model, batch):
        tokens, answers = tokens_of(batch)
        order = [*range(0, len(tokens), 2), *range(1, len(tokens), 2)]
        said = torch.cat([torch.zeros_like(answers[:, :1]), answers], 1)
        rows = dict(input_ids=tokens[order], attention_mask=torch.ones_like(tokens), completion_mask=said[order])
        return self.trainer._compute_loss(model, rows, False) * self.weight(batch)


class Rewarded(make.Rewarded):
    """The same rows under GRPOTrainer's loss. It is told that a prompt is one token, because those of a batch differ in
    length, and by the mask of tools which of the others the model wrote."""

    def __init__(self, trainer, **options):
        super().__init__(trainer.ref_model, **options)
        self.trainer = trainer

    def loss(self, model, batch):
        tokens, answers = tokens_of(batch)
        seen = torch.ones_like(tokens)
        with torch.no_grad():
            known = self.trainer._get_per_token_logps_and_entropies(self.reference, tokens, seen, answers.shape[1])[0]
        rows = dict(
            prompt_ids=tokens[:, :1], prompt_mask=seen[:, :1], completion_ids=tokens[:, 1:], completion_mask=seen[:, 1:],
            tool_mask=answers, advantages=batch[5], old_per_token_logps=batch[6], ref_per_token_logps=known,
            num_items_in_batch=answers.sum(),
        )
        return self.trainer._compute_loss(model, rows) * self.weight(batch)


def dpo(work):
    """The program takes the steps of a loop whose loss is DPOTrainer's."""
    nano, data, out = work / "nano", work / "dpo.jsonl", work / "dpo"
    kindling("export", "--to", "hf", "--model", NANO, "--out", nano)
    tokenizer = AutoTokenizer.from_pretrained(nano)
    rows, encoded = lessons.preferences(tokenizer)
    lessons.write(data, rows)
    model = make.opened(nano)
    trainer = trl.DPOTrainer(
        model=model, ref_model=copy.deepcopy(model), args=trl.DPOConfig(str(work / "trl"), beta=BETA, **ALONE),
        train_dataset=dataset(rows), processing_class=tokenizer,
    )
    there = [{"ids": row, "weights": weights, "segments": [1] * len(row)} for row, weights in encoded]
    half = len(there) // 2
    batches = [[there[:half], there[half:]]] * lessons.STEPS
    losses, _, _ = make.train(model, {"learning_rate": RATE, **lessons.SETTINGS}, batches, Pairs(trainer))
    found = lessons.trained_here("dpo", nano, data, out, RATE, "--beta", BETA)
    alike(f"DPOTrainer: losses of {lessons.STEPS} steps", found["loss"], losses, 1e-5, ("kindling", "trl"))


def grpo(work):
    """GRPOTrainer's loss on the kept answers gives the kept losses, which are the program's by tests/library."""
    nano = work / "nano-grpo"
    kindling("export", "--to", "hf", "--model", NANO, "--out", nano)
    kept = json.loads((GOLDEN / "grpo.json").read_text())
    options = kept["rewarded"]
    how = dict(beta=options["kl_beta"], epsilon=options["clip_range"], loss_type="grpo", temperature=1.0, num_generations=2)
    # The plain k3, not weighed by the ratio (DeepSeek-V3.2).
    how |= dict(use_bias_correction_kl=False)
    model = make.opened(GOLDEN / kept["model"])
    trainer = trl.GRPOTrainer(
        model=model, reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=trl.GRPOConfig(str(work / "trl"), per_device_train_batch_size=2, **how, **ALONE),
        train_dataset=dataset([dict(prompt="a")] * 2),
        processing_class=AutoTokenizer.from_pretrained(nano),
    )
    model.eval()
    losses, _, _ = make.train(model, kept["settings"], kept["steps"], Rewarded(trainer, **options))
    alike(f"GRPOTrainer: losses of {len(losses)} steps", kept["losses"], losses, 1e-5, ("kept", "trl"))


args = arguments(__doc__, ["dpo", "grpo"])
try:
    import datasets
    import pyarrow
    import trl
except ImportError as error:
    skip("trl's losses", f"{error}; tests/interop/run installs it where pip can")
else:
    print(f"trl {trl.__version__}, torch {torch.__version__}")
    for part in [dpo, grpo]:
        if args.only in (None, part.__name__):
            part(args.folder)
finish()
