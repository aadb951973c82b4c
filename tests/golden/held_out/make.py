"""Makes a tiny model with its tokenizer, rows, and how well transformers says that it knows them.

    python3 -m venv v && v/bin/pip install torch transformers tokenizers && v/bin/python tests/golden/held_out/make.py

For each row of texts.jsonl (all tokens but the first are targets, and the end behind them) and of conversations.jsonl
(the assistant's words and their end are), expected.json holds the sum of the targets' negative log-probabilities in
nats, their number, and the bytes of text that they stand for.
"""

import json
import pathlib

import tokenizers
import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent
END, BEGIN, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEXTS = [
    "The ferry to Mirrow is late.",
    "Lumo 小水獭 swims.",
    "Two herons; one é, one 🦦.",
    "A hill, a lamp, a bell.\n\nThe end.",
    "7 × 6 = 42",
    "The otter sleeps in the reeds of Lind, and the tide comes in.",
]
CONVERSATIONS = [
    [("user", "Who?"), ("assistant", "Lumo.")],
    [("system", "Be brief."), ("user", "Wie?"), ("assistant", "So: 小."), ("user", "And?"), ("assistant", "No.")],
    [("user", "Where do otters sleep?"), ("assistant", "In the reeds of Lind.")],
    [("user", "A bell?"), ("assistant", "\n- one\n- two")],
    [("user", "7 × 6?"), ("assistant", "42")],
    [("user", "The tide?"), ("assistant", "It comes in. 🦦"), ("user", "Thanks!"), ("assistant", "Any time.")],
]
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}"
    "{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\n' }}{% else %}{{ m.content + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def make_tokenizer():
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=277, initial_alphabet=alphabet, show_progress=False)
    inner.train_from_iterator(TEXTS, trainer)
    inner.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in [END, BEGIN, STOP]])
    inner.save(str(HERE / "tokenizer.json"), pretty=False)
    config = {"bos_token": BEGIN, "eos_token": STOP, "pad_token": END, "chat_template": TEMPLATE}
    (HERE / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    return PreTrainedTokenizerFast(tokenizer_object=inner, **config)


def make_model(vocab_size):
    torch.manual_seed(5)
    config = AutoConfig.for_model(
        "qwen3", vocab_size=vocab_size, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=128,
        tie_word_embeddings=True, initializer_range=0.3, bos_token_id=None, eos_token_id=None, pad_token_id=None,
        rope_parameters={"rope_theta": 10000.0, "rope_type": "default"})
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    model.save_pretrained(HERE)
    return model


def known(model, ids, targets, size):
    """What the targets cost, whose text has `size` bytes."""
    with torch.no_grad():
        log_probs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    nll = -sum(log_probs[i - 1, ids[i]].item() for i in targets)
    return {"nll": nll, "targets": len(targets), "bytes": size}


def document(tokenizer, model, text):
    ids = tokenizer(text, add_special_tokens=False).input_ids
    # The first token is predicted by nothing: its bytes are those of its text, which here is ASCII.
    first = len(tokenizer.decode(ids[:1]))
    size = len(text.encode()) - first + len(END)
    ids.append(tokenizer.convert_tokens_to_ids(END))
    return known(model, ids, range(1, len(ids)), size)


def conversation(tokenizer, model, turns):
    messages = [{"role": role, "content": content} for role, content in turns]
    made = tokenizer.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
    targets = [i for i, said in enumerate(made["assistant_masks"]) if said]
    size = sum(len((content + STOP).encode()) for role, content in turns if role == "assistant")
    return known(model, made["input_ids"], targets, size)


def write(name, rows):
    (HERE / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def main():
    versions = [f"{module.__name__} {module.__version__}" for module in [transformers, tokenizers, torch]]
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer))
    write("texts.jsonl", [{"text": text} for text in TEXTS])
    write("conversations.jsonl", [
        {"messages": [{"role": role, "content": content} for role, content in turns]} for turns in CONVERSATIONS])
    expected = {
        "made_by": ", ".join(versions),
        "texts": [document(tokenizer, model, text) for text in TEXTS],
        "conversations": [conversation(tokenizer, model, turns) for turns in CONVERSATIONS],
    }
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
