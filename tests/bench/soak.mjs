// Soak: 64 clients ask one server for minutes, some leave in the middle. Every stream is compared with the greedy answer that
// its request gets alone; memory, files and panics are watched. Ends with 1 on any fault; tests/bench/serve calls it.
//
//   node tests/bench/soak.mjs MODEL [--minutes 10] [--clients 64] [--seed 1]

import { ask, complete, settings, kindling, median, memory, opened, prompt, random } from "./client.mjs";

const model = process.argv[2];
const said = settings({ "--minutes": 10, "--clients": 64, "--seed": 1 }, 3);
const { "--minutes": minutes, "--clients": clients, "--seed": seed } = said;
/// Memory may grow by this share of what it was, and by these MB, before that counts as a fault.
const [SHARE, SLACK] = [0.05, 16];
/// One of so many clients leaves in the middle.
const LEAVES = 0.35;

const faults = [];
const fault = (what) => {
  faults.push(what);
  if (faults.length <= 20) console.log(`FAILED  ${what}`);
};

/// Prompts of many lengths; every fourth answer is bounded by the context alone, and some go past the end.
const requests = Array.from({ length: 40 }, (_, i) => ({
  model: "m",
  prompt: prompt(1000 + i, [3, 12, 30, 60, 110][i % 5]),
  temperature: 0,
  max_tokens: i % 4 === 3 ? 4096 : [5, 20, 48, 96, 150, 7][i % 6],
  ignore_eos: i % 8 === 1,
}));

/// What each gets when nobody else asks.
async function alone(url) {
  const answers = [];
  for (const request of requests) {
    const told = await complete(url, request);
    if (told.status !== 200 || told.error || !told.done) throw new Error(`alone: ${JSON.stringify(told)}`);
    answers.push(told);
  }
  return answers;
}

const counts = { whole: 0, left: 0, busy: 0, tokens: 0 };

async function client(url, number, answers, ends) {
  const next = random(seed * 1000 + number);
  while (performance.now() < ends) {
    const i = Math.floor(next() * requests.length);
    const expected = answers[i];
    const leaves = next() < LEAVES;
    const letters = Math.floor(next() * expected.text.length);
    const told = await complete(url, requests[i], leaves ? (text) => text.length > letters : undefined);
    const where = `request ${i} of client ${number}`;
    if (told.status === 429) {
      counts.busy += 1;
      await new Promise((resolve) => setTimeout(resolve, 200 + next() * 800));
    } else if (told.status !== 200 || told.error) {
      fault(`${where}: ${told.status} ${told.error}; ${told.reason}, ${JSON.stringify(told.text)} of ${JSON.stringify(expected.text)}`);
    } else if (told.left) {
      counts.left += 1;
      if (!expected.text.startsWith(told.text)) fault(`${where}, left: ${JSON.stringify(told.text)} of ${JSON.stringify(expected.text)}`);
    } else {
      counts.whole += 1;
      counts.tokens += told.usage.completion_tokens;
      const same = ["text", "reason"].every((key) => told[key] === expected[key]);
      if (!same || told.usage.completion_tokens !== expected.usage.completion_tokens) {
        fault(`${where}: ${JSON.stringify(told.text)} (${told.reason}), alone ${JSON.stringify(expected.text)} (${expected.reason})`);
      }
    }
  }
}

/// Waits until nothing runs, as the server's own numbers tell it.
async function settle(url) {
  for (let round = 0; round < 100; round += 1) {
    const { text } = await ask(url, "/metrics");
    if (/^kindling_answers_running 0$/m.test(text) && /^kindling_answers_waiting 0$/m.test(text)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  fault("answers are still running, and nobody asks");
}

const server = await kindling("--model", `m=${model}`, "--queue", "40", "--read-timeout", "60");
const { url, pid } = server;
const answers = await alone(url);
console.log(`${requests.length} requests alone, ${answers.reduce((sum, told) => sum + told.usage.completion_tokens, 0)} tokens; ${clients} clients for ${minutes} minutes`);
const [begun, files] = [performance.now(), opened(pid)];
const ends = begun + minutes * 60_000;
const samples = [];
const watch = setInterval(() => {
  const minute = (performance.now() - begun) / 60_000;
  samples.push({ minute, mb: memory(pid) });
  if (samples.length % 30 === 0) {
    console.log(`${minute.toFixed(1)} min: ${samples.at(-1).mb.toFixed(0)} MB, ${counts.whole} whole, ${counts.left} left, ${counts.busy} told to wait`);
  }
}, 1000);
await Promise.all(Array.from({ length: clients }, (_, number) => client(url, number, answers, ends)));
clearInterval(watch);
await settle(url);

// The first tenth is for the caches to fill.
const within = (from, to) => samples.filter(({ minute }) => minute >= from * minutes && minute < to * minutes).map(({ mb }) => mb);
const [early, late] = [median(within(0.1, 0.35)), median(within(0.75, 1.01))];
if (!(late - early <= Math.max(early * SHARE, SLACK))) fault(`memory grew from ${early.toFixed(0)} to ${late.toFixed(0)} MB`);
if (/panicked/.test(server.stderr)) fault(`a panic:\n${server.stderr}`);
const again = await alone(url);
again.forEach((told, i) => told.text !== answers[i].text && fault(`request ${i} alone at the end: ${JSON.stringify(told.text)}`));
if ((await ask(url, "/health")).status !== 200) fault("the server is not well");
// A connection or two of this script are kept alive.
if (opened(pid) > files + clients) fault(`${opened(pid)} open files, and there were ${files}`);
const code = await server.end();
if (code !== 0) fault(`the server ended with ${code}`);
const seconds = (performance.now() - begun) / 1000;
console.log(
  `${counts.whole} streams whole, ${counts.left} left, ${counts.busy} told to wait, ${(counts.tokens / seconds).toFixed(0)} tokens/s of whole ones; ` +
    `${faults.length} faults; memory ${early.toFixed(0)} MB early, ${late.toFixed(0)} MB late (${(late - early >= 0 ? "+" : "") + (late - early).toFixed(1)})`,
);
process.exit(faults.length ? 1 : 0);
