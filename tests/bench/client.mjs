// What load.mjs and soak.mjs share: servers as processes, completions as streams, numbers out of lists.

import { spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import http from "node:http";

// No server outlives this script, however it ends.
const children = new Set();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));

/// A server that prints a line of JSON with its `url`. Its stderr is kept, because a panic is told there.
export async function start(command, args) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
  children.add(child);
  child.on("exit", () => children.delete(child));
  const server = { pid: child.pid, url: "", stderr: "" };
  child.stderr.on("data", (data) => (server.stderr = (server.stderr + data).slice(-100_000)));
  const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve(code ?? signal)));
  server.end = async () => {
    child.stdin.end();
    child.kill("SIGTERM");
    return ended;
  };
  let text = "";
  server.url = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", () => reject(new Error(`${command} ended before it listened:\n${server.stderr}`)));
    child.stdout.on("data", (data) => {
      text += data;
      const line = text.split("\n").find((line) => line.includes('"url"'));
      if (line) resolve(JSON.parse(line).url);
    });
  });
  return server;
}

/// `kindling serve` with these flags.
export const kindling = (...flags) =>
  start(process.env.KINDLING, ["serve", "--port", "0", "--device", "cpu", "--json", "--quiet", ...flags]);

const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
/// A connection for each request: llama.cpp's server closes those whose stream has ended, and a client that takes one again at
/// that moment is hung up on.
export const fresh = new http.Agent({ maxSockets: Infinity });

/// A JSON answer.
export function ask(url, path, body) {
  return new Promise((resolve, reject) => {
    const options = { agent, method: body ? "POST" : "GET", headers: { "content-type": "application/json" } };
    const request = http.request(url + path, options, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (data) => (text += data));
      answer.on("end", () => resolve({ status: answer.statusCode, text }));
      answer.on("error", reject);
    });
    request.on("error", reject);
    request.end(body && JSON.stringify(body));
  });
}

/// A streamed completion: its text, its usage, why it ended, and when its first text came, in milliseconds. `leave` is told
/// the text so far, and breaks the connection where it returns true.
export function complete(url, body, leave = () => false, through = agent) {
  const begun = performance.now();
  const told = { text: "", usage: null, reason: null, first: null, last: null, done: false, left: false, status: 0, error: null };
  return new Promise((resolve) => {
    let closed = false;
    const close = (error) => {
      // What is still in the parser when a client leaves is no answer.
      if (closed) return;
      closed = true;
      told.error ??= error ?? null;
      told.last = performance.now();
      resolve(told);
    };
    const options = { agent: through, method: "POST", headers: { "content-type": "application/json" } };
    const request = http.request(`${url}/v1/completions`, options, (answer) => {
      told.status = answer.statusCode;
      let rest = "";
      answer.setEncoding("utf8");
      answer.on("data", (data) => {
        rest += data;
        const lines = rest.split("\n");
        rest = lines.pop();
        if (closed) return;
        for (const line of lines) hear(told, line, begun);
        if (!told.done && leave(told.text)) {
          told.left = true;
          request.destroy();
          close();
        }
      });
      answer.on("end", () => close(answer.statusCode === 200 && !told.done ? "the stream ended without [DONE]" : null));
      answer.on("error", (error) => close(String(error)));
    });
    request.on("error", (error) => close(String(error)));
    request.end(JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }));
  });
}

function hear(told, line, begun) {
  if (!line.startsWith("data: ")) {
    if (line.startsWith("{")) told.error = line;
    return;
  }
  const data = line.slice(6).trim();
  if (data === "[DONE]") {
    told.done = true;
    return;
  }
  const part = JSON.parse(data);
  if (part.error) told.error = JSON.stringify(part.error);
  told.usage = part.usage ?? told.usage;
  const choice = part.choices?.[0];
  told.reason = choice?.finish_reason ?? told.reason;
  if (choice?.text) {
    told.first ??= performance.now() - begun;
    told.text += choice.text;
  }
}

/// The value below which a share of a list lies.
export function quantile(list, share) {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : NaN;
}

export const median = (list) => quantile(list, 0.5);

/// A number of a process in MB: `VmRSS` or `VmHWM`.
export function memory(pid, name = "VmRSS") {
  const found = readFileSync(`/proc/${pid}/status`, "utf8").match(new RegExp(`${name}:\\s+(\\d+) kB`));
  return found ? Number(found[1]) / 1024 : NaN;
}

/// How many files and sockets a process has open.
export const opened = (pid) => readdirSync(`/proc/${pid}/fd`).length;

/// Random numbers of a seed, in [0, 1): mulberry32.
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const WORDS = ["the", "lamp", "a", "red", "boat", "stands", "on", "old", "table", "near", "harbour", "where", "cats", "wait"];

/// A text of so many words, which another seed does not begin with.
export function prompt(seed, words) {
  const next = random(seed);
  return Array.from({ length: words }, () => WORDS[Math.floor(next() * WORDS.length)]).join(" ");
}

/// The flags of a command with their numbers, of which those in `usual` stand where nothing is said; `first` is the place of
/// the first. What is no flag of it, or no number above 0, ends it.
export function settings(usual, first) {
  const said = { ...usual };
  for (let at = first; at < process.argv.length; at += 2) {
    const [name, value = ""] = process.argv.slice(at, at + 2);
    const numbers = value.split(",").map(Number);
    if (!(name in usual) || numbers.some((number) => !(number > 0))) {
      console.error(`${name} ${value}: known are ${Object.keys(usual).join(", ")}, each with a number above 0`);
      process.exit(2);
    }
    said[name] = Array.isArray(usual[name]) ? numbers : numbers[0];
  }
  return said;
}
