"""What a run tells others, opened by their own programs: TensorBoard, Weights & Biases, SwanLab, and Python's csv.

    python -B tests/interop/tracking.py KINDLING FOLDER [--only wandb]

KINDLING is the program, FOLDER an empty directory to work in; tests/interop/run installs what this needs. A run is stopped,
loses its last save and goes on, so that its last steps are told twice; everyone must see each step once, with the numbers of
the run's own log. `wandb sync` sends to a server of this script; nothing leaves the machine.
"""

import contextlib
import csv
import gzip
import http.server
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

from checks import arguments, check, finish, kindling, skip

PROMPT = "The 1. lamp"
TAGS = {"train/loss": "loss", "train/learning_rate": "lr", "train/grad_norm": "grad_norm", "train/num_input_tokens_seen": "tokens"}


def train(folder):
    """A run in two parts; its log's steps and measurements, by step."""
    rows = [{"text": f"The {i}. lamp stands beside the river and shines at night number {i * 37 % 101}."} for i in range(200)]
    docs, tokens, run = folder / "docs.jsonl", folder / "tok", folder / "run"
    docs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kindling("tokenizer", "train", "--data", docs, "--vocab-size", 300, "--out", tokens)
    kindling(
        "pretrain", "--data", docs, "--tokenizer", tokens, "--preset", "nano", "--steps", 12, "--stop-after", 9,
        "--batch-size", 2, "--max-seq-len", 32, "--log-every", 1, "--val-split", 0.1, "--eval-every", 4, "--save-every", 3,
        "--keep-last", 9, "--out", run, "--tensorboard", folder / "tb", "--wandb", folder, "--csv", folder / "m.csv",
        "--sample-every", 4, "--sample-prompt", PROMPT,
    )
    shutil.rmtree(run / "checkpoint-000009")
    kindling("pretrain", "--resume", "--out", run)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = {line["step"]: line for line in log if "event" not in line}
    evals = {line["step"]: line for line in log if line.get("event") == "eval"}
    samples = {line["step"]: line["text"] for line in log if line.get("event") == "sample"}
    check(f"the run logs {len(steps)} steps, {len(evals)} measurements, {len(samples)} samples",
          (len(steps), len(evals), len(samples)) == (12, 3, 3))
    return steps, evals, samples


def same(found, expected, narrow=False):
    """Pairs of step and value against the log's; `narrow` numbers were kept in 32 bits."""
    near = 1e-6 if narrow else 0.0
    return [step for step, _ in found] == list(expected) and all(
        math.isclose(value, expected[step], rel_tol=near) for step, value in found
    )


def of_log(lines, key):
    return {step: line[key] for step, line in lines.items()}


def test_csv(folder, steps, evals, samples):
    with open(folder / "m.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for tag, key in TAGS.items():
        check(f"csv: {tag}", same([(int(row["step"]), float(row[tag])) for row in rows], of_log(steps, key)))
    measured = [(int(row["step"]), float(row["eval/loss"])) for row in rows if row["eval/loss"]]
    check("csv: eval/loss", same(measured, of_log(evals, "loss")))


def test_tensorboard(folder, steps, evals, samples):
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        return skip("tensorboard", "it is not installed")
    found = EventAccumulator(str(folder / "tb"), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    scalars = lambda tag: [(event.step, event.value) for event in found.Scalars(tag)]
    for tag, key in TAGS.items():
        check(f"tensorboard: {tag}", same(scalars(tag), of_log(steps, key), narrow=True))
    check("tensorboard: eval/loss", same(scalars("eval/loss"), of_log(evals, "loss"), narrow=True))
    text = {event.step: event.tensor_proto.string_val[0].decode() for event in found.Tensors("samples/1")}
    check("tensorboard: samples", all(PROMPT in text[step] and said.split("\n")[0] in text[step] for step, said in samples.items()))
    check("tensorboard: settings", b"batch-size" in found.Tensors("settings")[0].tensor_proto.string_val[0])
    with board(folder / "tb") as ask:
        check("tensorboard serves its plugins", {"scalars", "text", "hparams"} <= set(ask("/data/plugins_listing") or {}))
        shown = ask("/data/plugin/scalars/scalars?" + urllib.parse.urlencode({"run": ".", "tag": "train/loss"})) or []
        check("tensorboard serves train/loss", same([(step, value) for _, step, value in shown], of_log(steps, "loss"), narrow=True))
        texts = ask("/data/plugin/text/tags") or {}
        check("tensorboard serves texts", set(texts.get(".", [])) == {"settings", "samples/1"})


@contextlib.contextmanager
def board(logs):
    """TensorBoard's own server; asks it for JSON, again and again until it has read the files."""
    words = [sys.executable, "-m", "tensorboard.main", "--logdir", logs, "--port", "0", "--host", "127.0.0.1"]
    server = subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    address = next(filter(None, (re.search(r"http://\S+?(?=/? \()", line) for line in server.stderr)))[0]
    threading.Thread(target=server.stderr.read, daemon=True).start()

    def ask(path):
        for _ in range(60):
            try:
                with urllib.request.urlopen(address + path) as answer:
                    if found := json.load(answer):
                        return found
            except urllib.error.HTTPError:
                pass
            time.sleep(0.5)

    try:
        yield ask
    finally:
        server.terminate()
        server.wait()


class Sync(http.server.BaseHTTPRequestHandler):
    """What `wandb sync` asks of its server, as far as it needs that; what it sends is kept."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def do_GET(self):
        self.answer({})

    def do_PUT(self):
        self.server.files[self.path.removeprefix("/up/")] = self.body()
        self.answer({})

    def do_POST(self):
        body = self.body()
        if self.path.endswith("/graphql"):
            asked = json.loads(body)
            self.answer({"data": self.graph(asked.get("operationName"), asked.get("variables", {}))})
        elif self.path.endswith("/file_stream"):
            for name, chunk in (json.loads(body).get("files") or {}).items():
                self.server.streams.setdefault(name, {}).update(enumerate(chunk["content"], chunk["offset"]))
            self.answer({"limits": {}})
        else:
            self.answer({})

    def graph(self, operation, asked):
        if operation == "UpsertBucket":
            self.server.run.update({key: value for key, value in asked.items() if value})
            project = {"id": "p", "name": asked.get("project"), "entity": {"id": "e", "name": "someone"}}
            bucket = {"id": "r", "name": asked.get("name"), "displayName": asked.get("displayName"), "description": "",
                      "config": "{}", "sweepName": None, "project": project, "historyLineCount": 0}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if operation == "CreateRunFiles":
            place = f"http://127.0.0.1:{self.server.server_port}/up/"
            files = [{"name": name, "uploadUrl": place + name} for name in asked["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        if operation == "Viewer":
            return {"viewer": {"id": "v", "entity": "someone", "username": "someone", "flags": "{}", "teams": {"edges": []}}}
        return {}


@contextlib.contextmanager
def sync_server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sync)
    server.run, server.files, server.streams = {}, {}, {}
    server.handle_error = lambda *_: None  # a client that closes early
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()


def test_wandb(folder, steps, evals, samples):
    program = pathlib.Path(sys.executable).with_name("wandb")
    if not program.exists():
        return skip("wandb", "it is not installed")
    runs = list((folder / "wandb").glob("offline-run-*"))
    identity = json.loads((folder / "run/training/tracking.json").read_text())["id"]
    check("wandb: one run with one identity", [run.name.split("-")[-1] for run in runs] == [identity])
    with sync_server() as server:
        own = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
        own |= {"WANDB_BASE_URL": f"http://127.0.0.1:{server.server_port}", "WANDB_API_KEY": "a" * 40,
                "HOME": str(folder), "NO_PROXY": "127.0.0.1"}
        done = subprocess.run([program, "sync", runs[0]], env=own, cwd=folder, capture_output=True, text=True, timeout=300)
        check("wandb sync takes it" + (f": {done.stderr}" if done.returncode else ""), done.returncode == 0)
        history = [json.loads(line) for _, line in sorted(server.streams.get("wandb-history.jsonl", {}).items())]
        rows = lambda tag: [(row["_step"], row[tag]) for row in history if tag in row]
        for tag, key in TAGS.items():
            check(f"wandb: {tag}", same(rows(tag), of_log(steps, key)))
        check("wandb: eval/loss", same(rows("eval/loss"), of_log(evals, "loss")))
        check("wandb: samples", [step for step, _ in rows("samples/1")] == list(samples))
        summary = json.loads(server.files.get("wandb-summary.json", b"{}"))
        check("wandb: the summary has the last values", summary.get("train/loss") == steps[12]["loss"])
        config = json.loads(server.run.get("config", "{}"))
        check("wandb: the settings", config.get("batch-size", {}).get("value") == 2)
        check("wandb: its name and project", (server.run.get("name"), server.run.get("project")) == (identity, "kindling"))
        check("wandb: the file of settings", b"batch-size" in server.files.get("settings.toml", b""))


def test_swanlab(folder, steps, evals, samples):
    try:
        import swanlab
        from swanlab.converter.tfb.converter import TFBConverter
        from swanlab.converter.tfb.utils import find_tfevents, get_tf_events_tags_data, get_tf_events_tags_type
    except ImportError:
        return skip("swanlab", "it is not installed")
    seen = {}
    # It reads each file by itself, and begins a run of its own for it: the later file's steps count.
    for path in sorted(path for paths in find_tfevents(str(folder / "tb")).values() for path in paths):
        for step, value, _ in get_tf_events_tags_data(path, get_tf_events_tags_type(path))["train/loss"]:
            seen[step] = value
    check("swanlab: train/loss", same(sorted(seen.items()), of_log(steps, "loss"), narrow=True))
    # `swanlab convert` logs in first, even where it sends nothing.
    swanlab.login = lambda **_: None
    place = folder / "swanlab"
    try:
        TFBConverter(mode="offline", log_dir=str(place), types="scalar,text").run(str(folder / "tb"))
        check("swanlab convert takes both files", len(list(place.glob("run-*/*.swanlab"))) == 2)
    except Exception as error:
        check(f"swanlab convert takes both files: {error!r}", False)


TESTS = {"csv": test_csv, "tensorboard": test_tensorboard, "wandb": test_wandb, "swanlab": test_swanlab}

if __name__ == "__main__":
    args = arguments(__doc__, list(TESTS))
    told = train(args.folder.resolve())
    for name, test in TESTS.items():
        if args.only in (None, name):
            test(args.folder.resolve(), *told)
    finish()
