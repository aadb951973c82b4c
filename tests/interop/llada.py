"""LLaDA's published code (GSAI-ML/LLaDA-8B-Base's modelling code, ML-GSAI/LLaDA's generate.py), run as it is."""

import importlib
import json
import sys
import types

import torch
from safetensors.torch import load_file

CODE = ["configuration_llada.py", "modeling_llada.py", "generate.py"]


class Published:
    """The code in a folder. It was written for transformers 4, and what it lacks in version 5 is added here."""

    def __init__(self, folder):
        package = types.ModuleType("llada_published")
        package.__path__ = [str(folder)]
        sys.modules[package.__name__] = package
        self.configuration, self.modeling, self.sampler = (
            importlib.import_module(f"{package.__name__}.{name.removesuffix('.py')}") for name in CODE)

    def opened(self, folder):
        """The model of a folder, and what of its files the code does not take: keys of the config that say something else
        than its class then holds, tensors that it lacks or has in another shape."""
        written = json.loads((folder / "config.json").read_text())
        config = self.configuration.LLaDAConfig.from_pretrained(folder)
        # Version 5 keeps no such key, which the outer class reads.
        config.use_cache = False
        inner = self.modeling.create_model_config_from_pretrained_config(config)
        problems = [
            f"; {key} is {written[key]!r} and becomes {value!r}"
            for key, value in vars(inner).items() if key in written and written[key] != value
        ]
        if written["model_type"] != "llada" or written["architectures"] != ["LLaDAModelLM"]:
            problems.append(f"; {written['model_type']} {written['architectures']}")
        # The outer class builds its model on CUDA, unless it is given one.
        model = self.modeling.LLaDAModelLM(config, model=self.modeling.LLaDAModel(inner, init_params=False)).eval()
        try:
            model.load_state_dict(load_file(folder / "model.safetensors"))
        except RuntimeError as error:
            problems.append(f"; {error}")
        return model, "".join(problems)

    def generate(self, model, prompt, mask, new, steps, block, cfg):
        """What generate.py writes greedily. It is given a mask that hides nothing, without which it cannot be guided."""
        prompt = torch.tensor([prompt])
        options = dict(steps=steps, gen_length=new, block_length=block, cfg_scale=cfg, mask_id=mask)
        made = self.sampler.generate(model, prompt, attention_mask=torch.ones_like(prompt), **options)
        return made[0, prompt.shape[1] :].tolist()
