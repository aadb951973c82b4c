"""Kindling beside lm-evaluation-harness 0.4.13: its own `hf` model takes the same choices on the same files.

    python -B tests/interop/evaluate.py KINDLING FOLDER --shared ../shared [--checkpoint DIR] [--only zero|shots|template]

KINDLING is the program, FOLDER an empty directory to work in, DIR a checkpoint that `transformers` opens (the stories260K
model of ../shared without it; for `--only template` one with a chat template). Needs lm_eval==0.4.13, datasets, torch and
transformers. The files are those of ../shared/data/eval: all questions without examples, the first hundred of each set (four
of each subject) with five examples and through the chat template. What differs must be a near tie, and is listed.
"""

import csv
import json
import pathlib

import datasets
import lm_eval
import torch
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml

from checks import arguments, call, check, finish, skip

TASKS = pathlib.Path(lm_eval.__file__).parent / "tasks"
SEED, SHOTS, SOME, OF_SUBJECT = 1234, 5, 100, 4
# Log-likelihoods that are as near are a tie between programs that add in another order.
NEAR_TIE, SAME = 1e-4, 0.995
SUBJECTS = {
    "ceval": ("ceval/ceval-valid_{}.yaml", "val"),
    "cmmlu": ("cmmlu/cmmlu_{}.yaml", "test"),
    "mmlu": ("mmlu/default/mmlu_{}.yaml", "val"),
}
PLAIN = {
    "arc_easy": ("arc/arc_easy.yaml", "arc_easy_test.jsonl"),
    "openbookqa": ("openbookqa/openbookqa.yaml", "openbookqa_test.jsonl"),
    "commonsense_qa": ("commonsense_qa/default.yaml", "commonsenseqa_dev.raw.jsonl"),
}


def table(path, name):
    """Rows of a csv as the harness's data set has them; all cells stay texts."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        if name != "mmlu":
            return list(csv.DictReader(file))
        rows = csv.reader(file)
        return [dict(question=row[0], choices=row[1:5], answer="ABCD".index(row[5])) for row in rows]


def plain(path, name):
    """Rows of a jsonl as the harness's data set has them."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if isinstance(row["question"], dict):
            question, options = row["question"]["stem"], row["question"]["choices"]
            texts, labels = [option["text"] for option in options], [option["label"] for option in options]
            answer = row["answerKey"]
        else:
            question, texts = row["question"], row["choices"]
            labels = [chr(ord("A") + i) for i in range(len(texts))]
            answer = labels[row["answer"]]
        key = "question_stem" if name == "openbookqa" else "question"
        rows.append({key: question, "choices": {"text": texts, "label": labels}, "answerKey": answer})
    return rows


def task_of(file, splits, **changes):
    class Local(ConfigurableTask):
        def download(self, *_, **__):
            self.dataset = {split: datasets.Dataset.from_list(rows) for split, rows in splits.items()}

    config = load_yaml(TASKS / file, resolve_func=True)
    config.pop("tag", None)
    return Local(config=config | changes)


def tasks_of(name, data):
    """The harness's tasks of a set, by subject."""
    if name in SUBJECTS:
        file, asked = SUBJECTS[name]
        for path in sorted((data / name / asked).glob("*.csv")):
            subject = path.stem.removesuffix(f"_{asked}")
            dev = table(data / name / "dev" / f"{subject}_dev.csv", name)
            splits = {"val" if name == "ceval" else "test": table(path, name), "dev": dev}
            yield subject, task_of(file.format(subject), splits)
    else:
        file, path = PLAIN[name]
        # Without rows to train on examples come from the questions, each without itself.
        changes = dict(training_split=None, validation_split=None, test_split="test", fewshot_split="test")
        yield "", task_of(file, {"test": plain(data / path, name)}, **changes)


def there(model, name, data, limit, shots, template):
    """What the harness finds of each question: its log-likelihoods and the choice."""
    instances, places = [], []
    for subject, task in tasks_of(name, data):
        task.set_config(key="num_fewshot", value=shots)
        task.set_fewshot_seed(SEED)
        task.build_all_requests(
            limit=limit, apply_chat_template=template, fewshot_as_multiturn=True,
            chat_template=model.apply_chat_template if template else None,
        )
        for instance in task.instances:
            instances.append(instance)
            places.append((subject, instance.doc_id))
    found = {}
    for place, (value, _) in zip(places, model.loglikelihood(instances)):
        found.setdefault(place, []).append(value)
    return found


def here(checkpoint, name, data, work, limit, shots, template):
    items = work / f"{name}-{shots}-{template}.jsonl"
    items.unlink(missing_ok=True)
    words = ["eval", "--model", checkpoint, "--task", name, "--data", data, "--shots", shots, "--items", items]
    words += ["--limit", limit] if limit else []
    words += ["--apply-chat-template"] if template else []
    run = call(*words)
    if run.returncode:
        raise RuntimeError(run.stderr)
    lines = map(json.loads, items.read_text().splitlines())
    return {(line["subject"], line["id"]): line for line in lines}


def compare(model, checkpoint, data, work, shots, template, everything):
    for name in [*SUBJECTS, *PLAIN]:
        limit = None if everything else (OF_SUBJECT if name in SUBJECTS else SOME)
        what = f"{name}, {shots} examples" + (", chat template" if template else "")
        ours = here(checkpoint, name, data, work, limit, shots, template)
        theirs = there(model, name, data, limit, shots, template)
        check(f"{what}: the same {len(theirs)} questions", ours.keys() == theirs.keys())
        differing, far = [], 0.0
        for place in ours.keys() & theirs.keys():
            own, other = ours[place]["log_likelihoods"], theirs[place]
            far = max(far, *(abs(a - b) for a, b in zip(own, other)))
            if ours[place]["chosen"] != max(range(len(other)), key=lambda i: (other[i], -i)):
                best = sorted(other, reverse=True)
                differing.append((place, best[0] - best[1]))
        for place, gap in differing:
            print(f"        {name} {place}: another choice, {gap:.1e} between the best two")
        same = 1 - len(differing) / max(len(ours), 1)
        ties = all(gap < NEAR_TIE for _, gap in differing)
        check(f"{what}: {same:.2%} the same choices, log-likelihoods at most {far:.1e} apart", same >= SAME and ties)


def main():
    args = arguments(
        __doc__, ["zero", "shots", "template"], ("--shared", "reference data"), ("--checkpoint", "a model to ask"),
    )
    data = (args.shared or pathlib.Path("../shared")) / "data"
    if not (data / "eval").is_dir():
        skip("all", f"{data / 'eval'} is absent")
        return finish()
    checkpoint = args.checkpoint or data / "weights/stories260k/hf"
    torch.manual_seed(0)
    model = HFLM(pretrained=str(checkpoint), device="cpu", dtype="float32", batch_size=8)
    sets = data / "eval"
    if args.only in (None, "zero"):
        compare(model, checkpoint, sets, args.folder, 0, False, True)
    if args.only in (None, "shots"):
        compare(model, checkpoint, sets, args.folder, SHOTS, False, False)
    if args.only in (None, "template"):
        if model.tokenizer.chat_template:
            compare(model, checkpoint, sets, args.folder, SHOTS, True, False)
        else:
            skip("the chat template", f"{checkpoint} has none")
    finish()


main()
