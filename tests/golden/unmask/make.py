"""What a tiny model writes by LLaDA's sampler (Nie et al., 2025, arXiv 2502.09992), in plain PyTorch.

    python3 -m venv v && v/bin/pip install torch transformers && v/bin/python tests/golden/unmask/make.py

The model is `../families/qwen3`, whose last token is the mask, and whose positions all see each other. `expected.json`
holds for each case its settings and the ids behind the prompt. Two things are not as in the published generate.py: the
mask token is never chosen, as its place would stay masked; and end tokens are forbidden before anything is chosen, where
generate.py's `confidence_eos_eot_inf` comes too late to act.

Random numbers are those of core/src/random.rs (ChaCha8, `rand_core`'s seeding), so that drawn ids can be compared too.
"""

import json
import pathlib

import torch
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
MASK = 63
PROMPT = [3, 14, 15, 9, 2]
SAMPLING, REMASKING = 0x73616D706C65, 0x72656D61736B  # the streams of both kinds of random numbers
U32, U64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF

# What differs from 16 tokens, one a step, in one block.
CASES = {
    "one block": dict(),
    "half the steps": dict(steps=8),
    "steps that do not divide": dict(steps=6),
    "four blocks": dict(steps=8, block=4),
    "guided": dict(steps=8, block=8, cfg=1.5),
    "random order": dict(steps=8, block=4, remasking="random", seed=7),
    "drawn": dict(steps=8, block=8, temperature=0.7, seed=11),
    "drawn and guided": dict(block=16, temperature=1.3, cfg=0.5, seed=3),
    "without end tokens": dict(steps=8, block=8, forbidden=[42, 46]),
    "shifted": dict(steps=8, block=4, shift=True),
    "shifted, drawn in a random order": dict(steps=5, shift=True, temperature=1.0, remasking="random", seed=5),
}


class Random:
    """ChaCha with 8 rounds; `stream` is its nonce."""

    def __init__(self, seed, stream):
        self.key, self.stream, self.block, self.words = [], stream, 0, []
        for _ in range(8):
            seed = (seed * 6364136223846793005 + 11634580027462260723) & U64
            xorshifted, turn = (((seed >> 18) ^ seed) >> 27) & U32, seed >> 59
            self.key.append(((xorshifted >> turn) | (xorshifted << (-turn & 31))) & U32)

    def refill(self):
        begin = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *self.key]
        begin += [self.block & U32, self.block >> 32, self.stream & U32, self.stream >> 32]
        x = list(begin)

        def quarter(a, b, c, d):
            for p, q, r, turn in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)]:
                x[p] = (x[p] + x[q]) & U32
                y = x[r] ^ x[p]
                x[r] = ((y << turn) | (y >> (32 - turn))) & U32

        for _ in range(4):
            for i in range(4):
                quarter(i, 4 + i, 8 + i, 12 + i)
            for i in range(4):
                quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
        self.words += [(a + b) & U32 for a, b in zip(x, begin)]
        self.block += 1

    def next_u64(self):
        if len(self.words) < 2:
            self.refill()
        low, high = self.words.pop(0), self.words.pop(0)
        return high << 32 | low

    def uniform(self):
        return (self.next_u64() >> 11) / 2.0**53

    def below(self, bound):
        while (value := self.next_u64()) >= U64 - U64 % bound:
            pass
        return value % bound


@torch.no_grad()
def logits_of(model, canvas, shift):
    """Logits that predict each place, every position seeing every position."""
    seen = torch.zeros(canvas.shape[0], 1, canvas.shape[1], canvas.shape[1])
    logits = model(canvas, attention_mask=seen).logits
    return torch.cat([logits[:, :1], logits[:, :-1]], dim=1) if shift else logits


def transfers(masks, steps):
    """How many of so many masks each step fills."""
    return [masks // steps + (i < masks % steps) for i in range(steps)]


def write(model, new=16, steps=16, block=16, temperature=0.0, cfg=0.0, remasking="low_confidence", forbidden=(),
          shift=False, seed=42, begin=PROMPT, mask=MASK):
    drawn, order = Random(seed, SAMPLING), Random(seed, REMASKING)
    prompt = len(begin)
    canvas = torch.tensor([begin + [mask] * new])
    blocks = new // block
    for start in range(prompt, prompt + new, block):
        for count in transfers(block, steps // blocks):
            logits = logits_of(model, canvas, shift)
            if cfg > 0:
                bare = canvas.clone()
                bare[:, :prompt] = mask
                without = logits_of(model, bare, shift)
                logits = without + (cfg + 1) * (logits - without)
            logits[..., [mask, *forbidden]] = -torch.inf
            places = [p for p in range(start, start + block) if canvas[0, p] == mask]
            logits = logits[0, places].double()
            scores = logits
            if temperature > 0:
                noise = torch.tensor([[drawn.uniform() for _ in row] for row in logits], dtype=torch.float64)
                scores = logits.exp() / (-noise.log()) ** temperature
            chosen = scores.argmax(-1)
            sure = logits.softmax(-1).gather(-1, chosen[:, None])[:, 0]
            if remasking == "random":
                sure = torch.tensor([order.uniform() for _ in places], dtype=torch.float64)
            for i in sure.topk(count).indices.tolist():
                canvas[0, places[i]] = chosen[i]
    return canvas[0, prompt:].tolist()


def main():
    model = AutoModelForCausalLM.from_pretrained(HERE.parent / "families" / "qwen3", attn_implementation="eager").eval()
    one, other = torch.tensor([[1, 2, 3]]), torch.tensor([[1, 2, 4]])
    assert not torch.equal(logits_of(model, one, False)[0, 0], logits_of(model, other, False)[0, 0]), "it is causal"
    cases = [dict(name=name, settings=settings, tokens=write(model, **settings)) for name, settings in CASES.items()]
    lines = ",\n  ".join(json.dumps(case) for case in cases)
    text = f'{{"mask": {MASK}, "prompt": {PROMPT}, "cases": [\n  {lines}\n]}}\n'
    (HERE / "expected.json").write_text(text)


if __name__ == "__main__":
    main()
