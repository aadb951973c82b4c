"""What the scripts of this folder share: the program beside which others compute, and a count of what holds."""

import argparse
import collections
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
FAMILIES = ROOT / "tests/golden/families"
NANO = ROOT / "web/model/kindling-nano.safetensors"
NEAR = 1e-4
program = pathlib.Path("kindling")
counts = collections.Counter()


def arguments(text, parts, *more):
    """The command line of a script: the program, an empty folder to work in, and which part to run."""
    global program
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("kindling", type=pathlib.Path, help="the program")
    parser.add_argument("folder", type=pathlib.Path, help="an empty directory to work in")
    parser.add_argument("--only", choices=parts, help="run this part alone")
    for flag, what in more:
        parser.add_argument(flag, type=pathlib.Path, help=what)
    args = parser.parse_args()
    program = args.kindling.resolve()
    args.folder.mkdir(parents=True, exist_ok=True)
    return args


def call(*words):
    command = [program, *map(str, words), "--device", "cpu", "--json", "--quiet"]
    return subprocess.run(command, capture_output=True, text=True)


def kindling(*words):
    """The last JSON line of a command."""
    run = call(*words)
    if run.returncode:
        raise RuntimeError(f"kindling {' '.join(map(str, words))}: {run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def refusal(*words):
    """Why a command fails, in its own words; nothing where it does not."""
    run = call(*words)
    return run.stderr.strip().removeprefix("error: ") if run.returncode else ""


def ids(tokens):
    """Tokens as the program takes them."""
    return ",".join(map(str, tokens))


def say(verdict, what):
    counts[verdict] += 1
    print(f"{verdict:<8}{what}", flush=True)


def check(what, holds):
    say("ok" if holds else "FAILED", what)


def near(what, off, limit=NEAR):
    check(f"{what}: {off:.1e} apart" + ("" if off <= limit else f", {limit:.0e} is allowed"), off <= limit)


def skip(what, why):
    say("skipped", f"{what}: {why}")


def finish():
    """Ends the script; a failed check is a failure."""
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['ok']} ok, {counts['FAILED']} failed{skipped}")
    sys.exit(counts["FAILED"] > 0)
