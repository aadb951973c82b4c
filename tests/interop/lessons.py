"""What the scripts of this folder train on: rows as the program reads them, with the tokens that transformers makes of
them and how much each counts; and the program's own steps on them."""

import json
import re

from checks import kindling

STEPS = 20
SETTINGS = dict(warmup_ratio=0.1, min_lr_ratio=0.1, weight_decay=0.1, grad_clip=1.0)
TEXTS = [
    f"In the harbour of {place} the ferry {ship} waits for {count} {animals}. It leaves when the bell rings {count}."
    for place, ship, count, animals in [
        ("Ostrava-on-Sea", "Marigold", 3, "otters"), ("Lind", "Old Tern", 12, "goats, two of them asleep"),
        ("Queller", "Brass Button", 7, "herons"), ("Mirrow", "Nine Lamps", 4, "hares and a very small horse"),
    ]
]
QUESTIONS = [
    ("Where does the Marigold wait?", "In the harbour of Ostrava-on-Sea.", 1),
    ("Who sleeps on the Old Tern?", "Two goats.", 0.5),
    ("How often does the bell of Queller ring?", "Seven times, and then the Brass Button leaves.", 1),
    ("Who rides the Nine Lamps?", "Hares and a very small horse.", 0.25),
]


def documents(tokenizer):
    end = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    texts = [tokenizer(text, add_special_tokens=False).input_ids + [end] for text in TEXTS]
    return [{"text": text} for text in TEXTS], [(text, [1] * len(text)) for text in texts]


def conversations(tokenizer):
    """Each holds two answers; the second weighs what its message says."""
    rows, encoded = [], []
    for (question, answer, _), (other, reply, weight) in zip(QUESTIONS, QUESTIONS[1:] + QUESTIONS[:1]):
        messages = [
            {"role": "user", "content": question}, {"role": "assistant", "content": answer},
            {"role": "user", "content": other}, {"role": "assistant", "content": reply},
        ]
        made = tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        said = made["assistant_masks"]
        # Behind the first answer's last token lies the question of the second.
        second = said.index(0, said.index(1))
        weights = [said[i] * (weight if i >= second else 1) for i in range(len(said))]
        rows.append({"messages": messages[:3] + [{**messages[3], "weight": weight}]})
        encoded.append((made["input_ids"], weights))
    return rows, encoded


def preferences(tokenizer):
    """The answer of each question against that of the next one."""
    rows, encoded = [], []
    for (question, answer, _), (_, other, _) in zip(QUESTIONS, QUESTIONS[1:] + QUESTIONS[:1]):
        rows.append({"prompt": question, "chosen": answer, "rejected": other})
        for said in (answer, other):
            messages = [{"role": "user", "content": question}, {"role": "assistant", "content": said}]
            made = tokenizer.apply_chat_template(
                messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
            encoded.append((made["input_ids"], made["assistant_masks"]))
    return rows, encoded


def reasoned(tokenizer):
    """Answers that think first; all tokens that hold a character of a tag count ten times."""
    rows, encoded = [], []
    for question, answer, _ in QUESTIONS:
        content = f"<think>\n{question} {answer}\n</think>\n<answer>\n{answer}\n</answer>"
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": content}]
        made = tokenizer.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        places = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        assert places.input_ids == made["input_ids"]
        tags = [match.span() for match in re.finditer("</?(think|answer)>", text)]
        held = [any(a < end and start < b for a, b in tags) for start, end in places.offset_mapping]
        rows.append({"messages": messages})
        encoded.append((made["input_ids"], [said * (10 if tag else 1) for said, tag in zip(made["assistant_masks"], held)]))
    return rows, encoded


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def trained_here(stage, model, data, out, rate, *more):
    """What the log says of every step, by name. All rows are in every step, so that their order does not count."""
    settings = [word for key, value in SETTINGS.items() for word in (f"--{key.replace('_', '-')}", value)]
    flags = ["--steps", STEPS, "--batch-size", 2, "--grad-accum", 2, "--packing", "false", "--log-every", 1]
    kindling(stage, "--model", model, "--data", data, "--out", out, "--learning-rate", rate, *flags, *settings, *more)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    lines = [line for line in lines if "event" not in line]
    return {key: [line[key] for line in lines] for key in lines[0]}
