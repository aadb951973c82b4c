// JavaScript because it is the API of other pages, which load it before any module: a client of the engine's worker
// (engine.js). Types and comments: kindling.d.ts. What requests may hold: requests.js.
//
// Every message carries a run id: the page's {run, call, files} starts it, the worker's {run, event} answer until one
// of them is `done` or `failed`.
import {
  KindlingError, asked, beginning, check, checkOne, conversation, evaluation, heard, modelName, named, ofMasked, pasted,
  readFiles, refusal, samplingConfig, taught, teacher, unmaskStep, usage, who,
} from "./requests.js";

export { KindlingError };

/** Opens the engine. */
export function connect(options = {}) {
  check("connect", options);
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
      resume: (id, onEvent, { more } = {}) => this.#run({ call: "resume", id, more }, [], onEvent),
      remove: (id) => this.#result({ call: "remove-run", id }),
      import: async (source, { data, name, encoding, ...what }) => {
        check("runs.import", { data, name, encoding, ...what });
        const saved = await readFiles(source);
        const { stage } = taught(what);
        const call = { call: "import-run", stage, name, saved: saved.length, teacher: teacher(what), encoding };
        return this.#result(call, [...saved, ...(await readFiles(data))]);
      },
    };
    this.adapters = {
      list: () => this.#result({ call: "adapters" }),
      use: async (active) => {
        return this.#result({ call: "use-adapters", active: named(active) });
      },
      add: async (name, files) => this.#result({ call: "add-adapter", name }, await readFiles(files)),
      average: async (name, of, options = {}) => {
        check("adapters.average", options);
        return this.#result({ call: "average-adapters", name, of, ...options });
      },
      remove: (name) => this.#result({ call: "remove-adapter", name }),
    };
    this.rows = {
      read: async (text, stage = "sft") => {
        const call = { call: "read-rows", stage: taught({ stage }).stage };
        const { result, files } = await this.#call(call, pasted("rows.read", text)).whole;
        return { ...result, data: files[0] ?? null };
      },
      pairs: async (text) => this.#result({ call: "read-pairs" }, pasted("rows.pairs", text)),
      cells: async (text, choices = false) => this.#result({ call: "read-cells", choices }, pasted("rows.cells", text)),
    };
    this.models = {
      list: () => this.#result({ call: "kept" }),
      keep: (name) => this.#result({ call: "keep", name }),
      convert: async (options) => {
        check("models.convert", options);
        const { to, shift_logits, block_length, name } = options;
        if (to !== "diffusion") {
          const message = `to is ${JSON.stringify(to)}; it can be "diffusion"`;
          throw refusal("bad-request", { call: "models.convert", field: "to" }, message);
        }
        return this.#result({ call: "convert", shift_logits, block_length, name });
      },
      remove: (name) => this.#result({ call: "forget", name }),
    };
    this.restart();
  }

  device() {
    return this.#opened;
  }

  async load(source, options = {}) {
    check("load", options);
    const { signal, onProgress, keep = true, weights = "f32" } = options;
    signal?.throwIfAborted();
    if (source?.kept !== undefined) return this.#open({ call: "load-kept", name: source.kept, weights }, [], signal);
    if (typeof source === "string") {
      const call = { call: "download", url: new URL(source, location.href).href, keep, weights };
      const tell = ({ event, loaded, total }) => event === "loaded" && onProgress?.({ loaded, total });
      return this.#open(call, [], signal, tell);
    }
    const files = await readFiles(source);
    return this.#open({ call: "load", name: modelName(files), weights }, files, signal);
  }

  /** Waits for the engine after an abort too: only it knows whether the model was open before. */
  async #open(call, files, signal, onEvent) {
    try {
      return await this.#call(call, files, onEvent, signal).result;
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  }

  async defaults(stage, options = {}) {
    check("defaults", options);
    const { adapter } = options;
    const { sampling, ...settings } = await this.#result({ call: "defaults", ...asked({ stage, adapter }) });
    const { max_new_tokens: max_tokens, ignore_eos, ...rest } = sampling;
    return { ...settings, sampling: { ...rest, max_tokens } };
  }

  model() {
    return this.#result({ call: "model" });
  }

  async generate(request) {
    check("generate", request);
    checkOne("generate", request, "prompt", "tokens");
    const { prompt, tokens, onText, unmask, onUnmask, signal, ...rest } = request;
    const sampling = samplingConfig("generate", rest);
    const call = { call: "generate", prompt, tokens, sampling, unmask: ofMasked("unmask", unmask) };
    const { result } = this.#call(call, [], heard({ onText, onUnmask }), signal);
    return unlessAborted(result, signal);
  }

  async infill(request) {
    check("infill", request);
    const { text, hole_tokens, unmask, onCanvas, onUnmask, signal, ...rest } = request;
    if (typeof text !== "string") {
      const message = `infill takes a text with holes (___), and got ${JSON.stringify(text)}`;
      throw refusal("bad-request", { call: "infill", field: "text" }, message);
    }
    const sampling = samplingConfig("infill", rest);
    const call = { call: "infill", text, hole_tokens, sampling, unmask: ofMasked("unmask", unmask) };
    return unlessAborted(this.#call(call, [], heard({ onCanvas, onUnmask }), signal).result, signal);
  }

  async score(request) {
    check("score", request);
    checkOne("score", request, "text", "tokens");
    const { text, tokens, addBos = false, logits = false, likelihood, signal } = request;
    const settings = ofMasked("likelihood", likelihood);
    const call = { call: "score", text, tokens, add_bos: addBos, logits, likelihood: settings };
    return unlessAborted(this.#call(call, [], undefined, signal).result, signal);
  }

  async evaluate(request) {
    check("evaluate", request);
    const { onProgress, signal } = request;
    const { call, files } = await evaluation(request);
    const tell = ({ event, ...part }) => event === "evaluating" && onProgress?.(part);
    return unlessAborted(this.#call(call, files, tell, signal).result, signal);
  }

  async exampleQuestions() {
    return (await this.#call({ call: "example-questions" }, []).whole).files[0];
  }

  async preview(request) {
    check("preview", request);
    const { data, config, rows, encoding, preset, experts, signal, stage, adapter, lora } = request;
    const told = { config: config ?? {}, rows: rows ?? 20, encoding, preset, experts };
    const call = { call: "preview", ...asked({ stage, adapter, lora }), ...told };
    return unlessAborted(this.#call(call, await readFiles(data), undefined, signal).result, signal);
  }

  async plan(request) {
    check("plan", request);
    const { signal } = request;
    const { call, files } = await beginning(request);
    return unlessAborted(this.#call({ ...call, call: "plan" }, files, undefined, signal).result, signal);
  }

  async train(request) {
    check("train", request);
    const { onEvent, signal } = request;
    const { call, files } = await beginning(request);
    return this.#run(call, files, onEvent, signal);
  }

  async export(what, options = {}) {
    check("export", options);
    const entries = Object.entries(what);
    if (entries.length !== 1) {
      const message = `export takes one of {model}, {adapter} and {run}, and got ${JSON.stringify(what)}`;
      throw refusal("bad-request", { call: "export" }, message);
    }
    const [[kind, name]] = entries;
    const { as = "files", weights, onWarning } = options;
    const tell = ({ event, ...told }) => event === "warning" && onWarning?.(told.message, told);
    return (await this.#call({ call: "export", kind, name, shape: as, weights }, [], tell).whole).files;
  }

  close() {
    this.#worker?.terminate();
    this.#worker = null;
    this.#failAll(refusal("engine.closed", {}, "the engine is closed"));
  }

  restart() {
    this.close();
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onerror = (event) => this.#crashed(event.message ?? "the engine could not be loaded");
    this.#opened = this.#result({ call: "open", device: this.#options.device ?? "auto" });
    this.#opened.catch(() => {});
  }

  #receive({ run, text, files, crash, progress }) {
    if (progress) return this.#options.onProgress?.(progress);
    if (crash !== undefined) return this.#crashed(crash, text && JSON.parse(text));
    const call = this.#calls.get(run);
    if (!call) return;
    const event = JSON.parse(text);
    if (event.event === "done") {
      this.#calls.delete(run);
      call.resolve({ result: event.result, files });
    } else if (event.event === "failed") {
      this.#calls.delete(run);
      call.reject(new KindlingError(event));
    } else {
      call.onEvent?.(event);
    }
  }

  /** `told` has the message's code and values, where it has any. */
  #crashed(message, told) {
    this.#worker?.terminate();
    this.#worker = null;
    const why = told ?? message;
    this.#failAll(refusal("engine.crashed", { why }, `the engine crashed: ${message}`));
    this.onCrash?.(message, told ? new KindlingError(told) : new Error(message));
  }

  #failAll(error) {
    for (const call of this.#calls.values()) call.reject(error);
    this.#calls.clear();
  }

  /** Starts a call; `whole` resolves to {result, files}. An abort ends it, and no event comes after that. */
  #call(call, files, onEvent, signal) {
    signal?.throwIfAborted();
    const run = this.#next++;
    const whole = new Promise((resolve, reject) => {
      if (!this.#worker) return reject(refusal("engine.stopped", {}, "the engine is not running; restart it"));
      this.#calls.set(run, { resolve, reject, onEvent: (event) => signal?.aborted || onEvent?.(event) });
      this.#worker.postMessage({ run, text: JSON.stringify(call), files }, files.map((file) => file.bytes.buffer));
    });
    const cancel = () => this.#cancel(run);
    signal?.addEventListener("abort", cancel, { once: true });
    const over = () => signal?.removeEventListener("abort", cancel);
    whole.then(over, over);
    const result = whole.then(({ result }) => result);
    // Whoever waits for one of the two hears of the failure; nobody has to wait for both.
    result.catch(() => {});
    return { run, whole, result };
  }

  #result(call, files = []) {
    return this.#call(call, files).result;
  }

  /** A call whose answer does not matter. */
  #send(call) {
    this.#call(call, []).whole.catch(() => {});
  }

  /** Ends a call before its time, unless it is over. */
  #cancel(run) {
    if (this.#calls.has(run)) this.#send({ call: "cancel", target: run });
  }

  /** Resolves when the run stands: its first event holds its id and plan. An abort stops it. */
  #run(call, files, onEvent, signal) {
    signal?.throwIfAborted();
    const standing = new Promise((resolve, reject) => {
      const started = this.#call(call, files, (event) => {
        if (event.event === "started") resolve(this.#standing(event, started.result, signal));
        else onEvent?.(event);
      });
      started.result.catch(reject);
    });
    return unlessAborted(standing, signal);
  }

  #standing({ id, plan }, result, signal) {
    const control = (what) => this.#send({ call: "control", target: id, what });
    let paused = false;
    const pause = (now) => {
      paused = now;
      control(now ? "pause" : "continue");
    };
    const stop = () => control("stop");
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
    const end = () => {
      paused = false;
      signal?.removeEventListener("abort", stop);
    };
    result.then(end, end);
    // What was trained is saved when this rejects, and the run can go on.
    const done = signal ? result.then((end) => (signal.throwIfAborted(), end)) : result;
    done.catch(() => {});
    return {
      id,
      plan,
      get paused() {
        return paused;
      },
      pause: () => pause(true),
      resume: () => pause(false),
      stop,
      save: () => control("save"),
      done,
    };
  }

  async #chat(request) {
    const name = "chat.completions.create";
    check(name, request);
    const { messages, model, stream, logprobs, top_logprobs, adapters, unmask, signal, ...sampling } = request;
    if (top_logprobs && !logprobs) {
      throw refusal("bad-request", { call: name, field: "top_logprobs" }, "top_logprobs needs logprobs: true");
    }
    const call = {
      call: "chat",
      messages: conversation(name, messages),
      ...who(name, adapters),
      top: logprobs ? (top_logprobs ?? 0) : null,
      sampling: samplingConfig(name, sampling),
      unmask: ofMasked("unmask", unmask),
    };
    signal?.throwIfAborted();
    const open = (await this.model())?.name ?? "";
    if (model && model !== open) {
      const message = `the open model is '${open}', and not '${model}'; load that first, or leave model out`;
      throw refusal("bad-request", { call: name, field: "model" }, message);
    }
    const head = { id: `chatcmpl-${this.#next}`, created: Math.floor(Date.now() / 1000), model: open };
    return stream ? this.#stream(call, head, signal) : this.#whole(call, head, logprobs, signal);
  }

  async #whole(call, head, logprobs, signal) {
    const content = [];
    const { result } = this.#call(call, [], (event) => event.logprob && content.push(event.logprob), signal);
    const answer = await unlessAborted(result, signal);
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
    unlessAborted(started.result, signal).then((answer) => push({ answer }), (error) => push({ error }));
    try {
      yield chunk({ role: "assistant" }, null, null);
      for (;;) {
        while (waiting.length === 0) await new Promise((resolve) => (wake = resolve));
        signal?.throwIfAborted();
        const { answer, error, event, text, logprob, ...step } = waiting.shift();
        if (error) throw error;
        if (answer) return yield chunk({}, null, answer.finish_reason, { usage: usage(answer) });
        if (event === "unmasked") yield chunk({}, null, null, { unmasked: unmaskStep(step) });
        else yield chunk({ content: text }, logprob, null);
      }
    } finally {
      // A reader that leaves the loop early wants no more tokens.
      this.#cancel(started.run);
    }
  }
}

/** The same promise, which rejects with the signal's reason, an AbortError, as soon as that aborts. */
function unlessAborted(promise, signal) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    const over = () => signal.removeEventListener("abort", abort);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).then(over);
    if (signal.aborted) abort();
  });
}
