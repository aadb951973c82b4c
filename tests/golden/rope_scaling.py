"""Makes rope_scaling.json: the rotary frequencies of models that are stretched, as `transformers` computes them.

    python3 -m venv v && v/bin/pip install torch transformers && v/bin/python tests/golden/rope_scaling.py

A row is a kind with its factor, the positions of pretraining, the length of a text, and the frequencies and what cosines and
sines are multiplied by. `rope_parameters` hold what Kindling writes for `--rope-scaling KIND --rope-factor FACTOR`.
"""

import json
import math
import pathlib

import transformers
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HEAD_DIM, THETA = 32, 10000.0
LLAMA3 = dict(low_freq_factor=1.0, high_freq_factor=4.0)


def row(kind, factor, original, length):
    rope = dict(rope_type=kind, rope_theta=THETA, factor=factor)
    positions = original if kind == "dynamic" else int(factor * original)
    if kind in ("yarn", "llama3"):
        rope["original_max_position_embeddings"] = original
    if kind == "llama3":
        rope |= LLAMA3
    config = LlamaConfig(
        hidden_size=HEAD_DIM * 2, num_attention_heads=2, head_dim=HEAD_DIM, max_position_embeddings=positions,
        rope_parameters=rope,
    )
    frequencies, attention_factor = ROPE_INIT_FUNCTIONS[kind](config, "cpu", seq_len=length)
    return dict(
        kind=kind, factor=factor, original=original, length=length, positions=positions,
        frequencies=[float(f"{f:.9g}") for f in frequencies.tolist()], attention_factor=attention_factor,
    )


KINDS = ("linear", "dynamic", "yarn", "llama3")
ROWS = [row(kind, factor, 512, length) for kind in KINDS for factor in (2.0, 4.0, 2.5) for length in (64, 512, 900)]
ROWS += [row("yarn", 16.0, 2048, 4096), row("llama3", 8.0, 8192, 100)]

made_by = f"transformers {transformers.__version__}"
assert math.isclose(ROWS[0]["frequencies"][0], 0.5)
lines = ",\n".join(json.dumps(row) for row in ROWS)
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(f'{{"made_by": "{made_by}", "head_dim": {HEAD_DIM}, "theta": {THETA}, "rows": [\n{lines}\n]}}\n')
