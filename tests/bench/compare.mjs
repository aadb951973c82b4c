// Runs workloads by their rivals in turns and prints the table; `run` beside it says how it is called.

import { appendFileSync, mkdirSync } from "node:fs";
import { loadavg } from "node:os";
import { dirname, join } from "node:path";

import { median } from "./client.mjs";
import { machine, missing, versions } from "./rivals.mjs";
import { workloads } from "./workloads.mjs";

const USAGE = "usage: bash tests/bench/run [WORKLOAD …] [--repeats N] [--seconds S] [--device D] [--dtype T] [--out FILE] [--list]";
const asked = read(process.argv.slice(2));
const all = workloads(asked);
const chosen = asked.names.length ? all.filter(({ name }) => asked.names.some((word) => fits(name, word))) : all;
const unknown = asked.names.filter((word) => !all.some(({ name }) => fits(name, word)));
if (unknown.length) fail(`there is no workload ${unknown.join(", ")}; known are ${all.map(({ name }) => name).join(", ")}`);
if (asked.list) {
  for (const { name, rivals } of chosen) console.log(`${name}: ${rivals.map(listed).join(", ")}`);
  process.exit(0);
}
mkdirSync(dirname(asked.out), { recursive: true });
const head = { machine: machine(), versions: versions(asked.device), ...asked, out: undefined, list: undefined, date: new Date().toISOString() };
keep(head);
const conditions = [head.machine, `${asked.device} in ${asked.dtype}`, head.date.slice(0, 10), `${asked.repeats} × ${asked.seconds} s each`];
console.log(`${conditions.join(", ")}; ${Object.entries(head.versions).map((pair) => pair.join(" ")).join(", ")}.`);
if (loadavg()[0] > 0.5) console.error(`other programs are running: a load of ${loadavg()[0].toFixed(1)} before this began`);
console.log("\n| workload | program | speed | Kindling is | peak memory |\n|---|---|--:|--:|--:|");
const absent = new Map();
let failed = false;
for (const workload of chosen) await compare(workload);
for (const [reason, names] of absent) console.error(`skipped, ${reason}: ${[...new Set(names)].join(", ")}`);
process.exit(failed ? 1 : 0);

/** One workload by all of its rivals, A B A B, beginning with another one each time. */
async function compare({ name, seconds, rivals }) {
  const here = rivals.filter((rival) => {
    const reason = missing(rival, asked.device);
    if (reason) absent.set(reason, [...(absent.get(reason) ?? []), rival.name]);
    return !reason;
  });
  const found = here.map(() => []);
  const broken = here.map(() => null);
  for (let repeat = 0; repeat < asked.repeats; repeat += 1) {
    for (let turn = 0; turn < here.length; turn += 1) {
      const i = (turn + repeat) % here.length;
      if (broken[i]) continue;
      process.stderr.write(`${name}: ${here[i].name}, ${repeat + 1} of ${asked.repeats}\n`);
      try {
        const result = await here[i].run();
        found[i].push(result);
        keep({ workload: name, rival: here[i].name, repeat, ...result });
      } catch (error) {
        broken[i] = String(error.message ?? error).trim().split("\n").at(-1).slice(0, 200);
        keep({ workload: name, rival: here[i].name, repeat, failed: String(error.message ?? error) });
        failed = true;
      }
    }
  }
  const values = found.map((runs) => median(runs.map((run) => (seconds ? run.seconds : run.tokens_per_second))));
  here.forEach((rival, i) => {
    if (broken[i]) return void console.log(`| ${name} | ${rival.name} | failed: ${broken[i].replaceAll("|", "/")} | | |`);
    const times = seconds ? values[i] / values[0] : values[0] / values[i];
    const ratio = i === 0 || !(times > 0) || here[0].name !== "Kindling" ? "" : `${times.toFixed(2)} × as fast`;
    const shown = seconds ? `${values[i].toFixed(2)} s` : `${grouped(values[i])} tokens/s`;
    const memory = median(found[i].map((run) => run.peak_memory_bytes ?? NaN));
    console.log(`| ${name} | ${rival.name} | ${shown} | ${ratio} | ${memory > 0 ? `${(memory / 1e6).toFixed(0)} MB` : ""} |`);
  });
}

function fits(name, word) {
  return name === word || name.startsWith(`${word}-`);
}

function listed(rival) {
  const reason = missing(rival, asked.device);
  return reason ? `${rival.name} (skipped, ${reason})` : rival.name;
}

function grouped(value) {
  return value >= 100 ? Math.round(value).toLocaleString("en-US") : value.toFixed(1);
}

function keep(line) {
  appendFileSync(asked.out, `${JSON.stringify(line)}\n`);
}

function fail(message) {
  console.error(`${message}\n${USAGE}`);
  process.exit(2);
}

function read(words) {
  const asked = {
    names: [], repeats: 3, seconds: 3, device: "cpu", dtype: "f32", list: false,
    out: join(process.env.KINDLING_CACHE, "bench", "results.jsonl"),
  };
  while (words.length) {
    const word = words.shift();
    if (word === "--list") {
      asked.list = true;
    } else if (!word.startsWith("--")) {
      asked.names.push(word);
    } else {
      const key = word.slice(2);
      const value = words.shift();
      if (!["repeats", "seconds", "device", "dtype", "out"].includes(key) || value === undefined) fail(`${word} is no flag with a value`);
      asked[key] = typeof asked[key] === "number" ? Number(value) : value;
    }
  }
  if (!(Number.isInteger(asked.repeats) && asked.repeats > 0)) fail("--repeats wants a whole number above 0");
  if (!(asked.seconds > 0)) fail("--seconds wants a number above 0");
  return asked;
}
