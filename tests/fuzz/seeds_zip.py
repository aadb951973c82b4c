"""Archives for seeds.py: PyTorch's files, whose pickles are written by hand, and those of directories."""

import io
import struct
import zipfile
import zlib

HUGE = 1 << 63


def archive(files, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as whole:
        for name, content in files:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            whole.writestr(info, content)
    return out.getvalue()


def word(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value) if abs(value) >= 1 << 31 else b"J" + struct.pack("<i", value)


def numbers(values):
    return b"(" + b"".join(number(value) for value in values) + b"t"


def tensor(key="0", count=16, shape=(4, 4), strides=None, offset=0, storage="FloatStorage"):
    """`_rebuild_tensor_v2(storage, offset, shape, strides, …)`."""
    if strides is None:
        strides, step = [], 1
        for size in reversed(shape):
            strides.insert(0, step)
            step *= size
    persistent = b"(" + word("storage") + f"ctorch\n{storage}\n".encode() + word(key) + word("cpu") + number(count)
    arguments = persistent + b"tQ" + number(offset) + numbers(shape) + numbers(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"\x89ccollections\nOrderedDict\n)RtR"


def state(entries, protocol=2):
    """An ordered dictionary of these."""
    items = b"".join(word(name) + content for name, content in entries)
    return b"\x80" + bytes([protocol]) + b"ccollections\nOrderedDict\n)R(" + items + b"u."


def torch(pickle, storages=None, **options):
    storages = {"0": bytes(64)} if storages is None else storages
    return archive([("x/data.pkl", pickle), *((f"x/data/{key}", data) for key, data in storages.items())], **options)


def minimind():
    """A model of two heads, whose tensors all begin in one storage."""
    rows = {"q_proj": [4, 4], "k_proj": [2, 4], "v_proj": [2, 4], "o_proj": [4, 4]}
    shapes = {f"model.layers.0.self_attn.{name}.weight": shape for name, shape in rows.items()}
    shapes |= {f"model.layers.0.mlp.{name}_proj.weight": [2, 4] for name in ("gate", "up")}
    shapes |= {"model.embed_tokens.weight": [4, 4], "model.norm.weight": [4]}
    shapes |= {"model.layers.0.mlp.down_proj.weight": [4, 2]}
    shapes |= {f"model.layers.0.{name}_layernorm.weight": [4] for name in ("input", "post_attention")}
    return state((name, tensor(shape=shape)) for name, shape in shapes.items())


def code():
    """What Python would run."""
    yield "os-system", b"cos\nsystem\n(" + word("id") + b"tR."
    yield "builtins-eval", b"cbuiltins\neval\n(" + word("1") + b"tR."
    yield "posix-system", b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R."
    yield "own-class", b"c__main__\nModel\n)\x81}b."
    yield "inst", b"(" + word("id") + b"ios\nsystem\n."
    yield "obj", b"(cos\nsystem\n" + word("id") + b"o."
    yield "extension", b"\x82\x01."
    yield "torch-load", b"ctorch.hub\nload\n)R."
    yield "reduce-of-a-reduce", b"ccollections\nOrderedDict\n)R)R."
    yield "getattr", b"cbuiltins\ngetattr\n(ccollections\nOrderedDict\n" + word("__class__") + b"tR."
    yield "code-among-tensors", state([("w", tensor()), ("x", b"cos\nsystem\n)R")])


def machine():
    """What a machine without bounds would stumble over."""
    yield "deep-lists", b"]" * 5000 + b"a" * 4999 + b"."
    yield "deep-tuples", b")" + b"\x85" * 5000 + b"."
    yield "itself", b"]q\0h\0a."
    yield "copies-of-copies", b"Nq\0" + (b"(" + b"h\0" * 50 + b"tq\0") * 50 + b"."
    yield "long-of-2-gb", b"\x8b\xff\xff\xff\x7f."
    yield "long-negative", b"\x8b\xff\xff\xff\xff."
    yield "text-of-4-gb", b"X\xff\xff\xff\xffa."
    yield "text-of-all", b"\x8d" + b"\xff" * 8 + b"a."
    yield "bytes-of-half-of-all", b"\x8e" + struct.pack("<Q", HUGE - 1) + b"."
    yield "frame-of-all", b"\x80\x04\x95" + b"\xff" * 8 + b"}."
    yield "put-last", b"Nr\xff\xff\xff\xff."
    yield "get-last", b"j\xff\xff\xff\xff."
    yield "put-many", b"".join(b"Nr" + struct.pack("<I", place * 65537) for place in range(500)) + b"."
    yield "name-without-end", b"cos"
    yield "pop-nothing", b"0."
    yield "close-nothing", b"t."
    yield "below-a-mark", b"K\x01(0."
    yield "key-without-value", b"}(K\x01u."
    yield "add-to-a-number", b"K\x01K\x02a."
    yield "call-a-number", b"K\x01)R."
    yield "refer-to-a-number", b"K\x01Q."
    yield "no-end", b"}"
    yield "no-tensors", b"}."
    yield "protocol-0", b"(dp0\n."


def views():
    """Tensors beyond their storage of 16 numbers."""
    yield "size-beyond", {"shape": (17,), "count": 17}
    yield "count-huge", {"shape": (1,), "count": HUGE - 1}
    yield "shape-huge", {"shape": (HUGE - 1, HUGE - 1), "strides": (0, 0)}
    yield "one-number-repeated", {"shape": (1 << 40,), "strides": (0,)}
    yield "offset-beyond", {"offset": 1}
    yield "offset-huge", {"offset": HUGE - 1, "strides": (HUGE - 1, HUGE - 1)}
    yield "offset-negative", {"offset": -1}
    yield "shape-negative", {"shape": (-4, -4)}
    yield "strides-negative", {"strides": (-4, 1)}
    yield "strides-beyond", {"strides": (9, 1)}
    yield "strides-of-another-shape", {"strides": (1,)}
    yield "many-axes", {"shape": (1,) * 17}
    yield "a-storage-that-is-not-there", {"key": "9"}
    yield "a-storage-elsewhere", {"key": "../../../etc/passwd"}
    yield "quantised", {"storage": "QUInt8Storage"}


def pickle():
    kinds = {"HalfStorage": 32, "BFloat16Storage": 32, "DoubleStorage": 8, "LongStorage": 8, "ByteStorage": 64}
    lora = state((f"model.layers.0.self_attn.v_proj.lora.{half}.weight", tensor(shape=shape))
                 for half, shape in [("A", (2, 4)), ("B", (2, 2))])
    empty = [(str(i), tensor(key=f"none{i}", shape=(0,), count=0)) for i in range(20)]
    good = torch(state([("w", tensor())]))
    yield "opens-file", good
    yield "opens-pickle", state([("w", tensor())])
    yield "opens-protocol-4", state([("w", tensor())], protocol=4)
    yield "opens-number-types", state((name, tensor(shape=(4,), count=count, storage=name))
                                      for name, count in kinds.items())
    yield "opens-views", state([("t", tensor(strides=(1, 4))), ("s", tensor(shape=(), offset=15)),
                                ("r", tensor(shape=(3, 4), strides=(0, 1)))])
    yield "opens-empty-tensors-of-nowhere", torch(state([("w", tensor()), *empty]))
    yield "opens-training", b"\x80\x02}(" + word("model") + state([("w", tensor())])[2:-1] + word("step") + b"K\x03u."
    yield "opens-minimind", minimind()
    yield "opens-lora", lora
    for name, content in [*code(), *machine()]:
        yield f"refused-{name}", content
    for name, change in views():
        yield f"refused-view-{name}", state([("w", tensor(**change))])
    yield "refused-same-name-twice", state([("w", tensor()), ("w", tensor())])
    yield "refused-file-cut", good[:-5]
    yield "refused-file-of-old-torch", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
    yield "refused-file-compressed", torch(state([("w", tensor())]), method=zipfile.ZIP_DEFLATED)
    yield "refused-file-without-pickle", archive([("x/data/0", bytes(64))])
    yield "refused-file-big-endian", archive([("x/data.pkl", state([("w", tensor())])), ("x/byteorder", b"big"),
                                              ("x/data/0", bytes(64))])
    yield "refused-file-with-a-wrong-checksum", good.replace(bytes(64), b"\x01" + bytes(63))
    yield "refused-file-of-overlapping-parts", overlapping()


def central(name, offset, packed, size, checksum=0, method=0, flags=0):
    """An entry of the directory at an archive's end."""
    head = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, flags, method, 0, 33, checksum, packed, size, len(name), 0,
                       0, 0, 0, 0, offset)
    return head + name


def local(name, data, size, checksum, method=0):
    sizes = (checksum, len(data), size, len(name), 0)
    return struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, method, 0, 33, *sizes) + name + data


def closed(parts, entries, count=None, comment=0):
    directory = b"".join(entries)
    count = len(entries) if count is None else count
    sizes = (count, count, len(directory), len(parts), comment)
    return parts + directory + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, *sizes)


def overlapping():
    """Ten storages that are one part of the archive."""
    data = state((f"w{i}", tensor(key=str(i))) for i in range(10))
    first = local(b"x/data.pkl", data, len(data), zlib.crc32(data))
    second = local(b"x/data/0", bytes(3000), 3000, zlib.crc32(bytes(3000)))
    entries = [central(b"x/data/%d" % i, len(first), 3000, 3000, zlib.crc32(bytes(3000))) for i in range(10)]
    return closed(first + second, [central(b"x/data.pkl", 0, len(data), len(data), zlib.crc32(data)), *entries])


def zips():
    config = ("config.json", b"{}")
    zeros = bytes(65 << 20)
    bomb, checksum = zlib.compress(zeros, 9)[2:-4], zlib.crc32(zeros)
    yield "opens-stored", archive([config, ("training/progress.json", b"1")])
    yield "opens-deflated", archive([config], zipfile.ZIP_DEFLATED)
    yield "opens-folders", archive([("my model/", b""), ("my model/config.json", b"{}"), ("__MACOSX/._a", b"x")])
    yield "opens-paths-without-following-them", archive([("../../a", b"a"), ("/etc/b", b"b"), ("C:\\c", b"c")])
    yield "opens-nothing", archive([])
    yield "refused-two-directories", archive([("a/config.json", b"{}"), ("b/config.json", b"{}")])
    for name in ("..", "a/..", "training/..", "."):
        yield f"refused-named-{name.replace('/', '-')}", archive([(name, b"a")])
    yield "refused-bomb", closed(local(b"model.safetensors", bomb, len(zeros), checksum, 8), [
        central(b"model.safetensors", 0, len(bomb), len(zeros), checksum, 8)])
    small = zlib.compress(bytes(1 << 20), 9)[2:-4]
    hidden = [central(b"a", 0, len(small), 1, 0, 8)]
    yield "refused-bomb-that-hides-its-size", closed(local(b"a", small, 1, 0, 8), hidden)
    part = local(b"a", bytes(3000), 3000, zlib.crc32(bytes(3000)))
    yield "refused-many-names-for-one-part", closed(part, [
        central(bytes([name]), 0, 3000, 3000, zlib.crc32(bytes(3000))) for name in b"abcdefghij"])
    yield "refused-a-thousand-files", closed(b"", [central(b"%x" % i, 0, 0, 0) for i in range(1001)])
    good = archive([("config.json", b"a" * 300)])
    for cut in (0, 10, len(good) // 2, len(good) - 1):
        yield f"refused-cut-at-{cut}", good[:cut]
    yield "refused-changed", good.replace(b"aaaa", b"aaab", 1)
    entry = central(b"a", 0, 3000, 3000, zlib.crc32(bytes(3000)))
    yield "refused-more-entries-than-there-are", closed(part, [entry], count=65_534)
    yield "refused-a-comment-beyond-the-end", closed(part, [entry], comment=65_535)
    yield "refused-a-part-beyond-the-end", closed(part, [central(b"a", 0, 2**32 - 2, 3000)])
    yield "refused-a-header-beyond-the-end", closed(part, [central(b"a", 2**32 - 2, 3000, 3000)])
    yield "refused-an-unknown-compression", closed(part, [central(b"a", 0, 3000, 3000, 0, 99)])
    yield "refused-encrypted", closed(part, [central(b"a", 0, 3000, 3000, 0, 0, 1)])
    zip64 = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1 << 40, 1 << 40, 1 << 50, len(part))
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(part), 1)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65_535, 65_535, 2**32 - 1, 2**32 - 1, 0)
    yield "refused-a-million-million-entries", part + zip64 + locator + end
