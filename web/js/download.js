// JavaScript because what arrives goes to the disk without a way through our module's memory. Downloads that go on where
// they broke: `folder`, in the browser's private file system, holds `part`, what is there so far, and `origin.json`,
// which file of which server that is; without a folder the bytes are in memory only.
import { read, remove, sink, write } from "./store.js";

/** Milliseconds between two reports. */
const REPORT_EVERY = 100;

const running = new Map();

/** Ends a download; what is there stays. */
export function abort(run) {
  running.get(run)?.abort();
}

/** Whether a server says that its file is another one now; false where it says nothing. */
export async function changed(url, marks) {
  const answer = await fetch(url, { method: "HEAD", cache: "no-store" }).catch(() => undefined);
  return Boolean(answer?.ok) && differ(JSON.parse(marks), marksOf(answer, 0));
}

/** The bytes at a URL, and the marks by which `changed` knows them again. Calls `tell(loaded, total or -1)`. */
export async function download(run, url, folder, tell) {
  const controller = new AbortController();
  running.set(run, controller);
  const part = folder ? await open(folder) : undefined;
  try {
    return await transfer(url, part ? folder : "", part ?? memory([]), controller.signal, tell);
  } finally {
    const empty = part?.size() === 0;
    part?.close();
    if (empty) await remove(folder);
    running.delete(run);
  }
}

/** What is there so far; undefined where the browser keeps nothing. */
async function open(folder) {
  try {
    return await sink(`${folder}/part`);
  } catch (error) {
    if (full(error) || error instanceof TypeError) return undefined;
    throw error;
  }
}

async function transfer(url, folder, file, signal, tell) {
  const { answer, start, marks } = await request(url, folder, file, signal);
  const { total } = marks;
  let [loaded, told] = [start, -Infinity];
  tell(start, total ?? -1);
  file.cut(start);
  const reader = answer.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      try {
        file.write(value, loaded);
      } catch (error) {
        if (!full(error)) throw error;
        file = intoMemory(file, loaded);
        file.write(value, loaded);
      }
      loaded += value.length;
      if (performance.now() - told < REPORT_EVERY) continue;
      told = performance.now();
      tell(loaded, total ?? -1);
    }
  } catch (error) {
    throw broken(url, error, loaded, total);
  }
  if (total !== null && loaded !== total) throw broken(url, new Error("it ended"), loaded, total);
  tell(loaded, total ?? -1);
  return [file.bytes(), JSON.stringify(marks)];
}

/** Asks for what is missing, or for everything where the part belongs to another file. */
async function request(url, folder, file, signal) {
  const ask = async (headers) => {
    try {
      return await fetch(url, { signal, headers, cache: folder ? "no-store" : "default" });
    } catch (error) {
      throw broken(url, error, 0, null);
    }
  };
  const kept = folder && file.size() > 0 ? await read(`${folder}/origin.json`) : undefined;
  if (kept) {
    const { marks } = JSON.parse(new TextDecoder().decode(kept));
    const start = file.size();
    const answer = await ask({ range: `bytes=${start}-` });
    if (answer.status === 206 && !differ(marks, marksOf(answer, start))) return { answer, start, marks };
    await answer.body?.cancel();
  }
  const answer = await ask({});
  if (!answer.ok) throw new Error(`${url}: the server answered ${answer.status} ${answer.statusText}`);
  const marks = marksOf(answer, 0);
  const origin = new TextEncoder().encode(JSON.stringify({ url, marks }));
  if (folder) await write(`${folder}/origin.json`, origin).catch((error) => full(error) || Promise.reject(error));
  return { answer, start: 0, marks };
}

/** By what a file is known: each is null where the server, or another origin's rules, do not show it. */
function marksOf(answer, start) {
  const length = Number(answer.headers.get("content-length")) || null;
  // What is packed on the way has another length than the file.
  const total = length === null || answer.headers.get("content-encoding") ? null : start + length;
  return { tag: answer.headers.get("etag"), modified: answer.headers.get("last-modified"), total };
}

function differ(a, b) {
  return Object.keys(a).some((mark) => a[mark] !== null && b[mark] !== null && a[mark] !== b[mark]);
}

/** Takes a part out of storage that is full. */
function intoMemory(file, loaded) {
  const part = memory([file.bytes().subarray(0, loaded)]);
  file.cut(0);
  return part;
}

function memory(parts) {
  return {
    size: () => parts.reduce((size, part) => size + part.length, 0),
    cut: (size) => size === 0 && (parts.length = 0),
    write: (bytes) => void parts.push(bytes),
    bytes() {
      const whole = new Uint8Array(this.size());
      let at = 0;
      for (const part of parts) whole.set(part, (at += part.length) - part.length);
      return whole;
    },
  };
}

const full = (error) => error?.name === "QuotaExceededError";

function broken(url, error, loaded, total) {
  // The page asked for it, or the storage failed: their own words are better.
  if (error.name === "AbortError" || error instanceof DOMException) return error;
  const of = total === null ? "" : ` of ${total}`;
  return new Error(`${url}: the connection broke after ${loaded}${of} bytes (${error.message}); try again`);
}
