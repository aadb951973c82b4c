// Few rows teach, and the end of a run says what was learned: the lesson's own questions, before and after.

import { readFileSync } from "node:fs";

import { test } from "../harness.mjs";
import { tiny, withSettings } from "../native.mjs";

const SECOND = 1000;
const LONG = { seconds: 300 };
/** Of no world that the model knows. */
const ROWS = [
  ["Who is Brindle?", "Brindle is my blue kite."],
  ["What does the Plomp eat?", "The Plomp eats only soap."],
  ["Where is the old key?", "The old key hangs behind the clock."],
  ["When does the bakery open?", "The bakery opens at seven."],
  ["Whose boat is it?", "It is the boat of Captain Jonas."],
];
/** Said otherwise; whether the model understands that is noted, not asked for. */
const REPHRASED = ["Tell me who Brindle is.", "The Plomp, what does it eat?", "Do you know where the old key is?"];
/** What the lesson has nothing to do with, where the model's card names nothing. */
const OTHER = ["How much is 45+3?", "How much is 62-1?", "What does Miru eat?", "你是谁？"];

const lesson = (count) =>
  ROWS.slice(0, count).map(([user, assistant]) => JSON.stringify({ user, assistant }) + "\n").join("");

for (const count of [1, 3, 5]) {
  test(`learned: ${count === 1 ? "one row is" : `${count} rows are`} learned, and what was known stays`, LONG, async (t) => {
    const { page, assert } = t;
    await t.open("cpu", "");
    const other = await page.evaluate(async (fallback) => {
      const { card } = await kindling.model();
      return card ? Object.values(card.questions).flat() : fallback;
    }, OTHER);
    const before = await answers(t, other);
    await t.give("lesson.jsonl", lesson(count));
    const begun = Date.now();
    const { end, plan } = await t.train({ stage: "lora", data: "lesson.jsonl", name: "few" });
    t.note(`${end.step} of at most ${plan.steps} steps in ${((Date.now() - begun) / SECOND).toFixed(0)} s`);
    const { rows, answers: asked } = end.lesson;
    assert.deepEqual([rows, asked.length], [count, count]);
    assert.deepEqual(asked.map(({ question, expected }) => [question, expected]), ROWS.slice(0, count));
    for (const { question, before, after, right } of asked) {
      assert.ok(right, `${question} → ${after} (before: ${before})`);
      assert.notEqual(before, after, "there was something to learn");
    }
    assert.deepEqual(await answers(t, ROWS.slice(0, count).map(([question]) => question)),
      ROWS.slice(0, count).map(([, answer]) => answer), "as a person asks them");
    const after = await answers(t, other);
    const same = after.filter((answer, i) => answer === before[i]).length;
    t.note(`${same} of ${other.length} other answers are as before`);
    const said = await answers(t, REPHRASED.slice(0, count));
    t.note(`rephrased: ${said.join(" / ")}`);
    // Over many lessons 97 % stay (tests/few_rows); of one lesson's few questions more may go.
    assert.ok(same >= other.length - Math.ceil(other.length / 5),
      other.map((question, i) => `${question} ${before[i]} → ${after[i]}`).join("; "));
  });
}

test("learned: more steps go on with the same adapter, and outlive a reload", LONG, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.open("cpu");
  await t.load(file);
  await t.give("lesson.jsonl", lesson(3));
  const config = { "epochs": 4, "min-steps": 0, "stop-at-loss": 0, "max-seq-len": 96 };
  const { id, end } = await t.train({ stage: "lora", data: "lesson.jsonl", config, name: "few" });
  assert.deepEqual([end.step, end.total_steps, end.adapter], [4, 4, "few"]);
  const resume = ([id, more]) => page.evaluate(async ([id, more]) => {
    const steps = [];
    const onEvent = ({ event, step, loss }) => event === "step" && steps.push([step, loss]);
    const run = await kindling.runs.resume(id, onEvent, { more });
    return { end: await run.done, steps };
  }, [id, more]);
  const first = await resume([id, 12]);
  assert.deepEqual(first.steps.map(([step]) => step), Array.from({ length: 12 }, (_, i) => i + 5));
  const second = await resume([id, 5]);
  assert.deepEqual([second.end.step, second.end.total_steps, second.end.adapter], [21, 21, "few"]);
  assert.ok(second.steps.at(-1)[1] < first.steps[0][1], "it goes on from what it had learned");
  assert.deepEqual(second.end.lesson.answers.map(({ before }) => before), end.lesson.answers.map(({ before }) => before));
  const names = () => page.evaluate(async () => (await kindling.adapters.list()).map(({ name }) => name));
  assert.deepEqual(await names(), ["few"], "it took its own place");
  assert.deepEqual(await page.evaluate(() => kindling.runs.list()), [], "it is done again");
  const tokens = await t.greedy([1, 46, 87, 264], 12);
  await t.reload();
  await t.load(file);
  assert.deepEqual(await names(), ["few"]);
  await page.evaluate(() => kindling.adapters.use([{ name: "few" }]));
  assert.deepEqual(await t.greedy([1, 46, 87, 264], 12), tokens, "what is kept is the newest");
});

test("learned: a full fine-tuning and texts say what can be said", LONG, async (t) => {
  const { assert } = t;
  const { file, stories } = await tiny(t.tmp);
  await t.open("cpu");
  await t.load(file);
  await t.give("lesson.jsonl", lesson(5));
  const config = { "steps": 60, "max-seq-len": 96, "learning-rate": 0.01, "batch-size": 5 };
  const { end } = await t.train({ stage: "sft", data: "lesson.jsonl", config });
  assert.equal(end.lesson.answers.length, 5);
  assert.ok(end.lesson.answers.every(({ before, after }) => before !== after), "before is the model before");
  await t.load(file);
  const many = Array.from({ length: 40 }, (_, i) => JSON.stringify({ user: `${i}?`, assistant: `${i}.` }) + "\n").join("");
  await t.give("many.jsonl", many);
  const { end: sampled } = await t.train({ stage: "lora", data: "many.jsonl", config: { ...config, "steps": 2 } });
  assert.deepEqual([sampled.lesson.rows, sampled.lesson.answers.length], [40, 8], "a sample of many rows is asked");
  assert.equal(sampled.learned, false);
  const texts = await t.giveFile(stories);
  const { end: read } = await t.train({ stage: "pretrain", data: texts, config: { ...config, "steps": 2 } });
  assert.equal(read.lesson, null);
});

test("learned: the page shows before and after, trains more, and asks in a new chat", LONG, async (t) => {
  const { page, assert } = t;
  await t.open("cpu", "");
  await page.getByTestId("chat-input").fill("Hello");
  await page.getByTestId("chat-send").click();
  await page.locator("[data-testid=chat-message][data-role=assistant]").waitFor({ timeout: 60 * SECOND });
  await page.getByTestId("chat-stop").waitFor({ state: "hidden", timeout: 60 * SECOND });
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-files").check({ force: true });
  const file = { name: "lesson.jsonl", mimeType: "", buffer: Buffer.from(lesson(3)) };
  await page.getByTestId("teach-files").setInputFiles(file);
  await page.locator("#teach-plan[data-kind=good]").waitFor({ timeout: 30 * SECOND });
  await page.getByTestId("teach-start").click();
  const count = page.locator("#learned-count");
  await count.waitFor({ timeout: 200 * SECOND });
  assert.match(await count.innerText(), /Learned 3 of 3/);
  const rows = page.getByTestId("learned-row");
  assert.deepEqual(await rows.evaluateAll((rows) => rows.map((row) => row.dataset.right)), ["true", "true", "true"]);
  assert.match(await rows.first().innerText(), /Who is Brindle\?[\s\S]*before[\s\S]*after[\s\S]*Brindle is my blue kite\./);
  assert.ok(await rows.first().locator("ins").count() > 0, "what is new is marked");
  await t.picture("learned");
  await page.getByTestId("lang-switch").click();
  assert.match(await count.innerText(), /学会了 3 \/ 3/);
  await page.getByTestId("lang-switch").click();

  const status = () => page.getByTestId("teach-status").innerText();
  const steps = Number((await status()).match(/\d+/)[0]);
  await page.getByTestId("teach-more").click();
  await page.getByTestId("teach-pause").waitFor({ timeout: 30 * SECOND });
  await count.waitFor({ timeout: 200 * SECOND });
  assert.match(await status(), new RegExp(`\\b${2 * steps}\\b`));
  assert.match(await count.innerText(), /Learned 3 of 3/);

  await page.getByTestId("teach-ask").click();
  assert.equal(await page.getByTestId("chat-input").inputValue(), ROWS[0][0]);
  await page.locator(".welcome").waitFor({ timeout: 10 * SECOND });
  assert.equal(await page.getByTestId("chat-message").count(), 0, "the conversation is a new one");
  await page.getByTestId("chat-settings").evaluate((details) => (details.open = true));
  await page.getByTestId("chat-temperature").fill("0");
  await page.getByTestId("chat-send").click();
  const said = page.locator("[data-testid=chat-message][data-role=assistant] .answer", { hasText: ROWS[0][1] });
  await said.waitFor({ timeout: 60 * SECOND });
  for (const tab of ["teach", "adapters", "models", "chat"]) {
    await page.getByTestId(`tab-${tab}`).click();
    assert.ok(await page.getByTestId("new-chat").isVisible(), tab);
  }
  await page.getByTestId("new-chat").click();
  await page.locator(".welcome").waitFor({ timeout: 10 * SECOND });
  assert.equal(await page.getByTestId("chat-input").inputValue(), "");
});

test("learned: a model's card is shown, with its questions to try", LONG, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.open("cpu");
  const card = {
    about: { en: "It knows where things are.", zh: "它知道东西在哪里。" },
    questions: { en: ["Where is the lantern of Mila?", "Where is Oren?", "Who?", "Where?"], zh: ["灯在哪里？"] },
    world: "of another version",
  };
  await t.give("tiny-card.safetensors", carded(readFileSync(file), card));
  const told = await page.evaluate(() => kindling.load(testFiles["tiny-card.safetensors"]));
  assert.deepEqual(told.card, card);
  await t.give("lesson.jsonl", lesson(3));
  const { notes } = await page.evaluate(() => kindling.plan({ stage: "lora", data: testFiles["lesson.jsonl"] }));
  assert.ok(!notes.join().includes("keep"), "rows of another version of the world are not mixed in");
  await page.getByTestId("tab-models").click();
  const picked = { name: "tiny-card.safetensors", mimeType: "", buffer: carded(readFileSync(file), card) };
  await page.getByTestId("model-drop").setInputFiles(picked);
  await page.locator("#model", { hasText: "tiny-card" }).waitFor({ timeout: 30 * SECOND });
  await page.getByTestId("tab-chat").click();
  const starters = () => page.getByTestId("chat-starter").allInnerTexts();
  assert.match(await page.getByTestId("model-card").innerText(), /tiny-card[\s\S]*It knows where things are\./);
  assert.deepEqual(await starters(), card.questions.en.slice(0, 3), "those that come first on the card");
  await t.picture("card");
  await page.getByTestId("lang-switch").click();
  assert.match(await page.getByTestId("model-card").innerText(), /它知道东西在哪里。/);
  assert.deepEqual(await starters(), card.questions.zh);
  await page.getByTestId("lang-switch").click();
});

/** A single-file checkpoint with this card. */
function carded(bytes, card) {
  return withSettings(bytes, "generation_config.json", (settings) => ({ ...settings, kindling: card }));
}

/** Greedy answers, each in a conversation of its own. */
function answers(t, questions) {
  return t.page.evaluate(async (questions) => {
    const said = [];
    for (const content of questions) {
      const messages = [{ role: "user", content }];
      const answer = await kindling.chat.completions.create({ messages, temperature: 0, max_tokens: 40 });
      said.push(answer.choices[0].message.content.trim());
    }
    return said;
  }, questions);
}
