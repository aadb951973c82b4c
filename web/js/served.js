// JavaScript because it is a part of kindling.js. Runs on the server that the page came from, where that trains
// (`kindling serve --train`): asked for as those in the tab, with the same events and the same methods.
import { KindlingError, beginning, check, refusal } from "./requests.js";

/** Files that the server reads as texts; it refuses others by their names. */
const TEXTS = /\.(jsonl|json|csv|tsv|txt)$/i;
/** What an adapter consists of. */
const FILES = ["adapter_config.json", "adapter_model.safetensors"];
/** How often a server that does not answer is asked again, and milliseconds between. */
const TRIES = 30;
const PAUSE = 2000;

/** Types and comments: kindling.d.ts. */
export class ServedTraining {
  #place;
  #kindling;

  constructor(place, kindling) {
    this.#place = place;
    this.#kindling = kindling;
    this.key = "";
  }

  async list() {
    return (await this.#fetch("training")).json();
  }

  async train({ model, ...request }, onEvent) {
    check("train", request);
    const { call, files } = await beginning(request);
    const { call: _, encoding, ...training } = call;
    const rows = files.map((file) => ({ name: file.name, text: textOf(file, encoding ?? "utf-8") }));
    const answer = await this.#fetch("training", { model: model ?? "", training, files: rows });
    return this.#join((await answer.json()).id, false, onEvent);
  }

  async resume(id, onEvent) {
    await this.#fetch(`training/${encodeURIComponent(id)}/resume`, {});
    return this.#join(id, false, onEvent);
  }

  async rejoin(id, onEvent) {
    // No event tells of a pause.
    const { running, paused } = await this.list();
    return this.#join(id, paused && running === id, onEvent);
  }

  /** Resolves when the run stands. */
  #join(id, paused, onEvent) {
    return new Promise((resolve, reject) => {
      const done = this.#follow(id, (event) => {
        if (event.event === "started") resolve(this.#standing(event, paused, done));
        else onEvent?.(event);
      });
      done.catch(reject);
    });
  }

  #standing({ id, plan }, paused, done) {
    const steer = (what) => this.#fetch(`training/${encodeURIComponent(id)}/control`, { what }).catch(() => {});
    const pause = (now) => {
      paused = now;
      steer(now ? "pause" : "continue");
    };
    return {
      id,
      plan,
      get paused() {
        return paused;
      },
      pause: () => pause(true),
      resume: () => pause(false),
      stop: () => steer("stop"),
      save: () => steer("save"),
      done,
    };
  }

  /** Tells every event once, also where the connection breaks: what is told again from the beginning is left out. */
  async #follow(id, tell) {
    const steps = {};
    const said = new Set();
    const isNew = ({ event, step, message }) => {
      if (step === undefined) return !message || (!said.has(message) && said.add(message));
      if (step <= (steps[event] ?? -1)) return false;
      steps[event] = step;
      return true;
    };
    for (let tries = 0; ; tries++) {
      try {
        const answer = await this.#fetch(`training/${encodeURIComponent(id)}/events`);
        for await (const event of events(answer.body)) {
          tries = 0;
          if (event.event === "done") return await this.#brought(event.result, tell);
          if (event.event === "failed") throw new KindlingError(event);
          if (isNew(event)) tell(event);
        }
      } catch (error) {
        if (error instanceof KindlingError) throw error;
        if (tries >= TRIES) {
          const why = error.message;
          const message = `the server does not answer (${why}); what it trains goes on there: come back when it answers again`;
          throw refusal("served_run.lost", { why }, message);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
  }

  /** The end of a run whose adapter is among those of the tab, too, where a model is open that it fits. */
  async #brought({ adapter, model, ...end }, tell) {
    if (!adapter || !(await this.#kindling.model())) return end;
    try {
      const fetched = FILES.map(async (name) => {
        const answer = await this.#fetch(`training/${encodeURIComponent(end.id)}/files/${name}`);
        return { name, bytes: await answer.arrayBuffer() };
      });
      const list = await this.#kindling.adapters.add(adapter, await Promise.all(fetched));
      return { ...end, adapter: list.find((added) => added.active)?.name ?? adapter };
    } catch ({ code = "other", values = {}, message }) {
      tell({ event: "warning", code, values, message });
      return end;
    }
  }

  async #fetch(route, body) {
    const headers = this.key ? { authorization: `Bearer ${this.key}` } : {};
    const post = body && { method: "POST", body: JSON.stringify(body) };
    if (body) headers["content-type"] = "application/json";
    const answer = await fetch(new URL(route, this.#place), { ...post, headers, cache: "no-store", redirect: "error" });
    if (answer.ok) return answer;
    const { told, error } = await answer.json().catch(() => ({}));
    const message = error?.message ?? `${answer.status} ${answer.statusText}`;
    throw new KindlingError(told ?? { code: "other", values: {}, message });
  }
}

/** A file as a text. */
function textOf({ name, bytes }, label) {
  if (!TEXTS.test(name)) return "";
  try {
    return new TextDecoder(label, { fatal: true }).decode(bytes);
  } catch {
    const message = `${name}: it holds bytes that are not ${label}; choose its encoding`;
    throw refusal("file.encoded", { name, label }, message);
  }
}

/** The data of server-sent events. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let left = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (left + value).split("\n");
    left = lines.pop();
    for (const line of lines) if (line.startsWith("data: ")) yield JSON.parse(line.slice(6));
  }
}
