"""Makes the tiny LLaDA models of this folder with LLaDA's modelling code, and what they and a converted Mistral answer.

    git clone https://github.com/ZHZisZZ/dllm /tmp/dllm && git -C /tmp/dllm checkout ca176752fbceec49c6b4777a2c18ae88e4eb10ed
    python3 -m venv v && v/bin/pip install torch transformers && v/bin/python tests/golden/llada/make.py /tmp/dllm

dllm (Apache-2.0) keeps GSAI-ML/LLaDA-8B-Base's `configuration_llada.py` and `modeling_llada.py` below
`dllm/pipelines/llada/models`. Each folder here holds a model as published ones are, and `expected.json`: token
ids and the logits of all of them. `keys.json` has the names and shapes of every tensor. `mistral.json` has the logits of
tests/golden/families/mistral without its causal mask and its window, by the plain PyTorch below.
"""

import importlib
import json
import pathlib
import shutil
import sys
import types

import torch
import transformers
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent
CODE = pathlib.Path(sys.argv[1]) / "dllm/pipelines/llada/models"
COMMIT = "ca176752fbceec49c6b4777a2c18ae88e4eb10ed"

# Sizes under LLaDA's names; the other keys are those of the published config.json.
SIZES = dict(
    d_model=16, n_heads=4, n_kv_heads=2, n_layers=2, mlp_hidden_size=24, mlp_ratio=4, vocab_size=64, embedding_size=64,
    max_sequence_length=64, mask_token_id=63, eos_token_id=2, pad_token_id=2, init_std=0.3,
    activation_type="silu", block_type="llama", block_group_size=1, layer_norm_type="rms", layer_norm_with_affine=True,
    rms_norm_eps=1e-5, rope=True, rope_theta=500000.0, rope_full_precision=True, alibi=False, alibi_bias_max=8.0,
    attention_layer_norm=False, attention_dropout=0.0, embedding_dropout=0.0, residual_dropout=0.0,
    multi_query_attention=None, include_bias=False, include_qkv_bias=False, bias_for_layer_norm=False,
    input_emb_norm=False, scale_logits=False, weight_tying=False, flash_attention=False, init_fn="normal",
    init_device="cpu", init_cutoff_factor=None, precision="amp_bf16", use_cache=False,
)
AUTO_MAP = {
    "AutoConfig": "configuration_llada.LLaDAConfig", "AutoModelForCausalLM": "modeling_llada.LLaDAModelLM",
    "AutoModel": "modeling_llada.LLaDAModelLM",
}
MODELS = {
    "untied": {},
    "tied-biased": dict(weight_tying=True, include_qkv_bias=True, n_kv_heads=None, multi_query_attention=True, rope_theta=1e4),
}


def published():
    """The two files as a package of their own: the rest of dllm needs more than torch and transformers."""
    package = types.ModuleType("llada_models")
    package.__path__ = [str(CODE)]
    sys.modules["llada_models"] = package
    return [importlib.import_module(f"llada_models.{name}_llada") for name in ["configuration", "modeling"]]


def make(name, differs):
    configuration, modeling = published()
    torch.manual_seed(sum(map(ord, name)))
    keys = {**SIZES, **differs}
    # The class that users open builds its model on CUDA, unless it is given one.
    config = configuration.LLaDAConfig(**keys)
    inner = modeling.LLaDAModel(configuration.ModelConfig(**{key: keys[key] for key in keys if key != "use_cache"}), init_params=False)
    model = modeling.LLaDAModelLM(config, model=inner).eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if "norm" in key or "ln_f" in key:
                weight.uniform_(0.5, 1.5)
            else:
                weight.normal_(0, 0.3)
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    written = {"architectures": ["LLaDAModelLM"], "auto_map": AUTO_MAP, "model_type": "llada", **keys, "torch_dtype": "float32"}
    (folder / "config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
    tokens = torch.randint(0, 63, (1, 16))
    tokens[0, 3::4] = 63
    with torch.no_grad():
        # transformers 5 keeps no use_cache of a config, which the outer class reads.
        logits = model.model(tokens).logits[0]
    write(folder / "expected.json", tokens[0], logits, made_by())
    return {key: list(weight.shape) for key, weight in model.state_dict().items()}


def made_by():
    return f"dllm {COMMIT[:7]}, transformers {transformers.__version__}, torch {torch.__version__}"


def write(path, tokens, logits, made_by):
    rounded = [[round(x, 6) for x in row] for row in logits.tolist()]
    path.write_text(json.dumps({"made_by": made_by, "tokens": tokens.tolist(), "logits": rounded}) + "\n")


def norm(x, weight, eps):
    return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


def turn(x, theta):
    """Rotary embedding of `[heads, positions, head_dim]`, half by half."""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[1]).double()[:, None] * theta ** (-torch.arange(half).double() / half)
    cos, sin = angles.cos(), angles.sin()
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def bidirectional(weights, config, tokens):
    """Logits of a Mistral whose positions all see each other."""
    heads, kv, width = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    x = weights["model.embed_tokens.weight"][tokens]
    for layer in range(config["num_hidden_layers"]):
        part = lambda name: weights[f"model.layers.{layer}.{name}.weight"]
        split = lambda x, count: x.view(len(tokens), count, width).transpose(0, 1)
        y = norm(x, part("input_layernorm"), config["rms_norm_eps"])
        q = turn(split(y @ part("self_attn.q_proj").T, heads), 1e4)
        k = turn(split(y @ part("self_attn.k_proj").T, kv), 1e4).repeat_interleave(heads // kv, 0)
        v = split(y @ part("self_attn.v_proj").T, kv).repeat_interleave(heads // kv, 0)
        seen = torch.softmax(q @ k.transpose(1, 2) / width**0.5, -1) @ v
        x = x + seen.transpose(0, 1).reshape(len(tokens), -1) @ part("self_attn.o_proj").T
        y = norm(x, part("post_attention_layernorm"), config["rms_norm_eps"])
        y = torch.nn.functional.silu(y @ part("mlp.gate_proj").T) * (y @ part("mlp.up_proj").T)
        x = x + y @ part("mlp.down_proj").T
    return norm(x, weights["model.norm.weight"], config["rms_norm_eps"]) @ weights["lm_head.weight"].T


def mistral():
    """The mask token is the next id, and its rows are the means of all others."""
    folder = HERE.parent / "families/mistral"
    config, weights = json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors")
    assert config["sliding_window"] and not config["tie_word_embeddings"] and config["rope_parameters"]["rope_theta"] == 1e4
    for key in ["model.embed_tokens.weight", "lm_head.weight"]:
        weights[key] = torch.cat([weights[key], weights[key].double().mean(0, keepdim=True).float()])
    torch.manual_seed(7)
    tokens = torch.randint(0, config["vocab_size"], (24,))
    tokens[2::5] = config["vocab_size"]
    weights = {key: weight.double() for key, weight in weights.items()}
    write(HERE / "mistral.json", tokens, bidirectional(weights, config, tokens), f"torch {torch.__version__}, in f64")


keys = {name: make(name, differs) for name, differs in MODELS.items()}
source = f"state_dict of LLaDAModelLM, dllm/pipelines/llada/models/modeling_llada.py of ZHZisZZ/dllm at {COMMIT}"
(HERE / "keys.json").write_text(json.dumps({"source": source, **keys}, indent=1) + "\n")
mistral()
