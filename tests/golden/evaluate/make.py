"""Makes requests.json: what lm-evaluation-harness asks a model, built by its own task code from made-up rows.

    python3 -m venv v && v/bin/pip install lm_eval==0.4.13 datasets tokenizers && v/bin/python -B tests/golden/evaluate/make.py

`sets` has the rows of each task and those that examples come from. A case is a task with how many examples stand before each
question and with which chat template; `requests` has, question by question, each context (null
for the one before) and continuation. `judged` has what the task's own metrics say
of log-likelihoods that are made up, `pairs` how contexts and continuations are tokenised, `answers` how GSM8K's are judged.
No row is of a real set.
"""

import json
import pathlib
import types

import datasets
import jinja2
import lm_eval
from lm_eval.api.model import TemplateLM
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks._yaml_loader import load_yaml
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).resolve().parent
TASKS = pathlib.Path(lm_eval.__file__).parent / "tasks"
VERSION = "0.4.13"
SEED = 1234
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system message') }}{% endif %}" + TEMPLATE

CREATURES = ["Lumo", "Pira", "Tavi", "Sorrel", "Nib", "Quell", "Osk", "Brindle"]
PLACES = ["Vell harbour", "the Grey Steps", "Ombra", "the glass mill", "Low Fen", "the ninth bridge"]


def lettered(i, keys, letters="ABCD"):
    name, place = CREATURES[i % 8], PLACES[i % 6]
    row = {keys[0]: f" Where does {name} number {i} keep its lamps?  "}
    options = [f"in {place}", f"under {i + 2} stones", "“nowhere”", f"at {name}'s\nfeet", " behind a door"]
    row |= {letter: option for letter, option in zip(letters, options)}
    row[keys[1]] = letters[(3 * i + 1) % len(letters)]
    return row


def chinese(i, keys):
    row = {keys[0]: f"　露玛{i}号住在哪里？（　　） "}
    row |= {"A": f"第{i}座桥下", "B": "玻璃磨坊", "C": "奥姆布拉", "D": "“灰阶”旁"}
    row[keys[1]] = "ABCD"[i % 4]
    return row


def labelled(i, question, labels):
    options = [f"it sings {i} times", "it shines", f"it eats {CREATURES[i % 8]}'s bread", "it sleeps\tdeep", "it waits "]
    return {
        "id": f"made-up-{i}",
        question: f"What does {CREATURES[i % 8]} do in {PLACES[i % 6]} at dawn ({i})?",
        "choices": {"text": options[: len(labels)], "label": list(labels)},
        "answerKey": labels[(2 * i + 1) % len(labels)],
    }


def mmlu(i):
    row = lettered(i, ("question", "answer"))
    return {
        "question": row["question"], "subject": "x", "choices": [row[letter] for letter in "ABCD"],
        "answer": "ABCD".index(row["answer"]),
    }


def piqa(i):
    name = CREATURES[i % 8]
    return {
        "goal": f"To wake {name} {i},", "sol1": f"ring bell {i}.", "sol2": f"pour tea over {PLACES[i % 6]}.", "label": i % 2,
    }


def siqa(i):
    name = CREATURES[i % 8]
    return {
        "context": f"{name} lent {i} lamps to Osk.", "question": f"How would {name} feel?",
        "answerA": "generous", "answerB": f"{i} times tired", "answerC": "like a bridge", "label": str(i % 3 + 1),
    }


def hellaswag(i):
    name = CREATURES[i % 8]
    return {
        "ind": i, "activity_label": "Feeding a lamp [head]",
        "ctx_a": f" [header] How to feed lamp {i} [title] Fill  the  glass.   Then  wait.",
        "ctx_b": f"the {name} THEN looks [step] at the ßig clock", "ctx": "unused",
        "endings": [
            f"and it [substeps] shines {i} times.", " [title] Rest. Close the  lid.", "[unclosed it waits\n[a\nb].",
            "counts   to nine. ",
        ],
        "label": str(i % 4),
    }


def winogrande(i):
    one, other = CREATURES[i % 8], CREATURES[(i + 3) % 8]
    return {
        "sentence": f"{one} carried {other} over the ninth bridge because _ was tired {i} and _ slept.  ",
        "option1": one, "option2": other, "answer": str(i % 2 + 1),
    }


def gsm8k(i):
    return {
        "question": f"{CREATURES[i % 8]} has {i} lamps and finds {i + 1}. How many are there?",
        "answer": f"{i} + {i + 1} = <<{i}+{i + 1}={2 * i + 1}>>{2 * i + 1} lamps.\n#### {2 * i + 1}",
    }


# Each task with its file, what makes a row, and its splits with how many rows each.
SETS = [
    ("ceval", "ceval/ceval-valid_logic.yaml", "logic", lambda i: chinese(i, ("question", "answer")), {"val": 3, "dev": 5}),
    ("cmmlu", "cmmlu/cmmlu_agronomy.yaml", "agronomy", lambda i: chinese(i, ("Question", "Answer")), {"test": 3, "dev": 5}),
    ("mmlu", "mmlu/default/mmlu_us_foreign_policy.yaml", "us_foreign_policy", mmlu, {"test": 3, "dev": 5}),
    ("arc_easy", "arc/arc_easy.yaml", "", lambda i: labelled(i, "question", "1234" if i % 2 else "ABCD"),
     {"test": 3, "validation": 2, "train": 24}),
    ("arc_challenge", "arc/arc_challenge.yaml", "", lambda i: labelled(i, "question", "ABC"),
     {"test": 3, "validation": 2, "train": 9}),
    ("openbookqa", "openbookqa/openbookqa.yaml", "", lambda i: labelled(i, "question_stem", "ABCD"),
     {"test": 3, "validation": 2, "train": 24}),
    ("piqa", "piqa/piqa.yaml", "", piqa, {"validation": 3, "train": 24}),
    ("siqa", "siqa/siqa.yaml", "", siqa, {"validation": 3, "train": 24}),
    ("hellaswag", "hellaswag/hellaswag.yaml", "", hellaswag, {"validation": 3, "train": 24}),
    ("winogrande", "winogrande/default.yaml", "", winogrande, {"validation": 3, "train": 24}),
    ("commonsense_qa", "commonsense_qa/default.yaml", "", lambda i: labelled(i, "question", "ABCDE"),
     {"validation": 3, "train": 24}),
    ("gsm8k", "gsm8k/gsm8k.yaml", "", gsm8k, {"test": 3, "train": 24}),
]


def made_up(make, splits):
    """Rows by split, those of a later one going on where an earlier one ends; but the first of the last split is the first
    question itself: where examples are drawn without it, that shows."""
    rows, begin = {}, 0
    for split, count in splits.items():
        rows[split] = [make(begin + i) for i in range(count)]
        begin += count
    rows[list(splits)[-1]][0] = rows[list(splits)[0]][0]
    return rows


def build(file, make, splits):
    """The harness's own task on made-up rows, and those by split."""
    rows = made_up(make, splits)

    class MadeUp(ConfigurableTask):
        def download(self, *_, **__):
            self.dataset = {split: datasets.Dataset.from_list(part) for split, part in rows.items()}

    found = next(TASKS.glob(file), None) or next((TASKS / file).parent.glob("*.yaml"))
    config = load_yaml(found, resolve_func=True)
    config.pop("tag", None)
    task = MadeUp(config=config)
    return task, rows


def render(template):
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)

    def fail(message):
        raise jinja2.exceptions.TemplateError(message)

    environment.globals["raise_exception"] = fail
    compiled = environment.from_string(template)

    def apply(messages, add_generation_prompt=True):
        try:
            return compiled.render(messages=messages, add_generation_prompt=add_generation_prompt)
        except jinja2.exceptions.TemplateError:
            # As HFLM.apply_chat_template does.
            messages = [message for message in messages if message["role"] != "system"]
            return compiled.render(messages=messages, add_generation_prompt=add_generation_prompt)

    return apply


def cases():
    for name, file, subject, make, splits in SETS:
        for shots, template, multiturn in [
            (0, None, True), (3, None, True), (0, TEMPLATE, True), (2, TEMPLATE, True), (2, TEMPLATE, False), (1, NO_SYSTEM, True),
        ]:
            task, _ = build(file, make, splits)
            task.set_config(key="num_fewshot", value=shots)
            task.set_fewshot_seed(SEED)
            task.build_all_requests(
                apply_chat_template=template is not None, fewshot_as_multiturn=multiturn,
                chat_template=render(template) if template else None,
            )
            found = {}
            for instance in task.instances:
                # What is generated has settings in the second place.
                context, continuation = instance.args
                pair = [context, continuation if isinstance(continuation, str) else None]
                found.setdefault(instance.doc_id, []).append(pair)
            requests = [once(found[number]) for number in sorted(found)]
            yield dict(task=name, shots=shots, template=template, multiturn=multiturn, requests=requests)


def once(pairs):
    """Pairs of context and continuation; null for a context that is the one before."""
    before = [None, *(context for context, _ in pairs)]
    return [[None if context == last else context, end] for last, (context, end) in zip(before, pairs)]


def sets():
    """The rows that are asked and those that examples come from, by task."""
    for name, _, subject, make, splits in SETS:
        rows = made_up(make, splits)
        yield name, dict(subject=subject, rows=rows[list(splits)[0]], pool=rows[list(splits)[-1]])


def judged():
    """What each task's process_results says of made-up log-likelihoods, question by question."""
    for name, file, subject, make, splits in SETS[:-1]:
        task, _ = build(file, make, splits)
        # hellaswag's rows are made over before they are asked.
        for number, doc in enumerate(task.eval_docs):
            choices = len(task.doc_to_choice(doc))
            for turn in range(4):
                values = [-((7 * number + 5 * turn + 3 * i * i) % 11) - 1.5 for i in range(choices)]
                result = task.process_results(doc, [(value, False) for value in values])
                result = {key: float(value) for key, value in result.items()}
                yield dict(task=name, row=number, log_likelihoods=values, result=result)


def answers():
    task, rows = build("gsm8k/gsm8k.yaml", gsm8k, {"test": 2, "train": 2})
    row = rows["test"][1]
    for text in [
        " 1 + 2 = 3\n#### 3", "#### 3.", "so 3", "#### $3", "#### 1,003", "It is 3, or 4", "-3", "none", "#### x\n#### 3", "(3).",
        "3.0", "#### 3,", "Lumo 3: 7..",
    ]:
        verdict = {}
        for ensemble in task._filters:
            kept = [text]
            for make in ensemble.filters:
                kept = list(make().apply([kept], [row]))[0]
                kept = list(kept) if not isinstance(kept, str) else [kept]
            verdict[ensemble.name] = float(task.process_results(row, [kept[0]])["exact_match"])
        yield dict(row=row, text=text, strict=verdict["strict-match"], flexible=verdict["flexible-extract"])


def pairs():
    tokenizer = Tokenizer.from_file(str(HERE.parent / "held_out/tokenizer.json"))
    model = types.SimpleNamespace(backend="causal", tok_encode=lambda text: tokenizer.encode(text).ids)
    for context, continuation in [
        ("Where does Lumo sleep?\nAnswer:", " in the mill"), ("Answer: ", "in the mill"), ("tail \n\t ", "x y"), ("露玛", " 在桥下"),
        ("a", "b"), ("lamp", "s"), ("the", "re"), ("<|im_start|>assistant\n", "A"),
    ]:
        before, behind = TemplateLM._encode_pair(model, context, continuation)
        yield dict(context=context, continuation=continuation, ids=before + behind, judged=len(behind))


def main():
    assert lm_eval.__version__ == VERSION, lm_eval.__version__
    out = dict(
        lm_eval=VERSION, sets=dict(sets()), cases=list(cases()), judged=list(judged()), answers=list(answers()), pairs=list(pairs()),
    )
    path = HERE / "requests.json"
    path.write_text(json.dumps(out, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size} bytes, {len(out['cases'])} cases")


main()
