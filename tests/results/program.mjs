// The program under test, its data, and what it prints.

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";

const { KINDLING, KINDLING_SHARED, RESULTS, DEVICE = "cpu" } = process.env;
if (RESULTS) mkdirSync(RESULTS, { recursive: true });
const work = RESULTS ?? mkdtempSync(join(tmpdir(), "kindling-results-"));
process.on("exit", () => RESULTS ?? rmSync(work, { recursive: true, force: true }));

/** Runs at a time, and the threads of each. */
const jobs = Number(process.env.JOBS ?? 1);
const threads = Math.max(1, Math.floor(availableParallelism() / jobs));

/** A file of the reference data. */
export const data = (path) => join(KINDLING_SHARED, "data", path);

/** A place for what is made. */
export const place = (name) => join(work, name);

/** Flags and their values as arguments: lists repeat the flag, `true` has no value, and what is undefined is left out. */
function args(flags) {
  return Object.entries(flags).flatMap(([name, value]) => {
    if (value === undefined || value === false) return [];
    if (value === true) return [`--${name}`];
    return [value].flat().flatMap((one) => [`--${name}`, String(one)]);
  });
}

const waiting = [];
let running = 0;

/** Waits until fewer than all jobs run. */
async function turn() {
  if (running >= jobs) await new Promise((go) => waiting.push(go));
  running += 1;
}

/**
 * Runs a verb, on DEVICE where the flags name none, shows its command, and gives the objects that it prints; `watch` is told of
 * its process, and gives what ends that.
 */
export async function kindling(verb, flags, watch) {
  await turn();
  try {
    const all = [...verb.split(" "), ...args({ device: DEVICE, ...flags })];
    console.error(`$ kindling ${all.join(" ").replaceAll(`${work}/`, "").replaceAll(`${KINDLING_SHARED}/`, "../shared/")}`);
    const { status, stdout, stderr } = await ended([...all, "--json"], watch);
    if (status !== 0) throw new Error(`it ended with ${status}: ${stderr.trim().split("\n").slice(-5).join("\n")}`);
    return stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}

function ended(all, watch) {
  return new Promise((done, fail) => {
    const env = { ...process.env, RAYON_NUM_THREADS: process.env.RAYON_NUM_THREADS ?? String(threads) };
    const child = spawn(KINDLING, all, { env, stdio: ["ignore", "pipe", "pipe"] });
    const texts = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"]) child[name].setEncoding("utf8").on("data", (text) => (texts[name] += text));
    const unwatch = watch?.(child.pid);
    child.on("error", fail).on("close", (status) => {
      unwatch?.();
      done({ status, ...texts });
    });
  });
}

const making = new Map();

/** What `make` gives, once for everyone who asks for it under that name. */
export function once(name, make) {
  if (!making.has(name)) making.set(name, make());
  return making.get(name);
}

/** A run: its steps, its evaluations and its directory. One that came to its end before is read. */
export function trained(name, verb, flags) {
  return once(name, async () => {
    const out = place(name);
    let lines = log(out);
    if (lines.at(-1)?.event !== "done") {
      rmSync(out, { recursive: true, force: true });
      await kindling(verb, { ...flags, out });
      lines = log(out);
    }
    return { out, steps: lines.filter(({ step, event }) => step && !event), evals: lines.filter(({ event }) => event === "eval") };
  });
}

function log(out) {
  const path = join(out, "log.jsonl");
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/** The mean loss a token of the answers of conversations: what one step that changes nothing measures on nine in ten. */
export async function lossOn(rows, model, name) {
  const flags = { "val-split": 0.9, "steps": 1, "learning-rate": 1e-12, "batch-size": 8, "max-seq-len": 256 };
  const { out, evals } = await trained(`loss-${name}`, "sft", { model, ...flags, data: rows });
  rmSync(join(out, "training"), { recursive: true, force: true });
  return evals.at(-1).loss;
}

/** All at once, as many as jobs may run, in the order of the items. */
export const each = (items, make) => Promise.all(items.map(make));

/** A table in Markdown. */
export function table(head, rows) {
  const line = (cells) => console.log(`| ${cells.join(" | ")} |`);
  line(head);
  line(head.map((_, i) => (i ? "--:" : "---")));
  rows.forEach(line);
  console.log("");
}

/** Mean and standard deviation, for a cell. */
export function spread(values, digits = 3) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
  return `${mean.toFixed(digits)} ± ${deviation.toFixed(digits)}`;
}

/** A share, for a cell. */
export const percent = (share) => `${(100 * share).toFixed(1)} %`;
