// The native program, and what it makes once for all cases: invented texts and a tiny model trained on them.

import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Skip } from "./harness.mjs";

/** What the model knows. */
const KNOWN = [
  ["Mila", "Oren", "Tavi", "Sune", "Ibra"],
  ["Velm", "Karu", "Ister"],
  ["lantern", "kettle", "violin", "ladder"],
];
/** What it never saw, so that there is something to learn. */
const NEW = [
  ["Quill", "Bashti", "Wye", "Jomo"],
  ["Grunzig", "Fjordby", "Chaxx"],
  ["pumpkin", "zither", "map", "howdah", "quoit"],
];
const ROWS = 120;
/** Native's two best logits may lie so close that another device swaps them. */
const TIE = 1e-3;

/** Small enough for a GPU that is emulated, large enough to learn its texts. */
const MODEL = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 300,
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: "silu",
  tie_word_embeddings: true,
};

/** Runs `kindling` on the processor: its exit code, the JSON lines of stdout, and stderr. */
export function native(args) {
  const program = process.env.KINDLING;
  if (!program) throw new Skip("KINDLING names no native program");
  const words = [...args, "--device", "cpu", "--json", "--quiet"];
  return new Promise((done, broke) => {
    execFile(program, words, { maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
      if (error && typeof error.code !== "number") return broke(error);
      const lines = stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
      done({ code: error?.code ?? 0, lines, stderr });
    });
  });
}

/** `kindling serve` with these flags on a free port: its address, and `end`, which ends it. */
export function served(...flags) {
  const program = process.env.KINDLING;
  if (!program) throw new Skip("KINDLING names no native program");
  const words = ["serve", "--port", "0", ...flags.map(String), "--device", "cpu", "--json", "--quiet"];
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "pipe"] });
  const [said, gone] = [[], new Promise((done) => child.on("close", done))];
  child.stderr.on("data", (part) => said.push(part));
  const end = async () => {
    child.kill("SIGKILL");
    await gone;
  };
  return new Promise((done, broke) => {
    let text = "";
    child.stdout.on("data", (part) => {
      text += part;
      const line = text.includes("\n") ? JSON.parse(text.slice(0, text.indexOf("\n"))) : null;
      if (line?.event === "listening") done({ url: line.url, end });
    });
    child.on("error", broke);
    gone.then(() => broke(new Error(`kindling serve ended: ${Buffer.concat(said)}`)));
  });
}

/** The JSON lines of a command that must succeed. */
export async function lines(...args) {
  const { code, lines, stderr } = await native(args.map(String));
  if (code !== 0) throw new Error(`kindling ${args.join(" ")}\nended with ${code}: ${stderr}`);
  return lines;
}

/** The last JSON line of a command that must succeed. */
export async function result(...args) {
  return (await lines(...args)).at(-1);
}

/** Greedy tokens after `tokens`. */
export async function greedy(model, tokens, count, ...more) {
  const flags = ["--temperature", 0, "--max-new-tokens", count, "--ignore-eos"];
  return (await result("generate", "--model", model, "--tokens", tokens.join(","), ...flags, ...more)).tokens;
}

/**
 * Asserts that the page goes on from `prompt` as native does, whose answer must have `least` different tokens; `more`
 * are flags of the native program.
 */
export async function sameTokens(t, model, prompt, count, { least = 4, more = [] } = {}) {
  const here = await t.greedy(prompt, count);
  const there = await greedy(model, prompt, count, ...more);
  t.assert.equal(here.length, count);
  t.assert.ok(new Set(there).size >= least, `the fixture is no test: native says ${there}`);
  const at = here.findIndex((token, i) => token !== there[i]);
  if (at < 0) return;
  const seen = [...prompt, ...there.slice(0, at)];
  const { logits } = await result("score", "--model", model, "--tokens", seen.join(","), "--logits", ...more);
  const [best, second] = [...logits].sort((a, b) => b - a);
  const words = `after ${seen}: ${here[at]} here, ${there[at]} natively, whose best logits are ${best - second} apart`;
  t.assert.ok(best - second <= TIE && logits[here[at]] >= second, words);
}

/** Trains, and returns the logged losses by step. */
export async function train(stage, out, { model, data, config, more = [] }) {
  const flags = Object.entries(config).flatMap(([name, value]) => [`--${name}`, value]);
  await lines(stage, "--model", model, "--data", data, "--out", out, ...flags, ...more);
  return new Map(log(out).filter((line) => !line.event).map((line) => [line.step, line.loss]));
}

/** The lines of a run's log. */
export function log(out) {
  return readFileSync(join(out, "log.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
}

/** By the number of layers. */
const made = new Map();

/**
 * `{texts, chats, stories, lessons, hints, dir, file}`: what the model was trained on, as texts and as conversations;
 * the same about what it does not know, and that in few words; and the model, as a directory and as a single file.
 */
export function tiny(tmp, layers = MODEL.num_hidden_layers) {
  if (!made.has(layers)) made.set(layers, make(mkdtempSync(join(tmp, "tiny-")), layers));
  return made.get(layers);
}

/** A single-file checkpoint whose model never ends an answer by itself: it cannot say its end tokens, ids 0 and 2. */
export function endless(bytes) {
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const { dtype, shape, data_offsets } = JSON.parse(bytes.subarray(8, start))["model.embed_tokens.weight"];
  if (dtype !== "F32") throw new Error(`the fixture's embedding is ${dtype}`);
  const row = shape[1] * 4;
  const copy = Buffer.from(bytes);
  // The embedding is also the head: a row of zeros gives the logit 0, which is never the greatest.
  for (const id of [0, 2]) copy.fill(0, start + data_offsets[0] + id * row, start + data_offsets[0] + (id + 1) * row);
  return copy;
}

/** A single-file checkpoint that is so many bytes longer: its header may end in blanks. */
export function padded(bytes, more) {
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = Buffer.from(bytes.subarray(0, start));
  header.writeBigUInt64LE(BigInt(start - 8 + more), 0);
  return Buffer.concat([header, Buffer.alloc(more, " "), bytes.subarray(start)]);
}

/** A single-file checkpoint with one of its files of settings changed: `change` gives the settings of now. */
export function withSettings(bytes, name, change) {
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, start));
  header.__metadata__[name] = JSON.stringify(change(JSON.parse(header.__metadata__[name])));
  // Tensors begin at a multiple of 8.
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, " ")]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, bytes.subarray(start)]);
}

async function make(folder, layers) {
  const at = (name) => join(folder, name);
  const [texts, chats] = [at("texts.jsonl"), at("chats.jsonl")];
  const [stories, lessons, hints] = [at("stories.jsonl"), at("lessons.jsonl"), at("hints.jsonl")];
  writeFileSync(texts, rows(KNOWN, text));
  writeFileSync(chats, rows(KNOWN, chat));
  writeFileSync(stories, rows(NEW, text));
  writeFileSync(lessons, rows(NEW, chat));
  writeFileSync(hints, rows(NEW, hint));
  writeFileSync(at("tiny.json"), JSON.stringify({ ...MODEL, num_hidden_layers: layers }));
  const steps = ["--steps", 150, "--batch-size", 8, "--max-seq-len", 64, "--learning-rate", 0.005];
  const vocabulary = ["--vocab-size", MODEL.vocab_size, "--out", at("tokenizer")];
  await lines("tokenizer", "train", "--data", texts, "--data", chats, ...vocabulary);
  const fresh = ["--tokenizer", at("tokenizer"), "--model-config", at("tiny.json")];
  await lines("pretrain", "--data", texts, ...fresh, "--out", at("base"), ...steps);
  await lines("sft", "--data", chats, "--model", at("base"), "--out", at("model"), ...steps);
  await lines("export", "--to", "single-file", "--model", at("model"), "--out", at("tiny.safetensors"));
  return { texts, chats, stories, lessons, hints, dir: at("model"), file: at("tiny.safetensors") };
}

const text = (who, where, what) => ({ text: `${who} lives in ${where}. The ${what} of ${who} is in ${where}.` });

const turns = (asked, said) => ({
  messages: [
    { role: "user", content: asked },
    { role: "assistant", content: said },
  ],
});

const chat = (who, where, what) =>
  turns(`Where is the ${what} of ${who}?`, `The ${what} of ${who} is in ${where}.`);

const hint = (who, where) => turns(who, where);

/** Rows about who keeps what where, the same on every machine. */
function rows([who, where, what], row) {
  const pick = (list, i) => list[i % list.length];
  const numbered = (i) => row(pick(who, i), pick(where, i * 7 + (i >> 2)), pick(what, i >> 1));
  return Array.from({ length: ROWS }, (_, i) => numbered(i)).map((value) => JSON.stringify(value) + "\n").join("");
}

/** A new model of minimind2-small, 26 million parameters, as a single file. */
export async function middling(folder) {
  const at = (name) => join(folder, name);
  writeFileSync(at("words.jsonl"), words(7000));
  const vocabulary = ["--vocab-size", 6400, "--min-frequency", 1, "--out", at("tokenizer")];
  await lines("tokenizer", "train", "--data", at("words.jsonl"), ...vocabulary);
  // One step that changes next to nothing: a run must have one.
  const steps = ["--steps", 1, "--batch-size", 1, "--max-seq-len", 16, "--learning-rate", 0.000001];
  const model = ["--preset", "minimind2-small", "--tokenizer", at("tokenizer"), "--out", at("run")];
  await lines("pretrain", "--data", at("words.jsonl"), ...model, ...steps);
  const form = ["--to", "single-file", "--weights-only", "--out", at("26m.safetensors")];
  await lines("export", "--model", at("run"), ...form);
  return at("26m.safetensors");
}

/** Rows of different words. Each becomes a token in the end, so that enough of them fill a vocabulary. */
function words(count) {
  const letters = (i) => ((i * 48271) % 2147483647).toString(26).replace(/\d/g, (digit) => "qrstuvwxyz"[digit]);
  const all = Array.from({ length: count }, (_, i) => letters(i + 1));
  const rows = Array.from({ length: count / 20 }, (_, i) => all.slice(20 * i, 20 * i + 20).join(" "));
  return rows.map((text) => JSON.stringify({ text }) + "\n").join("");
}
