"""Makes the tiny models of this folder with `transformers`, and what they answer.

    python3 -m venv v && v/bin/pip install torch transformers && v/bin/python tests/golden/families/make.py

Each folder holds a model as `save_pretrained` writes it, and `expected.json`: token ids, the logits of all of them, and
the ids that greedy decoding adds.
"""

import json
import pathlib
import shutil

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
SIZES = dict(
    vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, bos_token_id=None, eos_token_id=None, pad_token_id=None,
    initializer_range=0.3,
)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0)
SLIDING = dict(use_sliding_window=True, sliding_window=5)
EXPERTS = dict(num_experts=4, moe_intermediate_size=12)

# name: model_type, type of the weights, what differs from SIZES
MODELS = {
    "llama": ("llama", "float32", dict(attention_bias=True, tie_word_embeddings=False)),
    "llama-linear": ("llama", "float16", dict(rope=dict(rope_type="linear", factor=2.5))),
    "llama-dynamic": ("llama", "float32", dict(rope=dict(rope_type="dynamic", factor=2.0), max_position_embeddings=16)),
    "llama-yarn": ("llama", "float32", dict(
        rope=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16), head_dim=16)),
    "llama3": ("llama", "bfloat16", dict(
        rope=dict(**LLAMA3, original_max_position_embeddings=32), tie_word_embeddings=True)),
    "mistral": ("mistral", "float32", dict(sliding_window=5, head_dim=8)),
    "qwen2": ("qwen2", "float32", dict(tie_word_embeddings=True)),
    "qwen2-sliding": ("qwen2", "bfloat16", dict(**SLIDING, max_window_layers=1)),
    "qwen3": ("qwen3", "float32", dict(head_dim=8, attention_bias=True)),
    "qwen3-moe": ("qwen3_moe", "float32", dict(
        **EXPERTS, num_experts_per_tok=2, norm_topk_prob=True, mlp_only_layers=[0], head_dim=8)),
    "qwen3-moe-one": ("qwen3_moe", "bfloat16", dict(**EXPERTS, num_experts_per_tok=1, head_dim=8)),
}


def make(name, model_type, dtype, differs):
    torch.manual_seed(len(name) + sum(map(ord, name)))
    rope = {"rope_theta": 10000.0, "rope_type": "default", **differs.pop("rope", {})}
    config = AutoConfig.for_model(model_type, **{**SIZES, **differs}, rope_parameters=rope)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if key.endswith("norm.weight"):
                weight.uniform_(0.5, 1.5)
            if key.endswith(".bias"):
                weight.normal_(0, 0.3)
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    shards = dict(max_shard_size="8KB") if name == "llama" else {}
    model.to(getattr(torch, dtype)).save_pretrained(folder, **shards)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokens = torch.randint(0, SIZES["vocab_size"], (1, 24))
    with torch.no_grad():
        logits = model(tokens).logits[0]
        said = model.generate(tokens[:, :8], max_new_tokens=16, do_sample=False)[0, 8:]
    expected = {
        "made_by": f"transformers {transformers.__version__}, torch {torch.__version__}",
        "tokens": tokens[0].tolist(),
        "logits": [[round(x, 6) for x in row] for row in logits.tolist()],
        "greedy": said.tolist(),
    }
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


for name, (model_type, dtype, differs) in MODELS.items():
    make(name, model_type, dtype, dict(differs))
