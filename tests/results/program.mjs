// The program under test, its data, and what it prints.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";

const { KINDLING, KINDLING_SHARED, RESULTS, DEVICE = "cpu", JOBS = "1" } = process.env;
if (RESULTS) mkdirSync(RESULTS, { recursive: true });
const work = RESULTS ?? mkdtempSync(join(tmpdir(), "kindling-results-"));
process.on("exit", () => RESULTS ?? rmSync(work, { recursive: true, force: true }));

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

/** The command line of a verb, shown. */
function commandOf(verb, flags) {
  const all = [...verb.split(" "), ...args({ device: DEVICE, ...flags })];
  console.error(`$ kindling ${all.join(" ").replaceAll(`${work}/`, "").replaceAll(`${KINDLING_SHARED}/`, "../shared/")}`);
  return [...all, "--json"];
}

/** The objects that a program printed. */
function results({ status, stdout, stderr }) {
  if (status !== 0) throw new Error(`it ended with ${status}: ${stderr.trim().split("\n").slice(-5).join("\n")}`);
  return stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/** Runs a verb, on DEVICE where the flags name none, and gives the objects that it prints. */
export function kindling(verb, flags) {
  return results(spawnSync(KINDLING, commandOf(verb, flags), { encoding: "utf8", maxBuffer: 1 << 28 }));
}

/** The same beside others, with a share of the processor. */
async function beside(verb, flags) {
  const threads = String(Math.max(1, Math.floor(availableParallelism() / Number(JOBS))));
  const child = spawn(KINDLING, commandOf(verb, flags), { env: { RAYON_NUM_THREADS: threads, ...process.env } });
  const said = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"]) child[stream].setEncoding("utf8").on("data", (text) => (said[stream] += text));
  const status = await new Promise((end, failed) => child.on("close", end).on("error", failed));
  return results({ status, ...said });
}

/** A run: its steps, its evaluations and its directory. One that came to its end before is read. */
export function trained(name, verb, flags) {
  if (!isDone(name)) {
    rmSync(place(name), { recursive: true, force: true });
    kindling(verb, { ...flags, out: place(name) });
  }
  return run(name);
}

/** Runs that do not need each other, as [name, verb, flags], JOBS at a time; in their order. */
export async function trainedTogether(runs) {
  const waiting = runs.filter(([name]) => !isDone(name));
  const takeRuns = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [name, verb, flags] = next;
      rmSync(place(name), { recursive: true, force: true });
      await beside(verb, { ...flags, out: place(name) });
    }
  };
  // Those that are under way come to their end, so that they need not begin anew.
  const ends = await Promise.allSettled(Array.from({ length: Number(JOBS) }, takeRuns));
  const failed = ends.find(({ status }) => status === "rejected");
  if (failed) throw failed.reason;
  return runs.map(([name]) => run(name));
}

const isDone = (name) => log(place(name)).at(-1)?.event === "done";

function run(name) {
  const lines = log(place(name));
  return { out: place(name), steps: lines.filter(({ step, event }) => step && !event), evals: lines.filter(({ event }) => event === "eval") };
}

function log(out) {
  const path = join(out, "log.jsonl");
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/** The mean loss a token of the answers of conversations: what one step that changes nothing measures on nine in ten. */
export function lossOn(rows, model, name) {
  const flags = { "val-split": 0.9, "steps": 1, "learning-rate": 1e-12, "batch-size": 8, "max-seq-len": 256 };
  const { out, evals } = trained(`loss-${name}`, "sft", { model, ...flags, data: rows });
  rmSync(out, { recursive: true, force: true });
  return evals.at(-1).loss;
}

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
