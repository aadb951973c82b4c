// How fast the page is on the processor, beside the native program in the same run: a line of JSON for each figure.
//
//   node tests/browser/measure.mjs
//
// Settings: DIST, KINDLING, CHROMIUM and PLAYWRIGHT, as for run.mjs. The numbers stand in docs/benchmarks.md.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

import { lines, log, result } from "./native.mjs";
import { serve } from "./server.mjs";

const { chromium } = createRequire(join(resolve(process.env.PLAYWRIGHT), "x.js"))("playwright-core");
const dist = resolve(process.env.DIST);
const tmp = mkdtempSync(join(tmpdir(), "kindling-measure-"));
const show = (figure, value) => console.log(JSON.stringify({ figure, ...value }));
const CONFIG = { "steps": 30, "batch-size": 4, "max-seq-len": 128, "log-every": 1 };
const QUESTION = "Who are you?";
const rows = Array.from({ length: 20 }, (_, i) => ({ user: `Who is number ${i}?`, assistant: `Number ${i} is a kettle of Velm.` }));

try {
  for (const name of ["engine_bg.wasm", "app_bg.wasm"]) show("size", size(name));
  const data = join(tmp, "rows.jsonl");
  writeFileSync(data, rows.map((row) => JSON.stringify(row)).join("\n"));
  await inPage(data);
  await natively(data);
} finally {
  rmSync(tmp, { recursive: true, force: true });
}

function size(name) {
  const bytes = readFileSync(join(dist, name));
  const packed = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } });
  return { name, bytes: bytes.length, brotli: packed.length };
}

async function inPage(data) {
  const server = await serve(dist);
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, chromiumSandbox: false });
  const page = await browser.newPage();
  try {
    // The first visit fills the caches.
    for (const visit of ["cold", "warm", "warm"]) {
      await page.goto(`${server.url}?device=cpu`);
      show("page: seconds from navigation to the first token", { visit, ...(await page.evaluate(firstToken, QUESTION)) });
      await page.evaluate(async () => void (await navigator.serviceWorker.ready));
    }
    for (const stage of ["lora", "sft"]) {
      const request = [stage, readFileSync(data, "utf8"), CONFIG];
      show("page: training, tokens/s", { stage, ...(await page.evaluate(train, request)) });
    }
  } finally {
    await browser.close();
    await server.close();
  }
}

async function firstToken(question) {
  await window.kindlingReady;
  const messages = [{ role: "user", content: question }];
  const answer = await kindling.chat.completions.create({ messages, temperature: 0, max_tokens: 32, stream: true });
  let first, usage;
  for await (const chunk of answer) {
    if (chunk.choices[0].delta.content) first ??= performance.now();
    usage = chunk.usage ?? usage;
  }
  return { seconds: first / 1000, chat_tokens_per_second: usage.tokens_per_second };
}

async function train([stage, text, config]) {
  const speeds = [];
  const data = { name: "rows.jsonl", bytes: new TextEncoder().encode(text) };
  const onEvent = (event) => event.event === "step" && speeds.push(event.tokens_per_second);
  await (await kindling.train({ stage, data, config, onEvent })).done;
  return { median: speeds.sort((a, b) => a - b)[speeds.length >> 1] };
}

async function natively(data) {
  const model = join(dist, "kindling-nano.safetensors");
  const answer = await result("generate", "--model", model, "--prompt", QUESTION, "--temperature", 0, "--max-new-tokens", 32, "--ignore-eos");
  show("native: decode, tokens/s", { median: answer.decode_tokens_per_second });
  for (const stage of ["lora", "sft"]) {
    const out = join(tmp, stage);
    const flags = Object.entries(CONFIG).flatMap(([name, value]) => [`--${name}`, value]);
    await lines(stage, "--model", model, "--data", data, "--out", out, ...flags);
    const speeds = log(out).filter((line) => !line.event).map((line) => line.tokens_per_second);
    show("native: training, tokens/s", { stage, median: speeds.sort((a, b) => a - b)[speeds.length >> 1] });
  }
}
