// How fast the page is, beside the native program on the processor: a line of JSON for each figure.
//
//   node tests/browser/measure.mjs [cpu|webgpu]
//
// Settings: DIST and KINDLING, as for run.mjs, and those of chromium.mjs. The numbers stand in docs/benchmarks.md.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

import { launch, setting } from "./chromium.mjs";
import { lines, log, middling, result } from "./native.mjs";
import { serve } from "./server.mjs";

const device = process.argv[2] ?? "cpu";
const dist = resolve(setting("DIST"));
const tmp = mkdtempSync(join(tmpdir(), "kindling-measure-"));
const show = (figure, value) => console.log(JSON.stringify({ figure, ...value }));
const CONFIG = { "steps": 30, "batch-size": 4, "max-seq-len": 128, "log-every": 1 };
const QUESTION = "Who are you?";
const rows = Array.from({ length: 20 }, (_, i) => ({ user: `Who is number ${i}?`, assistant: `Number ${i} is a kettle of Velm.` }));
/** Of the model of 26 million parameters: full rows, as `kindling bench` has them. */
const LARGE = { cpu: [[2, 128]], webgpu: [[4, 256], [16, 512]] }[device];
const LARGE_STEPS = { cpu: 4, webgpu: 24 }[device];

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
  const browser = await launch(join(tmp, "profile"));
  const page = await browser.newPage();
  try {
    // The first visit fills the caches.
    for (const visit of ["cold", "warm", "warm"]) {
      await page.goto(`${server.url}?device=${device}`);
      show("page: seconds from navigation to the first token", { visit, ...(await page.evaluate(firstToken, QUESTION)) });
      await page.evaluate(async () => void (await navigator.serviceWorker.ready));
    }
    show("page: device", await page.evaluate(() => kindling.device()));
    for (const stage of ["lora", "sft"]) {
      const request = [stage, readFileSync(data, "utf8"), CONFIG];
      show("page: training, tokens/s", { stage, ...(await page.evaluate(train, request)) });
    }
    await large(page, server);
  } finally {
    await browser.close();
    await server.close();
  }
}

async function large(page, server) {
  const url = server.put("26m.safetensors", readFileSync(await middling(tmp)));
  show("page: 26M, opening", await page.evaluate(open, url));
  for (const weights of ["f32", "q8_0", "q4_0"]) {
    await page.evaluate(([url, weights]) => kindling.load(url, { keep: false, weights }), [url, weights]);
    show("page: 26M, chat, tokens/s", { weights, median: await page.evaluate(decode) });
  }
  for (const [batch, seq] of LARGE) {
    for (const stage of ["lora", "pretrain"]) {
      await page.evaluate((url) => kindling.load(url, { keep: false }), url);
      const config = { "steps": LARGE_STEPS, "batch-size": batch, "max-seq-len": seq, "log-every": 1 };
      const text = stage === "lora" ? conversations(batch, seq) : texts(batch, seq);
      const outcome = await page.evaluate(train, [stage, text, config]).catch((error) => ({ failed: error.message }));
      show("page: 26M, training, tokens/s", { stage, batch, seq, ...outcome });
    }
  }
}

function texts(batch, seq) {
  return jsonl(batch, (i) => ({ text: filling(seq, i) }));
}

function conversations(batch, seq) {
  return jsonl(batch, (i) => ({ user: `Number ${i}?`, assistant: filling(seq, i) }));
}

/** Longer than a row, so that each fills one. */
function filling(seq, i) {
  return Array.from({ length: seq }, (_, k) => `kettle ${(i * 7 + k * 13) % 97}`).join(" ");
}

function jsonl(count, row) {
  return Array.from({ length: 2 * count }, (_, i) => JSON.stringify(row(i)) + "\n").join("");
}

async function open(url) {
  const begun = performance.now();
  const { parameters } = await kindling.load(url, { keep: false });
  return { seconds: (performance.now() - begun) / 1000, parameters };
}

async function decode() {
  const speeds = [];
  for (let i = 0; i < 5; i += 1) {
    const request = { tokens: [1, 500, 1000, 2000, 3000], temperature: 0, max_tokens: 32, ignore_eos: true };
    speeds.push((await kindling.generate(request)).decode_tokens_per_second);
  }
  return speeds.sort((a, b) => a - b)[speeds.length >> 1];
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
