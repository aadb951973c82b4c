"""The first token of transformers: opens a model's directory, answers, prints, and ends.

    python -B tests/bench/transformers_first.py DIRECTORY THREADS
"""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
inputs = tokenizer("The lamp stands", return_tensors="pt")
with torch.inference_mode():
    told = model.generate(inputs.input_ids, attention_mask=inputs.attention_mask, max_new_tokens=1, do_sample=False)
print(repr(tokenizer.decode(told[0, -1:])), flush=True)
