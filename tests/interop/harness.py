"""lm-evaluation-harness 0.4.13 on local files: its own tasks, and its models `hf` and `local-completions`."""

import csv
import json
import logging
import math
import os
import pathlib
import shutil

# Before tqdm is imported, which reads it then.
os.environ["TQDM_DISABLE"] = "1"

import datasets
import lm_eval
import torch
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from lm_eval.models.openai_completions import LocalCompletionsAPI
from lm_eval.tasks._yaml_loader import load_yaml

TASKS = pathlib.Path(lm_eval.__file__).parent / "tasks"
SEED = 1234
# Each with the harness's file and the split that is asked.
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
SETS = [*SUBJECTS, *PLAIN]

logging.getLogger("lm_eval").setLevel(logging.ERROR)


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
            # CMMLU's files are named after their subjects alone.
            dev = table(data / name / "dev" / path.name.replace(f"_{asked}.csv", "_dev.csv"), name)
            splits = {"val" if name == "ceval" else "test": table(path, name), "dev": dev}
            yield subject, task_of(file.format(subject), splits)
    else:
        file, path = PLAIN[name]
        # Without rows to train on examples come from the questions, each without itself.
        changes = dict(training_split=None, validation_split=None, test_split="test", fewshot_split="test")
        yield "", task_of(file, {"test": plain(data / path, name)}, **changes)


def some_subjects(data, folder, items):
    """The files with as many subjects of each set as there are items at most, spread over all of them."""
    for name, (_, asked) in SUBJECTS.items():
        files = sorted((data / name / asked).glob("*.csv"))
        for number in range(min(items, len(files))):
            path = files[number * len(files) // items if items < len(files) else number]
            for part, file in [(asked, path.name), ("dev", path.name.replace(f"_{asked}.csv", "_dev.csv"))]:
                (folder / name / part).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(data / name / part / file, folder / name / part / file)
    for _, file in PLAIN.values():
        shutil.copyfile(data / file, folder / file)


def limit_of(name, data, items):
    """How many questions of each subject are about so many of the set; none for all."""
    if items == math.inf or name in PLAIN:
        return None if items == math.inf else items
    return math.ceil(items / len(list((data / name / SUBJECTS[name][1]).glob("*.csv"))))


def asked(model, name, data, limit, shots, template):
    """The requests of a set by question, its subject and number, as `model` has the harness write them."""
    found = {}
    for subject, task in tasks_of(name, data):
        task.set_config(key="num_fewshot", value=shots)
        task.set_fewshot_seed(SEED)
        task.build_all_requests(
            limit=limit, apply_chat_template=template, fewshot_as_multiturn=True,
            chat_template=model.apply_chat_template if template else None,
        )
        for instance in task.instances:
            found.setdefault((subject, instance.doc_id), []).append(instance)
    return found


def answered(model, requests):
    """What the harness finds by question: each choice's log-likelihood, and whether it is what greedy choices give."""
    flat = [(place, instance) for place, instances in requests.items() for instance in instances]
    found = {}
    values = model.loglikelihood([instance for _, instance in flat], disable_tqdm=True)
    for (place, _), value in zip(flat, values, strict=True):
        found.setdefault(place, []).append(value)
    return found


def hf(checkpoint):
    torch.manual_seed(0)
    return HFLM(pretrained=str(checkpoint), device="cpu", dtype="float32", batch_size=8)


def served(url, checkpoint, reference, by_ids):
    """`local-completions` before `kindling serve`; BOS stands before a text where `hf`, the reference, puts it."""
    os.environ.setdefault("OPENAI_API_KEY", "none")
    begins = reference.tok_encode("a") != reference.tok_encode("a", add_special_tokens=False)
    return LocalCompletionsAPI(
        model="asked", base_url=f"{url}/v1/completions", tokenizer_backend="huggingface", tokenizer=str(checkpoint),
        tokenized_requests=by_ids, add_bos_token=begins, batch_size=64,
        # One more than the positions, because the harness keeps one for the token that it asks for and does not read.
        max_length=reference.max_length + 1,
    )


def askable(api, requests):
    """The questions that `local-completions` can put as they are: within its length and, where it sends texts, of ids that
    come back when their text is cut into tokens again."""
    kept = {}
    for place, instances in requests.items():
        rows = [sum(api._encode_pair(*instance.args), []) for instance in instances]
        fits = all(len(row) <= api.max_length for row in rows)
        if fits and not api.tokenized_requests:
            texts = api.decode_batch(rows)
            fits = all(api.tokenizer(text, add_special_tokens=False).input_ids == row for text, row in zip(texts, rows))
        if fits:
            kept[place] = instances
    return kept
