"""Writes the golden files of core/src/data/parquet with pyarrow: each .parquet beside the JSON lines that it must give.

Run: python3 -m pip install pyarrow==25.0.0 && python3 tests/golden/parquet/make.py

texts: gzip, plain values, two row groups, pages of version 1; large strings, and a column of strings as bytes.
conversations: Snappy, dictionaries, three row groups, pages of version 1; a list of objects with an optional field.
values: Zstandard, pages of version 2, delta encodings; every type, nested and null.
Nulls of structs are absent keys in the lines: Arrow pads all structs of a column to the same keys.
image and brotli have no JSON lines: bytes that are no text, and a compression that is not read.
"""

import datetime
import decimal
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent
ANIMALS = [("otter", "水獭"), ("heron", "苍鹭"), ("marmot", "旱獭"), ("lynx", "猞猁")]
PLACES = [("Quellmoor", "泉泽"), ("the Tin Harbour", "锡港"), ("Oberlinden", "上椴村")]


def unpadded(value, kind):
    """A value of this Arrow type without the nulls of its structs."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {field.name: unpadded(value[field.name], field.type) for field in kind if value[field.name] is not None}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [unpadded(item, kind.value_type) for item in value]
    return value


def write(name, rows, schema, lines=None, **options):
    """The file, and the lines that it must give: the rows, unless a value looks different in JSON."""
    pq.write_table(pa.Table.from_pylist(rows, schema), HERE / f"{name}.parquet", **options)
    lines = rows if lines is None else lines
    lines = [{field.name: unpadded(line[field.name], field.type) for field in schema} for line in lines]
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    (HERE / f"{name}.jsonl").write_text(text, encoding="utf-8", newline="\n")


def texts():
    for i in range(40):
        animal, place = ANIMALS[i % 4], PLACES[i % 3]
        if i % 2 == 0:
            yield {"text": f"The {animal[0]} of {place[0]} keeps {i} pebbles.\nIt counts them at dusk.", "note": None}
        else:
            yield {"text": f"{place[1]}的{animal[1]}藏着 {i} 颗卵石。\n黄昏时它会数一数。", "note": f"页 {i}"}


def conversations():
    for i in range(15):
        animal, place = ANIMALS[i % 4], PLACES[i % 3]
        messages = [
            {"role": "user", "content": f"Who lives in {place[0]}?", "reasoning_content": None},
            {"role": "assistant", "content": f"The {animal[0]}.", "reasoning_content": "Only one answer fits." * (i % 2)},
            {"role": "user", "content": f"{place[1]}呢？", "reasoning_content": None},
            {"role": "assistant", "content": f"是{animal[1]}。", "reasoning_content": None},
        ]
        system = {"role": "system", "content": "Answer \"briefly\".", "reasoning_content": None}
        yield {"id": i, "conversations": [system] * (i % 3 == 0) + messages[: 2 + i % 2 * 2]}


def values():
    """Each row, and the line that it must give where the two differ."""
    day = datetime.datetime(2031, 5, 17, 9, 5, 7, 250000)
    for i in range(18):
        full = i % 3 != 1
        row = {
            "text": f"Lantern {i} burns {'low' if i % 2 else 'high'}." if full else None,
            "byte": i - 15 if full else None,
            "unsigned": 2**64 - 1 - i,
            "small": 200 + i,
            "ratio": i / 8,
            "single": float(i) + 0.5 if full else None,
            "lit": i % 2 == 0,
            "name": f"lamp {i % 3}",
            "raw": f"字节 {i}".encode(),
            "price": decimal.Decimal(i * 25 - 100) / 100,
            "day": day.date(),
            "milli": day,
            "micro": day,
            "tags": [] if i % 4 == 0 else None if i % 4 == 1 else [f"t{i}", None, "光"],
            "grid": [[1, i], [], None, [i, None]] if full else [],
            "place": {"name": PLACES[i % 3][1], "at": {"x": i, "y": None}} if full else None,
            "steps": [{"do": "light", "with": [{"tool": "match", "count": i}]}, {"do": None, "with": None}, None],
            "sizes": [("wick", i), ("glass", None)] if full else [],
        }
        line = dict(row, raw=f"字节 {i}", day="2031-05-17", milli="2031-05-17 09:05:07.250 +00:00")
        line["micro"] = "2031-05-17 09:05:07.250000 +00:00"
        line["price"] = f"{row['price']:.2f}"
        line["sizes"] = dict(row["sizes"])
        yield row, line


def main():
    text = pa.schema([("text", pa.large_string()), ("note", pa.string())])
    v1 = {"version": "2.6", "data_page_version": "1.0", "data_page_size": 512, "write_batch_size": 8}
    write("texts", list(texts()), text, compression="gzip", use_dictionary=False, row_group_size=25, **v1)

    message = pa.struct([("role", pa.string()), ("content", pa.string()), ("reasoning_content", pa.string())])
    talk = pa.schema([pa.field("id", pa.int64(), nullable=False), ("conversations", pa.list_(message))])
    write("conversations", list(conversations()), talk, compression="snappy", row_group_size=6, **v1)

    place = pa.struct([("name", pa.string()), ("at", pa.struct([("x", pa.int32()), ("y", pa.float64())]))])
    tool = pa.struct([("tool", pa.string()), ("count", pa.int16())])
    step = pa.struct([("do", pa.large_string()), ("with", pa.large_list(tool))])
    every = pa.schema(
        [
            ("text", pa.string()),
            ("byte", pa.int8()),
            ("unsigned", pa.uint64()),
            ("small", pa.uint8()),
            ("ratio", pa.float64()),
            ("single", pa.float32()),
            ("lit", pa.bool_()),
            ("name", pa.dictionary(pa.int32(), pa.string())),
            ("raw", pa.binary()),
            ("price", pa.decimal128(9, 2)),
            ("day", pa.date32()),
            ("milli", pa.timestamp("ms")),
            ("micro", pa.timestamp("us")),
            ("tags", pa.list_(pa.string())),
            ("grid", pa.list_(pa.list_(pa.int64()))),
            ("place", place),
            ("steps", pa.list_(step)),
            ("sizes", pa.map_(pa.string(), pa.int32())),
        ]
    )
    rows, lines = zip(*values())
    encoding = {
        "text": "DELTA_BYTE_ARRAY",
        "raw": "DELTA_LENGTH_BYTE_ARRAY",
        "byte": "DELTA_BINARY_PACKED",
        "ratio": "BYTE_STREAM_SPLIT",
        "lit": "RLE",
    }
    v2 = {"version": "2.6", "data_page_version": "2.0", "store_schema": False, "row_group_size": 12}
    write(
        "values",
        list(rows),
        every,
        list(lines),
        compression="zstd",
        use_dictionary=["name", "tags.list.element"],
        column_encoding=encoding,
        write_statistics=False,
        **v2,
    )

    picture = pa.table({"text": ["a lamp", "a shade"], "image": [b"plain", b"\x89PNG\xff"]})
    pq.write_table(picture, HERE / "image.parquet", store_schema=False)
    pq.write_table(picture.select(["text"]), HERE / "brotli.parquet", compression="brotli", store_schema=False)


main()
