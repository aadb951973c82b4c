// The programs that are compared: whether they are here, and one measurement of each in a process of its own.

import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { ask, memory, random, start } from "./client.mjs";

const { KINDLING, KINDLING_CACHE: cache, CHROMIUM, PLAYWRIGHT, DIST } = process.env;
const PYTHON = join(cache, "peers", "bin", "python");
const WLLAMA = join(cache, "rivals", "node_modules", "@wllama", "wllama");
const THREADS = 2;
/** A process that takes longer hangs. */
const LIMIT = 1_800_000;
const beside = (name) => fileURLToPath(new URL(name, import.meta.url));

const said = (command, args) => {
  try {
    return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "";
  }
};
const once = (look) => {
  let known;
  return () => (known ??= { value: look() }).value;
};
const package_ = (name) => once(() => said(PYTHON, ["-c", `import importlib.metadata as m; print(m.version("${name}"))`]));
const [torch, transformers, xllamacpp] = ["torch", "transformers", "xllamacpp"].map(package_);
const wllama = once(() => (existsSync(WLLAMA) ? JSON.parse(readFileSync(join(WLLAMA, "package.json"), "utf8")).version : ""));
const compiler = once(() => said("g++", ["-dumpfullversion"]));
const browser = once(() => (CHROMIUM && existsSync(join(PLAYWRIGHT, "node_modules", "playwright-core")) ? said(CHROMIUM, ["--version"]) : ""));

const NEEDS = {
  torch: [torch, "there is no PyTorch; --install fetches it"],
  transformers: [transformers, "there is no transformers; --install fetches it"],
  compiler: [compiler, "torch.compile wants g++"],
  llama: [xllamacpp, "there is no llama.cpp; --install fetches xllamacpp"],
  wllama: [wllama, "there is no wllama; --install fetches it"],
  browser: [browser, "there is no Chromium with playwright-core; tests/run installs both"],
  page: [() => existsSync(join(DIST, "engine_bg.wasm")), "there is no built page; name its folder with DIST"],
};

/** Why a rival cannot be measured here, or "". */
export function missing({ needs }, device) {
  if (needs.includes("cpu") && device !== "cpu") return `measured on the processor alone, not on ${device}`;
  const lacking = needs.filter((need) => need in NEEDS).find((need) => !NEEDS[need][0]());
  return lacking ? NEEDS[lacking][1] : "";
}

export function versions(device) {
  const commit = said("git", ["rev-parse", "--short", "HEAD"]);
  const found = {
    kindling: [said(KINDLING, ["--version"]).split(" ").at(-1), commit].filter(Boolean).join(" "),
    PyTorch: torch(), transformers: transformers(), "g++": compiler(), "xllamacpp (llama.cpp)": xllamacpp(), wllama: wllama(),
    Chromium: browser().match(/[\d.]+/)?.[0] ?? "",
  };
  if (device.startsWith("cuda")) found.card = said("nvidia-smi", ["--query-gpu=name,driver_version", "--format=csv,noheader"]);
  return Object.fromEntries(Object.entries(found).filter(([, version]) => version));
}

export function machine() {
  const own = readFileSync("/proc/self/status", "utf8").match(/Cpus_allowed_list:\s+(\S+)/)[1];
  return `processors ${own} of ${cpus().length} (${cpus()[0].model.trim()}), ${(totalmem() / 1e9).toFixed(0)} GB`;
}

/** Where a model lies, which is made where it is not there. */
export async function model(name, form) {
  const { lines } = await run("bash", [beside("models"), name, form]);
  return lines.at(-1);
}

export async function kindlingBench({ seconds, device, dtype }, flags) {
  return measured(KINDLING, ["bench", "--json", "--quiet", "--device", device, "--dtype", dtype, "--seconds", seconds, ...flags]);
}

export async function pytorch({ seconds, device, dtype }, flags) {
  return measured(PYTHON, ["-B", beside("../gpu/pytorch_bench.py"), "--device", device, "--dtype", dtype, "--threads", THREADS, "--seconds", seconds, ...flags]);
}

/** What a program that prints a measurement as JSON says of itself; on the processor its peak is what the system counted. */
async function measured(command, args) {
  const { lines, peak } = await run(command, args);
  const result = JSON.parse(lines.find((line) => line.startsWith("{")));
  if (result.not_measured) throw new Error(result.not_measured);
  const { tokens_per_second, peak_memory_bytes, first_s } = result;
  return { tokens_per_second, peak_memory_bytes: result.device === "cpu" ? peak : peak_memory_bytes, first_s };
}

/** The tab, driven by a process of its own, which prints a measurement. */
export async function inTab(words) {
  const { lines } = await run("node", [beside("tab.mjs"), ...words]);
  return JSON.parse(lines.at(-1));
}

/** Runs a program to its end, or until it prints a line that `last` accepts: its lines, the seconds until then, its peak. */
function run(command, args, last = () => false) {
  const begun = performance.now();
  const child = spawn(command, args.map(String), { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, OMP_NUM_THREADS: String(THREADS) } });
  const told = { lines: [], peak: 0, seconds: 0 };
  let [text, stderr, done] = ["", "", false];
  const look = () => {
    try {
      told.peak = Math.max(told.peak, memory(child.pid, "VmHWM") * 1024 * 1024 || 0);
    } catch {
      // It has ended.
    }
  };
  const watch = setInterval(look, 20);
  const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT);
  child.stdout.on("data", (part) => {
    look();
    text += part;
    if (!done && last(text)) {
      [done, told.seconds] = [true, (performance.now() - begun) / 1000];
      child.kill("SIGKILL");
    }
  });
  child.stderr.on("data", (part) => (stderr = (stderr + part).slice(-10_000)));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearInterval(watch);
      clearTimeout(limit);
      told.lines = text.split("\n").filter(Boolean);
      if (done || code === 0) resolve(told);
      else reject(new Error(`${command} ended with ${code ?? signal}: ${stderr || text}`));
    });
  });
}

/** From the start of a process to what it says first. */
export const firstLine = {
  async ofTraining(preset, { device, dtype }) {
    const work = mkdtempSync(join(tmpdir(), "kindling-first-"));
    try {
      writeFileSync(join(work, "rows.jsonl"), Array.from({ length: 64 }, (_, i) => `${JSON.stringify({ text: words(i, 400) })}\n`).join(""));
      const tokenizer = await model("26m", "f32");
      const flags = ["--preset", preset, "--tokenizer", tokenizer, "--data", join(work, "rows.jsonl"), "--out", join(work, "run")];
      const shape = ["--steps", 1000, "--batch-size", 4, "--max-seq-len", 256, "--log-every", 1, "--device", device, "--dtype", dtype];
      return first(await run(KINDLING, ["pretrain", ...flags, ...shape, "--json", "--quiet"], (text) => text.includes('"step":1,')));
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  },
  async ofPytorch({ device, dtype }, flags) {
    const args = ["-B", beside("../gpu/pytorch_bench.py"), "--device", device, "--dtype", dtype, "--threads", THREADS, ...flags];
    return first(await run(PYTHON, args, (text) => text.includes('"first"')));
  },
  async ofWriting(file) {
    const flags = ["--prompt", "The lamp stands", "--temperature", 0, "--max-new-tokens", 64, "--ignore-eos", "--device", "cpu", "--quiet"];
    return first(await run(KINDLING, ["generate", "--model", file, ...flags], (text) => text.trim().length > "The lamp stands".length));
  },
};

export async function transformersFirst(folder) {
  return first(await run(PYTHON, ["-B", beside("transformers_first.py"), folder, THREADS], (text) => text.includes("\n")));
}

function first({ seconds, peak }) {
  if (!(seconds > 0)) throw new Error("it ended before it said anything");
  return { seconds, peak_memory_bytes: peak };
}

function words(seed, count) {
  const next = random(seed + 1);
  return Array.from({ length: count }, () => Math.floor(next() * 1e4)).join(" ");
}

/** Tokens a second of llama.cpp's server, of all slots together; each request is new to it. */
export async function inLlama(file, { what, batch, tokens, weights, seconds }) {
  const server = await llama(file, batch, batch * 1024, weights);
  try {
    let seed = 0;
    const next = random(1);
    const ids = (count) => Array.from({ length: count }, () => 100 + Math.floor(next() * 6000));
    const one = async () => {
      const prompt = what === "prefill" ? ids(tokens) : [200 + (seed += 1)];
      const body = { prompt, n_predict: what === "prefill" ? 1 : tokens, temperature: 0, cache_prompt: false, ignore_eos: true };
      const { status, text } = await ask(server.url, "/completion", body);
      if (status !== 200) throw new Error(`llama.cpp answered ${status}: ${text.slice(0, 200)}`);
      const { timings } = JSON.parse(text);
      const done = what === "prefill" ? timings.prompt_n : timings.predicted_n;
      if (done !== tokens) throw new Error(`llama.cpp took ${done} tokens and not ${tokens}`);
    };
    const all = () => Promise.all(Array.from({ length: batch }, one));
    await all();
    const begun = performance.now();
    let steps = 0;
    while (steps < 2 || performance.now() - begun < seconds * 1000) {
      await all();
      steps += 1;
    }
    const rate = (steps * batch * tokens * 1000) / (performance.now() - begun);
    return { tokens_per_second: rate, peak_memory_bytes: memory(server.pid, "VmHWM") * 1024 * 1024 };
  } finally {
    await server.end();
  }
}

export async function firstOfLlama(file) {
  const begun = performance.now();
  const server = await llama(file, 1, 1024, "f32");
  try {
    const { status, text } = await ask(server.url, "/completion", { prompt: "The lamp stands", n_predict: 1, temperature: 0 });
    if (status !== 200) throw new Error(`llama.cpp answered ${status}: ${text.slice(0, 200)}`);
    return first({ seconds: (performance.now() - begun) / 1000, peak: memory(server.pid, "VmHWM") * 1024 * 1024 });
  } finally {
    await server.end();
  }
}

function llama(file, slots, positions, weights) {
  return start(PYTHON, ["-B", beside("llama_server.py"), file, String(slots), String(positions), weights]);
}
