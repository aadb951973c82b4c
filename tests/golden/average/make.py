"""Makes the golden of averaged adapters: two adapters of one tiny model, and what PEFT's
`add_weighted_adapter(combination_type="cat")` makes of them.

    python3 -m venv v && v/bin/pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2
    v/bin/python tests/golden/average/make.py

`one` has rank 2 and alpha 8 on q_proj and v_proj, `two` rank 3 scaled by the root of its rank (rsLoRA) on q_proj and up_proj; all
of their values are drawn. `expected.json` holds, by layer, what the mean of one part `one` and three parts `two` adds to the
weights, row by row, from PEFT's combined adapter, and what of it numpy's SVD finds beyond rank 2.
"""

import json
import pathlib

import numpy
import peft
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
SIZES = dict(
    vocab_size=16, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
    head_dim=4, max_position_embeddings=16, bos_token_id=None, eos_token_id=None, pad_token_id=None)
WEIGHTS = [0.25, 0.75]
RANK = 2


def main():
    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **SIZES))
    a = peft.LoraConfig(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    b = peft.LoraConfig(
        r=3, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, a, adapter_name="one")
    model.add_adapter("two", b)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(std=0.5)
    model.add_weighted_adapter(["one", "two"], WEIGHTS, "mean", combination_type="cat")
    for name in ["one", "two"]:
        model.save_pretrained(str(HERE), selected_adapters=[name])
    deltas, beyond, whole = {}, 0.0, 0.0
    for name, module in model.named_modules():
        if isinstance(module, peft.tuners.lora.LoraLayer) and "mean" in module.lora_A:
            delta = module.get_delta_weight("mean").detach().double().numpy()
            deltas[name.removeprefix("base_model.model.")] = [round(float(x), 7) for x in delta.flatten()]
            values = numpy.linalg.svd(delta, compute_uv=False)
            beyond += float((values[RANK:] ** 2).sum())
            whole += float((values ** 2).sum())
    expected = dict(
        made_by=f"peft {peft.__version__}, torch {torch.__version__}, transformers {transformers.__version__}",
        weights=WEIGHTS, rank=RANK, error=(beyond / whole) ** 0.5, deltas=deltas)
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")
    for readme in HERE.glob("**/README.md"):
        readme.unlink()


main()
