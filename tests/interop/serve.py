"""`kindling serve` asked by clients that others wrote: OpenAI's SDKs for Python and JavaScript, Ollama's, LangChain's; and
the requests of FastGPT and One API.

    python -B tests/interop/serve.py KINDLING FOLDER [--only openai]

KINDLING is the program, FOLDER an empty directory to work in; tests/interop/run installs what this needs. The model is
the page's own small one, so that the clients' answers say nothing of its wisdom, only of the wire.
"""

import concurrent.futures
import json
import math
import os
import pathlib
import shutil
import subprocess
import time
import urllib.request

from checks import NANO, arguments, check, finish, serving, skip

try:
    import openai
except ImportError:
    openai = None
try:
    import ollama
except ImportError:
    ollama = None
try:
    import langchain_openai
except ImportError:
    langchain_openai = None

SMALL = f"nano={NANO}"
QUESTION = [{"role": "user", "content": "What colour is the lamp?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place",
        "parameters": {"type": "object", "properties": {"place": {"type": "string", "maxLength": 12}}, "required": ["place"],
                       "additionalProperties": False},
    },
}
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "count": {"type": "integer"}},
    "required": ["name", "count"],
    "additionalProperties": False,
}


def refusal(kind, call):
    """The exception of this kind that a call raises; none where it raises no such one."""
    try:
        call()
    except kind as error:
        return error
    return None


def openai_chats(client, url):
    create = client.chat.completions.create
    answer = create(model="nano", messages=QUESTION, temperature=0, max_tokens=12)
    choice = answer.choices[0]
    check("openai: a chat has its id and object", answer.object == "chat.completion" and answer.id.startswith("chatcmpl-"))
    check("openai: a message has role and content", choice.message.role == "assistant" and isinstance(choice.message.content, str))
    check("openai: a chat says why it ended", choice.finish_reason in ("stop", "length"))
    usage = answer.usage
    check("openai: the usage adds up", usage.total_tokens == usage.prompt_tokens + usage.completion_tokens)
    again = create(model="nano", messages=QUESTION, temperature=0, max_tokens=12)
    check("openai: greedy answers are the same twice", again.choices[0].message.content == choice.message.content)

    parts = list(create(model="nano", messages=QUESTION, temperature=0, max_tokens=12, stream=True,
                        stream_options={"include_usage": True}))
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    check("openai: a stream is the whole answer in parts", text == choice.message.content)
    check("openai: all parts have one id", len({part.id for part in parts}) == 1 and parts[0].object == "chat.completion.chunk")
    check("openai: the last part has the usage", parts[-1].usage == usage and not parts[-1].choices)
    check("openai: the first part has the role", parts[0].choices[0].delta.role == "assistant")
    reasons = [part.choices[0].finish_reason for part in parts if part.choices]
    check("openai: one part says why it ended", reasons[-1] == choice.finish_reason and not any(reasons[:-1]))

    many = create(model="nano", messages=QUESTION, n=3, seed=7, temperature=1, max_tokens=8)
    check("openai: n answers are numbered", [one.index for one in many.choices] == [0, 1, 2])
    same = create(model="nano", messages=QUESTION, n=3, seed=7, temperature=1, max_tokens=8)
    texts = [[one.message.content for one in answer.choices] for answer in (many, same)]
    check("openai: a seed repeats all answers", texts[0] == texts[1])
    likely = create(model="nano", messages=QUESTION, logprobs=True, top_logprobs=3, temperature=0, max_tokens=4)
    tokens = likely.choices[0].logprobs.content
    check("openai: likelihoods with three others", all(token.logprob <= 0 and len(token.top_logprobs) == 3 for token in tokens))
    check("openai: greedy takes the likeliest", all(token.top_logprobs[0].token == token.token for token in tokens))
    text = choice.message.content
    word = text[2:5] or text
    stop = create(model="nano", messages=QUESTION, temperature=0, max_tokens=12, stop=[word])
    check("openai: an answer ends before its stop", stop.choices[0].message.content == text[: text.index(word)])
    token = json.loads(post(url + "/tokenize", {"content": "lamp"}))["tokens"][0]
    forced = json.loads(post(url + "/detokenize", {"tokens": [token] * 4}))["content"]
    biased = create(model="nano", messages=QUESTION, temperature=0, max_tokens=4, logit_bias={str(token): 100})
    check("openai: a bias forces a token", biased.choices[0].message.content.strip() == forced.strip())
    for setting in ({"top_p": 0.5}, {"presence_penalty": 1.5}, {"frequency_penalty": 1.5}, {"seed": -3},
                    {"extra_body": {"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1}}, {"user": "somebody"}):
        create(model="nano", messages=QUESTION, max_tokens=3, **setting)
        check(f"openai: {', '.join(setting)} is taken", True)
    parted = [{"role": "user", "content": [{"type": "text", "text": "What colour"}, {"type": "text", "text": " is the lamp?"}]}]
    check("openai: content in parts", create(model="nano", messages=parted, temperature=0, max_tokens=12).usage.completion_tokens > 0)
    turns = [{"role": "developer", "content": "Be brief."}, *QUESTION, {"role": "assistant", "content": "Red."}, *QUESTION]
    check("openai: a longer conversation", create(model="nano", messages=turns, max_tokens=4).choices[0].message is not None)


def openai_forms(client):
    create = client.chat.completions.create
    form = {"type": "json_schema", "json_schema": {"name": "row", "schema": SCHEMA, "strict": True}}
    made = create(model="nano", messages=QUESTION, response_format=form, max_tokens=200, temperature=0)
    found = json.loads(made.choices[0].message.content)
    check("openai: json_schema holds", set(found) == {"name", "count"} and isinstance(found["count"], int))
    streamed = create(model="nano", messages=QUESTION, response_format=form, max_tokens=200, temperature=0, stream=True)
    text = "".join(part.choices[0].delta.content or "" for part in streamed if part.choices)
    check("openai: json_schema holds in a stream", json.loads(text) == found)
    made = create(model="nano", messages=QUESTION, response_format={"type": "json_object"}, max_tokens=300, temperature=0)
    whole = made.choices[0].finish_reason == "stop"
    check("openai: json_object holds", not whole or isinstance(json.loads(made.choices[0].message.content), dict))
    bad = refusal(openai.BadRequestError, lambda: create(model="nano", messages=QUESTION, response_format={"type": "xml"}))
    check("openai: another form is refused by its path", bad is not None and bad.param == "response_format.type")
    asked = {"model": "nano", "messages": QUESTION, "tools": [TOOL], "tool_choice": "required", "max_tokens": 200, "temperature": 0}
    refused = refusal(openai.BadRequestError, lambda: create(**asked))
    if refused is not None:
        return skip("openai: tools", refused.message)
    call = create(**asked).choices[0]
    check("openai: a call ends with tool_calls", call.finish_reason == "tool_calls")
    check("openai: arguments follow their schema", set(json.loads(call.message.tool_calls[0].function.arguments)) == {"place"})
    parts = [part.choices[0] for part in create(**asked, stream=True) if part.choices]
    deltas = [call for part in parts for call in part.delta.tool_calls or []]
    check("openai: calls in a stream have an index", {call.index for call in deltas} == {0} and parts[-1].finish_reason == "tool_calls")
    joined = "".join(call.function.arguments or "" for call in deltas)
    check("openai: a streamed call is the whole one", json.loads(joined) == json.loads(call.message.tool_calls[0].function.arguments))


def openai_others(client, url):
    completion = client.completions.create
    answer = completion(model="nano", prompt="The lamp", max_tokens=6, temperature=0)
    check("openai: a text goes on", answer.object == "text_completion" and answer.choices[0].text)
    echoed = completion(model="nano", prompt="The lamp", max_tokens=6, temperature=0, echo=True, logprobs=2)
    check("openai: echo repeats the prompt", echoed.choices[0].text == "The lamp" + answer.choices[0].text)
    likely = echoed.choices[0].logprobs
    check("openai: the first token has no likelihood", likely.token_logprobs[0] is None and all(x <= 0 for x in likely.token_logprobs[1:-1]))
    # The token that ends an answer is listed behind it: lm_eval takes the last one off.
    ended = echoed.choices[0].finish_reason == "stop"
    check("openai: tokens are the text", "".join(likely.tokens[: -1 if ended else None]) == echoed.choices[0].text)
    ids = json.loads(post(url + "/tokenize", {"content": "The lamp"}))["tokens"]
    by_ids = completion(model="nano", prompt=ids, max_tokens=6, temperature=0)
    many = completion(model="nano", prompt=["The lamp", "A dog"], max_tokens=3, temperature=0)
    check("openai: prompts of ids, and several", len(many.choices) == 2 and by_ids.usage.prompt_tokens == len(ids))
    text = "".join(part.choices[0].text for part in completion(model="nano", prompt="The lamp", max_tokens=6, temperature=0, stream=True))
    check("openai: a completion streams", text == answer.choices[0].text)

    vectors = client.embeddings.create(model="nano", input=["a lamp", "a dog"])
    lengths = [math.sqrt(sum(x * x for x in one.embedding)) for one in vectors.data]
    check("openai: vectors of length 1 (base64)", [one.index for one in vectors.data] == [0, 1] and all(abs(x - 1) < 1e-4 for x in lengths))
    plain = client.embeddings.create(model="nano", input="a lamp", encoding_format="float")
    apart = max(abs(a - b) for a, b in zip(plain.data[0].embedding, vectors.data[0].embedding))
    check("openai: base64 and float are the same vector", apart < 1e-6)
    last = client.embeddings.create(model="nano", input="a lamp", extra_body={"pooling": "last"})
    check("openai: pooling acts", last.data[0].embedding != vectors.data[0].embedding)

    check("openai: models are listed", [model.id for model in client.models.list()] == ["nano"])
    check("openai: one model", client.models.retrieve("nano").id == "nano")
    errors = [
        (openai.NotFoundError, lambda: client.models.retrieve("none"), "an unknown model"),
        (openai.NotFoundError, lambda: client.chat.completions.create(model="none", messages=QUESTION), "a chat with one"),
        (openai.BadRequestError, lambda: client.chat.completions.create(model="nano", messages=[]), "no messages"),
        (openai.BadRequestError, lambda: client.chat.completions.create(model="nano", messages=QUESTION, temperature=9), "a temperature of 9"),
        (openai.BadRequestError, lambda: client.chat.completions.create(model="nano", messages=QUESTION, extra_body={"zzz": 1}), "an unknown field"),
        (openai.BadRequestError, lambda: completion(model="nano", prompt="lamp " * 20000), "more than the context"),
        (openai.BadRequestError, lambda: client.embeddings.create(model="nano", input=[]), "no text to embed"),
    ]
    for kind, call, what in errors:
        error = refusal(kind, call)
        check(f"openai: {what} is {kind.__name__}", error is not None and error.body["message"])
    long = refusal(openai.BadRequestError, lambda: completion(model="nano", prompt="lamp " * 20000))
    check("openai: a long prompt has OpenAI's code", long.code == "context_length_exceeded")

    stream = client.chat.completions.create(model="nano", messages=QUESTION, max_tokens=300, stream=True, extra_body={"ignore_eos": True})
    next(iter(stream))
    stream.close()
    begun = time.monotonic()
    while metric(url, "kindling_answers_running") and time.monotonic() - begun < 10:
        time.sleep(0.05)
    check("openai: a closed stream frees its place", metric(url, "kindling_answers_running") == 0)
    ask = lambda i: client.chat.completions.create(
        model="nano", messages=[{"role": "user", "content": f"Count to {i}."}], temperature=0, max_tokens=8
    ).choices[0].message.content
    alone = [ask(i) for i in range(16)]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        check("openai: sixteen at once are each what they are alone", list(pool.map(ask, range(16))) == alone)


def openai_part():
    if openai is None:
        return skip("openai", "it is not installed")
    with serving(SMALL) as url:
        client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
        openai_chats(client, url)
        openai_forms(client)
        openai_others(client, url)
    with serving(SMALL, "--api-key", "right") as url:
        wrong = openai.OpenAI(base_url=url + "/v1", api_key="wrong", max_retries=0)
        check("openai: a wrong key is AuthenticationError", refusal(openai.AuthenticationError, wrong.models.list) is not None)
        right = openai.OpenAI(base_url=url + "/v1", api_key="right")
        check("openai: the right key is taken", len(right.models.list().data) == 1)


def ollama_part():
    if ollama is None:
        return skip("ollama", "it is not installed")
    with serving(SMALL) as url:
        client = ollama.Client(host=url)
        check("ollama: models are listed", [model.model for model in client.list().models] == ["nano"])
        check("ollama: a model is shown", client.show("nano").modelinfo["general.parameter_count"] > 1000)
        options = {"temperature": 0, "num_predict": 12}
        whole = client.chat(model="nano", messages=QUESTION, options=options)
        parts = list(client.chat(model="nano", messages=QUESTION, options=options, stream=True))
        check("ollama: a chat streams", "".join(part.message.content for part in parts) == whole.message.content)
        check("ollama: the last line counts", parts[-1].done and parts[-1].eval_count == whole.eval_count)
        made = client.generate(model="nano", prompt="The lamp", raw=True, options=options)
        check("ollama: a text goes on", isinstance(made.response, str) and made.done)
        check("ollama: vectors", len(client.embed(model="nano", input=["a", "b"]).embeddings) == 2)
        formed = client.chat(model="nano", messages=QUESTION, format=SCHEMA, options={"temperature": 0, "num_predict": 200})
        check("ollama: a schema holds", set(json.loads(formed.message.content)) == {"name", "count"})
        check("ollama: what is loaded", [model.model for model in client.ps().models] == ["nano"])
        error = refusal(ollama.ResponseError, lambda: client.chat(model="none", messages=QUESTION))
        check("ollama: an unknown model is 404", error is not None and error.status_code == 404)


def langchain_part():
    if langchain_openai is None:
        return skip("langchain", "langchain-openai is not installed")
    with serving(SMALL) as url:
        shared = {"base_url": url + "/v1", "api_key": "none"}
        chat = langchain_openai.ChatOpenAI(model="nano", temperature=0, max_tokens=12, **shared)
        whole = chat.invoke("What colour is the lamp?")
        check("langchain: a chat with its usage", whole.content and whole.usage_metadata["total_tokens"] > 0)
        check("langchain: a stream", "".join(part.content for part in chat.stream("What colour is the lamp?")) == whole.content)
        answers = chat.batch(["What colour is the lamp?"] * 4)
        check("langchain: a batch", {answer.content for answer in answers} == {whole.content})
        vectors = langchain_openai.OpenAIEmbeddings(model="nano", check_embedding_ctx_length=False, **shared)
        check("langchain: vectors", len(vectors.embed_documents(["a lamp", "a dog"])) == 2)


def javascript_part():
    modules = os.environ.get("KINDLING_CLIENTS_JS")
    if not modules or not shutil.which("node"):
        return skip("javascript", "there is no node, or npm's openai is not installed")
    with serving(SMALL) as url:
        script = pathlib.Path(__file__).with_suffix(".mjs")
        run = subprocess.run(
            ["node", script, url], capture_output=True, text=True, env={**os.environ, "NODE_PATH": modules}, timeout=300
        )
        for line in run.stdout.splitlines():
            found = json.loads(line)
            check(found["what"], found["holds"])
        check(f"javascript: the script ends well {run.stderr[-500:]}".strip(), run.returncode == 0)


def gateways_part():
    """What FastGPT (packages/service/core/ai) and One API (relay/adaptor/openai, controller/channel-test.go) send."""
    with serving(SMALL, "--api-key", "right") as url:
        listed = json.loads(get(url + "/v1/models", "right"))
        check("One API: a channel's models are fetched", [model["id"] for model in listed["data"]] == ["nano"])
        probe = {"messages": [{"role": "user", "content": "Output only your specific model name with no additional text."}],
                 "model": "nano", "max_tokens": 2}
        tested = json.loads(post(url + "/v1/chat/completions", probe, "right"))
        check("One API: a channel is tested", tested["usage"]["completion_tokens"] > 0 and tested["choices"][0]["message"]["role"])
        # FastGPT's own fields, those of its settings, and what One API adds to a stream. More tokens than the context end at it.
        asked = {
            "model": "nano", "messages": [{"role": "system", "content": "Answer briefly."}, *QUESTION], "temperature": 0.01,
            "max_tokens": 8000, "top_p": 1, "stop": ["\n\n", "###"], "stream": True, "stream_options": {"include_usage": True},
        }
        text, parts, done = streamed(url, asked)
        check("FastGPT: a chat streams to its end", text and done and parts[-1]["usage"]["total_tokens"] > 0)
        reasons = [choice["finish_reason"] for part in parts for choice in part["choices"]]
        check("FastGPT: it is told why the answer ended", reasons[-1] in ("stop", "length"))
        whole = json.loads(post(url + "/v1/chat/completions", {**asked, "stream": False, "stream_options": None}, "right"))
        check("FastGPT: the same without a stream", whole["choices"][0]["message"]["content"] == text)
        turns = [*QUESTION, {"role": "assistant", "content": "Red."}, {"role": "user", "content": "And the dog?"}]
        check("FastGPT: with the history", streamed(url, {**asked, "messages": turns})[2])
        form = {"type": "json_schema", "json_schema": {"name": "row", "schema": SCHEMA}}
        text, _, _ = streamed(url, {**asked, "max_tokens": 200, "stop": None, "response_format": form})
        check("FastGPT: a schema holds", set(json.loads(text)) == {"name", "count"})
        tools = {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": True, "max_tokens": 40}
        check("FastGPT: tools stand beside a question", streamed(url, {**asked, **tools})[2])
        index = {"model": "nano", "input": ["a lamp", "a dog"], "encoding_format": "float"}
        vectors = json.loads(post(url + "/v1/embeddings", index, "right"))
        check("FastGPT: vectors of an index model", len(vectors["data"]) == 2 and vectors["usage"]["total_tokens"] > 0)


def streamed(url, body):
    """The text of a stream, its parts, and whether it ends as one does."""
    lines = post(url + "/v1/chat/completions", body, "right").decode().splitlines()
    events = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    parts = [json.loads(event) for event in events if event != "[DONE]"]
    text = "".join(choice["delta"].get("content") or "" for part in parts for choice in part["choices"])
    return text, parts, events[-1:] == ["[DONE]"]


def headers(key):
    return {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})


def get(url, key=None):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers(key))) as answer:
        return answer.read()


def post(url, body, key=None):
    request = urllib.request.Request(url, json.dumps(body).encode(), headers(key))
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def metric(url, name):
    with urllib.request.urlopen(url + "/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name + " "))


PARTS = {
    "openai": openai_part, "ollama": ollama_part, "langchain": langchain_part, "javascript": javascript_part,
    "gateways": gateways_part,
}


def main():
    args = arguments(__doc__, PARTS)
    for name, part in PARTS.items():
        if args.only in (None, name):
            part()
    finish()


if __name__ == "__main__":
    main()
