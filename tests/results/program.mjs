// The program under test, its data, and what it prints.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { KINDLING, KINDLING_SHARED, RESULTS } = process.env;
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

/** The program and its arguments for a verb on the processor, as a process takes them; the command is shown. */
export function commandLine(verb, flags) {
  const all = [...verb.split(" "), ...args({ ...flags, device: "cpu" })];
  console.error(`$ kindling ${all.join(" ").replaceAll(`${work}/`, "").replaceAll(`${KINDLING_SHARED}/`, "../shared/")}`);
  return [KINDLING, [...all, "--json"]];
}

/** Runs a verb, and gives the objects that it prints. */
export function kindling(verb, flags) {
  const { status, stdout, stderr } = spawnSync(...commandLine(verb, flags), { encoding: "utf8", maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`it ended with ${status}: ${stderr.trim().split("\n").slice(-5).join("\n")}`);
  return stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

/** A run: its steps, its evaluations and its directory. One that came to its end before is read. */
export function trained(name, verb, flags) {
  const out = place(name);
  let lines = log(out);
  if (lines.at(-1)?.event !== "done") {
    rmSync(out, { recursive: true, force: true });
    kindling(verb, { ...flags, out });
    lines = log(out);
  }
  return { out, steps: lines.filter(({ step, event }) => step && !event), evals: lines.filter(({ event }) => event === "eval") };
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
