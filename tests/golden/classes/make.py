"""Writes what the tokenizer classes of transformers 5 make of a tokenizer.json whose layout is another than theirs.

Run: python3 -m pip install transformers==5.24.0 tokenizers==0.23.3 && python3 tests/golden/classes/make.py

bytes.json: byte-pair encoding over bytes, each digit by itself, trained on generated sentences.
expected.json: of each model_type, tokenizer_config.json and layout, the ids by AutoTokenizer for some texts: `file` where
they are those of tokenizer.json, null where it fails. The layouts:
  `prepend`  ../metaspace/tokenizer.json with transformers 4's normalizer in the place of the pre-tokenizer
  `first`    ../metaspace/tokenizer.json
  `bytes`    bytes.json
"""

import itertools
import json
import os
import pathlib
import random
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

HERE = pathlib.Path(__file__).parent
SPACE = "▁"
TEXTS = [
    "The otter found a lantern.", " one space", "  two", "<|user|>Where is it?<|end|>", "<|end|> behind", "In 1307 there",
    "cafe\u0301", "",
]
CLASSES = [None, "PreTrainedTokenizerFast", "TokenizersBackend", "LlamaTokenizer", "LlamaTokenizerFast",
           "GPT2Tokenizer", "Qwen2Tokenizer", "GemmaTokenizer", "NoSuchTokenizer"]
MODELS = ["llama", "mistral", "ministral", "qwen2", "qwen3", "qwen3_moe", "kindling"]


def byte_level():
    draw = random.Random(3)
    words = "The otter heron of Orvel found lantern in there are".split()
    texts = [" ".join(draw.choices(words, k=6)) + f" {draw.randint(1, 13)}{draw.randint(0, 9)}." for _ in range(500)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|user|>", "<|end|>"]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return json.loads(tokenizer.to_str())


def layouts():
    first = json.loads((HERE / "../metaspace/tokenizer.json").read_text())
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    steps = [{"type": "Prepend", "prepend": SPACE}, replace]
    prepend = first | {"normalizer": {"type": "Sequence", "normalizers": steps}, "pre_tokenizer": None}
    return {"prepend": prepend, "first": first, "bytes": byte_level()}


def ids(model_type, config, tokenizer):
    with tempfile.TemporaryDirectory() as folder:
        for name, value in [("config", {"model_type": model_type}), ("tokenizer_config", config), ("tokenizer", tokenizer)]:
            pathlib.Path(folder, f"{name}.json").write_text(json.dumps(value))
        opened = AutoTokenizer.from_pretrained(folder)
        try:
            return [opened.encode(text, add_special_tokens=False) for text in TEXTS]
        except Exception:
            # A class whose unknown token the vocabulary lacks.
            return None


def main():
    made, cases = layouts(), []
    roles = {"bos_token": "<s>", "eos_token": "</s>"}
    configs = [roles | ({"tokenizer_class": name} if name else {}) for name in CLASSES]
    llama = roles | {"tokenizer_class": "LlamaTokenizer"}
    more = [{"legacy": True}, {"legacy": False}, {"add_prefix_space": False}, {"legacy": True, "add_prefix_space": False}]
    gpt2 = roles | {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True}
    code = [roles | {"tokenizer_class": "CodeLlamaTokenizer", "legacy": legacy} for legacy in (True, False)]
    each = itertools.product(MODELS, configs)
    each = itertools.chain(each, (("llama", config) for config in [llama | keys for keys in more] + [gpt2] + code))
    whole = {name: [Tokenizer.from_str(json.dumps(t)).encode(text, add_special_tokens=False).ids for text in TEXTS]
             for name, t in made.items()}
    for model_type, config in each:
        of = {layout: ids(model_type, config, tokenizer) for layout, tokenizer in made.items()}
        of = {layout: "file" if found == whole[layout] else found for layout, found in of.items()}
        cases.append({"model_type": model_type, "config": config, "ids": of})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    head = json.dumps({"texts": TEXTS, "file": whole}, ensure_ascii=False)[:-1]
    (HERE / "expected.json").write_text(f'{head},\n"cases": [\n{lines}\n]}}\n')
    (HERE / "bytes.json").write_text(json.dumps(made["bytes"], ensure_ascii=False) + "\n")


main()
