"""Shingles, MinHash minima and bands of a few made-up texts, in plain Python with big integers.

python3 tests/golden/minhash/make.py writes expected.json beside it; nothing but the standard library is needed.
"""
import hashlib
import json
import pathlib

PRIME = (1 << 61) - 1
BANDS, ROWS, LENGTH = 8, 6, 5

def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) % (1 << 64)
    return value

def unspaced(c):
    return "\u3040" <= c <= "\u30ff" or "\u3400" <= c <= "\u4dbf" or "\u4e00" <= c <= "\u9fff"

def tokens(text):
    found, word = [], ""
    for c in text + " ":
        if word and (not c.isalnum() or unspaced(c)):
            found.append(word)
            word = ""
        if unspaced(c):
            found.append(c)
        elif c.isalnum():
            word += c.lower()
    return found

def shingles(text):
    words = tokens(text)
    if not words:
        return [fnv1a(text.encode()) % PRIME]
    length = min(LENGTH, len(words))
    return [fnv1a(" ".join(words[i:i + length]).encode()) % PRIME for i in range(len(words) - length + 1)]

def permutation(number):
    digest = hashlib.sha256(f"kindling minhash {number}".encode()).digest()
    return (1 + int.from_bytes(digest[:8], "little") % (PRIME - 1), int.from_bytes(digest[8:16], "little") % PRIME)

PERMUTATIONS = [permutation(number) for number in range(BANDS * ROWS)]

def minima(hashes):
    return [min((a * x + b) % PRIME for x in hashes) for a, b in PERMUTATIONS]

def bands(least):
    keys = []
    for band in range(BANDS):
        data = b"".join(value.to_bytes(8, "little") for value in least[band * ROWS:(band + 1) * ROWS])
        value = fnv1a(data)
        keys.append((value >> 32) ^ (value & 0xFFFFFFFF))
    return keys

def jaccard(one, other):
    return len(set(one) & set(other)) / len(set(one) | set(other))

LAMP = "The old lamp of Venza hangs above the harbour, and every evening Orlin climbs the nine steps to light it."
TEXTS = [
    LAMP,
    LAMP.replace("nine", "ten"),
    LAMP.upper().replace(",", " --"),
    "米鲁住在北边的山洞里，每天早上去湖边喝水，再回来晒太阳。",
    "米鲁住在北边的山洞里，每天晚上去湖边喝水，再回来晒太阳。",
    "用 GPU2 训练 Kolo",
    "one two",
    "?!",
]

rows = []
first = shingles(TEXTS[0])
for text in TEXTS:
    hashes = shingles(text)
    least = minima(hashes)
    rows.append({"text": text, "shingles": hashes, "minima": least, "bands": bands(least),
                 "jaccard_with_first": jaccard(first, hashes)})
place = pathlib.Path(__file__).parent / "expected.json"
place.write_text(json.dumps({"permutations": PERMUTATIONS, "rows": rows}, ensure_ascii=False) + "\n")
