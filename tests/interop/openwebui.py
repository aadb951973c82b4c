"""Open-WebUI itself before `kindling serve`: it lists the models, streams chats, and names and tags conversations, as a
connection to OpenAI and as one to Ollama.

    python -B tests/interop/openwebui.py KINDLING FOLDER --program OPEN-WEBUI

KINDLING is the program, FOLDER an empty directory to work in, OPEN-WEBUI the command of the PyPI package open-webui, which
tests/interop/run installs in its slim form. It is asked over HTTP as its own page asks it; what it makes of the answers goes
through its own code.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

from checks import NANO, arguments, check, finish, serving, skip

QUESTION = [{"role": "user", "content": "What colour is the lamp?"}]
CONVERSATION = [*QUESTION, {"role": "assistant", "content": "It is red."}]
GREEDY = {"temperature": 0, "max_tokens": 12}
KEY = "right"
# Its first start makes a database.
PATIENCE = 300


class Site:
    """What listens at an address."""

    def __init__(self, url, token=None):
        self.url, self.token = url, token

    def ask(self, path, body=None):
        """The body that answers, as text; a GET without a body of its own."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=PATIENCE) as answer:
            return answer.read().decode()

    def json(self, path, body=None):
        return json.loads(self.ask(path, body))

    def refusal(self, path, body=None):
        """The status of a refusal; none where there is an answer."""
        try:
            self.ask(path, body)
        except urllib.error.HTTPError as error:
            return error.code
        return None

    def stream(self, path, body):
        """The text of a stream, and its events."""
        lines = [line.removeprefix("data: ") for line in self.ask(path, body).splitlines() if line.startswith("data: ")]
        events = [json.loads(line) for line in lines if line != "[DONE]"]
        texts = [event["choices"][0]["delta"].get("content") or "" for event in events if event.get("choices")]
        return "".join(texts), events, lines[-1:] == ["[DONE]"]


@contextlib.contextmanager
def webui(program, folder, openai, ollama):
    """Open-WebUI with a connection of each kind; none where it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "DATA_DIR": str(folder / "data"), "WEBUI_AUTH": "False", "WEBUI_SECRET_KEY": "of-a-test", "USE_SLIM_DOCKER": "true",
        "OPENAI_API_BASE_URLS": f"{openai}/v1", "OPENAI_API_KEYS": KEY, "OLLAMA_BASE_URLS": ollama, "ENABLE_OLLAMA_API": "true",
        "OFFLINE_MODE": "true", "ENABLE_VERSION_UPDATE_CHECK": "false", "DO_NOT_TRACK": "true", "SCARF_NO_ANALYTICS": "true",
        "ANONYMIZED_TELEMETRY": "false",
    }
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "log", "w") as log:
        words = [str(program), "serve", "--host", "127.0.0.1", "--port", str(port)]
        run = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder, env=os.environ | settings)
        try:
            site = Site(f"http://127.0.0.1:{port}")
            yield site if ready(site, run) else None
        finally:
            run.terminate()
            try:
                run.wait(30)
            except subprocess.TimeoutExpired:
                run.kill()


def ready(site, run):
    begun = time.monotonic()
    while run.poll() is None and time.monotonic() - begun < PATIENCE:
        try:
            site.ask("/health")
            return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(1)
    return False


def openai_connection(site, direct):
    """A connection to OpenAI, beside the same question put to the server itself."""
    listed = [model for model in site.json("/api/models")["data"] if model.get("owned_by") != "arena"]
    check("its model choice has the models of both connections", {"nano", "small"} <= {model["id"] for model in listed})
    asked = {"model": "nano", "messages": QUESTION, **GREEDY}
    expected = direct.json("/v1/chat/completions", asked)["choices"][0]["message"]["content"]
    whole = site.json("/api/chat/completions", {**asked, "stream": False})
    check("a chat is what the server says", expected and whole["choices"][0]["message"]["content"] == expected)
    more = {"stream": True, "stream_options": {"include_usage": True}, "features": {}, "variables": {}, "params": {}}
    text, events, done = site.stream("/api/chat/completions", {**asked, **more})
    check("a streamed chat is the same, and ends", text == expected and done)
    usage = [event["usage"] for event in events if event.get("usage")]
    check("its last part has the usage", len(usage) == 1 and usage[0]["completion_tokens"] > 0)
    parted = [{"role": "system", "content": "Be brief."},
              {"role": "user", "content": [{"type": "text", "text": "What colour is the lamp?"}]}]
    form = {"temperature": 0.5, "top_p": 0.9, "seed": 3, "stop": ["\n\n"], "frequency_penalty": 0.1}
    text, _, done = site.stream("/api/chat/completions", {**asked, **form, "messages": parted, "stream": True})
    check("its settings and content in parts are taken", done)
    for task in ["title", "tags", "follow_up", "queries", "emoji"]:
        body = {"model": "nano", "messages": CONVERSATION, "type": "web_search", "prompt": "A lamp", "stream": False}
        made = site.json(f"/api/v1/tasks/{task}/completions", body)
        check(f"a task of its own: {task}", isinstance(made["choices"][0]["message"]["content"], str))
    vectors = site.json("/api/embeddings", {"model": "nano", "input": ["a lamp", "a dog"]})
    check("vectors", [row["index"] for row in vectors["data"]] == [0, 1])
    check("an unknown model is refused", site.refusal("/api/chat/completions", {**asked, "model": "none"}) is not None)
    verified = site.json("/openai/verify", {"url": f"{direct.url}/v1", "key": KEY})
    check("a connection that is added is verified", [model["id"] for model in verified["data"]] == ["nano"])
    wrong = site.refusal("/openai/verify", {"url": f"{direct.url}/v1", "key": "wrong"})
    check("one with a wrong key is not", wrong is not None)


def ollama_connection(site, direct):
    """A connection to Ollama."""
    check("Ollama: tags", [model["name"] for model in site.json("/ollama/api/tags")["models"]] == ["small"])
    check("Ollama: version", site.json("/ollama/api/version")["version"] == direct.json("/api/version")["version"])
    check("Ollama: a model is shown", "model_info" in site.json("/ollama/api/show", {"model": "small"}))
    options = {"temperature": 0, "num_predict": 12}
    expected = direct.json("/api/chat", {"model": "small", "messages": QUESTION, "options": options, "stream": False})
    text, _, done = site.stream("/api/chat/completions", {"model": "small", "messages": QUESTION, **GREEDY, "stream": True})
    check("Ollama: a streamed chat is what the server says", text == expected["message"]["content"] and done)
    asked = {"model": "small", "messages": QUESTION, "options": options, "stream": True}
    parts = [json.loads(line) for line in site.ask("/ollama/api/chat", asked).splitlines() if line]
    whole = "".join(part["message"]["content"] for part in parts)
    check("Ollama: its own route streams lines", whole == text and parts[-1]["done"])
    made = site.ask("/ollama/api/generate", {"model": "small", "prompt": "The lamp", "options": options, "stream": False})
    check("Ollama: a text goes on", json.loads(made)["done"])
    made = site.json("/ollama/api/embed", {"model": "small", "input": ["a lamp", "a dog"]})
    check("Ollama: vectors", len(made["embeddings"]) == 2)
    running = json.dumps(site.json("/ollama/api/ps"))
    check("Ollama: what is loaded", "small" in running)


def main():
    args = arguments(__doc__, None, ("--program", "the command open-webui"))
    program = args.program or pathlib.Path("open-webui")
    if not program.is_file():
        skip("all", f"{program} is not installed")
        return finish()
    with serving(f"nano={NANO}", "--api-key", KEY) as openai, serving(f"small={NANO}") as ollama:
        folder = args.folder.resolve()
        with webui(program, folder, openai, ollama) as site:
            check("it starts", site is not None)
            if site is None:
                print((folder / "log").read_text()[-2000:])
                return finish()
            site.token = site.json("/api/v1/auths/signin", {"email": "", "password": ""})["token"]
            openai_connection(site, Site(openai, KEY))
            ollama_connection(site, Site(ollama))
    finish()


main()
