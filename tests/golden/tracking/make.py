"""Event files of TensorBoard and a file of an offline run of wandb, each made of the real package's own messages.

    python3 -m venv v && v/bin/pip install tensorboard wandb && v/bin/python tests/golden/tracking/make.py

`new.tfevents` and `resumed.tfevents` are what native/src/tracking/event_file.rs tells in its test, written by TensorBoard's
own RecordWriter; `run.wandb` is what wandb.rs tells, in the log that `wandb sync` reads. Times are fixed.
"""

import io
import pathlib
import struct
import zlib

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.summary.writer.record_writer import RecordWriter
from wandb.proto import wandb_internal_pb2

HERE = pathlib.Path(__file__).parent
BEGAN = 1_700_000_000.5
SETTINGS = 'batch-size = 4\nname = "a"\n'


def indented(text):
    return "".join(f"    {line}\n" for line in text.splitlines())


def add_text(summary, tag, markdown):
    value = summary.value.add(tag=tag)
    value.metadata.plugin_data.plugin_name = "text"
    value.tensor.dtype = 7  # DT_STRING
    value.tensor.tensor_shape.dim.add(size=1)
    value.tensor.string_val.append(markdown.encode())


def add_hparams(summary, tag, content):
    value = summary.value.add(tag=tag)
    value.metadata.plugin_data.plugin_name = "hparams"
    value.metadata.plugin_data.content = content.SerializeToString(deterministic=True)
    # One zero: SwanLab takes it for a number, and knows no value without any.
    value.tensor.dtype = 1  # DT_FLOAT
    value.tensor.float_val.append(0.0)


def events(first_step):
    """A run's events: a new one's, or those of one that goes on with a step."""
    yield event_pb2.Event(wall_time=BEGAN, file_version="brain.Event:2")
    if first_step:
        log = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        yield event_pb2.Event(wall_time=BEGAN, step=first_step, session_log=log)
    else:
        content = plugin_data_pb2.HParamsPluginData()
        content.session_start_info.hparams["batch-size"].number_value = 4
        content.session_start_info.hparams["name"].string_value = "a"
        content.session_start_info.hparams["packing"].bool_value = True
        content.session_start_info.start_time_secs = BEGAN
        summary = summary_pb2.Summary()
        add_hparams(summary, "_hparams_/session_start_info", content)
        add_text(summary, "settings", indented(SETTINGS))
        yield event_pb2.Event(wall_time=BEGAN, summary=summary)
    summary = summary_pb2.Summary()
    summary.value.add(tag="train/loss", simple_value=2.5)
    summary.value.add(tag="train/grad_norm", simple_value=0.0)
    yield event_pb2.Event(wall_time=BEGAN + 1, step=1, summary=summary)
    summary = summary_pb2.Summary()
    summary.value.add(tag="train/loss", simple_value=float("nan"))
    yield event_pb2.Event(wall_time=BEGAN + 2, step=2, summary=summary)
    summary = summary_pb2.Summary()
    add_text(summary, "samples/1", indented("Once") + "\n\n---\n\n" + indented("upon a\ntime 好"))
    yield event_pb2.Event(wall_time=BEGAN + 2, step=2, summary=summary)
    if not first_step:
        content = plugin_data_pb2.HParamsPluginData()
        content.session_end_info.status = 1  # STATUS_SUCCESS
        content.session_end_info.end_time_secs = BEGAN + 3
        summary = summary_pb2.Summary()
        add_hparams(summary, "_hparams_/session_end_info", content)
        yield event_pb2.Event(wall_time=BEGAN + 3, step=3, summary=summary)


def write_events(name, first_step):
    file = io.BytesIO()
    writer = RecordWriter(file)
    for event in events(first_step):
        writer.write(event.SerializeToString(deterministic=True))
    (HERE / name).write_bytes(file.getvalue())


def records():
    """What an offline run tells, in the order in which it does."""
    new = wandb_internal_pb2.Record
    record = new()
    record.header.version_info.producer = "kindling"
    yield record
    record = new()
    run = record.run
    run.run_id, run.project, run.job_type, run.display_name, run.host = "abcd1234", "kindling", "sft", "sft-003", "host"
    run.config.update.add(key="batch-size", value_json="4")
    run.start_time.seconds, run.start_time.nanos = 1_700_000_000, 500_000_000
    yield record
    record = new()
    place = record.environment
    place.os, place.program, place.host, place.cpu_count, place.writer_id = "linux", "kindling", "host", 2, "abcd1234"
    place.args.append("sft")
    place.started_at.seconds, place.started_at.nanos = 1_700_000_000, 500_000_000
    yield record
    record = new()
    record.files.files.add(path="settings.toml")
    yield record
    for step, values in [
        (1, {"train/loss": "2.5", "eval/loss": "Infinity"}),
        (2, {"train/loss": "NaN", "samples/1": '"Once\\n\\n好 \\"x\\""'}),
    ]:
        own = {"_step": str(step), "_timestamp": str(BEGAN + step), "_runtime": f"{step}.0"}
        row, newest = new(), new()
        for key, value in (own | values).items():
            row.history.item.add(key=key, value_json=value)
            newest.summary.update.add(key=key, value_json=value)
        row.history.step.num = step
        yield row
        yield newest
    record = new()
    record.exit.exit_code, record.exit.runtime = 1, 3
    yield record


def write_records(name):
    file = bytearray(b":W&B" + struct.pack("<HB", 0xBEE1, 0))
    for number, record in enumerate(records(), 1):
        record.num = number
        data = record.SerializeToString(deterministic=True)
        file += struct.pack("<IHB", zlib.crc32(data, zlib.crc32(b"\x01")), len(data), 1) + data
    assert len(file) < 32_768, "records that go over a block's end are parted"
    (HERE / name).write_bytes(file)


write_events("new.tfevents", 0)
write_events("resumed.tfevents", 2)
write_records("run.wandb")
