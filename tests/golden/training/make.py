"""Makes the goldens of training: 20 optimizer steps of PyTorch from weights, and on batches, that are kept beside them.

    python3 -m venv v && v/bin/pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2
    v/bin/python tests/golden/training/make.py [STAGE…]

With stages named, only theirs are made, from the models that are kept.

`qwen3` and `llama` are tiny models as `save_pretrained` writes them, `adapter`, `dora` and `modules` are fresh ones of peft
for qwen3, and `pissa` is begun by peft itself, whose base it changes;
`experts` and `experts-one` are mixtures in plain PyTorch (mixture.py). Each stage's .json holds its batches, and what a
plain loop over them gives: the loss and the gradient norm of every step, of a mixture what its gates add, the logits of
a probe after the last, and how far every weight went. tests/interop/train.py asks whether that still holds.
"""

import copy
import json
import math
import pathlib
import shutil
import sys

import peft
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

import mixture
from fresh import fresh_model

HERE = pathlib.Path(__file__).parent
MADE_BY = f"transformers {transformers.__version__}, peft {peft.__version__}, torch {torch.__version__}"
VOCAB, SEQ, ROWS, ACCUMULATE, STEPS = 64, 24, 2, 2, 20
SIZES = dict(
    vocab_size=VOCAB, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=8, max_position_embeddings=64, bos_token_id=None, eos_token_id=None,
    pad_token_id=None, initializer_range=0.15, rope_parameters={"rope_theta": 10000.0, "rope_type": "default"},
)
# An output projection of its own and norms of queries and keys; a tied one and biases.
MODELS = {
    "qwen3": dict(model_type="qwen3", tie_word_embeddings=False),
    "llama": dict(model_type="llama", tie_word_embeddings=True, attention_bias=True),
}
# Two experts of four and one that all tokens get, balanced in each sequence, as MiniMind 2 has them; one of four,
# undivided, balanced over the step, with a z-loss.
EXPERTS = dict(
    model_type="kindling", vocab_size=VOCAB, hidden_size=32, intermediate_size=20, moe_intermediate_size=20,
    num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=64,
    rms_norm_eps=1e-5, rope_theta=10000.0, initializer_range=0.15, n_routed_experts=4, scoring_func="softmax",
)
MIXTURES = {
    "experts": dict(
        qk_norm=False, tie_word_embeddings=True, num_experts_per_tok=2, n_shared_experts=1, norm_topk_prob=True,
        aux_loss_alpha=0.1, seq_aux=True, router_aux_loss_coef=0.0, router_z_loss_coef=0.0),
    "experts-one": dict(
        qk_norm=True, tie_word_embeddings=False, num_experts_per_tok=1, n_shared_experts=0, norm_topk_prob=False,
        aux_loss_alpha=0.0, seq_aux=True, router_aux_loss_coef=0.05, router_z_loss_coef=0.01),
}
LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA = dict(r=4, lora_alpha=8, target_modules=LAYERS)
# Fresh adapters of qwen3, and what they have beyond LORA.
ADAPTERS = {
    "adapter": dict(),
    "dora": dict(use_dora=True),
    "modules": dict(modules_to_save=["embed_tokens", "lm_head"]),
}


def settings(learning_rate, weight_decay, grad_clip):
    return dict(
        learning_rate=learning_rate, weight_decay=weight_decay, grad_clip=grad_clip, warmup_ratio=0.1, min_lr_ratio=0.1)


STAGES = {
    "pretrain": dict(model="qwen3", adapter=None, settings=settings(3e-3, 0.1, 2.2)),
    "sft": dict(model="llama", adapter=None, settings=settings(2e-3, 0.2, 3.8)),
    "lora": dict(model="qwen3", adapter="adapter", settings=settings(1e-2, 0.3, 1.6)),
    "dora": dict(model="qwen3", adapter="dora", settings=settings(1e-2, 0.3, 1.6)),
    "modules": dict(model="qwen3", adapter="modules", settings=settings(3e-3, 0.3, 3.0)),
    "pissa": dict(model="qwen3", adapter="pissa", settings=settings(1e-3, 0.3, 3.0)),
    "dpo": dict(model="llama", adapter=None, settings=settings(2e-3, 0.2, 1.4), pairs=dict(beta=0.1)),
    "dpo_lora": dict(
        model="qwen3", adapter="adapter", settings=settings(1e-2, 0.1, 1.0),
        pairs=dict(beta=0.5, dpo_loss="robust", label_smoothing=0.1, length_normalise=True, sft_weight=0.2)),
    "experts": dict(model="experts", adapter=None, settings=settings(3e-3, 0.1, 2.2)),
    "experts-one": dict(model="experts-one", adapter=None, settings=settings(3e-3, 0.1, 2.2)),
    "distill": dict(
        model="llama", adapter=None, settings=settings(2e-3, 0.2, 1.8),
        taught=dict(teacher="qwen3", alpha=0.5, kd_temperature=1.5)),
    "muon": dict(model="qwen3", adapter=None, settings=settings(3e-3, 0.1, 2.2), muon=True),
    "distill_lora": dict(
        model="qwen3", adapter="adapter", settings=settings(1e-2, 0.1, 0.42),
        taught=dict(teacher="llama", alpha=0.25, kd_temperature=2.0, kd_loss="jsd")),
    "grpo": dict(
        model="llama", adapter=None, settings=settings(4e-3, 0.2, 2.5), rewarded=dict(kl_beta=0.05, clip_range=0.1)),
    "grpo_lora": dict(
        model="qwen3", adapter="adapter", settings=settings(1e-2, 0.1, 1.8),
        rewarded=dict(kl_beta=0.2, grpo_loss="cispo", clip_range=1.1, loss_mean="token", temperature=0.8)),
    "reason": dict(model="qwen3", adapter=None, settings=settings(2e-3, 0.1, 3.4), tag_weight=10),
}
# Before and behind the thinking, before and behind the answer: tags of one token and of several.
TAGS = [[5], [6, 7], [8, 9, 10], [11]]
OF_TEXTS = ["pretrain", "muon", *MIXTURES]
# What the loss of the first step's pairs is after the last step, with other settings.
VARIANTS = [
    dict(beta=0.15),
    dict(beta=0.1, label_smoothing=0.2),
    dict(beta=0.1, length_normalise=True),
    dict(beta=0.1, dpo_loss="robust", label_smoothing=0.1),
    dict(beta=0.05, dpo_loss="hinge"),
    dict(beta=0.1, dpo_loss="ipo"),
    dict(beta=0.1, sft_weight=0.5),
]

# The same of a student's first step, beside its teacher.
LESSONS = [
    dict(alpha=1.0),
    dict(alpha=0.0, kd_temperature=1.0),
    dict(alpha=0.5, kd_temperature=2.5),
    dict(alpha=0.25, kd_temperature=1.0, kd_loss="reverse-kl"),
    dict(alpha=0.5, kd_temperature=1.5, kd_loss="jsd"),
    dict(alpha=0.5, kd_temperature=1.0, kd_loss="skew-kl"),
    dict(alpha=0.0, kd_temperature=1.5, kd_loss="skew-kl", kd_skew=0.4),
]

# The same of the answers of a step.
REWARDED = [
    dict(kl_beta=0.0),
    dict(kl_beta=0.5, clip_range=0.3),
    dict(kl_beta=0.05, loss_mean="token", clip_range=0.02),
    dict(kl_beta=0.05, temperature=1.5),
    dict(kl_beta=0.0, grpo_loss="cispo"),
    dict(kl_beta=0.1, grpo_loss="cispo", clip_range=1.02, loss_mean="token"),
]


def sequence(length):
    """Ids that partly follow a rule, so that there is something to learn."""
    ids = [int(torch.randint(VOCAB, ()))]
    while len(ids) < length:
        follows = float(torch.rand(())) < 0.7
        ids.append((5 * ids[-1] + 3) % VOCAB if follows else int(torch.randint(VOCAB, ())))
    return ids


def document_row(number):
    """Every token a target; each third row is full of one text, the others hold two, with or without padding behind."""
    total = SEQ + 1 if number % 3 != 1 else SEQ - 5
    first = total if number % 3 == 0 else 4 + int(torch.randint(total - 8, ()))
    segments = [1] * first + [2] * (total - first)
    return {"ids": sequence(total), "weights": [1] * total, "segments": segments}


def conversation_row(fractions):
    """Two answers of a conversation are targets, or weigh a part of one."""
    lengths = [2 + int(torch.randint(4, ())) for _ in range(4)]
    weights = []
    for turn, length in enumerate(lengths):
        said = float(torch.randint(1, 5, ())) / 4 if fractions else 1
        weights += [said if turn % 2 else 0] * length
    return {"ids": sequence(len(weights)), "weights": weights, "segments": [1] * len(weights)}


def reasoned_row(tag_weight):
    """A prompt, then thinking and answer between their tags, whose tokens count more: SpongeBob's `train_distill.py` with
    whole tags in place of their ids anywhere; it divides by the sum of these weights, too."""
    parts = [(sequence(2 + int(torch.randint(3, ()))), 0)]
    words = [sequence(1 + int(torch.randint(5, ()))), [], sequence(1 + int(torch.randint(2, ()))), []]
    for tag, said in zip(TAGS, words):
        parts += [(tag, tag_weight), (said, 1)]
    ids = [token for tokens, _ in parts for token in tokens]
    weights = [weight for tokens, weight in parts for _ in tokens]
    return {"ids": ids, "weights": weights, "segments": [1] * len(ids)}


def pair_rows(number):
    """Two answers to one prompt: the chosen one follows the rule from its end on, and each has a length of its own."""
    prompt = sequence(3 + number % 4)
    chosen = [prompt[-1]]
    for _ in range(2 + int(torch.randint(6, ()))):
        chosen.append((5 * chosen[-1] + 3) % VOCAB)
    rejected = [int(torch.randint(VOCAB, ())) for _ in range(2 + int(torch.randint(6, ())))]
    return [
        {"ids": prompt + said, "weights": [0] * len(prompt) + [1] * len(said), "segments": [1] * len(prompt + said)}
        for said in (chosen[1:], rejected)
    ]


def answer_rows(number):
    """Two answers to one prompt, with how much better than the other each is."""
    prompt = sequence(3 + number % 4)
    better = float(torch.randint(1, 9, ())) / 4
    return [
        {
            "ids": prompt + said, "weights": [0] * len(prompt) + [1] * len(said),
            "segments": [1] * len(prompt + said), "advantage": advantage,
        }
        for said, advantage in
        ((sequence(2 + int(torch.randint(6, ()))), better), (sequence(2 + int(torch.randint(6, ()))), -better / 4))
    ]


def row(stage, step, number):
    """A row of a stage that has no pairs."""
    if "tag_weight" in STAGES[stage]:
        return reasoned_row(STAGES[stage]["tag_weight"])
    return document_row(number) if stage in OF_TEXTS else conversation_row(step == 7)


def draw(stage):
    """The batches of a stage: steps, micro-batches, rows."""
    torch.manual_seed(sum(map(ord, stage)))
    steps = []
    for step in range(STEPS):
        if "rewarded" in STAGES[stage]:
            # Each batch of answers is learned from twice.
            fresh = [sum((answer_rows(ROWS * part + i) for i in range(ROWS)), []) for part in range(ACCUMULATE)]
            steps.append(copy.deepcopy(steps[-1]) if step % 2 else fresh)
            continue
        if "pairs" in STAGES[stage]:
            steps.append([sum((pair_rows(ROWS * part + i) for i in range(ROWS)), []) for part in range(ACCUMULATE)])
            continue
        rows = [row(stage, step, number) for number in range(ROWS * ACCUMULATE)]
        steps.append([rows[at : at + ROWS] for at in range(0, len(rows), ROWS)])
    return steps


def tensors(batch):
    """What the model reads, which keys each position sees, what it should say next, how much that counts, and which
    text a position belongs to; of answers how much better each is, and how likely each token was."""
    inputs, sees, targets, weights, texts, advantages, old = [], [], [], [], [], [], []
    longest = max(len(row["ids"]) for row in batch)
    for row in batch:
        padding = [0] * (longest - len(row["ids"]))
        ids = torch.tensor(row["ids"] + padding)
        segments = torch.tensor(row["segments"] + padding)
        counts = torch.tensor(row["weights"] + padding, dtype=torch.float32)
        inputs.append(ids[:-1])
        targets.append(ids[1:])
        weights.append(counts[1:] * (segments[:-1] == segments[1:]))
        same = segments[:-1, None] == segments[None, :-1]
        sees.append(same.tril())
        texts.append(segments[:-1])
        advantages.append(row.get("advantage", 0))
        known = row.get("old", [])
        old.append(torch.tensor(known + [0] * (longest - 1 - len(known)), dtype=torch.float32))
    blocked = ~torch.stack(sees)[:, None]
    mask = torch.zeros(blocked.shape).masked_fill(blocked, torch.finfo(torch.float32).min)
    rewards = torch.tensor(advantages, dtype=torch.float32), torch.stack(old)
    return torch.stack(inputs), mask, torch.stack(targets), torch.stack(weights), torch.stack(texts), *rewards


def forward(model, inputs, mask):
    positions = torch.arange(inputs.shape[1]).expand(inputs.shape)
    return model(inputs, attention_mask=mask, position_ids=positions, use_cache=False).logits


def rate(settings, step, total):
    """A rise to the highest learning rate, then half a cosine down to its share."""
    warmup = round(settings["warmup_ratio"] * total)
    if step < warmup:
        return settings["learning_rate"] * (step + 1) / (warmup + 1)
    wave = (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
    return settings["learning_rate"] * (settings["min_lr_ratio"] + (1 - settings["min_lr_ratio"]) * wave)


def decays(name, weight):
    return weight.ndim == 2 and "embed_tokens" not in name


class NextToken:
    """Negative log-likelihood of the targets, each as often as it counts."""

    def weight(self, batch):
        return batch[3].sum()

    def loss(self, model, batch):
        inputs, mask, targets, weights = batch[:4]
        logits = forward(model, inputs, mask)
        nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        return (nll * weights).sum()


class Pairs:
    """Rows in turns chosen and rejected. The formulas are those of trl 1.16 (`DPOTrainer`; the reference `None` is the model
    without its adapter), the added term LLaMA-Factory's `pref_ftx`."""

    def __init__(self, reference, beta, dpo_loss="sigmoid", label_smoothing=0.0, length_normalise=False, sft_weight=0.0):
        self.reference, self.beta, self.kind, self.share = reference, beta, dpo_loss, label_smoothing
        self.means, self.sft_weight = length_normalise or dpo_loss == "ipo", sft_weight

    def weight(self, batch):
        return len(batch[0]) / 2

    def log_probs(self, model, batch):
        """Sums over each row's targets."""
        inputs, mask, targets, weights = batch[:4]
        logps = forward(model, inputs, mask).log_softmax(-1).gather(2, targets[..., None])[..., 0]
        return (logps * weights).sum(1)

    def margins(self, model, batch):
        policy = self.log_probs(model, batch)
        with torch.no_grad():
            if self.reference is not None:
                reference = self.log_probs(self.reference, batch)
            else:
                with model.disable_adapter():
                    reference = self.log_probs(model, batch)
        lengths = batch[3].sum(1)
        means = policy / lengths
        if self.means:
            policy, reference = means, reference / lengths
        return (policy[::2] - policy[1::2]) - (reference[::2] - reference[1::2]), means[::2]

    def loss(self, model, batch):
        logits, chosen = self.margins(model, batch)
        log_sigmoid = torch.nn.functional.logsigmoid
        right, wrong = log_sigmoid(self.beta * logits), log_sigmoid(-self.beta * logits)
        losses = {
            "sigmoid": -right * (1 - self.share) - wrong * self.share,
            "robust": (-right * (1 - self.share) + wrong * self.share) / (1 - 2 * self.share),
            "hinge": torch.relu(1 - self.beta * logits),
            "ipo": (logits - 1 / (2 * self.beta)) ** 2,
        }[self.kind]
        return (losses - self.sft_weight * chosen).sum()


class Taught:
    """`α·CE + (1 − α)·T²·D(teacher/T, student/T)`: MiniMind's `train_distillation.py`, with the sum over weighed targets in
    place of a mean. Other divergences: MiniLLM's, trl 1.16's `generalized_jsd_loss` (β = 1/2), DistiLLM's `skewed_forward_kl`."""

    def __init__(self, teacher, alpha=0.5, kd_temperature=1.5, kd_loss="forward-kl", kd_skew=0.1):
        self.teacher, self.alpha, self.temperature, self.kind, self.skew = teacher, alpha, kd_temperature, kd_loss, kd_skew

    def weight(self, batch):
        return batch[3].sum()

    def terms(self, model, batch):
        """Cross entropy, and the teacher's term."""
        inputs, mask, targets, weights = batch[:4]
        logits = forward(model, inputs, mask)
        with torch.no_grad():
            p = (forward(self.teacher, inputs, mask) / self.temperature).log_softmax(-1)
        q = (logits / self.temperature).log_softmax(-1)

        def kl(a, b):
            return (a.exp() * (a - b)).sum(-1)

        def mixed(share):
            return torch.logsumexp(torch.stack([p + math.log(share), q + math.log(1 - share)]), 0)

        apart = {
            "forward-kl": lambda: kl(p, q),
            "reverse-kl": lambda: kl(q, p),
            "jsd": lambda: (kl(p, mixed(0.5)) + kl(q, mixed(0.5))) / 2,
            "skew-kl": lambda: kl(p, mixed(self.skew)),
        }[self.kind]()
        nll = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
        return (nll * weights).sum(), self.temperature**2 * (apart * weights).sum()

    def loss(self, model, batch):
        ce, kd = self.terms(model, batch)
        return self.alpha * ce + (1 - self.alpha) * kd


class Muon(torch.optim.Optimizer):
    """Keller Jordan's update (https://kellerjordan.github.io/posts/muon/) with Moonlight's factor (arXiv:2502.16982), in f32;
    torch.optim.Muon with adjust_lr_fn="match_rms_adamw" is the same with its iteration in bfloat16."""

    def __init__(self, params, weight_decay):
        super().__init__(params, dict(lr=0.0, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                momentum.lerp_(weight.grad, 1 - 0.95)
                x = weight.grad.lerp(momentum, 0.95)
                turned = x.shape[0] > x.shape[1]
                x = x.T if turned else x
                x = x / (x.norm() + 1e-7)
                for _ in range(5):
                    gram = x @ x.T
                    x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
                x = x.T if turned else x
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(x, alpha=group["lr"] * 0.2 * max(x.shape) ** 0.5)


class Rewarded:
    """Answers with advantages, and with the log-probabilities that they were written with. The formulas are those of trl 1.16
    (`GRPOTrainer`: clipped and cispo, k3, `loss_type` grpo or bnpo, logits divided by the temperature) and of MiniMind's
    `train_grpo.py`; the reference `None` is the model without its adapter."""

    def __init__(
        self, reference, kl_beta=0.005, grpo_loss="clipped", clip_range=None, loss_mean="sequence", temperature=1.0
    ):
        self.reference, self.beta, self.kind, self.mean = reference, kl_beta, grpo_loss, loss_mean
        self.clip, self.temperature = clip_range or {"clipped": 0.2, "cispo": 5.0}[grpo_loss], temperature

    def weight(self, batch):
        return len(batch[0]) if self.mean == "sequence" else batch[3].sum()

    def log_probs(self, model, batch):
        inputs, mask, targets = batch[:3]
        logits = forward(model, inputs, mask) / self.temperature
        return logits.log_softmax(-1).gather(2, targets[..., None])[..., 0]

    def prepare(self, model, step, rows, before):
        """Notes in the rows how likely the model holds what it is said to have written; every other step goes on with it."""
        with torch.no_grad():
            for batch, earlier in zip(rows, before or rows):
                known = self.log_probs(model, tensors(batch)).tolist()
                for row, values, same in zip(batch, known, earlier):
                    length = len(row["ids"]) - 1
                    # Not quite the model's own, as where answers are drawn in another type.
                    row["old"] = same["old"] if step % 2 else [
                        round(value + 0.1 * math.sin(i), 6) for i, value in enumerate(values[:length])
                    ]

    def terms(self, model, batch):
        """What each token costs, how far it lies from the reference, and where the clip acts."""
        advantages, old = batch[5][:, None], batch[6]
        policy = self.log_probs(model, batch)
        with torch.no_grad():
            if self.reference is not None:
                reference = self.log_probs(self.reference, batch)
            else:
                with model.disable_adapter():
                    reference = self.log_probs(model, batch)
        ratio = (policy - old).exp()
        if self.kind == "clipped":
            bound = ratio.clamp(1 - self.clip, 1 + self.clip) * advantages
            costs, clipped = -torch.minimum(ratio * advantages, bound), ratio * advantages > bound
        else:
            costs, clipped = -ratio.detach().clamp(max=self.clip) * advantages * policy, ratio > self.clip
        d = reference - policy
        return costs, d.exp() - d - 1, clipped.float()

    def loss(self, model, batch):
        costs, apart, _ = self.terms(model, batch)
        weights = batch[3] / batch[3].sum(1, keepdim=True) if self.mean == "sequence" else batch[3]
        return ((costs + self.beta * apart) * weights).sum()


def train(model, settings, steps, objective=NextToken(), muon=False):
    """The plain loop: the loss and the gradient norm of every step, and what gates add to the loss."""
    trained = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    matrices = [w for n, w in trained if muon and "layers." in n and n.endswith("_proj.weight")]
    beside = [Muon(matrices, settings["weight_decay"])] if matrices else []
    whole_model = trained
    trained = [(name, weight) for name, weight in trained if not any(weight is own for own in matrices)]
    groups = [
        {"params": [w for n, w in trained if decays(n, w)], "weight_decay": settings["weight_decay"]},
        {"params": [w for n, w in trained if not decays(n, w)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]])
    losses, norms, added = [], [], []
    for step, batches in enumerate(steps):
        if isinstance(objective, Rewarded):
            objective.prepare(model, step, batches, steps[step - 1] if step % 2 else None)
        batches = [tensors(batch) for batch in batches]
        whole = sum(objective.weight(batch) for batch in batches)
        total, passes, kept = 0.0, [], []
        for batch in batches:
            loss = objective.loss(model, batch) / whole
            total += loss.item()
            if isinstance(model, mixture.Mixture):
                # The balance is of the whole step, so all of its graphs are kept.
                kept.append(loss)
                passes.append((model.routing(), batch[4]))
            else:
                loss.backward()
        if passes:
            aux = mixture.balance(model.config, passes)
            (sum(kept) + aux).backward()
            added.append(aux.item())
        norm = torch.nn.utils.clip_grad_norm_([weight for _, weight in whole_model], settings["grad_clip"])
        for part in [optimizer, *beside]:
            for group in part.param_groups:
                group["lr"] = rate(settings, step, len(steps))
            part.step()
            part.zero_grad()
        losses.append(total)
        norms.append(norm.item())
    return losses, norms, added


def opened(folder, adapter=None):
    """A model, or one beside which an adapter trains."""
    if folder.name in MIXTURES:
        return mixture.Mixture.load(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    if adapter and adapter.name == "pissa":
        return peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights="pissa", **LORA))
    return peft.PeftModel.from_pretrained(model, adapter, is_trainable=True) if adapter else model


def plain(name):
    """A weight's name in its checkpoint, without what peft adds."""
    return name.removeprefix("base_model.model.").replace(".default.", ".")


def run(stage, steps):
    """What a stage's goldens hold beside its batches."""
    model = opened(HERE / stage["model"], stage["adapter"] and HERE / stage["adapter"])
    before = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    reference = None if stage["adapter"] else copy.deepcopy(model)
    objective = NextToken()
    if "pairs" in stage:
        objective = Pairs(reference, **stage["pairs"])
    if "taught" in stage:
        taught = dict(stage["taught"])
        objective = Taught(opened(HERE / taught.pop("teacher")), **taught)
    if "rewarded" in stage:
        objective = Rewarded(reference, **stage["rewarded"])
    losses, norms, added = train(model, stage["settings"], steps, objective, stage.get("muon", False))
    after = dict(model.named_parameters())
    probe = [(11 * i * i + 5 * i + 2) % VOCAB for i in range(12)]
    with torch.no_grad():
        causal = torch.full((12, 12), torch.finfo(torch.float32).min).triu(1)[None, None]
        logits = forward(model, torch.tensor([probe]), causal)[0]
    found = after_pairs(model, reference, stage["pairs"], steps[0]) if "pairs" in stage else {}
    if "taught" in stage:
        found = after_lessons(model, objective, steps[0])
    if "rewarded" in stage:
        found = after_rewards(model, objective, steps[0])
    return {
        **found,
        "losses": losses,
        "grad_norms": norms,
        **({"aux_losses": added} if added else {}),
        "probe": probe,
        "logits": [[round(x, 6) for x in row] for row in logits.tolist()],
        "moved": {plain(name): float(f"{(after[name] - w).norm().item():.6g}") for name, w in before.items()},
    }


def after_pairs(model, reference, options, batches):
    """What the pairs of the first step give after the last one: by how much the rewards differ, and other losses."""
    batches = [tensors(batch) for batch in batches]
    pairs = sum(len(batch[0]) / 2 for batch in batches)
    with torch.no_grad():
        own = Pairs(reference, **options)
        margins = torch.cat([own.beta * own.margins(model, batch)[0] for batch in batches])
        variants = [Pairs(reference, **variant) for variant in VARIANTS]
        losses = [sum(variant.loss(model, batch).item() for batch in batches) / pairs for variant in variants]
    return {
        "reward_margin": margins.mean().item(),
        "reward_accuracy": (margins > 0).float().mean().item(),
        "variants": [{"settings": variant, "loss": loss} for variant, loss in zip(VARIANTS, losses)],
    }


def after_lessons(model, own, batches):
    """What the rows of the first step give after the last one: both terms, and other losses."""
    batches = [tensors(batch) for batch in batches]
    whole = sum(own.weight(batch) for batch in batches)
    with torch.no_grad():
        terms = [own.terms(model, batch) for batch in batches]
        ce, kd = (sum(term[side] for term in terms) / whole for side in range(2))
        lessons = [Taught(own.teacher, **lesson) for lesson in LESSONS]
        losses = [sum(lesson.loss(model, batch).item() for batch in batches) / whole.item() for lesson in lessons]
    return {
        "ce_loss": ce.item(),
        "kd_loss": kd.item(),
        "variants": [{"settings": lesson, "loss": loss} for lesson, loss in zip(LESSONS, losses)],
    }


def after_rewards(model, own, batches):
    """What the answers of the first step give after the last one, and other losses."""
    batches = [tensors(batch) for batch in batches]

    def whole(objective):
        return sum(float(objective.weight(batch)) for batch in batches)

    with torch.no_grad():
        terms = [(own.terms(model, batch), batch[3]) for batch in batches]
        kl, clipped = (sum((term[side] * weights).sum() for term, weights in terms).item() for side in (1, 2))
        variants = [Rewarded(own.reference, **rewarded) for rewarded in REWARDED]
        losses = [sum(v.loss(model, batch).item() for batch in batches) / whole(v) for v in variants]
    return {
        "kl": kl / whole(own),
        "clip_share": clipped / whole(own),
        "variants": [{"settings": rewarded, "loss": loss} for rewarded, loss in zip(REWARDED, losses)],
    }


def save_models():
    for name, differs in MODELS.items():
        differs = dict(differs)
        config = AutoConfig.for_model(differs.pop("model_type"), **SIZES, **differs)
        model = fresh_model(config, name)
        shutil.rmtree(HERE / name, ignore_errors=True)
        model.save_pretrained(HERE / name)
    for name, differs in MIXTURES.items():
        torch.manual_seed(sum(map(ord, name)))
        shutil.rmtree(HERE / name, ignore_errors=True)
        mixture.Mixture({**EXPERTS, **differs}).save(HERE / name)
    for name, differs in ADAPTERS.items():
        save_adapter(name, differs)


def save_adapter(name, differs):
    torch.manual_seed(3)
    base = AutoModelForCausalLM.from_pretrained(HERE / "qwen3", dtype=torch.float32)
    base.name_or_path = None
    shutil.rmtree(HERE / name, ignore_errors=True)
    model = peft.get_peft_model(base, peft.LoraConfig(task_type="CAUSAL_LM", **LORA, **differs))
    model.save_pretrained(HERE / name)
    (HERE / name / "README.md").unlink(missing_ok=True)
    # peft keeps the names in a set, whose order differs from run to run.
    path = HERE / name / "adapter_config.json"
    config = {**json.loads(path.read_text()), "target_modules": LAYERS}
    path.write_text(json.dumps(config, indent=2) + "\n")


def main():
    torch.set_num_threads(1)
    if not sys.argv[1:]:
        save_models()
    for name in sys.argv[1:] or STAGES:
        stage = STAGES[name]
        steps = draw(name)
        golden = {"made_by": MADE_BY, **stage, "seq": SEQ, "steps": steps, **run(stage, steps)}
        # Clipping acts in some steps, and in others leaves the gradient alone.
        clipped = sum(norm > stage["settings"]["grad_clip"] for norm in golden["grad_norms"])
        assert 0 < clipped < STEPS, name
        (HERE / f"{name}.json").write_text(json.dumps(golden) + "\n")
        print(f"{name}: loss {golden['losses'][0]:.4f} to {golden['losses'][-1]:.4f}")


if __name__ == "__main__":
    main()
