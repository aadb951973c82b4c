// One measurement in a tab: opens a model in the page or in wllama, reads or writes for so many seconds, prints a line of
// JSON. tests/bench/run calls it.
//
//   node tests/bench/tab.mjs kindling|wllama MODEL.gguf f32|q8_0|q4_0 prefill|decode COUNT THREADS SECONDS
//
// COUNT are words of a prompt, because wllama takes no tokens, or new tokens; both read the same words, each new to them.
// Settings: DIST, KINDLING_CACHE, and those of tests/browser/chromium.mjs.

import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { launch, setting } from "../browser/chromium.mjs";
import { serve } from "../browser/server.mjs";
import { memory, prompt } from "./client.mjs";

const [who, model, weights, what, ...numbers] = process.argv.slice(2);
const [count, threads, seconds] = numbers.map(Number);
const prompts = Array.from({ length: 64 }, (_, i) => prompt(i, what === "prefill" ? count : 2));
/** A page has threads only where it is isolated from other origins. */
const ISOLATED = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
const WLLAMA = join(setting("KINDLING_CACHE"), "rivals", "node_modules", "@wllama", "wllama", "esm");
const PAGE = '<!doctype html><meta charset="utf-8"><title>wllama</title>';

const tmp = mkdtempSync(join(tmpdir(), "kindling-tab-"));
const server = await serve(who === "kindling" ? resolve(setting("DIST")) : WLLAMA, ISOLATED);
const browser = await launch(join(tmp, "profile"));
try {
  const page = await browser.newPage();
  const url = server.put("bench.gguf", readFileSync(model));
  if (who === "kindling") {
    await page.goto(`${server.url}index.html?device=cpu&model=none`);
    await page.waitForFunction(() => window.kindlingReady !== undefined, null, { timeout: 60_000 });
    await page.evaluate(openHere, { url, weights });
  } else {
    server.put("bench.html", Buffer.from(PAGE));
    await page.goto(`${server.url}bench.html`);
    await page.evaluate(openWllama, { url, threads, kind: weights === "f32" ? "f32" : "f16" });
  }
  const run = who === "kindling" ? workHere : workWllama;
  const request = { temperature: 0, max_tokens: what === "prefill" ? 1 : count, ignore_eos: true };
  const measured = await page.evaluate(run, { what, prompts, request, seconds });
  console.log(JSON.stringify({ ...measured, peak_memory_bytes: peak() }));
} finally {
  await browser.close();
  await server.close();
  rmSync(tmp, { recursive: true, force: true });
}
process.exit(0);

async function openHere({ url, weights }) {
  await window.kindlingReady;
  await kindling.load(url, { keep: false, weights });
}

/** Keys and values as tests/bench/llama_server.py has them. */
async function openWllama({ url, threads, kind }) {
  const { Wllama } = await import("./index.js");
  window.wllama = new Wllama({ default: new URL("wasm/wllama.wasm", location.href).href }, { suppressNativeLog: true });
  const file = await (await fetch(url)).blob();
  const kinds = { cache_type_k: kind, cache_type_v: kind };
  await window.wllama.loadModel([file], { n_threads: threads, n_gpu_layers: 0, n_ctx: 2048, n_parallel: 1, ...kinds });
  const found = window.wllama.getNumThreads();
  if (found !== threads) throw new Error(`wllama has ${found} threads and not ${threads}: isolated ${crossOriginIsolated}`);
}

/** The median of the page's own numbers, after a warm-up, and how many tokens were read or written each time. */
async function workHere({ what, prompts, request, seconds }) {
  const [rates, begun] = [[], performance.now()];
  let tokens;
  for (let i = 0; i < 3 || performance.now() - begun < seconds * 1000; i += 1) {
    const told = await kindling.generate({ ...request, prompt: prompts[i % prompts.length] });
    tokens = (what === "prefill" ? told.prompt_tokens : told.tokens).length;
    if (i > 0) rates.push(what === "prefill" ? told.prefill_tokens_per_second : told.decode_tokens_per_second);
  }
  return { tokens_per_second: rates.sort((a, b) => a - b)[rates.length >> 1], tokens };
}

/** The same of llama.cpp's numbers. */
async function workWllama({ what, prompts, request, seconds }) {
  const [rates, begun] = [[], performance.now()];
  let tokens;
  for (let i = 0; i < 3 || performance.now() - begun < seconds * 1000; i += 1) {
    const asked = { ...request, prompt: prompts[i % prompts.length], cache_prompt: false };
    const { timings } = await window.wllama.createCompletion(asked);
    tokens = what === "prefill" ? timings.prompt_n : timings.predicted_n;
    if (i > 0) rates.push(what === "prefill" ? timings.prompt_per_second : timings.predicted_per_second);
  }
  return { tokens_per_second: rates.sort((a, b) => a - b)[rates.length >> 1], tokens };
}

/** The most that one of this browser's pages has held, in bytes. */
function peak() {
  const parents = new Map();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      parents.set(pid, status.match(/PPid:\s+(\d+)/)[1]);
    } catch {
      // It has ended.
    }
  }
  const own = (pid) => pid === String(process.pid) || (parents.has(pid) && own(parents.get(pid)));
  const renders = (pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("--type=renderer");
  const pages = [...parents.keys()].filter((pid) => own(pid) && renders(pid));
  return Math.max(...pages.map((pid) => memory(pid, "VmHWM"))) * 1024 * 1024;
}
