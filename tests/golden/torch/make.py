"""Writes the .pth files beside it, and expected.json: what must be read from them.

Run: python3 -m pip install torch==2.15.0 numpy==2.4.6 && python3 tests/golden/torch/make.py

Values are quarters, so that every number type holds them as they are. Every run makes the same bytes, except
before_1_6.pth, which has addresses of memory in it.
"""

import json
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch

HERE = Path(__file__).parent
EXPECTED = {}


def numbers(*shape, start=0):
    """Quarters from -3 to 3 that differ from row to row."""
    count = 1
    for size in shape:
        count *= size
    values = [((start + i) * 7 % 25 - 12) / 4 for i in range(count)]
    return torch.tensor(values).reshape(shape)


def told(tensor):
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "strides": list(tensor.stride()),
        "values": [int(x) if x == int(x) else x for x in tensor.detach().float().flatten().tolist()],
    }


def save(name, content, tensors, **options):
    torch.save(content, HERE / f"{name}.pth", **options)
    EXPECTED[name] = {key: told(tensor) for key, tensor in tensors.items()}


def number_types():
    floats = {str(t).removeprefix("torch."): numbers(2, 3).to(t) for t in (
        torch.float32, torch.float16, torch.bfloat16, torch.float64)}
    wholes = {str(t).removeprefix("torch."): numbers(2, 3).mul(4).to(t) for t in (
        torch.int64, torch.int32, torch.int16, torch.int8)}
    others = {"uint8": torch.arange(250, 256, dtype=torch.uint8), "bool": numbers(4) > 0}
    shapes = {"scalar": torch.tensor(0.25), "empty": torch.zeros(0, 3)}
    state = {**floats, **wholes, **others, **shapes, "step": 3, "name": "kindling", "rate": 0.5, "none": None}
    tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
    save("number_types", state, tensors)
    few = {"float32": floats["float32"]}
    for protocol in (3, 4, 5):
        save(f"protocol{protocol}", few, few, pickle_protocol=protocol)
    torch.save(few, HERE / "before_1_6.pth", _use_new_zipfile_serialization=False)


def views():
    whole = numbers(4, 6)
    state = OrderedDict(whole=whole, transposed=whole.t(), corner=whole[1:3, 2:5], column=whole[:, 3],
                        tied=whole, repeated=numbers(3).unsqueeze(1).expand(3, 4), steps=whole[::2, ::3])
    save("views", state, state)


def training():
    """A file to go on from, like MiniMind's _resume.pth; and parameters instead of tensors."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 2, bias=False), torch.nn.LayerNorm(2))
    for i, parameter in enumerate(module.parameters()):
        parameter.data = numbers(*parameter.shape, start=i)
    optimizer = torch.optim.AdamW(module.parameters())
    module(numbers(4, 3)).sum().backward()
    optimizer.step()
    state = module.state_dict()
    resume = {
        "best_loss": torch.tensor(2.5),
        "model": state,
        "optimizer": optimizer.state_dict(),
        "epoch": 1,
        "step": 2**40,
        "seed": 2**80,
        "wandb_id": None,
        "sizes": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "type": torch.float16,
    }
    save("training", resume, state)
    save("parameters", dict(module.named_parameters()), state)


NEWER = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
DIM, FFN, VOCAB = 8, 3, 3


def half_rotate(rows):
    """Of each head of 4 rows the even ones, then the odd ones."""
    return rows.reshape(-1, 2, 2, rows.shape[1]).transpose(1, 2).reshape(rows.shape)


def feed_forward(start):
    return {
        ("w1", "gate_proj"): numbers(FFN, DIM, start=start),
        ("w2", "down_proj"): numbers(DIM, FFN, start=start + 1),
        ("w3", "up_proj"): numbers(FFN, DIM, start=start + 2),
    }


def second_generation(name, layers, experts):
    """MiniMind2, compiled: interleaved rotary pairs, 2 heads of 4 rows, 1 key head, a tied head, a table of angles."""
    embedding, norm = numbers(VOCAB, DIM), numbers(DIM, start=9)
    state = {"tok_embeddings.weight": embedding}
    expected = {"model.embed_tokens.weight": embedding, "model.norm.weight": norm}
    for i in range(layers):
        rows = {"attention.wq": 8, "attention.wk": 4, "attention.wv": 4, "attention.wo": 8}
        for k, (old, new) in enumerate(NEWER.items()):
            value = numbers(rows[old], DIM, start=i + k) if old in rows else numbers(DIM, start=i + k)
            state[f"layers.{i}.{old}.weight"] = value
            turned = half_rotate(value) if old in ("attention.wq", "attention.wk") else value
            expected[f"model.layers.{i}.{new}.weight"] = turned
        for k, (old, new) in enumerate(experts.items()):
            for (older, newer), value in feed_forward(i + 6 + k).items():
                state[f"layers.{i}.feed_forward.{old}{older}.weight"] = value
                expected[f"model.layers.{i}.mlp.{new}{newer}.weight"] = value
        if len(experts) > 1:
            state[f"layers.{i}.feed_forward.gate.weight"] = numbers(2, DIM)
            expected[f"model.layers.{i}.mlp.gate.weight"] = numbers(2, DIM)
    state.update({"norm.weight": norm, "output.weight": embedding})
    halves = {f"_orig_mod.{key}": value.half() for key, value in state.items()}
    save(name, {**halves, "_orig_mod.pos_cis": torch.polar(torch.ones(4, 2), numbers(4, 2))}, expected)


def lora():
    """MiniMind's LoRA of the second generation, by the names that PEFT gives it."""
    a, b = numbers(2, DIM), numbers(DIM, 2, start=3)
    layer, peft = "layers.0.attention", "base_model.model.model.layers.0.self_attn"
    state = {f"{layer}.{name}.lora.{half}.weight": value.half()
             for name in ("wq", "wo") for half, value in (("A", a), ("B", b))}
    save("lora", state, {f"{peft}.q_proj.lora_A.weight": a, f"{peft}.q_proj.lora_B.weight": half_rotate(b),
                         f"{peft}.o_proj.lora_A.weight": a, f"{peft}.o_proj.lora_B.weight": b})


def newest_generation():
    """MiniMind 3: Qwen3's names, norms of queries and keys, an untied head; the layers' own tensors unchanged."""
    dim, ffn, vocab, layer = DIM, FFN, VOCAB, "model.layers.0"
    state = {
        "model.embed_tokens.weight": numbers(vocab, dim),
        f"{layer}.self_attn.q_proj.weight": numbers(dim, dim, start=1),
        f"{layer}.self_attn.k_proj.weight": numbers(4, dim, start=2),
        f"{layer}.self_attn.v_proj.weight": numbers(4, dim, start=3),
        f"{layer}.self_attn.o_proj.weight": numbers(dim, dim, start=4),
        f"{layer}.self_attn.q_norm.weight": numbers(4, start=5),
        f"{layer}.self_attn.k_norm.weight": numbers(4, start=6),
        f"{layer}.input_layernorm.weight": numbers(dim, start=7),
        f"{layer}.post_attention_layernorm.weight": numbers(dim, start=8),
        f"{layer}.mlp.gate_proj.weight": numbers(ffn, dim, start=9),
        f"{layer}.mlp.up_proj.weight": numbers(ffn, dim, start=10),
        f"{layer}.mlp.down_proj.weight": numbers(dim, ffn, start=11),
        "model.norm.weight": numbers(dim, start=12),
        "lm_head.weight": numbers(vocab, dim, start=13),
    }
    save("newest_generation", {f"module.{name}": value.half() for name, value in state.items()}, state)


class Hostile:
    """What a pickle would run."""

    def __reduce__(self):
        return os.system, ("echo this must never run",)


def hostile():
    """Never open it with pickle or weights_only=False."""
    with zipfile.ZipFile(HERE / "hostile.pth", "w") as archive:
        content = pickle.dumps({"weight": Hostile()}, protocol=2).replace(b"cposix\n", b"cos\n")
        for name, data in {"data.pkl": content, "byteorder": b"little", "version": b"3\n"}.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)


if __name__ == "__main__":
    number_types()
    views()
    training()
    second_generation("second_generation", 2, {"": ""})
    mixture = {"experts.0.": "experts.0.", "experts.1.": "experts.1.", "shared_experts.": "shared_experts.0."}
    second_generation("mixture", 1, mixture)
    lora()
    newest_generation()
    hostile()
    text = json.dumps(EXPECTED, separators=(",", ":")).replace('},"', '},\n"')
    (HERE / "expected.json").write_text(text + "\n")
