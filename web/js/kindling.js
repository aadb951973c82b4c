// JavaScript because it is the API of other pages, which load it alone: a client of the engine's worker (engine.js).
// Types and comments: kindling.d.ts.
//
// Every message carries a run id: the page's {run, call, files} starts it, the worker's {run, event} answer until one
// of them is `done` or `failed`.

/** Opens the engine. */
export function connect(options = {}) {
  return new Kindling(options);
}

class Kindling {
  #options;
  #worker = null;
  #calls = new Map();
  #next = 1;
  #opened;

  constructor(options) {
    this.#options = options;
    this.onCrash = null;
    this.chat = { completions: { create: (request) => this.#chat(request) } };
    this.runs = {
      list: () => this.#result({ call: "runs" }),
      resume: (id, onEvent) => this.#run({ call: "resume", id }, [], onEvent),
      remove: (id) => this.#result({ call: "remove-run", id }),
      import: async (source, { data, name, ...what }) => {
        const saved = await readFiles(source);
        const call = { call: "import-run", stage: taught(what).stage, name, saved: saved.length };
        return this.#result(call, [...saved, ...(await readFiles(data))]);
      },
    };
    this.adapters = {
      list: () => this.#result({ call: "adapters" }),
      use: (active) => this.#result({ call: "use-adapters", active: active.map((a) => ({ strength: 1, ...a })) }),
      add: async (name, files) => this.#result({ call: "add-adapter", name }, await readFiles(files)),
      remove: (name) => this.#result({ call: "remove-adapter", name }),
    };
    this.models = {
      list: () => this.#result({ call: "kept" }),
      keep: (name) => this.#result({ call: "keep", name }),
      remove: (name) => this.#result({ call: "forget", name }),
    };
    this.restart();
  }

  device() {
    return this.#opened;
  }

  async load(source, { signal, onProgress, keep = true, weights = "f32" } = {}) {
    if (source?.kept !== undefined) return this.#result({ call: "load-kept", name: source.kept, weights });
    if (typeof source === "string") {
      const call = { call: "download", url: new URL(source, location.href).href, keep, weights };
      return this.#download(call, onProgress, signal);
    }
    const files = await readFiles(source);
    signal?.throwIfAborted();
    return this.#result({ call: "load", name: modelName(files), weights }, files);
  }

  async #download(call, onProgress, signal) {
    signal?.throwIfAborted();
    const tell = ({ event, loaded, total }) => event === "loaded" && onProgress?.({ loaded, total });
    try {
      return await this.#call(call, [], tell, signal).result;
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  }

  async defaults(stage, { adapter } = {}) {
    const { config, lora, sampling } = await this.#result({ call: "defaults", ...asked({ stage, adapter }) });
    const { max_new_tokens: max_tokens, ignore_eos, ...rest } = sampling;
    return { config, lora, sampling: { ...rest, max_tokens } };
  }

  model() {
    return this.#result({ call: "model" });
  }

  async generate({ prompt, tokens, onText, signal, ...sampling }) {
    const call = { call: "generate", prompt, tokens, sampling: samplingConfig(sampling) };
    return this.#call(call, [], (event) => event.event === "token" && onText?.(event.text), signal).result;
  }

  score({ text, tokens, addBos = false, logits = false }) {
    return this.#result({ call: "score", text, tokens, add_bos: addBos, logits });
  }

  async preview({ data, config = {}, rows = 20, encoding, ...what }) {
    return this.#result({ call: "preview", ...asked(what), config, rows, encoding }, await readFiles(data));
  }

  async plan(request) {
    return this.#result({ ...trainCall(request), call: "plan" }, await readFiles(request.data));
  }

  async train(request) {
    return this.#run(trainCall(request), await readFiles(request.data), request.onEvent);
  }

  async export(what, { as = "files" } = {}) {
    const [kind, name] = Object.entries(what)[0] ?? [];
    return (await this.#call({ call: "export", kind, name, shape: as }, []).whole).files;
  }

  close() {
    this.#worker?.terminate();
    this.#worker = null;
    this.#failAll("the engine is closed");
  }

  restart() {
    this.close();
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onerror = (event) => this.#crashed(event.message ?? "the engine could not be loaded");
    this.#opened = this.#result({ call: "open", device: this.#options.device ?? "auto" });
    this.#opened.catch(() => {});
  }

  #receive({ run, text, files, crash }) {
    if (crash !== undefined) return this.#crashed(crash);
    const call = this.#calls.get(run);
    if (!call) return;
    const event = JSON.parse(text);
    if (event.event === "done") {
      this.#calls.delete(run);
      call.resolve({ result: event.result, files });
    } else if (event.event === "failed") {
      this.#calls.delete(run);
      call.reject(new Error(event.message));
    } else {
      call.onEvent?.(event);
    }
  }

  #crashed(message) {
    this.#worker?.terminate();
    this.#worker = null;
    this.#failAll(`the engine crashed: ${message}`);
    this.onCrash?.(message);
  }

  #failAll(message) {
    for (const call of this.#calls.values()) call.reject(new Error(message));
    this.#calls.clear();
  }

  /** Starts a call; `whole` resolves to {result, files}. */
  #call(call, files, onEvent, signal) {
    const run = this.#next++;
    const whole = new Promise((resolve, reject) => {
      if (!this.#worker) return reject(new Error("the engine is not running; restart it"));
      this.#calls.set(run, { resolve, reject, onEvent });
      this.#worker.postMessage({ run, text: JSON.stringify(call), files }, files.map((file) => file.bytes.buffer));
    });
    signal?.addEventListener("abort", () => this.#send({ call: "cancel", target: run }), { once: true });
    if (signal?.aborted) this.#send({ call: "cancel", target: run });
    const result = whole.then(({ result }) => result);
    // Whoever waits for one of the two hears of the failure; nobody has to wait for both.
    for (const promise of [whole, result]) promise.catch(() => {});
    return { run, whole, result };
  }

  #result(call, files = []) {
    return this.#call(call, files).result;
  }

  /** A call whose answer does not matter. */
  #send(call) {
    this.#call(call, []).whole.catch(() => {});
  }

  /** Resolves when the run stands: its first event holds its id and plan. */
  #run(call, files, onEvent) {
    return new Promise((resolve, reject) => {
      const started = this.#call(call, files, (event) => {
        if (event.event !== "started") return onEvent?.(event);
        const control = (what) => this.#send({ call: "control", target: event.id, what });
        const done = started.result;
        let paused = false;
        const end = () => (paused = false);
        done.then(end, end);
        const pause = (now) => {
          paused = now;
          control(now ? "pause" : "continue");
        };
        resolve({
          id: event.id,
          plan: event.plan,
          get paused() {
            return paused;
          },
          pause: () => pause(true),
          resume: () => pause(false),
          stop: () => control("stop"),
          save: () => control("save"),
          done,
        });
      });
      started.result.catch(reject);
    });
  }

  async #chat({ messages, stream, logprobs = false, top_logprobs = 0, adapters = "active", signal, ...sampling }) {
    const call = {
      call: "chat",
      messages,
      base: adapters === "base",
      top: logprobs ? top_logprobs : null,
      sampling: samplingConfig(sampling),
    };
    const head = { id: `chatcmpl-${this.#next}`, created: Math.floor(Date.now() / 1000), model: (await this.model())?.name ?? "" };
    if (stream) return this.#stream(call, head, signal);
    const content = [];
    const answer = await this.#call(call, [], (event) => event.logprob && content.push(event.logprob), signal).result;
    const choice = {
      index: 0,
      message: { role: "assistant", content: answer.text },
      logprobs: logprobs ? { content } : null,
      finish_reason: answer.finish_reason,
    };
    return { ...head, object: "chat.completion", choices: [choice], usage: usage(answer) };
  }

  async *#stream(call, head, signal) {
    const waiting = [];
    let wake = () => {};
    const push = (item) => (waiting.push(item), wake());
    const chunk = (delta, logprob, finish_reason, rest) => ({
      ...head,
      object: "chat.completion.chunk",
      choices: [{ index: 0, delta, logprobs: logprob ? { content: [logprob] } : null, finish_reason }],
      ...rest,
    });
    const started = this.#call(call, [], push, signal);
    started.result.then((answer) => push({ answer }), (error) => push({ error }));
    yield chunk({ role: "assistant" }, null, null);
    try {
      for (;;) {
        while (waiting.length === 0) await new Promise((resolve) => (wake = resolve));
        const { answer, error, text, logprob } = waiting.shift();
        if (error) throw error;
        if (answer) return yield chunk({}, null, answer.finish_reason, { usage: usage(answer) });
        yield chunk({ content: text }, logprob, null);
      }
    } finally {
      // A reader that leaves the loop early wants no more tokens.
      this.#send({ call: "cancel", target: started.run });
    }
  }
}

function usage({ prompt_tokens, completion_tokens, tokens_per_second, dropped_messages }) {
  const total_tokens = prompt_tokens + completion_tokens;
  return { prompt_tokens, completion_tokens, total_tokens, tokens_per_second, dropped_messages };
}

/** OpenAI's names, and the engine's where OpenAI has none. */
function samplingConfig({ max_tokens, stop, ...rest }) {
  const config = { ...rest };
  if (max_tokens !== undefined) config.max_new_tokens = max_tokens;
  if (stop !== undefined) config.stop = [].concat(stop);
  return config;
}

function trainCall({ config = {}, name, sample, encoding, ...what }) {
  return { call: "train", ...taught(what), config, name, sample, encoding };
}

/** The stage, and the settings of the adapter where one learns it. "lora" with `lora` is "sft" with an adapter. */
function taught({ stage, adapter, lora }) {
  const settings = adapter === true ? {} : adapter || undefined;
  if (stage === "lora") return { stage: "sft", adapter: settings ?? lora ?? {} };
  if (lora && !settings) {
    throw new Error(`lora holds an adapter's settings, and ${stage} without adapter trains the model; give them as adapter`);
  }
  return { stage, adapter: settings };
}

/** The stage, and whether an adapter learns it. */
function asked(what) {
  const { stage, adapter } = taught(what);
  return { stage, adapts: adapter !== undefined };
}

/** Copies: what is sent to the worker is gone here, and the caller keeps its own. */
async function readFiles(source) {
  const read = async (file) =>
    file instanceof Blob
      ? { name: file.webkitRelativePath || file.name, bytes: new Uint8Array(await file.arrayBuffer()) }
      : { name: file.name, bytes: new Uint8Array(file.bytes).slice() };
  return Promise.all([].concat(source).map(read));
}

function modelName(files) {
  const [first] = files;
  const folder = first?.name.split("/").at(-2);
  return files.length > 1 && folder ? folder : (first?.name ?? "").split("/").at(-1).replace(/\.(safetensors|zip|gguf)$/, "");
}
