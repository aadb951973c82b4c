"""The models of `kindling bench` in plain PyTorch: Llama with scaled_dot_product_attention, experts, low-rank paths."""

import torch
from torch import nn
from torch.nn import functional as F

# hidden, feed-forward, layers, query heads, key heads, vocabulary, rope theta, QK-norm, experts, parameters:
# core/src/model/presets.rs. Experts are how many, how many a token gets, shared ones, the balance loss's weight; a token's
# weights are divided by their sum where it gets several. SmolLM2's shape is its published one.
PRESETS = {
    "nano": (128, 384, 4, 4, 2, 2048, 1e4, True, None, 1_049_984),
    "minimind2-small": (512, 1408, 8, 8, 2, 6400, 1e6, False, None, 25_829_888),
    "minimind3": (768, 2432, 8, 8, 4, 6400, 1e6, True, None, 63_912_192),
    "minimind2": (768, 2048, 16, 8, 2, 6400, 1e6, False, None, 104_030_976),
    "minimind3-moe": (768, 2432, 8, 8, 4, 6400, 1e6, True, (4, 1, 0, 5e-4), 198_416_640),
    "nano-moe": (128, 384, 4, 4, 2, 2048, 1e4, True, (4, 2, 0, 0.01), 2_821_504),
    "smollm2": (576, 1536, 30, 9, 3, 49152, 1e5, False, None, 134_515_008),
}


class RmsNorm(nn.Module):
    """Root-mean-square normalisation, computed in f32."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-5) * self.weight.float()
        return y.to(x.dtype)


def rotate(x, cos, sin):
    """Rotary embedding of `x [batch, heads, seq, head]`, half-rotate layout."""
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Mlp(nn.Module):
    """The gated feed-forward."""

    def __init__(self, hidden, ffn):
        super().__init__()
        self.gate = nn.Linear(hidden, ffn, bias=False)
        self.up = nn.Linear(hidden, ffn, bias=False)
        self.down = nn.Linear(ffn, hidden, bias=False)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Experts(nn.Module):
    """A routed feed-forward, as Qwen3-MoE and MiniMind 3 have it: each expert sees its own tokens alone."""

    def __init__(self, hidden, ffn, count, per_token, shared, balance):
        super().__init__()
        self.per_token, self.balance, self.loss = per_token, balance, None
        self.router = nn.Linear(hidden, count, bias=False)
        self.experts = nn.ModuleList(Mlp(hidden, ffn) for _ in range(count))
        self.shared = nn.ModuleList(Mlp(hidden, ffn) for _ in range(shared))

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        odds = self.router(flat).float().softmax(-1)
        weights, chosen = odds.topk(self.per_token, -1)
        if self.per_token > 1:
            weights = weights / weights.sum(-1, keepdim=True)
        if self.training:
            count = len(self.experts)
            shares = F.one_hot(chosen, count).float().sum(1).mean(0)
            self.loss = self.balance * count * (shares * odds.mean(0)).sum()
        y = torch.zeros_like(flat)
        for i, expert in enumerate(self.experts):
            rows, place = torch.where(chosen == i)
            y = y.index_add(0, rows, expert(flat[rows]) * weights[rows, place, None].to(flat.dtype))
        return sum((expert(x) for expert in self.shared), y.view_as(x))


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the stream."""

    def __init__(self, hidden, ffn, heads, kv_heads, qk_norm, experts):
        super().__init__()
        self.heads, self.kv_heads, self.head = heads, kv_heads, hidden // heads
        self.attention_norm, self.mlp_norm = RmsNorm(hidden), RmsNorm(hidden)
        self.q = nn.Linear(hidden, heads * self.head, bias=False)
        self.k = nn.Linear(hidden, kv_heads * self.head, bias=False)
        self.v = nn.Linear(hidden, kv_heads * self.head, bias=False)
        self.o = nn.Linear(heads * self.head, hidden, bias=False)
        self.q_norm = RmsNorm(self.head) if qk_norm else nn.Identity()
        self.k_norm = RmsNorm(self.head) if qk_norm else nn.Identity()
        self.mlp = Experts(hidden, ffn, *experts) if experts else Mlp(hidden, ffn)

    def forward(self, x, cos, sin, cache, start):
        x = x + self.attend(self.attention_norm(x), cos, sin, cache, start)
        return x + self.mlp(self.mlp_norm(x))

    def attend(self, x, cos, sin, cache, start):
        batch, seq, _ = x.shape
        split = lambda y, heads: y.view(batch, seq, heads, self.head).transpose(1, 2)
        q, k, v = split(self.q(x), self.heads), split(self.k(x), self.kv_heads), split(self.v(x), self.kv_heads)
        q, k = rotate(self.q_norm(q), cos, sin), rotate(self.k_norm(k), cos, sin)
        if cache is not None:
            cache[0][:, :, start : start + seq] = k
            cache[1][:, :, start : start + seq] = v
            k, v = cache[0][:, :, : start + seq], cache[1][:, :, : start + seq]
        group = self.heads // self.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=seq > 1)
        return self.o(y.transpose(1, 2).reshape(batch, seq, -1))


class LowRank(nn.Module):
    """A frozen layer and a path of rank 16 beside it, as peft computes it without dropout; alpha is the rank."""

    def __init__(self, base, rank=16):
        super().__init__()
        self.base = base
        self.a = nn.Linear(base.in_features, rank, bias=False)
        self.b = nn.Linear(rank, base.out_features, bias=False)
        nn.init.zeros_(self.b.weight)

    def forward(self, x):
        return self.base(x) + self.b(self.a(x))


class Llama(nn.Module):
    """A decoder-only transformer with tied embeddings."""

    def __init__(self, preset, positions):
        super().__init__()
        hidden, ffn, layers, heads, kv_heads, vocab, theta, qk_norm, experts, parameters = PRESETS[preset]
        self.embedding = nn.Embedding(vocab, hidden)
        shape = (hidden, ffn, heads, kv_heads, qk_norm, experts)
        self.blocks = nn.ModuleList(Block(*shape) for _ in range(layers))
        self.norm = RmsNorm(hidden)
        nn.init.normal_(self.embedding.weight, std=0.02)
        assert sum(p.numel() for p in self.parameters()) == parameters
        head = hidden // heads
        angles = torch.outer(torch.arange(positions), theta ** (-torch.arange(0, head, 2) / head))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        self.cache_shape = (kv_heads, positions, head)

    def adapt(self):
        """Freezes all weights and puts a low-rank path beside every layer of the blocks but the routers."""
        self.requires_grad_(False)
        for module in list(self.blocks.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.Linear) and name != "router":
                    setattr(module, name, LowRank(child))

    def new_cache(self, batch):
        empty = lambda: self.embedding.weight.new_zeros(batch, *self.cache_shape)
        return [(empty(), empty()) for _ in self.blocks]

    def balance(self):
        """What routed layers add to the loss of the last pass."""
        return sum(block.mlp.loss for block in self.blocks if isinstance(block.mlp, Experts))

    def forward(self, ids, caches=None, start=0):
        """Logits of every position; with caches, of the last one."""
        x = self.embedding(ids)
        cos, sin = (table[start : start + ids.shape[1]] for table in (self.cos, self.sin))
        for block, cache in zip(self.blocks, caches or [None] * len(self.blocks)):
            x = block(x, cos, sin, cache, start)
        return self.norm(x if caches is None else x[:, -1:]) @ self.embedding.weight.t()
