"""A mixture of experts in plain PyTorch, after MiniMind's published formulas.

The parameters have the names of Hugging Face checkpoints; the settings are the keys of a config.json of ours. What
MiniMind gets wrong is right here: one expert a token is not divided by itself, padding counts nothing in the balance,
and the balance of a step is a product of means over all of its micro-batches.
"""

import json
import types

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional


class Norm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.empty(width).uniform_(0.5, 1.5)), eps

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def linear(inputs, outputs, scale):
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, 0, scale)
    return layer


class FeedForward(nn.Module):
    def __init__(self, c, width):
        super().__init__()
        scale = c["initializer_range"]
        self.gate_proj = linear(c["hidden_size"], width, scale)
        self.up_proj = linear(c["hidden_size"], width, scale)
        self.down_proj = linear(width, c["hidden_size"], scale)

    def forward(self, x):
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Experts(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.routing = c, None
        # Wide enough apart that no rounding changes a choice.
        self.gate = linear(c["hidden_size"], c["n_routed_experts"], 5 * c["initializer_range"])
        several = lambda count: nn.ModuleList(FeedForward(c, c["moe_intermediate_size"]) for _ in range(count))
        self.experts, self.shared_experts = several(c["n_routed_experts"]), several(c["n_shared_experts"])

    def forward(self, x):
        flat = x.view(-1, x.shape[-1])
        logits = self.gate(flat)
        scores = logits.softmax(-1)
        weights, chosen = scores.topk(self.c["num_experts_per_tok"], dim=-1)
        if self.c["norm_topk_prob"]:
            weights = weights / weights.sum(-1, keepdim=True)
        y = torch.zeros_like(flat)
        for number, expert in enumerate(self.experts):
            tokens, slots = (chosen == number).nonzero(as_tuple=True)
            y = y.index_add(0, tokens, expert(flat[tokens]) * weights[tokens, slots, None])
        for expert in self.shared_experts:
            y = y + expert(flat)
        used = functional.one_hot(chosen, self.c["n_routed_experts"]).sum(1).float()
        shape = (*x.shape[:2], -1)
        self.routing = [values.view(shape) for values in (logits, scores, used)]
        return y.view_as(x)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        hidden, width, scale = c["hidden_size"], c["head_dim"], c["initializer_range"]
        self.heads, self.groups, self.width, self.theta = (
            c["num_attention_heads"], c["num_key_value_heads"], width, c["rope_theta"])
        self.q_proj = linear(hidden, self.heads * width, scale)
        self.k_proj = linear(hidden, self.groups * width, scale)
        self.v_proj = linear(hidden, self.groups * width, scale)
        self.o_proj = linear(self.heads * width, hidden, scale)
        if c["qk_norm"]:
            self.q_norm, self.k_norm = Norm(width, c["rms_norm_eps"]), Norm(width, c["rms_norm_eps"])

    def turn(self, x):
        half = self.width // 2
        angles = torch.arange(x.shape[1])[:, None] / self.theta ** (torch.arange(half) / half)
        cos, sin = angles.cos()[:, None], angles.sin()[:, None]
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def forward(self, x, mask):
        rows, length, _ = x.shape
        split = lambda y, heads: y.view(rows, length, heads, self.width)
        q = split(self.q_proj(x), self.heads)
        k, v = split(self.k_proj(x), self.groups), split(self.v_proj(x), self.groups)
        if hasattr(self, "q_norm"):
            q, k = self.q_norm(q), self.k_norm(k)
        each = self.heads // self.groups
        q = self.turn(q).transpose(1, 2)
        k, v = (y.repeat_interleave(each, 2).transpose(1, 2) for y in (self.turn(k), v))
        scores = q @ k.transpose(-2, -1) / self.width**0.5 + mask
        return self.o_proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, length, -1))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.self_attn = Attention(c)
        self.post_attention_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.mlp = Experts(c)

    def forward(self, x, mask):
        x = x + self.self_attn(self.input_layernorm(x), mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Backbone(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        nn.init.normal_(self.embed_tokens.weight, 0, c["initializer_range"])
        self.layers = nn.ModuleList(Block(c) for _ in range(c["num_hidden_layers"]))
        self.norm = Norm(c["hidden_size"], c["rms_norm_eps"])


class Mixture(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = Backbone(config)
        if not config["tie_word_embeddings"]:
            self.lm_head = linear(config["hidden_size"], config["vocab_size"], config["initializer_range"])

    def forward(self, tokens, attention_mask, **_):
        x = self.model.embed_tokens(tokens)
        for block in self.model.layers:
            x = block(x, attention_mask)
        x = self.model.norm(x)
        head = self.model.embed_tokens if self.config["tie_word_embeddings"] else self.lm_head
        return types.SimpleNamespace(logits=x @ head.weight.T)

    def routing(self):
        """What the gates said in the last forward pass: of each layer logits, their softmax, and what was chosen."""
        return [block.mlp.routing for block in self.model.layers]

    def save(self, folder):
        folder.mkdir()
        save_file(self.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(self.config, indent=2) + "\n")

    @staticmethod
    def load(folder):
        model = Mixture(json.loads((folder / "config.json").read_text()))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        return model


def balance(config, passes):
    """What the gates add to the loss of a step: `passes` holds the routing and the segments of each micro-batch."""
    experts, per_token = config["n_routed_experts"], config["num_experts_per_tok"]
    alpha, layers, total = config["aux_loss_alpha"], len(passes[0][0]), 0.0
    for layer in range(layers):
        sequences, tokens = [], []
        for routing, segments in passes:
            for row, of_row in enumerate(segments):
                # A sequence is what stands in one segment; 0 is padding.
                for segment in set(of_row.tolist()) - {0}:
                    sequences.append([values[row][of_row == segment] for values in routing[layer]])
        logits, scores, used = (torch.cat(values) for values in zip(*sequences))
        if config["seq_aux"]:
            even = [(u.mean(0) * experts / per_token * s.mean(0)).sum() for _, s, u in sequences]
            total = total + alpha * torch.stack(even).mean()
        else:
            total = total + alpha * (used.mean(0) / per_token * experts * scores.mean(0)).sum()
        total = total + config["router_aux_loss_coef"] * experts * (used.mean(0) * scores.mean(0)).sum()
        total = total + config["router_z_loss_coef"] * logits.logsumexp(-1).pow(2).mean()
    return total
