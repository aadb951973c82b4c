"""llama.cpp as the scripts of this folder ask it: the server of the PyPI wheel `xllamacpp`, which compiles nothing."""

import json
import urllib.request

import numpy as np
import xllamacpp

# A word that stands for itself in every vocabulary here, so that the server has whole characters to tell.
LETTER = "1"


def named(numbers, name):
    """A number of an enumeration by the end of its name."""
    return next(number for number in numbers if number.name.lower().endswith(name))


class Llama:
    """A .gguf in llama.cpp, in 32 bits wherever it lets one choose."""

    def __init__(self, path, context=512):
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel, params.n_gpu_layers = context, 1, 0
        params.cache_type_k = params.cache_type_v = named(xllamacpp.ggml_type, "type_f32")
        params.flash_attn_type = named(xllamacpp.llama_flash_attn_type, "disabled")
        params.warmup, params.use_jinja, params.fit_params, params.verbosity = False, True, False, -1
        self.server = xllamacpp.Server(params)
        self.letter = self.ask("/tokenize", content=LETTER)["tokens"][-1]

    def ask(self, path, **what):
        request = urllib.request.Request(
            self.server.listening_address + path, json.dumps(what).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def tokens(self, text):
        return self.ask("/tokenize", content=text, add_special=True, parse_special=True)["tokens"]

    def next(self, tokens, count, forced=None):
        """What the model makes of the next token, before any sampling: the `count` likeliest of them with their
        log-probabilities, and that of the one that is forced."""
        forced = self.letter if forced is None else forced
        made = self.ask(
            "/completion", prompt=list(map(int, tokens)), n_predict=1, n_probs=count, temperature=0.0,
            logit_bias=[[int(forced), 1e9]],
        )
        return made["completion_probabilities"][0] if made.get("completion_probabilities") else None

    def distribution(self, tokens, size):
        """The log-probability of each of `size` tokens behind `tokens`."""
        found = np.full(size, np.nan)
        for token in self.next(tokens, size)["top_logprobs"]:
            found[token["id"]] = token["logprob"]
        # The server adds up the exponentials in 32 bits: over a large vocabulary its sum is 1e-4 short.
        return found - np.logaddexp.reduce(found[~np.isnan(found)])

    def logprobs(self, tokens, size, exact=False):
        """Of every token but the first; `exact` ones are summed up here, and take a second each."""
        found = []
        for at in range(1, len(tokens)):
            if exact:
                found.append(self.distribution(tokens[:at], size)[tokens[at]])
                continue
            # Of a part of a character the server tells nothing by itself.
            alone = self.next(tokens[:at], 1, tokens[at])
            found.append(alone["logprob"] if alone else self.distribution(tokens[:at], size)[tokens[at]])
        return np.array(found)

    def greedy(self, tokens, count):
        """The tokens that follow, past any end."""
        said = []
        while len(said) < count:
            said.append(self.next([*tokens, *said], 1)["top_logprobs"][0]["id"])
        return said

    def prompt(self, question):
        """The whole prompt of a question, by the template in the file."""
        return self.ask("/apply-template", messages=[{"role": "user", "content": question}])["prompt"]

    def chat(self, question, count):
        """The answer to a question, by the template in the file."""
        messages = [{"role": "user", "content": question}]
        how = dict(temperature=0.0, max_tokens=count, reasoning_format="none")
        answer = self.ask("/v1/chat/completions", messages=messages, **how)
        return answer["choices"][0]["message"]["content"]

    def close(self):
        self.server = None
