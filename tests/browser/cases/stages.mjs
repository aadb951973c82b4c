// Preferences, distillation and mixtures of experts in the page: as the native program learns them, through a reload, and
// as a person teaches them.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { losses, sameLosses, test } from "../harness.mjs";
import { lines, log, tiny, train } from "../native.mjs";
import { SECOND, openTiny, teach, unfold } from "../steps.mjs";

const CONFIG = { "steps": 20, "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.0005, "log-every": 1, "seed": 7 };
const LORA = { rank: 4, alpha: 8 };
const LORA_FLAGS = ["--lora", "--lora-rank", 4, "--lora-alpha", 8];
const SHARE = 1e-5;
const LONG = { device: "cpu", seconds: 300 };

/** Rows of two answers out of rows of one: the worse answer is another row's. */
function pairs(path, lessons) {
  const rows = readFileSync(lessons, "utf8").trim().split("\n").map((line) => JSON.parse(line).messages);
  const other = (i) => rows.find(([, { content }], j) => j > i && content !== rows[i][1].content) ?? rows[0];
  const row = ([asked, said], i) => ({ prompt: asked.content, chosen: said.content, rejected: other(i)[1].content });
  writeFileSync(path, rows.map((turns, i) => `${JSON.stringify(row(turns, i))}\n`).join(""));
  return path;
}

/** Rows whose answers think first. */
function thoughts(path, lessons) {
  const rows = readFileSync(lessons, "utf8").trim().split("\n").map((line) => JSON.parse(line).messages);
  const said = ({ content }) => `<think>\nIt is kept.\n</think>\n<answer>\n${content}\n</answer>`;
  const row = ([asked, answer]) => ({ messages: [asked, { ...answer, content: said(answer) }] });
  writeFileSync(path, rows.map((turns) => `${JSON.stringify(row(turns))}\n`).join(""));
  return path;
}

/** A fixture with pairs, and a teacher with the same tokens that is kept in the page. */
async function fixture(t) {
  const own = await tiny(t.tmp);
  const teacher = await tiny(t.tmp, 1);
  await t.load(teacher.file);
  await t.page.evaluate(() => kindling.models.keep("teacher"));
  await t.load(own.file);
  const data = { pairs: pairs(join(t.tmp, "pairs.jsonl"), own.lessons), lessons: own.lessons };
  const thinks = thoughts(join(t.tmp, "thoughts.jsonl"), own.lessons);
  const of = { dpo: data.pairs, distill: data.lessons, texts: own.stories, reason: thinks, grpo: thinks };
  return { ...own, ...data, of, teacher };
}

/** Metrics by step, of the events of a run. */
function metrics(events, name) {
  return new Map(events.filter(({ event }) => event === "step").map(({ step, metrics }) => [step, metrics[name]]));
}

/** What native logged under a name, by step. */
function logged(out, name) {
  return new Map(log(out).filter((line) => !line.event).map((line) => [line.step, line[name]]));
}

const WAYS = [
  ["dpo", "an adapter", { adapter: LORA }, LORA_FLAGS],
  ["dpo", "all weights", {}, []],
  ["dpo", "what it asked once", { dpo: { "reference": "cached", "dpo-loss": "ipo" } },
    ["--reference", "cached", "--dpo-loss", "ipo"]],
  ["distill", "an adapter", { adapter: LORA }, LORA_FLAGS],
  ["distill", "all weights", { distill: { "kd-loss": "reverse-kl", "alpha": 0.25 } },
    ["--kd-loss", "reverse-kl", "--alpha", 0.25]],
  ["distill", "all weights on texts", {}, [], "texts"],
  ["reason", "all weights", { reason: { "tag-weight": 4, "eval-answers": 0 } },
    ["--tag-weight", 4, "--eval-answers", 0]],
];

for (const [stage, what, settings, flags, rows = stage] of WAYS) {
  test(`stages: the losses of ${stage} by ${what} equal native's`, LONG, async (t) => {
    const { dir, of, teacher } = await fixture(t);
    const path = of[rows];
    const more = stage === "distill" ? [...flags, "--teacher", teacher.dir] : flags;
    const out = join(t.tmp, "run");
    const there = await train(stage, out, { model: dir, data: path, config: CONFIG, more });
    const taught = stage === "distill" ? { teacher: { kept: "teacher" } } : {};
    const request = { stage, data: await t.giveFile(path), config: CONFIG, ...settings, ...taught };
    const { events, end } = await t.train(request);
    t.assert.equal(end.step, 20);
    sameLosses(losses(events), there, SHARE);
    const name = { dpo: "reward_margin", distill: "kd_loss" }[stage] ?? "loss";
    if (name === "loss") return;
    const [here, native] = [metrics(events, name), logged(out, name)];
    for (const [step, value] of native) {
      // A margin begins at nothing.
      t.assert.ok(Math.abs(here.get(step) - value) < 1e-3, `${name} at ${step}: ${here.get(step)} here, ${value} there`);
    }
    if (stage === "dpo" && !settings.dpo) {
      const first = losses(events).get(1);
      t.assert.ok(Math.abs(first - Math.LN2) < 1e-6, `it begins at ln 2, and not at ${first}`);
    }
  });
}

test("stages: the end of a run says by which rule an answer counts, and rewards are judged as they are given", LONG, async (t) => {
  const { page, assert } = t;
  const { file, of } = await fixture(t);
  const config = { ...CONFIG, "steps": 1, "max-seq-len": 128 };
  const judged = async (stage, path, more = {}) => {
    await t.load(file);
    const request = { stage, data: await t.giveFile(path), config, adapter: LORA, ...more };
    return (await t.train(request)).end.lesson.judged;
  };
  assert.equal(await judged("sft", of.distill), "letters");
  assert.equal(await judged("reason", of.reason, { reason: { "eval-answers": 0 } }), "tags");
  const few = { "group-size": 2, "max-new-tokens": 4, "eval-answers": 0 };
  assert.equal(await judged("grpo", of.grpo, { grpo: few }), "reward");
  await openTiny(t);
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-sample").check({ force: true });
  for (const fold of ["teach-ways", "teach-settings"]) await unfold(t, fold);
  for (const [id, value] of [["steps", "1"], ["max-seq-len", "64"]]) await page.getByTestId(`teach-${id}`).fill(value);
  await teach(t);
  assert.equal(await page.getByTestId("learned-rule").innerText(), "An answer is right that is the row's, letter for letter.");
});

test("stages: a preview for a new model fits that model, and not the open one", { device: "cpu" }, async (t) => {
  const { assert } = t;
  const { dir, stories } = await tiny(t.tmp);
  const at = (name) => join(t.tmp, name);
  const config = JSON.parse(readFileSync(join(dir, "config.json"), "utf8"));
  writeFileSync(at("short.json"), JSON.stringify({ ...config, max_position_embeddings: 64 }));
  const fresh = ["--model-config", at("short.json"), "--tokenizer", join(dirname(dir), "tokenizer")];
  await lines("pretrain", "--data", stories, ...fresh, "--out", at("short"), "--steps", 1, "--max-seq-len", 64);
  await lines("export", "--to", "single-file", "--weights-only", "--model", at("short"), "--out", at("short.safetensors"));
  await t.load(at("short.safetensors"));
  const name = await t.giveFile(stories);
  const fitted = ([preset, name]) => {
    const request = { stage: "pretrain", preset, data: testFiles[name] };
    const told = ({ notes }) => notes.filter(({ code }) => code === "train.length_fitted").map(({ message }) => message);
    return kindling.plan(request).then(async (plan) => [told(plan), told(await kindling.preview({ ...request, rows: 1 }))]);
  };
  for (const [preset, notes] of [[undefined, 1], ["nano", 0]]) {
    const [planned, shown] = await t.page.evaluate(fitted, [preset, name]);
    assert.deepEqual([planned.length, shown], [notes, planned], `a preview for ${preset ?? "the open model"}`);
  }
  const adapter = (name) => kindling.preview({ stage: "pretrain", preset: "nano", adapter: true, data: testFiles[name] });
  assert.match(await t.rejection(adapter, name), /train all of its weights/);
});

test("stages: a mixture of experts trains as natively, and tells its load", LONG, async (t) => {
  const { assert } = t;
  const { dir, file, stories } = await tiny(t.tmp);
  const out = join(t.tmp, "mixture");
  const flags = Object.entries(CONFIG).flatMap(([name, value]) => [`--${name}`, value]);
  const fresh = ["--preset", "nano-moe", "--tokenizer", join(dirname(dir), "tokenizer")];
  await lines("pretrain", "--data", stories, ...fresh, "--out", out, ...flags);
  const there = new Map(log(out).filter((line) => !line.event).map((line) => [line.step, line.loss]));
  await t.load(file);
  const request = { stage: "pretrain", preset: "nano-moe", data: await t.giveFile(stories), config: CONFIG };
  const { plan, events, end } = await t.train(request);
  sameLosses(losses(events), there, SHARE);
  assert.match(end.model, /^nano-moe-pretrain/);
  const open = await t.page.evaluate(() => kindling.model());
  assert.deepEqual([open.name, open.layers, open.hidden], [end.model, 4, 128], "the new model is open");
  assert.equal(plan.parameters, open.parameters);
  for (const event of events.filter(({ event }) => event === "step")) {
    assert.deepEqual(event.expert_load.map((layer) => layer.length), [4, 4, 4, 4]);
    for (const layer of event.expert_load) {
      assert.ok(Math.abs(layer.reduce((sum, share) => sum + share, 0) - 4) < 1e-3, `${layer} is 1 on average`);
    }
    assert.ok(event.metrics.expert_load_max >= 1 && event.metrics.aux_loss > 0);
  }
  const adapter = ([name]) => kindling.plan({ stage: "pretrain", preset: "nano", adapter: true, data: testFiles[name] });
  assert.match(await t.rejection(adapter, [request.data]), /train all of its weights/);
  const unknown = ([name]) => kindling.plan({ stage: "pretrain", preset: "mega", data: testFiles[name] });
  assert.match(await t.rejection(unknown, [request.data]), /no preset 'mega'.*nano-moe/);
});

const FROM_OPEN = ["distill", "the open model", { teacher: "open", preset: "nano" }];
/** Rules by which the answers of a model that knows nothing differ. */
const RULES = ["repetition", "length:0.5"];
const REWARDS = { "group-size": 4, "max-new-tokens": 24, "temperature": 0.25, "eval-answers": 0, "reward": RULES };
const LONGER = { ...CONFIG, "steps": 30, "max-seq-len": 128 };
const REWARDED = ["grpo", "all weights", { grpo: REWARDS, config: LONGER }];
for (const [stage, what, settings, , rows = stage] of [...WAYS, FROM_OPEN, REWARDED]) {
  test(`stages: a run of ${stage} by ${what} goes on after a reload, bit for bit`, LONG, async (t) => {
    const { page, assert } = t;
    const { file, of } = await fixture(t);
    const data = await t.giveFile(of[rows]);
    const taught = stage === "distill" ? { teacher: { kept: "teacher" } } : {};
    const request = { stage, data, config: { ...CONFIG, "steps": 30 }, name: "whole", ...taught, ...settings };
    const whole = losses((await t.train(request)).events);
    await page.evaluate(() => kindling.adapters.use([]));
    await t.load(file);
    const stopped = await page.evaluate(async (request) => {
      const seen = [];
      const onEvent = (event) => {
        seen.push(event);
        if (event.event === "step" && event.step === 10) run.stop();
      };
      const run = await kindling.train({ ...request, data: testFiles[request.data], onEvent, name: "again" });
      return { id: run.id, end: await run.done, seen };
    }, request);
    assert.ok(stopped.end.stopped && stopped.end.step < 30);
    await t.reload();
    await t.load(file);
    const gone = await page.evaluate(async (id) => {
      const seen = [];
      const run = await kindling.runs.resume(id, (event) => seen.push(event));
      return { end: await run.done, seen };
    }, stopped.id);
    assert.deepEqual([gone.end.step, gone.end.stopped], [30, false]);
    sameLosses(new Map([...losses(stopped.seen), ...losses(gone.seen)]), whole, 0);
    if (stage === "dpo") assert.ok(gone.end.lesson.pairs.length > 0, "what was weighed before is still known");
  });
}

test("stages: a teacher that is gone, or another by now, is refused by its name", LONG, async (t) => {
  const { page, assert } = t;
  const { file, lessons, teacher } = await fixture(t);
  const data = await t.giveFile(lessons);
  const id = await page.evaluate(async ([data, config]) => {
    const onEvent = ({ event, step }) => event === "step" && step === 5 && run.stop();
    const request = { stage: "distill", adapter: true, teacher: { kept: "teacher" }, config, onEvent };
    const run = await kindling.train({ ...request, data: testFiles[data] });
    await run.done;
    return run.id;
  }, [data, CONFIG]);
  const resume = () => t.rejection((id) => kindling.runs.resume(id), id);
  await page.evaluate(() => kindling.models.remove("teacher"));
  assert.match(await resume(), /teacher 'teacher' cannot be opened: no model is kept/);
  // The student itself, under the teacher's name.
  await page.evaluate(() => kindling.models.keep("teacher"));
  assert.match(await resume(), /'teacher' is not the teacher that the run began with/);
  await t.load(teacher.file);
  await page.evaluate(() => kindling.models.keep("teacher"));
  await t.load(file);
  const end = await page.evaluate(async (id) => (await kindling.runs.resume(id)).done, id);
  assert.equal(end.step, 20, "with its own teacher it goes on");
});

test("stages: a teacher may come as files and in few bits, and must have the same tokens", LONG, async (t) => {
  const { page, assert } = t;
  const { lessons, teacher } = await fixture(t);
  const data = await t.giveFile(lessons);
  await t.give("master.safetensors", readFileSync(teacher.file));
  const learn = async ([data, more, config]) => {
    const seen = [];
    const request = { stage: "distill", adapter: true, config, ...more, data: testFiles[data] };
    if (request.teacher === "files") request.teacher = testFiles["master.safetensors"];
    const run = await kindling.train({ ...request, onEvent: (event) => seen.push(event) });
    await run.done;
    return seen;
  };
  const run = async (more) => losses(await page.evaluate(learn, [data, more, { ...CONFIG, "steps": 4 }]));
  const kept = await run({ teacher: { kept: "teacher" } });
  await page.evaluate(() => kindling.adapters.use([]));
  sameLosses(await run({ teacher: "files" }), kept, 0);
  const few = await run({ teacher: { kept: "teacher" }, teacherWeights: "q8_0" });
  assert.notDeepEqual([...few.values()], [...kept.values()], "in few bits it is a little less exact");
  sameLosses(few, kept, 0.05);
  const self = await run({ teacher: "open", distill: { alpha: 0 } });
  assert.ok(self.get(1) < 1e-4, `the model itself lies ${self.get(1)} away`);
  const refused = (more) => t.rejection(([data, more]) => (
    kindling.plan({ stage: "distill", data: testFiles[data], ...more })
  ), [data, more]);
  assert.match(await refused({}), /needs a teacher/);
  assert.match(await refused({ teacher: { kept: "nobody" } }), /'nobody' cannot be opened/);
  assert.match(await refused({ teacher: { named: "teacher" } }), /teacher does not support 'named'/);
  assert.match(await refused({ teacher: { kept: 3 } }), /it can be \{kept: name\}/);
  assert.match(await refused({ teacherWeights: "q8_0" }), /there is no teacher/);
  assert.match(await refused({ teacher: "open", distill: { colour: 1 } }), /unknown field `colour`/);
  assert.match(await refused({ teacher: "open", dpo: { beta: 1 } }), /'dpo' acts in the stage dpo alone/);
  assert.match(await refused({ teacher: "open", distill: { "max-new-tokens": 9 } }), /acts with/);
  assert.match(await refused({ teacher: "open", distill: { alpha: 2 } }), /must be 0 to 1/);
});

test("stages: preferences come from pastes and files in both languages", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const read = (text) => page.evaluate((text) => kindling.rows.read(text, "dpo"), text);
  for (const text of [
    '{"prompt": "Who?", "chosen": "Mila.", "rejected": "Nobody."}',
    "question,better answer,worse answer\nWho?,Mila.,Nobody.",
    "prompt\tchosen\trejected\nWho?\tMila.\tNobody.",
    "问题\t更好的回答\t更差的回答\nWho?\tMila.\tNobody.",
  ]) {
    const { rows, wrong } = await read(text);
    assert.deepEqual([rows, wrong], [1, 0], text);
  }
  const { problems } = await read("question,answer\nWho?,Mila.");
  assert.match(problems[0].why.message, /chosen and rejected/);
  assert.match((await read("Once upon a time.")).problems[0].why.message, /better answer/);
  await t.give("pairs.csv", "问题,更好的回答,更差的回答\nWho?,Mila.,Nobody.\n");
  const { rows, total } = await page.evaluate(() => kindling.preview({ stage: "dpo", data: testFiles["pairs.csv"], rows: 3 }));
  assert.deepEqual([total, rows.length], [1, 2], "both answers are shown");
  const said = rows.map(({ tokens }) => tokens.filter(({ target }) => target).map(({ text }) => text).join(""));
  assert.ok(said[0].startsWith("Mila.") && said[1].startsWith("Nobody."), said.join(" | "));
});

for (const [language, words] of [["English", /likelier in \d of \d/], ["Chinese", /更好的回答更可能/]]) {
  test(`stages: a person teaches preferences by an example, ${language}`, LONG, async (t) => {
    const { page, assert } = t;
    await openTiny(t);
    if (language === "Chinese") await page.getByTestId("lang-switch").click();
    await page.getByTestId("tab-teach").click();
    await unfold(t, "teach-ways");
    await page.getByTestId("teach-stage-dpo").check({ force: true });
    assert.ok(await page.getByTestId("teach-worse").first().isVisible(), "a row asks for a worse answer");
    await page.getByTestId("teach-question").first().fill("Who lives there?");
    await page.getByTestId("teach-answer").first().fill("Mila.");
    await page.locator("#teach-plan[data-kind=bad]").waitFor({ timeout: 20 * SECOND });
    await page.getByTestId("teach-start").click();
    // What is missing is where the keyboard goes.
    const at = () => document.activeElement.dataset.testid;
    assert.equal(await page.evaluate(at), "teach-worse");
    await page.keyboard.type("Mila.");
    await page.getByTestId("teach-preview").focus();
    const fault = page.getByTestId("teach-pair-fault").first();
    await fault.waitFor({ timeout: 10 * SECOND });
    assert.ok((await fault.innerText()).length > 3, "two equal answers teach nothing");
    await page.getByTestId("teach-pair-delete").first().click();
    await page.getByTestId("teach-pair-example").click();
    await page.getByTestId("teach-pair").nth(19).waitFor({ timeout: 20 * SECOND });
    assert.equal(await page.getByTestId("teach-pair").count(), 20);
    await unfold(t, "teach-settings");
    for (const [id, value] of [["steps", "40"], ["batch-size", "4"], ["max-seq-len", "64"], ["learning-rate", "0.01"]]) {
      await page.getByTestId(`teach-${id}`).fill(value);
    }
    await t.picture("rows");
    const said = await teach(t, async () => {
      await page.getByTestId("metric-reward_margin").waitFor({ timeout: 60 * SECOND });
    });
    assert.match(said, words);
    const value = async (name) => Number(await page.getByTestId(`metric-${name}`).innerText());
    assert.ok((await value("reward_margin")) > 0, "the margin grows");
    assert.ok((await value("reward_accuracy")) > 0.5, "it tells the answers apart");
    assert.ok(await page.getByTestId("weighed-row").count() > 0);
    assert.match(await page.getByTestId("weighed-share").first().innerText(), /\d+.* %/);
    assert.doesNotMatch(await page.locator("#teach-run").innerText(), /undefined|NaN|reward_/);
    await t.picture("learned");
    // It is all there after a reload.
    await t.reload();
    await page.getByTestId("tab-teach").click();
    assert.ok(await page.getByTestId("teach-stage-dpo").isChecked());
    assert.ok((await page.getByTestId("teach-worse").first().inputValue()).length > 3);
  });
}

test("stages: a person lets a kept model teach", LONG, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp, 1);
  await t.load(file);
  await page.evaluate(() => kindling.models.keep("master"));
  await openTiny(t);
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-sample").check({ force: true });
  await unfold(t, "teach-ways");
  await page.getByTestId("teach-stage-distill").check({ force: true });
  const teachers = page.getByTestId("teach-teacher");
  await teachers.locator("option", { hasText: "master" }).waitFor({ state: "attached", timeout: 20 * SECOND });
  await teachers.selectOption("kept:master");
  await page.getByTestId("teach-kd-loss").selectOption("jsd");
  await unfold(t, "teach-settings");
  await page.getByTestId("teach-steps").fill("12");
  await page.getByTestId("teach-max-seq-len").fill("64");
  await teach(t, async () => {
    await page.getByTestId("metric-kd_loss").waitFor({ timeout: 60 * SECOND });
  });
  assert.ok(Number(await page.getByTestId("metric-kd_loss").innerText()) > 0);
  assert.match(await page.getByTestId("metric").first().innerText(), /Loss on the data|Distance/);
  await t.picture("taught");
  await t.reload();
  await page.getByTestId("tab-teach").click();
  await teachers.locator("option", { hasText: "master" }).waitFor({ state: "attached", timeout: 20 * SECOND });
  assert.equal(await teachers.inputValue(), "kept:master");
});

test("stages: a new mixture of experts is made by hand, and its load is seen and told", LONG, async (t) => {
  const { page, assert } = t;
  await openTiny(t);
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-sample").check({ force: true });
  await unfold(t, "teach-ways");
  await page.getByTestId("teach-stage-pretrain").check({ force: true });
  assert.ok(!(await page.getByTestId("teach-preset").isVisible()), "an adapter needs a model that knows something");
  await page.getByTestId("teach-trained-full").check({ force: true });
  await page.getByTestId("teach-preset").selectOption("nano-moe");
  await unfold(t, "teach-settings");
  await page.getByTestId("teach-steps").fill("8");
  await page.getByTestId("teach-max-seq-len").fill("64");
  await page.locator("#teach-plan[data-kind=good]").waitFor({ timeout: 60 * SECOND });
  await page.getByTestId("teach-start").click();
  const experts = page.getByTestId("teach-experts");
  await experts.waitFor({ timeout: 120 * SECOND });
  assert.equal(await page.getByTestId("expert-layer").count(), 4);
  assert.equal(await experts.locator("rect").count(), 16);
  assert.match(await experts.getAttribute("aria-label"), /4 layers with 4 experts.*fullest gets \d\.\d\d times/);
  await t.picture("experts");
  await page.getByTestId("teach-ask").waitFor({ timeout: 120 * SECOND });
  await page.getByTestId("lang-switch").click();
  assert.match(await experts.getAttribute("aria-label"), /4 层、每层 4 个专家/);
  assert.match(await page.locator("#model").innerText(), /nano-moe/);
});
