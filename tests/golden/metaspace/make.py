"""Writes a tiny tokenizer of SentencePiece as transformers 5 saves Llama's and Mistral's, and its ids for some texts.

Run: python3 -m pip install sentencepiece==0.2.3 tokenizers==0.23.3 && python3 tests/golden/metaspace/make.py

tokenizer.json: byte-pair encoding trained by SentencePiece on generated sentences; Metaspace cuts its texts, with the
prepend_scheme `first`.
expected.json: of each text, the ids by the package `tokenizers` under each prepend_scheme, and under transformers 4's
layout, where a normalizer puts a space before a text (`prepend`).

The ids of `prepend` and `never` are also those of llama.cpp with `tokenizer.ggml.add_space_prefix` on and off: its
algorithm (llm_tokenizer_spm and llama_vocab::impl::tokenize in src/llama-vocab.cpp) is written again below, with the
scores that Kindling's export gives the pieces, and compared on some thousands of texts.
"""

import copy
import heapq
import io
import json
import pathlib
import random
import re

import sentencepiece
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent
SPACE = "▁"
PLACES = "Orvel Tamsin Quillby Marrow Fenholt Isk".split()
BEASTS = "otter heron badger moth lynx newt".split()
THINGS = "lantern kettle ladder compass whistle saddle".split()
ADDED = [("<|user|>", True), ("<|end|>", True), ("<tool>", False)]
TEXTS = [
    "", "a", "The otter of Orvel found a lantern.", "In Fenholt there are 42 kettles and 1307 ladders.",
    "Two  spaces,   three,     five.", "A tab\tand a line\nand\r\nanother.\n", "trailing space ", "trailing spaces   ",
    " one space leads", "   three spaces lead", "\nline leads", SPACE + "sign leads", "inner" + SPACE + "sign",
    "naïve café, Straße, Привет", "今天天气很好", "こんにちは 안녕하세요 🙂👍🏽", "---===---  ....", "aaaaaaa bbbb   cccc",
    "<|user|>Where is the newt?<|end|>", "<s><|user|>\nWhere is the newt?<|end|>\n<|user|>", "see <tool> here",
    "<|end|> space behind", "text<|end|>  two spaces behind", "<s>Once", "<0x41> is no byte", "[PAD3] is no token",
]


def corpus():
    draw = random.Random(3)
    for _ in range(1500):
        place, beast, thing = draw.choice(PLACES), draw.choice(BEASTS), draw.choice(THINGS)
        near, number = draw.choice(THINGS), draw.randint(1, 99)
        yield f"The {beast} of {place} found a {thing} near the {near}, and it was {number}."
        yield f"In {place} there are {draw.randint(2, 20)}  {thing}s --- said the {beast}:    \"Where is {place}?\""


def train():
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=corpus(), model_writer=model, model_type="bpe", vocab_size=440, byte_fallback=True,
        split_digits=True, allow_whitespace_only_pieces=True, remove_extra_whitespaces=False, num_threads=1,
        normalization_rule_name="identity", character_coverage=0.999, minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def merges(pieces, scores):
    """Every cut of every piece into two, as `generate_merges` of transformers orders them."""
    found = []
    for piece, place in pieces.items():
        cuts = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
        cuts = [cut for cut in cuts if set(cut) <= pieces.keys()]
        cuts.sort(key=lambda cut: [pieces[part] for part in cut])
        found += [(scores[place], len(left), len(right), left, right) for left, right in cuts]
    return [list(merge[3:]) for merge in sorted(found, key=lambda merge: merge[:3], reverse=True)]


def tokenizer(trained):
    ids = range(trained.get_piece_size())
    pieces = {trained.id_to_piece(i): i for i in ids if not (trained.is_byte(i) or i < 3)}
    added = [(trained.id_to_piece(i), True) for i in range(3)] + ADDED
    places = [*range(3), *range(len(ids), len(ids) + len(ADDED))]
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False)
    text = {"Sequence": {"id": "A", "type_id": 0}}
    bos = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [
            {"id": i, "content": content} | flags | {"special": special} for i, (content, special) in zip(places, added)
        ],
        "normalizer": None,
        "pre_tokenizer": metaspace("first"),
        "post_processor": {
            "type": "TemplateProcessing", "single": [bos, text], "pair": [bos, text, bos, text],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": decoder(True),
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
            "vocab": {trained.id_to_piece(i): i for i in ids},
            "merges": merges(pieces, [trained.get_score(i) for i in ids]),
        },
    }


def metaspace(scheme):
    return {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": False}


def decoder(strip):
    space = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    first = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] * strip
    return {"type": "Sequence", "decoders": [space, {"type": "ByteFallback"}, {"type": "Fuse"}, *first]}


def layouts(first):
    """The same pieces in each layout, by name."""
    made = {scheme: copy.deepcopy(first) for scheme in ["first", "always", "never", "prepend"]}
    for scheme in ["always", "never"]:
        made[scheme]["pre_tokenizer"] = metaspace(scheme)
    made["never"]["decoder"] = decoder(False)
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    steps = [{"type": "Prepend", "prepend": SPACE}, replace]
    made["prepend"] |= {"normalizer": {"type": "Sequence", "normalizers": steps}, "pre_tokenizer": None}
    return {scheme: Tokenizer.from_str(json.dumps(layout)) for scheme, layout in made.items()}


class LlamaCpp:
    """What llama.cpp makes of a text, from what the exported file holds: pieces, scores and the flag."""

    def __init__(self, source, prefix):
        model, self.prefix = source["model"], prefix
        self.ids = model["vocab"] | {token["content"]: token["id"] for token in source["added_tokens"]}
        self.special = "|".join(re.escape(token["content"]) for token in source["added_tokens"])
        # The place of a piece's first merge.
        self.scores = {}
        for place, pair in enumerate(model["merges"]):
            self.scores.setdefault("".join(pair), -place)

    def encode(self, text):
        ids, behind_special = [], True
        for i, part in enumerate(re.split(f"({self.special})", text)):
            if i % 2:
                ids, behind_special = ids + [self.ids[part]], True
            elif part:
                ids, behind_special = ids + self.merged(" " * (self.prefix and behind_special) + part), False
        return ids

    def merged(self, text):
        symbols, queue = list(text.replace(" ", SPACE)), []
        before, behind = list(range(-1, len(symbols) - 1)), [*range(1, len(symbols)), -1]

        def pair(left, right):
            if min(left, right) >= 0 and (both := symbols[left] + symbols[right]) in self.ids:
                heapq.heappush(queue, (-self.scores.get(both, -len(self.ids)), left, right, both))

        for right in range(1, len(symbols)):
            pair(right - 1, right)
        while queue:
            _, left, right, both = heapq.heappop(queue)
            if not symbols[left] or not symbols[right] or symbols[left] + symbols[right] != both:
                continue
            symbols[left], symbols[right], behind[left] = both, "", behind[right]
            if behind[right] >= 0:
                before[behind[right]] = left
            pair(before[left], left)
            pair(left, behind[left])
        spelt = [[symbol] if symbol in self.ids else [f"<0x{b:02X}>" for b in symbol.encode()] for symbol in symbols]
        return [self.ids[piece] for pieces in spelt for piece in pieces if piece]


def random_texts(source, count):
    draw = random.Random(7)
    pieces = [piece.replace(SPACE, " ") for piece in source["model"]["vocab"] if not piece.startswith("<")]
    letters = sorted({letter for piece in pieces for letter in piece})
    odd = [" ", "  ", "-", "--", "a", "aa", ".", "\n", "=", "é", "你", "🙂", "7", *(token for token, _ in ADDED)]
    for i in range(count):
        kind = [pieces, letters, odd][i % 3]
        yield "".join(draw.choice(kind) for _ in range(draw.randint(1, 24)))


def main():
    trained = train()
    source = tokenizer(trained)
    tokenizers = layouts(source)
    ids = lambda scheme, text: tokenizers[scheme].encode(text, add_special_tokens=False).ids
    peers = {"prepend": LlamaCpp(source, True), "never": LlamaCpp(source, False)}
    for text in TEXTS + list(random_texts(source, 6000)):
        for scheme, peer in peers.items():
            assert ids(scheme, text) == peer.encode(text), (scheme, text)
        if not any(token in text for token in ["<s>", *(token for token, _ in ADDED)]):
            assert ids("prepend", text) == trained.encode(text), text
            assert text.startswith((" ", SPACE)) or ids("first", text) == ids("prepend", text), text
            assert ids("first", text) == ids("always", text), text
    expected = [
        {"text": text} | {scheme: ids(scheme, text) for scheme in tokenizers}
        for text in TEXTS + list(random_texts(source, 30))
    ]
    (HERE / "tokenizer.json").write_text(json.dumps(source, ensure_ascii=False) + "\n", encoding="utf-8")
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in expected)
    (HERE / "expected.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
