"""What the scripts of this folder share: the program beside which others compute, and a count of what holds."""

import argparse
import collections
import contextlib
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
lists = False


def arguments(text, parts, *more):
    """The command line of a script: the program, an empty folder to work in, which part to run, and `more` flags: each with
    what it says and its type, a path where there is none."""
    global program, lists
    parser = argparse.ArgumentParser(description=text.splitlines()[0])
    parser.add_argument("kindling", type=pathlib.Path, help="the program")
    parser.add_argument("folder", type=pathlib.Path, help="an empty directory to work in")
    parser.add_argument("--only", choices=parts, help="run this part alone")
    parser.add_argument("--list", action="store_true", help="print all numbers beside those of the others, in tables")
    for flag, what, *kind in more:
        parser.add_argument(flag, type=kind[0] if kind else pathlib.Path, help=what)
    args = parser.parse_args()
    program, lists = args.kindling.resolve(), args.list
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


@contextlib.contextmanager
def serving(model, *flags):
    """A server of a model, as NAME=PLACE; its address."""
    words = ["serve", "--model", model, "--port", "0", "--device", "cpu", "--json", "--quiet", *map(str, flags)]
    server = subprocess.Popen([program, *words], stdout=subprocess.PIPE, text=True)
    try:
        yield json.loads(server.stdout.readline())["url"]
    finally:
        server.terminate()
        check("serve ends with 0 when it is asked to end", server.wait(60) == 0)


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


def apart(found, expected):
    """The largest difference, as a share of what was expected; infinite where the numbers differ in count."""
    if len(found) != len(expected):
        return float("inf")
    return max(abs(a - b) / abs(b) for a, b in zip(found, expected))


def alike(what, found, expected, limit, sides=("kindling", "PyTorch")):
    """Numbers of two sides, one a step; with --list all of them are printed."""
    near(what, apart(found, expected), limit)
    if lists:
        print(f"\n### {what}\n\n| step | {sides[0]} | {sides[1]} | apart |\n| ---: | ---: | ---: | ---: |")
        for step, (own, other) in enumerate(zip(found, expected), 1):
            print(f"| {step} | {own:.9f} | {other:.9f} | {abs(own - other) / abs(other):.1e} |")
        print(f"\nlargest relative difference: {apart(found, expected):.1e}\n", flush=True)


def skip(what, why):
    say("skipped", f"{what}: {why}")


def finish():
    """Ends the script; a failed check is a failure."""
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['ok']} ok, {counts['FAILED']} failed{skipped}")
    sys.exit(counts["FAILED"] > 0)
