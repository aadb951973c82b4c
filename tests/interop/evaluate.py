"""Kindling beside lm-evaluation-harness 0.4.13, three ways: `eval`, the harness's own `hf`, and its `local-completions`
before `serve`, with ids and with texts. All take the same choices on the same files.

    python -B tests/interop/evaluate.py KINDLING FOLDER --shared ../shared [--checkpoint PLACE] [--items N|all] [--sets a,b]
        [--only zero|shots|template|multiturn] [--list]

KINDLING is the program, FOLDER an empty directory to work in, PLACE a checkpoint of any form (the page's own model without
it); tests/interop/run installs what this needs. The files are those of ../shared/data/eval: the first N questions of each
set, as many of each subject, without examples, with five, through the chat template, and with five turns through it. What
differs must be a near tie, and is listed.
"""

import json
import math
import pathlib

from checks import NANO, arguments, call, check, finish, kindling, serving, skip
from harness import SETS, answered, askable, asked, hf, limit_of, served, some_subjects

# Few enough to be asked in every run, a minute or so of one core.
USUAL_ITEMS = 8
# Texts are served as ids are, once they are cut into tokens: these are enough.
MOST_TEXTS = 24
# Examples before each question, and whether the chat template is applied.
PARTS = {"zero": (0, False), "shots": (5, False), "template": (0, True), "multiturn": (5, True)}
# Log-likelihoods that are as near are a tie between programs that add in another order.
NEAR_TIE, SAME = 1e-4, 0.995
COLUMNS = "set | examples | template | questions | eval | serve, ids | serve, texts | all the same | farthest apart"


def count_of(text):
    """A number of questions, or all."""
    return math.inf if text == "all" else int(text)


def opened(place, folder):
    """A directory that transformers opens, of a checkpoint of any form."""
    if (place / "config.json").is_file() and (place / "tokenizer.json").is_file():
        return place
    kindling("export", "--to", "hf", "--model", place, "--out", folder / "checkpoint")
    return folder / "checkpoint"


def here(checkpoint, name, data, work, limit, shots, template):
    """What `eval` finds of each question."""
    items = work / f"{name}-{shots}-{template}.jsonl"
    words = ["eval", "--model", checkpoint, "--task", name, "--data", data, "--shots", shots, "--items", items]
    words += ["--limit", limit] if limit else []
    words += ["--apply-chat-template"] if template else []
    run = call(*words)
    if run.returncode:
        raise RuntimeError(run.stderr)
    lines = [json.loads(line) for line in items.read_text().splitlines()]
    likeliest = all(line["chosen"] == best(line["log_likelihoods"]) for line in lines)
    check(f"{name}, {shots} examples: eval chooses what it finds likeliest", likeliest)
    return {(line["subject"], line["id"]): line["log_likelihoods"] for line in lines}


def best(values):
    """The choice that is taken: the first of the likeliest."""
    return values.index(max(values))


def margin(values):
    first, second = sorted(values, reverse=True)[:2]
    return first - second


def beside(what, way, found, expected):
    """Checks one way's log-likelihoods beside the harness's `hf`; the questions chosen otherwise, and how far apart."""
    far = max((abs(a - b) for place in found for a, b in zip(found[place], expected[place], strict=True)), default=0.0)
    other = [place for place in found if best(found[place]) != best(expected[place])]
    for place in other:
        print(f"        {what}, {way} {place}: another choice, {margin(expected[place]):.1e} between the best two")
    same = 1 - len(other) / max(len(found), 1)
    ties = all(margin(expected[place]) < NEAR_TIE for place in other)
    check(f"{what}, {way}: {same:.2%} of {len(found)} choices as hf, log-likelihoods at most {far:.1e} apart",
          found and same >= SAME and ties)
    return other, far


class Comparison:
    """A checkpoint, asked in every way."""

    def __init__(self, url, checkpoint, data, work):
        self.checkpoint, self.data, self.work = checkpoint, data, work
        self.hf = hf(checkpoint)
        self.ways = {
            "serve, ids": served(url, checkpoint, self.hf, True), "serve, texts": served(url, checkpoint, self.hf, False),
        }
        self.rows = []

    def of(self, name, items, shots, template):
        limit = limit_of(name, self.data, items)
        what = f"{name}, {shots} examples" + (", chat template" if template else "")
        ours = here(self.checkpoint, name, self.data, self.work, limit, shots, template)
        requests = asked(self.hf, name, self.data, limit, shots, template)
        marked = answered(self.hf, requests)
        expected = {place: [value for value, _ in values] for place, values in marked.items()}
        check(f"{what}: the same {len(expected)} questions", ours.keys() == expected.keys())
        results = {"eval": (len(ours), *beside(what, "eval", ours, expected))}
        for way, api in self.ways.items():
            result = self.served(what, way, api, (name, limit, shots, template), requests, marked)
            if result:
                results[way] = result
        differing = set().union(*(other for _, other, _ in results.values()))
        shares = [self.share(results.get(way)) for way in ("eval", *self.ways)]
        whole = 1 - len(differing) / max(len(expected), 1)
        far = max(far for _, _, far in results.values())
        yes = "yes" if template else "no"
        self.rows.append([name, str(shots), yes, str(len(expected)), *shares, f"{whole:.2%}", f"{far:.1e}"])

    def share(self, result):
        if not result:
            return "–"
        count, other, _ = result
        return f"{count - len(other)} of {count}"

    def served(self, what, way, api, how, requests, marked):
        """How many are asked through the server, and what comes of it."""
        template = how[-1]
        if template and not api.tokenized_requests:
            # The harness then sends conversations, of which nobody tells likelihoods.
            return None
        if template:
            own = asked(api, how[0], self.data, *how[1:])
            same = all([one.args for one in own[place]] == [one.args for one in requests[place]] for place in requests)
            check(f"{what}, {way}: local-completions asks what hf asks", same and own.keys() == requests.keys())
        if not api.tokenized_requests:
            requests = dict(list(requests.items())[:: math.ceil(len(requests) / MOST_TEXTS)])
        fit = askable(api, requests)
        if len(fit) < len(requests):
            why = "longer than it sends" if api.tokenized_requests else "longer, or their text has other ids"
            print(f"        {what}, {way}: {len(requests) - len(fit)} of {len(requests)} questions are left out: {why}")
        if not fit:
            skip(f"{what}, {way}", "no question fits")
            return None
        found = answered(api, fit)
        values = {place: [value for value, _ in found[place]] for place in found}
        expected = {place: [value for value, _ in marked[place]] for place in fit}
        marks = [(a[1], b[1]) for place in fit for a, b in zip(found[place], marked[place], strict=True)]
        same = sum(a == b for a, b in marks) / len(marks)
        check(f"{what}, {way}: {same:.2%} of the choices are greedy or not as hf says", same >= SAME)
        return (len(fit), *beside(what, way, values, expected))

    def show(self):
        print(f"\n| {COLUMNS} |\n|---|---:|---|---:|---:|---:|---:|---:|---:|")
        for row in self.rows:
            print(f"| {' | '.join(row)} |")


def main():
    args = arguments(
        __doc__, PARTS, ("--shared", "reference data"), ("--checkpoint", "a model to ask"),
        ("--items", "questions of each set, or all", count_of), ("--sets", "some of the sets, with commas", str),
    )
    data = (args.shared or pathlib.Path("../shared")) / "data/eval"
    if not data.is_dir():
        skip("all", f"{data} is absent")
        return finish()
    if args.items != math.inf:
        some_subjects(data, args.folder, args.items or USUAL_ITEMS)
        data = args.folder
    checkpoint = opened(args.checkpoint or NANO, args.folder)
    with serving(f"asked={checkpoint}", "--queue", 1000) as url:
        comparison = Comparison(url, checkpoint, data, args.folder)
        for part, (shots, template) in PARTS.items():
            if args.only not in (None, part):
                continue
            if template and not comparison.hf.tokenizer.chat_template:
                skip(part, f"{checkpoint} has no chat template")
                continue
            for name in args.sets.split(",") if args.sets else SETS:
                comparison.of(name, args.items or USUAL_ITEMS, shots, template)
    if args.list:
        comparison.show()
    finish()


main()
