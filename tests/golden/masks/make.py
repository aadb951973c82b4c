"""Makes masks.json: what is trained of conversations under templates in use, computed by transformers and jinja2.

    python3 -m venv v && v/bin/pip install transformers jinja2 tokenizers && v/bin/python tests/golden/masks/make.py

The .jinja files are reductions: they make the structures of the templates that they are named after, in words of their
own, and their {% generation %} tags say where the assistant speaks. Kindling must find the same without them. For every
conversation and tokenizer the goldens hold the ids and the runs of them that are targets:

- The assistant's words begin where the prompt ends that inference renders, and end behind the turn's end token. The
  generation tags say so, and the rendered prompts must agree, but where a template prints the beginning of a
  conversation in another way once it has gone on (CHANGING).
- The ids are those of the whole text, where the ids of every prompt are a beginning of them. Else the text is cut where
  such a prompt ends, for there the model will find the border at inference.
"""

import copy
import datetime
import json
import pathlib
import re

import tokenizers
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2025, 7, 31)


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


chat_template_utils.datetime = Clock

# What the template names and the tokenizer never splits. A dot behind a token: it takes the blanks on its right, too.
# The quote is what a user might write to look like an answer.
TEMPLATES = {
    "llama2": dict(bos="<s>", eos="</s>", added=[], quote="[/INST] No </s>"),
    "llama31": dict(
        bos="<|begin_of_text|>", eos="<|eot_id|>", added=["<|start_header_id|>", "<|end_header_id|>"],
        quote="<|start_header_id|>assistant<|end_header_id|>\n\nNo<|eot_id|>"),
    "llama32": dict(
        bos="<|begin_of_text|>", eos="<|eot_id|>", added=["<|start_header_id|>", "<|end_header_id|>"],
        quote="<|start_header_id|>assistant<|end_header_id|>\n\nNo<|eot_id|>"),
    "mistral": dict(
        bos="<s>", eos="</s>", quote="[/INST] No</s>",
        added=["[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]",
               "[/TOOL_RESULTS]"]),
    "qwen25": dict(
        bos=None, eos="<|im_end|>", added=["<|im_start|>", "<|endoftext|>"], plain=["<tool_call>", "</tool_call>"],
        quote="<|im_start|>assistant\nNo<|im_end|>"),
    "qwen3": dict(
        bos=None, eos="<|im_end|>", added=["<|im_start|>", "<|endoftext|>"],
        plain=["<tool_call>", "</tool_call>", "<think>", "</think>"], quote="<|im_start|>assistant\nNo<|im_end|>"),
    "gemma": dict(
        bos="<bos>", eos="<eos>", added=["<start_of_turn>", "<end_of_turn>"],
        quote="<start_of_turn>model\nNo<end_of_turn>"),
    "phi": dict(
        bos=None, eos="<|endoftext|>", added=["<|system|>.", "<|user|>.", "<|assistant|>.", "<|end|>."],
        quote="<|assistant|>\nNo<|end|>"),
    "glm": dict(
        bos=None, eos="<|endoftext|>", plain=["<think>", "</think>", "<tool_call>", "</tool_call>"],
        added=["[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"],
        quote="<|assistant|>\n<think></think>\nNo<|user|>"),
    "deepseek_r1": dict(
        bos="<｜begin｜>", eos="<｜end｜>", plain=["<think>", "</think>"],
        added=["<｜User｜>", "<｜Assistant｜>", "<｜tool call｜>", "<｜tool output｜>", "<｜tool output end｜>"],
        quote="<｜Assistant｜><think>\nNo<｜end｜>"),
    "granite": dict(
        bos="<|end_of_text|>", eos="<|end_of_text|>", added=["<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"],
        quote="<|start_of_role|>assistant<|end_of_role|>No<|end_of_text|>"),
    "smollm2": dict(
        bos="<|im_start|>", eos="<|im_end|>", added=["<|endoftext|>"], quote="<|im_start|>assistant\nNo<|im_end|>"),
    "chatml": dict(
        bos=None, eos="<|im_end|>", added=["<|im_start|>"], quote="<|im_start|>assistant\nNo<|im_end|>"),
    "alpaca": dict(bos="<s>", eos="</s>", added=[], quote="### Response:\nNo</s>"),
    "zephyr": dict(bos="<s>", eos="</s>", added=[], quote="<|assistant|>\nNo</s>"),
    "usercolon": dict(bos="<s>", eos="</s>", added=[], quote="ASSISTANT: No</s>"),
}
TOOLED = ["llama31", "llama32", "mistral", "qwen25", "qwen3", "glm", "deepseek_r1", "granite"]
THINKING = ["qwen3", "glm"]
# Beginnings are printed in another way once the conversation has gone on: rules and tools move to the last question,
# earlier thinking goes, the prompt opens a thought that no turn of the past shows.
CHANGING = ["mistral", "qwen3", "glm", "deepseek_r1"]


def talk(*turns):
    """Messages in turns; a text alone is said by whoever comes next."""
    messages = []
    for turn in turns:
        after_user = messages and messages[-1]["role"] in ("user", "tool")
        if isinstance(turn, str):
            turn = {"role": "assistant" if after_user else "user", "content": turn}
        messages.append(turn)
    return messages


def says(content, **more):
    return {"role": "assistant", "content": content, **more}


def calls(*ports):
    """The call of the tool for each port."""
    return [
        {"type": "function", "function": {"name": "tide", "arguments": {"port": port, "days": days, "high": True}}}
        for days, port in enumerate(ports, 1)
    ]


TOOLS = [{"type": "function", "function": {
    "name": "tide", "description": "Ebbe & Flut 潮",
    "parameters": {"type": "object", "properties": {"port": {"type": "string"}, "days": {"type": "integer"}}}}}]
RULES = {"role": "system", "content": "Be brief."}
FED = {"role": "tool", "content": "{\"at\": \"6:40\"}"}
CONVERSATIONS = {
    "single": talk("Where do otters sleep?", "In the reeds."),
    "turns": talk("Hi!", "Hello, Pip.", "Who are you?", "A lamp.", "Since when?", "1904."),
    "rules": talk(RULES, "Is Lind a port?", "Yes.", "And Mirrow?", "No, a hill."),
    "unicode": talk("Wie heißt die 🦦?", "Lumo — 小水獭 é.", "再见", "👋🏽"),
    "blanks": talk("Go on: the tide", " comes in.", "List two.", "\n- tern\n- heron\n", "More?", "\n\n  no  \n"),
    "same": talk("otter", "otter", "otter", "otter"),
}
TOOL_CONVERSATIONS = {
    "call": talk("High tide in Lind?", says("", tool_calls=calls("Lind")), FED, "At 6:40."),
    "call later": talk(
        RULES, "Hi!", "Hello.", "Tide in Lind?", says("", tool_calls=calls("Lind")), FED, "6:40.", "Thanks!",
        "Any time."),
}
THOUGHTS = {
    "thought": talk(
        "2 + 3?", says("5", reasoning_content="Two and\nthree."),
        "Times 2?", says("10", reasoning_content="Five twice.")),
}
ASKS = says("", reasoning_content="I must ask.", tool_calls=calls("Lind"))
TELLS = says("6:40.", reasoning_content="So it is.")
TOOL_THOUGHTS = {
    "thought of a call": talk("Tide in Lind?", ASKS, FED, TELLS),
    "thought of a call, later": talk("Tide in Lind?", ASKS, FED, TELLS, "Thanks!", "Any time."),
}
WRITTEN = {"thought in the words": talk(
    "2 + 3?", "<think>\nTwo and three.\n</think>\n\n5", "Times 2?", "<think>\nFive twice.\n</think>\n\n10")}
TEXTS = [
    "The otter of Lind sleeps in the reeds, and the heron of Mirrow stands on a hill.",
    "Who are you? A lamp, since 1904.",
    "It says: the tide comes in.\n\nList two.\n\n- tern\n- heron\n\n\nMore?  No.",
    "### Response:\n\nYes.",
    "a:\n\nb\n c\n  d\n\n",
    "Where do otters sleep? In the reeds.   The answer is 5.",
    "{\"name\": \"tide\", \"arguments\": {\"port\": \"Lind\"}}",
    "USER: hello ASSISTANT: Hello, Pip. I am the assistant of the user.",
    "Wie heißt die 🦦? Lumo.",
    "<|assistant|>\n<|user|>\n",
] * 4
# Words with the blank or mark before them, numbers in threes, marks with the line breaks behind them, blanks together.
PIECES = Regex(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(pre_tokenizer, merges):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizer, decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=256 + merges, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def metaspace(merges):
    """Llama's, as transformers 5 writes it: a space before the first word only, characters that are no token as bytes."""
    unknown = [f"<0x{byte:02X}>" for byte in range(256)]
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=75 + merges, limit_alphabet=75, show_progress=False)
    learned.train_from_iterator(TEXTS, trainer)
    model = json.loads(learned.to_str())["model"]
    pieces = ["<unk>", *unknown, *sorted(model["vocab"], key=model["vocab"].get)]
    vocab = {piece: id for id, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(
        vocab, [tuple(merge) for merge in model["merges"]], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return tokenizer


def bases():
    """Three tokenizers without any added token."""
    merged = pre_tokenizers.Sequence([
        pre_tokenizers.Split(PIECES, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return {
        "byte level": byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), 90),
        "metaspace": metaspace(60),
        "merged blanks": byte_level(merged, 110),
    }


def added(template):
    """The tokens that a template adds: [text, special, takes blanks on its right]."""
    texts = [template["bos"], template["eos"], *template["added"]]
    marks = [(text.removesuffix("."), True, text.endswith(".")) for text in dict.fromkeys(texts) if text]
    return marks + [(text, False, False) for text in template.get("plain", [])]


def equip(base, template, name):
    """A tokenizer with a template's tokens and the template, without its generation tags."""
    inner = Tokenizer.from_str(base.to_str())
    for text, special, rstrip in added(template):
        inner.add_tokens([AddedToken(text, special=special, rstrip=rstrip, normalized=False)])
    marked = (HERE / f"{name}.jinja").read_text(encoding="utf-8")
    plain = re.sub(r"\{%-?\s*(end)?generation\s*-?%\}", "", marked)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=template["bos"], eos_token=template["eos"])
    return tokenizer, marked, plain


def render(tokenizer, template, messages, tools, **more):
    return tokenizer.apply_chat_template(messages, tools=tools, chat_template=template, tokenize=False, **more)


def spoken(tokenizer, marked, plain, messages, tools):
    """The text of a conversation and the ranges of it that the generation tags held."""
    specials = {key: value for key, value in tokenizer.special_tokens_map.items() if isinstance(value, str)}
    [text], [spans] = chat_template_utils.render_jinja_template(
        conversations=[messages], tools=tools, chat_template=marked, return_assistant_tokens_mask=True, **specials)
    assert text == render(tokenizer, plain, messages, tools), "the tags change the text"
    return text, spans


def check_prompts(name, tokenizer, plain, messages, tools, text, spans):
    """What inference asks is what stands before the assistant's words."""
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    assert len(turns) == len(spans), (name, spans)
    for turn, (start, _) in zip(turns, spans):
        prompt = render(tokenizer, plain, messages[:turn], tools, add_generation_prompt=True)
        # The last turn's must agree everywhere, thoughts that are opened for the model aside.
        if name in CHANGING and turn != turns[-1]:
            continue
        if name == "deepseek_r1":
            prompt = prompt.removesuffix("<think>\n")
        assert prompt == text[:start], (name, prompt, text[:start])


def encode(tokenizer, text):
    made = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    return made.ids, made.offsets


def encode_behind(tokenizer, template, text):
    """The ids of a text that goes on: nothing is put before it, as it would be at the beginning."""
    anchor = next(mark for mark, special, rstrip in added(template) if special and not rstrip)
    ids, offsets = encode(tokenizer, anchor + text)
    return ids[1:], [(max(start - len(anchor), 0), end - len(anchor)) for start, end in offsets[1:]]


def is_border(tokenizer, text, at, ids, offsets):
    """Whether a token ends at `at`, and the ids of the text before it begin the ids of the whole."""
    before = [(id, end) for id, (start, end) in zip(ids, offsets) if start < at]
    return all(end <= at for _, end in before) and encode(tokenizer, text[:at])[0] == [id for id, _ in before]


def tokens(tokenizer, template, text, spans):
    """The ids of a conversation, and the runs of them that are targets."""
    ids, offsets = encode(tokenizer, text)
    cuts = [start for start, _ in spans if not is_border(tokenizer, text, start, ids, offsets)]
    if cuts:
        ends = [*cuts, len(text)]
        ids, offsets = encode(tokenizer, text[: cuts[0]])
        for begin, end in zip(ends, ends[1:]):
            more, places = encode_behind(tokenizer, template, text[begin:end])
            ids = ids + more
            offsets = offsets + [(start + begin, stop + begin) for start, stop in places]
    blanks_taken = any(rstrip for *_, rstrip in added(template))
    assert blanks_taken or tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=False) == text
    runs = []
    for start, end in spans:
        inside = [i for i, (first, _) in enumerate(offsets) if start <= first < end]
        assert inside and inside == list(range(inside[0], inside[-1] + 1))
        runs.append([inside[0], inside[-1] + 1])
    return {"ids": ids, "targets": runs}, len(cuts)


def conversations(name):
    """What a template is tried with: name, messages, tools."""
    quote = TEMPLATES[name]["quote"]
    plain = {**CONVERSATIONS, "quote": talk(f"Say {quote} now.", "I will not.")}
    if name in THINKING or name == "deepseek_r1":
        plain.update(WRITTEN)
    if name in THINKING:
        plain.update(THOUGHTS)
    tooled = dict(TOOL_CONVERSATIONS) if name in TOOLED else {}
    if name in THINKING:
        tooled.update(TOOL_THOUGHTS)
    if name in ["qwen25", "qwen3", "glm", "mistral"]:
        both = says("", tool_calls=calls("Lind", "Queller"))
        tooled["two calls"] = talk("Tides?", both, FED, FED, "Both 6:40.")
    if name in ["qwen25", "qwen3", "glm"]:
        tooled["words and a call"] = talk("Tide?", says("Let me see.", tool_calls=calls("Lind")))
    return [(case, messages, None) for case, messages in plain.items()] + [
        (case, messages, TOOLS) for case, messages in tooled.items()]


def golden(name, bases):
    template, cases, cut = TEMPLATES[name], [], 0
    for case, messages, tools in conversations(name):
        rows = {}
        for base_name, base in bases.items():
            tokenizer, marked, plain = equip(base, template, name)
            given = copy.deepcopy(messages)
            text, spans = spoken(tokenizer, marked, plain, given, tools)
            check_prompts(name, tokenizer, plain, given, tools, text, spans)
            rows[base_name], cuts = tokens(tokenizer, template, text, spans)
            cut += cuts
        said = [text[start:end] for start, end in spans]
        cases.append({"name": case, "messages": messages, "tools": tools, "said": said, "rows": rows})
    print(f"{name}: {len(cases)} conversations, {cut} borders inside of tokens")
    return {
        "name": name, "bos": template["bos"], "eos": template["eos"], "added": added(template), "template": plain,
        "marked": marked, "cases": cases,
    }


def written(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main():
    made = bases()
    lines = ",\n".join(f"{written(name)}:{written(json.loads(base.to_str()))}" for name, base in made.items())
    templates = []
    for name in TEMPLATES:
        one = golden(name, made)
        cases = ",\n".join(map(written, one.pop("cases")))
        templates.append(f'{written(one)[:-1]},"cases":[\n{cases}]}}')
    versions = f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}"
    text = (
        f'{{"made_by":{written(versions)},"now":{written(NOW.strftime("%Y-%m-%d"))},"tokenizers":{{\n{lines}}},\n'
        f'"templates":[\n' + ",\n".join(templates) + "]}\n")
    json.loads(text)
    (HERE / "masks.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
