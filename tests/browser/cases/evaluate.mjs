// Evaluations: the same numbers as natively, before and after an adapter; subjects, progress and an end on the way; by hand.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { test } from "../harness.mjs";
import { lines, tiny } from "../native.mjs";
import { SECOND, openTiny } from "../steps.mjs";

const CPU = { device: "cpu", seconds: 240 };
const CONFIG = { "steps": 40, "batch-size": 8, "max-seq-len": 64, "learning-rate": 0.02, "seed": 3 };
const PEOPLE = ["Mila", "Oren", "Tavi", "Sune", "Ibra"];
const PLACES = ["Velm", "Karu", "Ister", "Zyx"];

/** Questions about what the tiny model knows, with four places to choose from. */
function questions(count) {
  const row = (i) => ({
    question: `Where is the ${["lantern", "kettle", "violin"][i % 3]} of ${PEOPLE[i % 5]}?`,
    choices: PLACES.map((place) => `The ${["lantern", "kettle", "violin"][i % 3]} is in ${place}.`),
    answer: (i * 7 + (i >> 2)) % 4,
  });
  return Array.from({ length: count }, (_, i) => JSON.stringify(row(i)) + "\n").join("");
}

/** Rows that contradict what the model knows, so that an adapter that acts is heard. */
function contrary() {
  const row = (i) => ({ messages: [
    { role: "user", content: `Where is the ${["lantern", "kettle"][i % 2]} of ${PEOPLE[i % 3]}?` },
    { role: "assistant", content: "Gone, gone, all gone to Zyx." },
  ] });
  return Array.from({ length: 24 }, (_, i) => JSON.stringify(row(i)) + "\n").join("");
}

/** Asserts that two numbers, or two intervals, are the same but for their rounding. */
function near(assert, here, there, what) {
  const [a, b] = [[here].flat(), [there].flat()];
  assert.equal(a.length, b.length, what);
  a.forEach((value, i) => assert.ok(Math.abs(value - b[i]) < 1e-9, `${what}: ${a} here, ${b} natively`));
}

test("evaluate: before and after an adapter, the same as natively", CPU, async (t) => {
  const { page, assert } = t;
  const { dir, file } = await tiny(t.tmp);
  await t.load(file);
  const data = join(t.tmp, "arc_easy_test.jsonl");
  writeFileSync(data, questions(40));
  await t.giveFile(data);
  const evaluate = (more) => page.evaluate(
    (more) => kindling.evaluate({ task: "arc_easy", data: testFiles["arc_easy_test.jsonl"], ...more }), more,
  );
  const alone = await evaluate({ limit: 9 });
  assert.deepEqual(alone.models.map(({ who }) => who), ["base"]);
  assert.deepEqual([alone.models[0].measures[0].n, alone.differences], [9, []]);

  await t.give("contrary.jsonl", contrary());
  await t.train({ stage: "lora", data: "contrary.jsonl", config: CONFIG, lora: { rank: 4, alpha: 8 }, name: "gone" });
  const adapter = join(t.tmp, "gone");
  mkdirSync(adapter);
  for (const { name, bytes } of await t.takeHome({ adapter: "gone" })) writeFileSync(join(adapter, name), bytes);
  const models = ["--model", dir, "--model", dir, "--adapter", adapter];
  for (const [more, flags] of [
    [{}, []],
    [{ shots: 2, apply_chat_template: true }, ["--shots", 2, "--apply-chat-template"]],
  ]) {
    const found = await evaluate(more);
    const native = await lines("eval", ...models, "--task", "arc_easy", "--data", data, ...flags);
    const [before, after, ...differences] = native;
    assert.deepEqual(found.models.map(({ who }) => who), ["base", "adapted"]);
    found.models.forEach(({ measures: [acc, norm] }, i) => {
      const there = [before, after][i];
      assert.deepEqual([acc.metric, acc.n, norm.metric], ["acc", 40, "acc_norm"]);
      near(assert, acc.value, there.accuracy, `acc of model ${i}`);
      near(assert, acc.ci95, there.ci95, `its interval of model ${i}`);
      near(assert, norm.value, there.acc_norm.accuracy, `acc_norm of model ${i}`);
    });
    assert.equal(found.differences.length, differences.length);
    found.differences.forEach((difference, i) => {
      near(assert, difference.value, differences[i].difference, difference.metric);
      near(assert, difference.ci95, differences[i].ci95, `the interval of ${difference.metric}`);
      assert.deepEqual(difference.alone, [differences[i].first_only, differences[i].second_only]);
    });
  }
  const base = await evaluate({ compare: false, adapters: "base" });
  assert.deepEqual(base.models.map(({ who }) => who), ["base"]);
  assert.equal((await evaluate({ compare: false })).models[0].who, "adapted");
});

test("evaluate: subjects by the names of files, texts, and what is odd is told", CPU, async (t) => {
  const { page, assert } = t;
  const { dir, file, texts } = await tiny(t.tmp);
  await t.load(file);
  const row = (i) => `${i},Where is the kettle ${i}?,Velm,Karu,Ister,Zyx,${"ABCD"[i % 4]}\n`;
  const rows = (count) => `id,question,A,B,C,D,answer\n${Array.from({ length: count }, (_, i) => row(i)).join("")}`;
  const files = { "ceval/val/logic_val.csv": rows(5), "ceval/val/law_val.csv": rows(3), "ceval/notes/README.md": "notes" };
  const found = await page.evaluate((files) => {
    const data = Object.entries(files).map(([name, text]) => ({ name, bytes: new TextEncoder().encode(text) }));
    return kindling.evaluate({ task: "ceval", data });
  }, files);
  const subjects = found.models[0].subjects.map(({ subject, measures }) => [subject, measures[0].n]);
  assert.deepEqual(subjects, [["law", 3], ["logic", 5]]);
  assert.equal(found.models[0].measures[0].n, 8);
  const unread = found.notes.find(({ code }) => code === "eval.unread_files");
  assert.match(unread.values.files, /README/, "what is not read");
  const name = await t.giveFile(texts);
  const bits = await page.evaluate((name) => kindling.evaluate({ task: "heldout", data: testFiles[name], limit: 9 }), name);
  const [there] = await lines("eval", "--model", dir, "--task", "heldout", "--data", texts, "--limit", 9);
  const [own, perplexity] = bits.models[0].measures;
  assert.ok(Math.abs(own.value - there.bits_per_byte) < 1e-4, `${own.value} here, ${there.bits_per_byte} natively`);
  assert.deepEqual([own.unit, own.n, perplexity.unit, perplexity.ci95], ["bits", 9, "perplexity", null]);
});

test("evaluate: what cannot be asked is refused by a code, and an abort ends it", CPU, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.load(file);
  await t.give("q.jsonl", questions(600));
  await t.give("bad.jsonl", '{"question": "a", "choices": ["b", "c"], "answer": 5}\n');
  const refused = (request) => page.evaluate(async (request) => {
    const data = request.data ? testFiles[request.data] : undefined;
    return kindling.evaluate({ ...request, data }).then(() => "none", ({ code }) => code);
  }, request);
  for (const [request, code] of [
    [{ task: "arc", data: "q.jsonl" }, "eval.task"],
    [{ task: "arc_easy" }, "data.none"],
    [{ task: "arc_easy", data: "q.jsonl", compare: true }, "eval.nothing_acts"],
    [{ task: "arc_easy", data: "q.jsonl", limit: 0 }, "settings.unfit"],
    [{ task: "heldout", data: "q.jsonl", shots: 2 }, "settings.unfit"],
    [{ task: "arc_easy", data: "q.jsonl", likelihood: { mc: 4 } }, "model.causal"],
    [{ task: "arc_easy", data: "q.jsonl", n: 4 }, "unsupported-field"],
    [{ task: "arc_easy", data: "bad.jsonl" }, "data.bad_rows"],
  ]) {
    assert.equal(await refused(request), code, JSON.stringify(request));
  }
  const ended = await page.evaluate(async () => {
    const [abort, heard] = [new AbortController(), []];
    const onProgress = (part) => {
      heard.push(part);
      if (part.done > 0) abort.abort();
    };
    const request = { task: "arc_easy", data: testFiles["q.jsonl"], limit: 600, onProgress, signal: abort.signal };
    const error = await kindling.evaluate(request).then(() => null, (error) => error.name);
    // The engine is free again soon, and answers.
    const { usage } = await kindling.chat.completions.create({ messages: [{ role: "user", content: "Hi" }], max_tokens: 2 });
    return { error, heard, tokens: usage.completion_tokens };
  });
  assert.equal(ended.error, "AbortError");
  const [first, last] = [ended.heard[0], ended.heard.at(-1)];
  assert.ok(first.total === 600 && first.models === 1 && last.done < 600, JSON.stringify(ended));
});

test("evaluate: a person takes the example, evaluates, reads and saves", CPU, async (t) => {
  const { page, assert } = t;
  await openTiny(t, true);
  await page.getByTestId("tab-adapters").click();
  const message = page.getByTestId("message");
  await page.getByTestId("eval-run").click();
  await message.waitFor({ timeout: 10 * SECOND });
  assert.match(await message.innerText(), /file with questions/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "eval-files", "the keyboard goes on from what is missing");
  await page.getByTestId("eval-example").click();
  await page.locator("#eval-chosen", { hasText: "eval_choice.jsonl" }).waitFor({ timeout: 30 * SECOND });
  assert.equal(await page.getByTestId("eval-task").inputValue(), "openbookqa");
  await page.getByTestId("eval-limit").fill("12");
  await page.getByTestId("eval-run").click();
  await page.locator("#eval-result:not([hidden])").waitFor({ timeout: 120 * SECOND });
  const texts = (rows) => rows.map((row) => [...row.children].map((cell) => cell.innerText));
  const cells = await page.getByTestId("eval-row").evaluateAll(texts);
  assert.deepEqual(cells.map(([metric, n]) => [metric, n]), [["acc", "12"], ["acc_norm", "12"]]);
  assert.match(cells[0][2], /^[\d.]+ %$/);
  assert.match(cells[0][3], /^[\d.]+ % – [\d.]+ %$/);
  assert.match(await page.getByTestId("eval-title").innerText(), /tiny · OpenBookQA/);
  assert.match(await page.getByTestId("eval-state").innerText(), /^Measured/);
  const [saved] = await Promise.all([page.waitForEvent("download"), page.getByTestId("eval-csv").click()]);
  assert.equal(saved.suggestedFilename(), "evaluation.csv");
  await page.getByTestId("lang-switch").click();
  assert.match(await page.locator("#eval-table thead").innerText(), /指标/);
  assert.match(await page.getByTestId("eval-state").innerText(), /^已测完/);
  assert.match(await page.getByTestId("eval-notes").innerText(), /道题/);
  // A table of numbers is no wider than a phone.
  const wide = () => page.locator("#eval-table").evaluate((table) => table.offsetWidth - table.parentElement.clientWidth);
  await page.setViewportSize({ width: 360, height: 740 });
  assert.ok(await wide() <= 0, `${await wide()} pixels too wide`);
  // What does not belong to a task is not shown.
  await page.getByTestId("eval-task").selectOption("heldout");
  assert.equal(await page.getByTestId("eval-shots").isVisible(), false);
  await page.getByTestId("eval-task").selectOption("format");
  assert.equal(await page.getByTestId("eval-max-new-tokens").isVisible(), true);
  await t.picture("evaluated");
});
