"""New models whose norms and biases act: as they are made they multiply by one and add nothing."""

import torch
from transformers import AutoModelForCausalLM


def fresh_model(config, name):
    """A model of this shape, drawn from a seed that its name gives; a weight after the other in the order of the model's own."""
    torch.manual_seed(sum(map(ord, name)))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if key.endswith("norm.weight"):
                weight.uniform_(0.5, 1.5)
            if key.endswith(".bias"):
                weight.normal_(0, 0.1)
    return model
