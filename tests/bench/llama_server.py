"""llama.cpp's server, of the PyPI wheel `xllamacpp`, on two threads, until its stdin ends.

    python -B tests/bench/llama_server.py MODEL.gguf SLOTS POSITIONS f32|q8_0

Prints {"url": …}. Keys and values are f32 beside f32 weights, as Kindling has them, and f16 beside q8_0 as is usual there.
"""

import json
import sys

import xllamacpp


def named(numbers, name):
    """A number of an enumeration by the end of its name."""
    return next(number for number in numbers if number.name.lower().endswith(name))


def main():
    model, slots, positions, weights = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_parallel, params.n_ctx, params.n_gpu_layers = int(slots), int(positions), 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
    kind = named(xllamacpp.ggml_type, "type_f32" if weights == "f32" else "type_f16")
    params.cache_type_k = params.cache_type_v = kind
    params.fit_params, params.verbosity = False, -1
    server = xllamacpp.Server(params)
    print(json.dumps({"url": server.listening_address}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
