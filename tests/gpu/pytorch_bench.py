"""The shapes of `kindling bench` in plain PyTorch, for tests/gpu/run and tests/bench/run; prints the same JSON and
"engine":"pytorch".

Run: python3 -B tests/gpu/pytorch_bench.py --device cuda --preset minimind2-small --dtype f32 bf16

A Llama with scaled_dot_product_attention (flash where a card has it for the type) and torch.optim.AdamW, eager or, with
--compile, compiled. f32 is PyTorch's default, without TF32. bf16 trains under autocast with f32 weights; prefill and decode
hold bf16 weights. As in Kindling: train is forward, backward, clipping and optimizer; prefill fills a key-value cache and
computes the last position's logits; decode writes into an empty cache and reads the logits of each token back to the host.
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

    from pytorch_model import PRESETS, Llama
except ImportError as error:
    sys.exit(f"python3 has no PyTorch ({error})")


class Bench:
    """One measurement: the model, its data and one repetition of the work."""

    def __init__(self, what, dtype, args):
        torch.manual_seed(0)
        self.what, self.device, self.seq, self.new_tokens = what, args.device, args.max_seq_len, args.new_tokens
        self.batch = args.decode_batch_size if what == "decode" else args.batch_size
        self.trains = what in ("train", "lora")
        self.model = Llama(args.preset, max(self.seq, self.new_tokens))
        if what == "lora":
            self.model.adapt()
        self.model.to(self.device).train(self.trains)
        self.autocast = nullcontext
        if self.trains:
            self.weights = [p for p in self.model.parameters() if p.requires_grad]
            self.optimizer = torch.optim.AdamW(self.weights, lr=1e-4)
            if dtype == "bf16":
                self.autocast = lambda: torch.autocast(torch.device(self.device).type, torch.bfloat16)
        elif dtype == "bf16":
            self.model = self.model.to(torch.bfloat16)
        self.forward = torch.compile(self.model) if args.compile else self.model
        vocab = PRESETS[args.preset][5]
        self.ids = torch.randint(vocab, (self.batch, self.seq + 1), device=self.device)

    def step(self):
        if self.trains:
            self.train()
        else:
            with torch.inference_mode():
                self.prefill() if self.what == "prefill" else self.decode()
        synchronise(self.device)

    def train(self):
        with self.autocast():
            logits = self.forward(self.ids[:, :-1])
        loss = F.cross_entropy(logits.float().flatten(0, 1), self.ids[:, 1:].flatten()) + self.model.balance()
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        loss.item()

    def prefill(self):
        self.forward(self.ids[:, :-1], self.model.new_cache(self.batch)).sum().item()

    def decode(self):
        caches = self.model.new_cache(self.batch)
        for i in range(self.new_tokens):
            self.forward(torch.full((self.batch, 1), i + 1, device=self.device), caches, i).cpu()


def synchronise(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def training_flops_per_token(preset, seq):
    """As core/src/model/config.rs counts: 6 a weight, and the two attention products."""
    hidden, ffn, layers, *_, experts, parameters = PRESETS[preset]
    if experts:
        count, per_token = experts[:2]
        parameters -= layers * (count - per_token) * 3 * hidden * ffn
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
    """Reserved on a GPU; the process's own peak on the processor, which getrusage takes from its parent."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_reserved()
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def measure(what, dtype, args, peak):
    if args.device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    bench = Bench(what, dtype, args)
    began = time.perf_counter()
    bench.step()
    first = time.perf_counter() - began
    started, steps = time.perf_counter(), 0
    while steps < 2 or time.perf_counter() - started < args.seconds:
        bench.step()
        steps += 1
    elapsed = time.perf_counter() - started
    tokens = bench.batch * (bench.new_tokens if what == "decode" else bench.seq)
    speed = steps * tokens / elapsed
    passes = {"train": 3, "lora": 2}.get(what, 1)
    flops = speed * training_flops_per_token(args.preset, bench.seq) * passes / 3
    result = {
        "batch": bench.batch,
        "seq": bench.seq,
        "first_s": first,
        "steps": steps,
        "elapsed_s": elapsed,
        "tokens_per_second": speed,
        "peak_memory_bytes": peak_memory(args.device),
        "flops_per_second": flops if math.isfinite(flops) else None,
        "share_of_peak": flops / peak,
    }
    return result | ({"new_tokens": bench.new_tokens} if what == "decode" else {})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--preset", choices=PRESETS, required=True)
    parser.add_argument("--dtype", nargs="+", choices=["f32", "bf16"], default=["f32"])
    parser.add_argument("--what", nargs="+", choices=["train", "lora", "prefill", "decode"], default=["train", "prefill", "decode"])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-seq-len", type=int, default=512)
    parser.add_argument("--decode-batch-size", type=int, default=1)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument("--threads", type=int, help="of the processor")
    parser.add_argument("--first", action="store_true", help="print {\"first\"} after one repetition of the first, and end")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit(f"PyTorch {torch.__version__} finds no CUDA device")
    if args.first:
        Bench(args.what[0], args.dtype[0], args).step()
        print(json.dumps({"first": args.what[0]}), flush=True)
        return
    peak = matmul_flops(args.device)
    for dtype in args.dtype:
        for what in args.what:
            about = {"what": what, "device": args.device, "dtype": dtype, "preset": args.preset}
            about |= {"compiled": True} if args.compile else {}
            try:
                result = measure(what, dtype, args, peak)
            except RuntimeError as error:
                reason = str(error).splitlines()[0].replace('"', "'").replace("\\", "/").replace("|", "/")
                result = {"batch": args.batch_size, "seq": args.max_seq_len, "not_measured": reason}
            row = {**about, **result, "engine": "pytorch", "engine_version": torch.__version__}
            print(json.dumps(row, separators=(",", ":")), flush=True)


if __name__ == "__main__":
    main()
