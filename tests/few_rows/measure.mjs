// Trains an adapter on few rows, again and again, and counts what it answers afterwards; `run` beside it says how.

import { spawnSync } from "node:child_process";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [model] = process.argv.slice(2);
const ROWS = [1, 3, 5];
/** Held-out questions of the world, spread evenly over its kinds and languages. */
const KNOWN = 120;
/** What may be gone of those that were answered rightly. */
const MOST_GONE = 0.1;
const LONGEST = 48;

const lessons = JSON.parse(readFileSync(new URL("lessons.json", import.meta.url)));
/** What the program says beside its results, each sentence once. */
const told = new Set();
const work = mkdtempSync(join(tmpdir(), "kindling-few-rows-"));
try {
  process.exitCode = main();
} finally {
  rmSync(work, { recursive: true, force: true });
}

function main() {
  const known = worldQuestions();
  const before = rightOf(known, answers(known));
  const all = Object.values(lessons).flat();
  const untaught = rightOf(all, answers(all));
  console.log(`${model}: ${before} of ${known.length} held-out questions are right, ${untaught} of the lessons' rows are known`);
  const line = (...cells) => console.log(`| ${cells.join(" | ")} |`);
  line("lesson", "rows", "steps", "rows right", "rephrasings right", "known before", "known after", "seconds");
  line(..."---- ---: ---: ---: ---: ---: ---: ---:".split(" "));
  let missed = 0;
  const sums = [0, 0, 0, 0];
  for (const [name, rows] of Object.entries(lessons)) {
    for (const count of ROWS) {
      const taught = rows.slice(0, count);
      const { adapter, steps, seconds } = teach(taught);
      const rephrased = taught.flatMap(({ other, word }) => other.map((ask) => ({ ask, word })));
      const asked = [taught, rephrased, known];
      const said = answers(asked.flat(), adapter);
      const right = asked.map((group) => rightOf(group, said.splice(0, group.length)));
      const isReached = right[0] === count && right[2] >= before * (1 - MOST_GONE);
      if (!isReached) missed += 1;
      const [own, other, kept] = right;
      line(name, count, steps, `${own} of ${count}`, `${other} of ${2 * count}`, before, kept, seconds);
      [own, count, other, kept].forEach((value, i) => (sums[i] += value));
    }
  }
  const [own, count, other, kept] = sums;
  const asked = before * ROWS.length * Object.keys(lessons).length;
  line("all", count, "", `${own} of ${count}`, `${other} of ${2 * count}`, asked, kept, "");
  for (const sentence of told) console.log(sentence);
  const goal = `every row learned, and at most ${100 * MOST_GONE} % of what was known gone`;
  console.log(missed === 0 ? `reached in all: ${goal}` : `missed in ${missed}: ${goal}`);
  return missed === 0 ? 0 : 1;
}

/** Runs the program; the JSON lines that it prints. */
function kindling(...args) {
  const words = [...args, "--json", "--quiet"].map(String);
  const { status, stdout, stderr } = spawnSync(process.env.KINDLING, words, { encoding: "utf8", maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`kindling ${words.join(" ")}\nended with ${status}: ${stderr}`);
  for (const line of stderr.split("\n").filter(Boolean)) told.add(line);
  return stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}

function worldQuestions() {
  kindling("sample-data", join(work, "world"));
  const lines = readFileSync(join(work, "world", "eval.jsonl"), "utf8").trim().split("\n");
  // Who the model is some of the lessons teach.
  const all = lines.map((line) => JSON.parse(line)).filter(({ kind }) => kind !== "identity");
  const rows = Array.from({ length: KNOWN }, (_, i) => all[Math.floor((i * all.length) / KNOWN)]);
  return rows.map(({ messages, answer }) => ({ messages, say: answer }));
}

/** Trains with the defaults, as the page does. */
function teach(rows) {
  const folder = mkdtempSync(join(work, "run-"));
  const [data, out] = [join(folder, "rows.jsonl"), join(folder, "adapter")];
  writeFileSync(data, rows.map(({ ask, say }) => JSON.stringify({ user: ask, assistant: say }) + "\n").join(""));
  const begun = Date.now();
  kindling("lora", "--model", model, "--data", data, "--out", out, "--device", "cpu");
  const seconds = ((Date.now() - begun) / 1000).toFixed(0);
  const log = readFileSync(join(out, "log.jsonl"), "utf8").trim().split("\n").map((line) => JSON.parse(line));
  return { adapter: out, steps: log.findLast(({ event }) => event === "done").step, seconds };
}

/** The most likely answers, each in a conversation of its own. */
function answers(questions, adapter) {
  const data = join(work, "questions.jsonl");
  const messages = ({ messages, ask }) => messages ?? [{ role: "user", content: ask }];
  writeFileSync(data, questions.map((question) => JSON.stringify({ messages: messages(question) }) + "\n").join(""));
  const more = adapter ? ["--adapter", adapter] : [];
  const flags = ["--temperature", 0, "--max-new-tokens", LONGEST, "--device", "cpu"];
  const said = kindling("generate", "--model", model, "--data", data, ...flags, ...more).map(({ text }) => text.trim());
  if (said.length !== questions.length) throw new Error(`${said.length} answers to ${questions.length} questions`);
  if (process.env.ANSWERS) {
    const told = questions.map((question, i) => JSON.stringify({ adapter, ...question, said: said[i] }) + "\n");
    appendFileSync(process.env.ANSWERS, told.join(""));
  }
  return said;
}

/** How many answers are right: a taught row's and a world's word by word, a rephrased one's by the word that counts. */
function rightOf(questions, said) {
  return questions.filter(({ say, word }, i) => (say ? said[i] === say : said[i].includes(word))).length;
}
