"""The shapes of `kindling bench` in plain PyTorch, for tests/gpu/run; prints the same JSON and "engine":"pytorch".

Run: python3 tests/gpu/pytorch_bench.py --device cuda --preset minimind2-small --dtype f32 bf16

An eager Llama with scaled_dot_product_attention and torch.optim.AdamW, no compilation. f32 is PyTorch's default, without
TF32. bf16 trains under autocast with f32 weights; prefill and decode hold bf16 weights. As in Kindling: train is
forward, backward, clipping and optimizer; prefill fills a key-value cache and computes the last position's logits;
decode writes 32 tokens into an empty cache, one row, and reads the logits of each back to the host.
"""

import argparse
import json
import math
import sys
import time
from contextlib import nullcontext

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError as error:
    sys.exit(f"python3 has no PyTorch ({error})")

DECODED = 32

# hidden, feed-forward, layers, query heads, key heads, vocabulary, rope theta, parameters: core/src/model/presets.rs
PRESETS = {
    "nano": (128, 384, 4, 4, 2, 2048, 1e4, 1_049_728),
    "minimind2-small": (512, 1408, 8, 8, 2, 6400, 1e6, 25_829_888),
    "minimind2": (768, 2048, 16, 8, 2, 6400, 1e6, 104_030_976),
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


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the stream."""

    def __init__(self, hidden, ffn, heads, kv_heads):
        super().__init__()
        self.heads, self.kv_heads, self.head = heads, kv_heads, hidden // heads
        self.attention_norm, self.mlp_norm = RmsNorm(hidden), RmsNorm(hidden)
        self.q = nn.Linear(hidden, heads * self.head, bias=False)
        self.k = nn.Linear(hidden, kv_heads * self.head, bias=False)
        self.v = nn.Linear(hidden, kv_heads * self.head, bias=False)
        self.o = nn.Linear(heads * self.head, hidden, bias=False)
        self.gate = nn.Linear(hidden, ffn, bias=False)
        self.up = nn.Linear(hidden, ffn, bias=False)
        self.down = nn.Linear(ffn, hidden, bias=False)

    def forward(self, x, cos, sin, cache, start):
        x = x + self.attend(self.attention_norm(x), cos, sin, cache, start)
        y = self.mlp_norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))

    def attend(self, x, cos, sin, cache, start):
        batch, seq, _ = x.shape
        split = lambda y, heads: y.view(batch, seq, heads, self.head).transpose(1, 2)
        q, k, v = split(self.q(x), self.heads), split(self.k(x), self.kv_heads), split(self.v(x), self.kv_heads)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if cache is not None:
            cache[0][:, :, start : start + seq] = k
            cache[1][:, :, start : start + seq] = v
            k, v = cache[0][:, :, : start + seq], cache[1][:, :, : start + seq]
        group = self.heads // self.kv_heads
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=seq > 1)
        return self.o(y.transpose(1, 2).reshape(batch, seq, -1))


class Llama(nn.Module):
    """A decoder-only transformer with tied embeddings."""

    def __init__(self, preset, positions):
        super().__init__()
        hidden, ffn, layers, heads, kv_heads, vocab, theta, parameters = PRESETS[preset]
        self.embedding = nn.Embedding(vocab, hidden)
        self.blocks = nn.ModuleList(Block(hidden, ffn, heads, kv_heads) for _ in range(layers))
        self.norm = RmsNorm(hidden)
        nn.init.normal_(self.embedding.weight, std=0.02)
        assert sum(p.numel() for p in self.parameters()) == parameters
        head = hidden // heads
        angles = torch.outer(torch.arange(positions), theta ** (-torch.arange(0, head, 2) / head))
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        self.cache_shape = (kv_heads, positions, head)

    def new_cache(self, batch):
        empty = lambda: self.embedding.weight.new_zeros(batch, *self.cache_shape)
        return [(empty(), empty()) for _ in self.blocks]

    def forward(self, ids, caches=None, start=0):
        """Logits of every position; with caches, of the last one."""
        x = self.embedding(ids)
        cos, sin = (table[start : start + ids.shape[1]] for table in (self.cos, self.sin))
        for block, cache in zip(self.blocks, caches or [None] * len(self.blocks)):
            x = block(x, cos, sin, cache, start)
        return self.norm(x if caches is None else x[:, -1:]) @ self.embedding.weight.t()


class Bench:
    """One measurement: the model, its data and one repetition of the work."""

    def __init__(self, what, preset, dtype, device, batch, seq):
        torch.manual_seed(0)
        self.what, self.device, self.batch, self.seq = what, device, 1 if what == "decode" else batch, seq
        self.model = Llama(preset, max(seq, DECODED)).to(device)
        self.autocast = nullcontext
        if what == "train":
            self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4)
            if dtype == "bf16":
                self.autocast = lambda: torch.autocast(torch.device(device).type, torch.bfloat16)
        elif dtype == "bf16":
            self.model = self.model.to(torch.bfloat16)
        vocab = PRESETS[preset][5]
        self.ids = torch.randint(vocab, (self.batch, seq + 1), device=device)

    def step(self):
        if self.what == "train":
            self.train()
        else:
            with torch.inference_mode():
                self.prefill() if self.what == "prefill" else self.decode()
        synchronise(self.device)

    def train(self):
        with self.autocast():
            logits = self.model(self.ids[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), self.ids[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        loss.item()

    def prefill(self):
        self.model(self.ids[:, :-1], self.model.new_cache(self.batch)).sum().item()

    def decode(self):
        caches = self.model.new_cache(self.batch)
        for i in range(DECODED):
            self.model(torch.full((self.batch, 1), i + 1, device=self.device), caches, i).cpu()


def synchronise(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def training_flops_per_token(preset, seq):
    """As core/src/model/config.rs counts: 6 a weight, and the two attention products."""
    hidden, _, layers, _, _, _, _, parameters = PRESETS[preset]
    return 6.0 * parameters + 12.0 * layers * hidden * seq


def matmul_flops(device):
    """Speed of a plain product of 512 × 512 matrices, as core/src/bench.rs measures it."""
    n = 512
    a = torch.ones(n, n, device=device)

    def product(times):
        started, b = time.perf_counter(), a
        for _ in range(times):
            b = (a @ b) * (1 / n)
        b.sum().item()
        return time.perf_counter() - started

    product(1)
    times = int(min(max(0.1 / max(product(4), 1e-6) * 4, 1), 1000))
    return 2 * n**3 * times / max(product(times), 1e-9)


def peak_memory(device):
    """Reserved on a GPU; the process's own peak on the processor."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_reserved()
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(what, preset, dtype, args, peak):
    if args.device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    bench = Bench(what, preset, dtype, args.device, args.batch_size, args.max_seq_len)
    bench.step()
    started, steps = time.perf_counter(), 0
    while steps < 2 or time.perf_counter() - started < args.seconds:
        bench.step()
        steps += 1
    elapsed = time.perf_counter() - started
    tokens = bench.batch * (DECODED if what == "decode" else bench.seq)
    speed = steps * tokens / elapsed
    flops = speed * training_flops_per_token(preset, bench.seq) * (1 if what == "train" else 1 / 3)
    return {
        "batch": bench.batch,
        "seq": bench.seq,
        "steps": steps,
        "elapsed_s": elapsed,
        "tokens_per_second": speed,
        "peak_memory_bytes": peak_memory(args.device),
        "flops_per_second": flops if math.isfinite(flops) else None,
        "share_of_peak": flops / peak,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--preset", choices=PRESETS, required=True)
    parser.add_argument("--dtype", nargs="+", choices=["f32", "bf16"], default=["f32"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-seq-len", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} finds no CUDA device")
    peak = matmul_flops(args.device)
    for dtype in args.dtype:
        for what in ("train", "prefill", "decode"):
            about = {"what": what, "device": args.device, "dtype": dtype, "preset": args.preset}
            try:
                result = measure(what, args.preset, dtype, args, peak)
            except RuntimeError as error:
                reason = str(error).splitlines()[0].replace('"', "'").replace("\\", "/").replace("|", "/")
                result = {"batch": args.batch_size, "seq": args.max_seq_len, "not_measured": reason}
            row = {**about, **result, "engine": "pytorch", "engine_version": torch.__version__}
            print(json.dumps(row, separators=(",", ":")), flush=True)


if __name__ == "__main__":
    main()
