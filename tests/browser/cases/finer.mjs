// Finer settings: folded away, asked for as they are typed, kept over a reload and in a lesson's file, and refused in the
// page's words where they do not hold. A mixture of experts is the one that native makes.

import { dirname, join } from "node:path";

import { losses, sameLosses, test } from "../harness.mjs";
import { lines, log, tiny } from "../native.mjs";
import { SECOND, openTiny, unfold } from "../steps.mjs";

const LONG = { device: "cpu", seconds: 300 };

/** Opens the tab that teaches, on a sample and with its folds open; the requests to plan are noted in `window.planned`. */
async function open(t) {
  const { page } = t;
  const fixture = await openTiny(t);
  await page.evaluate(() => {
    const plan = kindling.plan.bind(kindling);
    kindling.plan = (request) => {
      window.planned = request;
      return plan(request);
    };
  });
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-sample").check({ force: true });
  await unfold(t, "teach-ways");
  return fixture;
}

/** Fills fields; those that are no text are checked or chosen. */
async function fill(t, values) {
  for (const [id, value] of Object.entries(values)) {
    const field = t.page.getByTestId(`teach-${id}`);
    if (value === true) await field.check();
    else if ((await field.evaluate(({ tagName }) => tagName)) === "SELECT") await field.selectOption(value);
    else await field.fill(value);
  }
}

/** Waits until a setting of a part of the request is asked for, and then that the plan says something like this; the request. */
async function planned(t, kind, words = /./, [part, key] = ["config", "log-every"]) {
  await t.page.waitForFunction(([part, key]) => window.planned?.[part]?.[key] !== undefined, [part, key], {
    timeout: 20 * SECOND,
  });
  const plan = t.page.locator(`#teach-plan[data-kind=${kind}]`, { hasText: words });
  await plan.waitFor({ timeout: 60 * SECOND });
  return t.page.evaluate(() => {
    const { config, adapter, dpo, grpo, experts } = window.planned;
    return { config, adapter, dpo, grpo, experts };
  });
}

test("finer: they are folded, and what is typed is trained with and still there after a reload", LONG, async (t) => {
  const { page, assert } = t;
  await open(t);
  await unfold(t, "teach-settings");
  const field = page.getByTestId("teach-neftune");
  assert.equal(await field.isVisible(), false, "folded by default");
  const untouched = (await planned(t, "good")).config;
  for (const key of ["neftune", "dropout", "ema", "seed", "grad-accum", "muon", "freeze"]) assert.ok(!(key in untouched), key);
  await unfold(t, "teach-finer");
  assert.equal(await field.getAttribute("placeholder"), "0", "the engine's default");
  assert.equal(await page.getByTestId("teach-muon").isVisible(), false, "an adapter has no matrices of the layers");
  await fill(t, { "steps": "10", "batch-size": "4", "max-seq-len": "64", "val-split": "0.2", "rank": "4" });
  const typed = { "neftune": "5", "dropout": "0.1", "early-stop": "3", "ema": "0.9", "seed": "7", "grad-accum": "2" };
  await fill(t, { ...typed, "lora-dropout": "0.05", "lora-dora": true, "lora-rslora": true });
  const { config, adapter } = await planned(t, "good", /10 steps/, ["adapter", "rslora"]);
  for (const [key, value] of Object.entries(typed)) assert.equal(config[key], Number(value), key);
  assert.ok(config["eval-every"] >= 1, "an early end is judged on the way");
  assert.deepEqual(adapter, { rank: 4, dropout: 0.05, dora: true, rslora: true });
  await t.picture("open");
  await page.getByTestId("teach-start").click();
  await page.getByTestId("teach-ask").waitFor({ timeout: 120 * SECOND });
  assert.match(await page.getByTestId("teach-status").innerText(), /\d/);
  await t.reload();
  await page.getByTestId("tab-teach").click();
  for (const [key, value] of Object.entries(typed)) {
    assert.equal(await page.getByTestId(`teach-${key}`).inputValue(), value, key);
  }
  assert.ok(await page.getByTestId("teach-lora-dora").isChecked());
  await unfold(t, "teach-settings");
  assert.ok(await page.getByTestId("teach-neftune").isVisible(), "what was set is in sight");
});

test("finer: parts that stay as they are, and Muon, are for a model that trains itself", LONG, async (t) => {
  const { page, assert } = t;
  await open(t);
  for (const fold of ["teach-settings", "teach-finer"]) await unfold(t, fold);
  await page.getByTestId("teach-trained-full").check({ force: true });
  await fill(t, { "steps": "4", "max-seq-len": "64", "muon": true, "freeze-embedding": true, "freeze-norm": true });
  await page.waitForFunction(() => window.planned?.config.freeze?.length === 2, null, { timeout: 20 * SECOND });
  const { config } = await planned(t, "good", /4 steps/);
  assert.deepEqual([config.muon, config.freeze], [true, ["embedding", "norm"]]);
  assert.equal(await page.getByTestId("teach-lora-dora").isVisible(), false);
  await page.getByTestId("teach-trained-attention").check({ force: true });
  await page.waitForFunction(() => window.planned?.config.freeze?.length === 3, null, { timeout: 20 * SECOND });
  assert.deepEqual((await planned(t, "good")).config.freeze, ["mlp", "embedding", "norm"]);
  await page.getByTestId("teach-trained-lora").check({ force: true });
  await page.waitForFunction(() => window.planned?.adapter, null, { timeout: 20 * SECOND });
  const beside = (await planned(t, "good")).config;
  assert.ok(!("freeze" in beside) && !("muon" in beside), "beside an adapter they are not asked for");
  await page.getByTestId("teach-trained-full").check({ force: true });
  assert.ok(await page.getByTestId("teach-freeze-norm").isChecked(), "and not forgotten");
});

test("finer: preferences and rewards have their own, and what does not hold is said by its field", LONG, async (t) => {
  const { page, assert } = t;
  await open(t);
  for (const fold of ["teach-settings", "teach-finer"]) await unfold(t, fold);
  const seen = (id) => page.getByTestId(`teach-${id}`).isVisible();
  assert.deepEqual([await seen("dpo-length-normalise"), await seen("grpo-reward")], [false, false]);
  await fill(t, { "steps": "4", "max-seq-len": "128" });
  await planned(t, "good", /4 steps/);
  await fill(t, { "ema": "1" });
  await planned(t, "bad", /“Moving average of the weights.*”: 1 is too large\. Give a number from 0 to 0\.999999/);
  await fill(t, { "ema": "", "early-stop": "2" });
  await planned(t, "bad", /needs a held-out loss to judge by; add “[^”]+” 0\.05/);
  assert.doesNotMatch(await page.getByTestId("teach-plan").innerText(), /eval-every/, "the page measures by itself");
  await fill(t, { "early-stop": "" });
  await page.getByTestId("teach-stage-dpo").check({ force: true });
  await fill(t, { "dpo-length-normalise": true });
  assert.equal((await planned(t, "good", /./, ["dpo", "length-normalise"])).dpo["length-normalise"], true);
  await fill(t, { "dpo-loss": "ipo" });
  await planned(t, "bad", /takes means a token by itself; leave “Means a token/);
  await page.getByTestId("teach-stage-grpo").check({ force: true });
  await fill(t, { "max-seq-len": "1024" });
  const reward = page.getByTestId("teach-grpo-reward");
  assert.equal(await reward.getAttribute("placeholder"), "answer:1, tags:0.5");
  await reward.fill("answer:1, moon");
  await planned(t, "bad", /'moon' is no rule/);
  await reward.fill("answer：1，length:0.5");
  await fill(t, { "grpo-grpo-loss": "cispo", "grpo-clip-range": "0.2" });
  await planned(t, "bad", /“Clip range” is 0.2; with this “Loss of rewards” it must be 1 or more/);
  await fill(t, { "grpo-clip-range": "4" });
  await page.waitForFunction(() => window.planned?.grpo?.["clip-range"] === 4, null, { timeout: 20 * SECOND });
  const { grpo } = await planned(t, "good");
  assert.deepEqual(grpo, { "reward": ["answer:1", "length:0.5"], "grpo-loss": "cispo", "clip-range": 4 });
  await page.getByTestId("lang-switch").click();
  await fill(t, { "ema": "1" });
  await planned(t, "bad", /“权重滑动平均的衰减.*”：1 太大。请填 0 到 0\.999999 之间的数/);
});

test("finer: a number that a field does not take is said beside it, in both languages, and nothing is begun with it", LONG, async (t) => {
  const { page, assert } = t;
  await open(t);
  for (const fold of ["teach-settings", "teach-finer"]) await unfold(t, fold);
  await fill(t, { "steps": "4", "max-seq-len": "64" });
  await planned(t, "good", /4 steps/);
  const fault = (id) => page.locator("label", { has: page.getByTestId(`teach-${id}`) }).locator(".fault");
  const plan = page.locator("#teach-plan[data-kind=bad]");
  for (const [id, value, said] of [
    ["steps", "1000000000", "1000000000 is too large. Give a whole number from 1 to 1000000, or leave the field empty."],
    ["batch-size", "2.5", "2.5 is no whole number. Give a whole number from 1 to 1024, or leave the field empty."],
    ["learning-rate", "100", "100 is too large. Give a number from 0 to 1, or leave the field empty."],
    ["neftune", "1e9", "1e9 is too large. Give a number from 0 to 1000, or leave the field empty."],
    ["grad-accum", "0", "0 is too small. Give a whole number from 1 to 1024, or leave the field empty."],
  ]) {
    const before = await page.getByTestId(`teach-${id}`).inputValue();
    await fill(t, { [id]: value });
    await fault(id).filter({ hasText: said }).waitFor({ timeout: 10 * SECOND });
    await plan.filter({ hasText: said }).waitFor({ timeout: 20 * SECOND });
    await fill(t, { [id]: before });
    await fault(id).waitFor({ state: "hidden", timeout: 10 * SECOND });
    await planned(t, "good", /4 steps/);
  }
  // What the browser holds back because it is no number is not taken for an empty field.
  const rate = page.getByTestId("teach-learning-rate");
  await rate.focus();
  await page.keyboard.type("--5");
  await plan.filter({ hasText: "“Learning rate”: This is no number." }).waitFor({ timeout: 20 * SECOND });
  await page.getByTestId("teach-start").click();
  const at = () => document.activeElement.dataset.testid;
  assert.equal(await page.evaluate(at), "teach-learning-rate", "the way to what is wrong");
  assert.equal(await page.getByTestId("teach-run").isVisible(), false);
  await page.getByTestId("lang-switch").click();
  await fault("learning-rate").filter({ hasText: "这不是数字。请填 0 到 1 之间的数，或留空。" }).waitFor({ timeout: 10 * SECOND });
  await page.getByTestId("lang-switch").click();
  // Where it does not act it is in nobody's way.
  await rate.fill("");
  await fill(t, { "lora-dropout": "7" });
  await plan.filter({ hasText: "7 is too large" }).waitFor({ timeout: 20 * SECOND });
  await page.getByTestId("teach-trained-full").check({ force: true });
  await planned(t, "good", /4 steps/);
  await page.getByTestId("tab-chat").click();
  await unfold(t, "chat-settings");
  await page.getByTestId("chat-max-tokens").fill("0");
  await page.getByTestId("chat-input").fill("Who?");
  await page.getByTestId("chat-send").click();
  await page.locator(".message[data-kind=bad]", { hasText: "0 is too small" }).waitFor({ timeout: 10 * SECOND });
  assert.equal(await page.getByTestId("chat-message").count(), 0);
  assert.equal(await page.getByTestId("chat-input").inputValue(), "Who?");
});

test("finer: a plan beyond a tab says so, and a setting of another kind is named", { device: "cpu" }, async (t) => {
  const { assert } = t;
  const { file, chats } = await tiny(t.tmp);
  await t.load(file);
  const data = await t.giveFile(chats);
  const plan = (config) => t.page.evaluate(([data, config]) => (
    kindling.plan({ stage: "sft", data: testFiles[data], config })
  ), [data, config]);
  const codes = async (config) => (await plan(config)).notes.map(({ code }) => code).filter((code) => code.startsWith("plan."));
  assert.deepEqual(await codes({ "steps": 4, "max-seq-len": 64 }), []);
  assert.deepEqual(await codes({ "steps": 1e9, "batch-size": 1e6, "max-seq-len": 64 }), ["plan.memory", "plan.time"]);
  const refused = (config) => t.rejection(([data, config]) => (
    kindling.plan({ stage: "sft", data: testFiles[data], config })
  ), [data, config]);
  assert.match(await refused({ "steps": 2.5 }), /--steps is 2\.5; it must be a whole number from 0 to 4294967295/);
  assert.match(await refused({ "learning-rate": "much" }), /--learning-rate is "much"; it must be a number/);
  assert.match(await refused({ "batch-size": 1e12 }), /--batch-size is 1000000000000; it must be a whole number from 0 to 4294967295/);
  assert.match(await refused({ "neftune": 1e9 }), /--neftune is 1000000000; it must be 0 \(off\) to 1000/);
});

const EXPERTS = { "num-experts": 3, "num-experts-per-tok": 1, "n-shared-experts": 1, "router-aux-loss-coef": 0.02 };

test("finer: a mixture of other experts trains as natively, and only a new model has such", LONG, async (t) => {
  const { page, assert } = t;
  const config = { "steps": 10, "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.0005, "log-every": 1, "seed": 7 };
  const { dir, file, stories } = await tiny(t.tmp);
  const out = join(t.tmp, "mixture");
  const flags = Object.entries({ ...config, ...EXPERTS }).flatMap(([name, value]) => [`--${name}`, value]);
  const fresh = ["--preset", "nano-moe", "--tokenizer", join(dirname(dir), "tokenizer")];
  await lines("pretrain", "--data", stories, ...fresh, "--out", out, ...flags);
  await t.load(file);
  const request = { stage: "pretrain", preset: "nano-moe", experts: EXPERTS, data: await t.giveFile(stories), config };
  const { events } = await t.train(request);
  const there = new Map(log(out).filter((line) => !line.event).map((line) => [line.step, line.loss]));
  sameLosses(losses(events), there, 1e-5);
  const load = events.find(({ expert_load }) => expert_load).expert_load;
  assert.deepEqual(load.map((layer) => layer.length), [3, 3, 3, 3]);
  await t.load(file);
  const refused = (more) => t.rejection(([name, more]) => (
    kindling.plan({ stage: "pretrain", data: testFiles[name], ...more })
  ), [request.data, more]);
  assert.match(await refused({ experts: EXPERTS }), /settings of a new model; name its preset/);
  assert.match(await refused({ preset: "nano-moe", experts: { moons: 3 } }), /unknown field `moons`/);
  const many = { preset: "nano-moe", experts: { "num-experts": 2, "num-experts-per-tok": 3 } };
  assert.match(await refused(many), /num_experts_per_tok \(3\) is more/);
  const preview = ([name, experts]) => kindling.preview({ stage: "pretrain", experts, data: testFiles[name] });
  assert.match(await t.rejection(preview, [request.data, EXPERTS]), /settings of a new model/);
});

test("finer: experts are typed where a new mixture is chosen", LONG, async (t) => {
  const { page, assert } = t;
  await open(t);
  for (const fold of ["teach-settings", "teach-finer"]) await unfold(t, fold);
  await page.getByTestId("teach-stage-pretrain").check({ force: true });
  await page.getByTestId("teach-trained-full").check({ force: true });
  const count = page.getByTestId("teach-moe-num-experts");
  assert.equal(await count.isVisible(), false);
  await page.getByTestId("teach-preset").selectOption("nano-moe");
  await count.waitFor({ timeout: 10 * SECOND });
  await fill(t, { "steps": "4", "max-seq-len": "64", "moe-num-experts": "6", "moe-router-aux-loss-coef": "0.05" });
  await page.waitForFunction(() => window.planned?.experts?.["router-aux-loss-coef"], null, { timeout: 20 * SECOND });
  const { experts } = await planned(t, "good");
  assert.deepEqual(experts, { "num-experts": 6, "router-aux-loss-coef": 0.05 });
  await fill(t, { "moe-num-experts": "1000" });
  await planned(t, "bad", /would have [\d,]+ weights, and a tab can train one of at most 32,?000,?000/);
  await fill(t, { "moe-num-experts": "6" });
  await planned(t, "good");
  await page.getByTestId("teach-preset").selectOption("nano");
  await page.waitForFunction(() => window.planned?.preset === "nano", null, { timeout: 20 * SECOND });
  assert.equal((await planned(t, "good")).experts, undefined);
});

test("finer: a lesson's file brings them, and those that would not act are told of", LONG, async (t) => {
  const { page, assert } = t;
  await openTiny(t);
  await page.getByTestId("tab-teach").click();
  const lesson = (settings) => ({ name: "a.json", mimeType: "", buffer: Buffer.from(JSON.stringify({
    kindling_lesson: 1, title: "Finer", rows: [{ user: "Who?", assistant: "Mila." }], settings,
  })) });
  const config = { "steps": 7, "neftune": 5, "muon": true, "freeze": ["norm"] };
  await page.getByTestId("lesson-file").setInputFiles(lesson({ adapter: { "rank": 4, "dora": true, "init-lora": "pissa" }, config }));
  await page.locator("#lesson-remarks li").waitFor({ timeout: 20 * SECOND });
  assert.match(await page.locator("#lesson-remarks").innerText(), /no field .*muon, freeze/);
  assert.equal(await page.getByTestId("teach-neftune").inputValue(), "5");
  assert.ok(await page.getByTestId("teach-lora-dora").isChecked());
  assert.equal(await page.getByTestId("teach-lora-init-lora").inputValue(), "pissa");
  await page.getByTestId("lesson-file").setInputFiles(lesson({ adapter: false, config }));
  await page.locator("#lesson-remarks li").waitFor({ state: "detached", timeout: 20 * SECOND });
  assert.ok(await page.getByTestId("teach-freeze-norm").isChecked());
  assert.ok(await page.getByTestId("teach-muon").isChecked());
  assert.equal(await page.getByTestId("teach-neftune").inputValue(), "5");
});
