// A diffusion model as a person meets it: made of the open model, asked, replayed by keyboard, given holes to fill, taught;
// in both languages, on a phone, in every light.

import { readFileSync } from "node:fs";

import { faint } from "../contrast.mjs";
import { test } from "../harness.mjs";
import { endless, tiny } from "../native.mjs";
import { SECOND, answered, pick, send, set, unfold } from "../steps.mjs";

const LONG = { device: "cpu", seconds: 300 };
const QUESTION = "Where is the kettle of Oren?";
const HOLES = "The ___ of Oren is in ___.";
const TOKENS = 12;
const PHONE = { width: 390, height: 844 };

/** Makes a diffusion model of the tiny one, which says no end; what the page tells of it. */
async function convert(t) {
  const { page } = t;
  const { file } = await tiny(t.tmp);
  await pick(t, { name: "tiny.safetensors", mimeType: "", buffer: endless(readFileSync(file)) }, true);
  await page.getByTestId("convert-begin").click();
  await page.locator("#model", { hasText: "diffusion" }).waitFor({ timeout: 60 * SECOND });
  await page.getByTestId("convert-is").waitFor({ timeout: 10 * SECOND });
  await page.locator(".message", { hasText: "diffusion" }).waitFor({ timeout: 10 * SECOND });
  const told = await page.getByTestId("message").innerText();
  await page.locator(".message button").click();
  return told;
}

/** Asks something of the open model and waits for the answer. */
async function ask(t, question) {
  await t.page.getByTestId("tab-chat").click();
  await set(t, "chat-temperature", "0");
  await set(t, "chat-max-tokens", String(TOKENS));
  await set(t, "chat-hole-tokens", "4");
  await send(t, question);
  await answered(t);
}

/** What the places of the last replay show: filled, hidden, and the words of its bar. */
function shown(t) {
  return t.page.getByTestId("chat-written").last().evaluate((fold) => ({
    filled: fold.querySelectorAll(".filled").length,
    hidden: fold.querySelectorAll(".masked:not([hidden])").length,
    words: fold.querySelector("[data-testid=chat-scrub]").getAttribute("aria-valuetext"),
    last: Number(fold.querySelector("[data-testid=chat-scrub]").max),
  }));
}

/** Asserts that the page is no wider than its window. */
async function fits(t, what) {
  const [wide, room] = await t.page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return [scrollWidth, clientWidth];
  });
  t.assert.ok(wide <= room, `${what}: ${wide} px wide in ${room} px`);
}

test("diffusion: where a model cannot go home as .gguf the page says why, as the engine does", LONG, async (t) => {
  const { page, assert } = t;
  await convert(t);
  const button = page.getByTestId("export-model-gguf");
  const why = page.getByTestId("export-no-gguf");
  await why.waitFor({ timeout: 10 * SECOND });
  assert.deepEqual([await button.isVisible(), await page.getByTestId("gguf-weights").isVisible()], [false, false]);
  const refused = await t.rejection(() => kindling.export({ model: "gguf" }));
  assert.equal(await why.innerText(), refused);
  assert.match(refused, /predicts masked tokens/);
  await page.getByTestId("lang-switch").click();
  assert.match(await why.innerText(), /被遮盖的词元/);
  const { file } = await tiny(t.tmp);
  await pick(t, { name: "causal.safetensors", mimeType: "", buffer: readFileSync(file) });
  await button.waitFor({ timeout: 10 * SECOND });
  assert.equal(await why.isVisible(), false);
});

test("diffusion: a model that is converted twice is kept once, and otherwise converted under another name", LONG, async (t) => {
  const { page, assert } = t;
  await convert(t);
  const { file } = await tiny(t.tmp);
  const causal = { name: "tiny.safetensors", mimeType: "", buffer: endless(readFileSync(file)) };
  const kept = () => page.getByTestId("kept-model").locator("strong").allInnerTexts();
  const again = async (words, block) => {
    await page.getByTestId("model-drop").setInputFiles(causal);
    await page.getByTestId("convert-begin").waitFor({ timeout: 30 * SECOND });
    if (block) {
      await unfold(t, "convert-more");
      await page.getByTestId("convert-block-length").fill(block);
    }
    await page.getByTestId("convert-begin").click();
    await page.locator(".message", { hasText: words }).waitFor({ timeout: 60 * SECOND });
    await page.getByTestId("convert-is").waitFor({ timeout: 10 * SECOND });
    await page.locator(".message button").click();
  };
  await again("with the same settings");
  assert.match(await page.locator("#model").innerText(), /tiny \(diffusion\)/, "it is open");
  assert.deepEqual(await kept(), ["tiny (diffusion)"]);
  await again("blocks of 4", "4");
  assert.deepEqual((await kept()).sort(), ["tiny (diffusion)", "tiny (diffusion, blocks of 4)"]);
});

test("diffusion: a model becomes one, answers on a canvas, and shows how by keyboard", LONG, async (t) => {
  const { page, assert } = t;
  assert.match(await convert(t), /“tiny”/, "its parent is told");
  assert.match(await page.getByTestId("convert-is").innerText(), /diffusion model.*“tiny”/s);
  assert.equal(await page.getByTestId("convert-begin").isVisible(), false, "it is one already");
  await page.getByTestId("kept-model").first().waitFor({ timeout: 20 * SECOND });
  await t.picture("converted");
  // What is on the page while the answer is written, however quickly that goes.
  await page.evaluate(() => {
    window.seen = { masked: 0, filled: 0, heard: 0, steps: new Set() };
    const look = () => {
      const writing = document.querySelector("#chat-messages .writing");
      const progress = writing?.querySelector("[data-testid=chat-progress]");
      if (!progress?.textContent) return;
      window.seen.masked = Math.max(window.seen.masked, writing.querySelectorAll(".masked").length);
      window.seen.filled = Math.max(window.seen.filled, writing.querySelectorAll(".filled").length);
      window.seen.heard += writing.closest("[aria-hidden=true]") ? 0 : 1;
      window.seen.steps.add(progress.textContent);
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
  await ask(t, QUESTION);
  const seen = await page.evaluate(() => ({ ...window.seen, steps: [...window.seen.steps] }));
  assert.ok(seen.masked > 0 && seen.filled > 0, `hidden and filled at once: ${JSON.stringify(seen)}`);
  assert.ok(seen.steps.some((words) => /Step \d+ of \d+ · \d+ of \d+ tokens/.test(words)), seen.steps.join("; "));
  assert.equal(seen.heard, 0, "the steps are not read aloud");
  const fold = page.getByTestId("chat-written");
  assert.equal(await fold.getAttribute("aria-live"), "off");
  await fold.locator("summary").focus();
  await page.keyboard.press("Enter");
  const bar = page.getByRole("slider");
  await bar.waitFor({ timeout: 10 * SECOND });
  const { last, filled } = await shown(t);
  assert.deepEqual([last, filled], [TOKENS, TOKENS], "a step for each token");
  await bar.focus();
  await page.keyboard.press("Home");
  assert.deepEqual(await shown(t), { filled: 0, hidden: TOKENS, words: `Step 0 of ${last} · 0 of ${TOKENS} tokens`, last });
  await page.keyboard.press("ArrowRight");
  assert.deepEqual(await shown(t), {
    filled: 1, hidden: TOKENS - 1, words: `Step 1 of ${last} · 1 of ${TOKENS} tokens`, last,
  });
  await page.keyboard.press("End");
  assert.equal((await shown(t)).filled, TOKENS);
  // Each token tells how sure the model was, in words; arrows lead from one to the next.
  await fold.locator(".filled").first().focus();
  const words = page.locator("#token-popover");
  await words.waitFor({ timeout: 10 * SECOND });
  assert.match(await words.innerText(), /\d %[\s\S]*step[\s\S]*number/);
  const before = await words.innerText();
  await page.keyboard.press("ArrowRight");
  assert.notEqual(await words.innerText(), before);
  await page.getByTestId("chat-orders").check();
  const orders = await fold.locator(".filled").evaluateAll((all) => all.map((token) => Number(token.dataset.order)));
  assert.deepEqual(orders.sort((a, b) => a - b), Array.from({ length: TOKENS }, (_, i) => i + 1));
  await t.picture("replay");
  // It plays from the beginning to the end.
  await page.getByTestId("chat-play").click();
  await page.waitForFunction(() => document.querySelector("[data-testid=chat-scrub]").value < 3, null, { timeout: 10 * SECOND });
  await page.waitForFunction((last) => Number(document.querySelector("[data-testid=chat-scrub]").value) === last, last, {
    timeout: 60 * SECOND,
  });
  // The conversation outlives the tab, the steps do not.
  await t.reload();
  await page.getByTestId("chat-message").last().waitFor({ timeout: 20 * SECOND });
  assert.equal(await page.getByTestId("chat-message").count(), 2);
  assert.equal(await page.getByTestId("chat-written").count(), 0);
});

test("diffusion: holes are filled where the words are missing, and are no talk", LONG, async (t) => {
  const { page, assert } = t;
  await convert(t);
  await page.getByTestId("tab-chat").click();
  assert.ok(await page.getByTestId("chat-hole-hint").isVisible());
  await ask(t, HOLES);
  const answer = page.locator("[data-testid=chat-message][data-role=assistant] .answer").last();
  const text = await answer.evaluate((place) => place.textContent);
  assert.match(text, /^The.* of Oren is in.*\.$/s);
  const filled = await page.getByTestId("chat-filled").evaluateAll((marks) => marks.map((mark) => mark.textContent));
  assert.ok(filled.length > 0 && filled.every((part) => text.includes(part)), JSON.stringify([text, filled]));
  await unfold(t, "chat-written");
  await page.getByRole("slider").waitFor({ timeout: 10 * SECOND });
  const { last, hidden, filled: all } = await shown(t);
  assert.deepEqual([hidden, all], [0, 8], "two holes of four tokens");
  assert.ok(last >= 1 && last <= 8, `${last} steps`);
  await t.picture("holes");
  // A question behind it is asked without it.
  await page.evaluate(() => {
    const create = kindling.chat.completions.create;
    kindling.chat.completions.create = (request) => {
      window.asked = request.messages.map(({ content }) => content);
      return create(request);
    };
  });
  await ask(t, QUESTION);
  assert.deepEqual(await page.evaluate(() => window.asked), [QUESTION]);
});

test("diffusion: a text may begin with a hole", LONG, async (t) => {
  const { page, assert } = t;
  await convert(t);
  await ask(t, "___ of Oren is in ___.");
  assert.equal(await page.getByTestId("message").isVisible(), false, "nothing was refused");
  const text = await page.locator("[data-testid=chat-message][data-role=assistant] .answer").last().innerText();
  assert.match(text, /of Oren is in/);
  assert.ok((await page.getByTestId("chat-filled").count()) > 0);
});

test("diffusion: a reload opens the model again, and a copy of its kind is no teacher that anybody chose", LONG, async (t) => {
  const { page, assert } = t;
  await convert(t);
  await t.reload();
  await page.locator("#model", { hasText: "diffusion" }).waitFor({ timeout: 30 * SECOND });
  assert.ok((await page.evaluate(() => kindling.model())).diffusion);
  // One that was only picked cannot be opened again, and the one before it is not taken for it.
  const { file } = await tiny(t.tmp);
  await pick(t, file, true);
  await page.getByTestId("tab-teach").click();
  await unfold(t, "teach-ways");
  await page.getByTestId("teach-stage-distill").check({ force: true });
  const teachers = page.getByTestId("teach-teacher");
  await teachers.locator("option", { hasText: "diffusion" }).waitFor({ state: "attached", timeout: 20 * SECOND });
  assert.equal(await teachers.inputValue(), "open", "the diffusion model is kept, and cannot teach");
  // A causal model of the same tokens can.
  await page.getByTestId("tab-models").click();
  await page.getByTestId("model-name").fill("master");
  await page.getByTestId("model-keep").click();
  await page.locator("[data-testid=kept-model][data-name=master]").waitFor({ timeout: 20 * SECOND });
  await page.waitForFunction(() => document.getElementById("teach-teacher").value === "kept:master", null, { timeout: 20 * SECOND });
  // What is kept by now is open again.
  await t.reload();
  await page.locator("#model", { hasText: "master" }).waitFor({ timeout: 30 * SECOND });
  assert.equal(await page.evaluate(async () => (await kindling.model()).diffusion), undefined);
});

test("diffusion: settings of answers are those of the open model", LONG, async (t) => {
  const { page, assert } = t;
  await convert(t);
  await page.getByTestId("tab-chat").click();
  await unfold(t, "chat-settings");
  assert.ok(await page.getByTestId("chat-steps").isVisible());
  await set(t, "chat-steps", "3");
  await ask(t, QUESTION);
  await unfold(t, "chat-written");
  await page.getByRole("slider").waitFor({ timeout: 10 * SECOND });
  assert.equal((await shown(t)).last, 3, "as many steps as were asked for");
  await page.getByTestId("chat-tint").check();
  await page.locator(".answer.writing .shares").first().waitFor({ timeout: 10 * SECOND });
  await set(t, "chat-steps", "");
  await set(t, "chat-block-length", "6");
  const { file } = await tiny(t.tmp);
  await pick(t, file, true);
  await page.getByTestId("tab-chat").click();
  await unfold(t, "chat-settings");
  // A causal model has no steps.
  await page.getByTestId("chat-steps").waitFor({ state: "hidden", timeout: 20 * SECOND });
  assert.equal(await page.getByTestId("chat-hole-hint").isVisible(), false);
  // A model of blocks has its own length, and sees nothing behind a hole: what was set for another does not act.
  await page.getByTestId("tab-models").click();
  await unfold(t, "convert-more");
  await page.getByTestId("convert-block-length").fill("4");
  await page.getByTestId("convert-begin").click();
  await page.locator("#model", { hasText: "diffusion" }).waitFor({ timeout: 60 * SECOND });
  await page.locator(".message button").click();
  await page.getByTestId("tab-chat").click();
  await page.getByTestId("chat-steps").waitFor({ timeout: 20 * SECOND });
  for (const id of ["chat-block-length", "chat-hole-tokens", "chat-hole-hint"]) {
    assert.equal(await page.getByTestId(id).isVisible(), false, id);
  }
  await send(t, QUESTION);
  await page.getByTestId("chat-written").nth(1).waitFor({ timeout: 60 * SECOND });
  assert.equal(await page.getByTestId("message").isVisible(), false, "nothing was refused");
});

test("diffusion: teaching offers what works, and tells how many hidden words are restored", LONG, async (t) => {
  const { page, assert } = t;
  await convert(t);
  await page.getByTestId("convert-teach").click();
  // A new model is no diffusion model, whatever is open.
  await unfold(t, "teach-ways");
  const says = page.getByTestId("teach-objective");
  await says.waitFor({ timeout: 10 * SECOND });
  await page.getByTestId("teach-stage-pretrain").check({ force: true });
  await page.getByTestId("teach-trained-full").check({ force: true });
  await page.getByTestId("teach-preset").selectOption("nano");
  await says.waitFor({ state: "hidden", timeout: 10 * SECOND });
  assert.equal(await page.getByTestId("teach-loss-weight").isVisible(), false);
  await page.getByTestId("teach-preset").selectOption("");
  await says.waitFor({ timeout: 10 * SECOND });
  await page.getByTestId("teach-stage-sft").check({ force: true });
  await page.getByTestId("teach-source-sample").check({ force: true });
  await unfold(t, "teach-ways");
  for (const stage of ["dpo", "distill", "reason", "grpo"]) {
    assert.equal(await page.getByTestId(`teach-stage-${stage}`).isDisabled(), true, stage);
  }
  assert.ok(await page.getByTestId("teach-only-causal").isVisible(), "it says why");
  assert.match(await page.getByTestId("teach-objective").innerText(), /hidden.*restore/);
  await page.getByTestId("teach-trained-attention").check({ force: true });
  await page.getByTestId("teach-loss-weight").selectOption("inverse-t");
  await page.getByTestId("teach-t-from").fill("0.1");
  await page.getByTestId("teach-t-to").fill("0.5");
  await unfold(t, "teach-settings");
  const settings = { "steps": "12", "batch-size": "4", "max-seq-len": "64", "val-split": "0.2" };
  for (const [id, value] of Object.entries(settings)) await page.getByTestId(`teach-${id}`).fill(value);
  await page.locator("#teach-plan[data-kind=good]").waitFor({ timeout: 60 * SECOND });
  const [trained, all] = (await page.getByTestId("teach-plan").innerText()).match(/[\d.]+[kM]?/g);
  assert.notEqual(trained, all, "less than the whole model trains");
  await page.evaluate(() => {
    const train = kindling.train.bind(kindling);
    kindling.train = (request) => {
      window.taught = request.config;
      return train(request);
    };
  });
  await page.getByTestId("teach-start").click();
  for (const name of ["masked_accuracy", "masked_accuracy-held-out"]) {
    await page.waitForFunction((name) => /\d/.test(document.querySelector(`[data-testid=metric-${name}]`)?.textContent), name, {
      timeout: 120 * SECOND,
    });
  }
  await page.getByTestId("teach-ask").waitFor({ timeout: 120 * SECOND });
  const taught = await page.evaluate(() => ["freeze", "loss-weight", "t-range"].map((key) => window.taught[key]));
  assert.deepEqual(taught, [["mlp"], "inverse-t", "0.1,0.5"], "what was set is what is asked for");
  const said = await page.getByTestId("teach-metrics").innerText();
  assert.match(said, /Masked words restored/);
  assert.doesNotMatch(await page.locator("#teach-run").innerText(), /undefined|NaN|masked_|nll bound|unigram accuracy|reconstruction/);
  await t.picture("taught");
});

test("diffusion: an adapter's defaults are those of the open model, in the fields and in the plan's words", LONG, async (t) => {
  const { page, assert } = t;
  await convert(t);
  await page.getByTestId("convert-teach").click();
  const keys = ["learning-rate", "min-steps", "stop-at-loss"];
  const shown = () => page.evaluate((keys) => keys.map((key) => document.getElementById(`teach-${key}`).placeholder), keys);
  const until = (rate) => page.waitForFunction(
    (rate) => document.getElementById("teach-learning-rate").placeholder === rate, rate, { timeout: 20 * SECOND });
  await until("0.005");
  assert.deepEqual(await shown(), ["0.005", "1200", "0"]);
  await page.getByTestId("teach-source-sample").check({ force: true });
  const told = page.locator("#teach-warnings li", { hasText: /“Learning rate” 0\.005 “Fewest steps” 1200/ });
  await told.waitFor({ timeout: 60 * SECOND });
  await page.getByTestId("lang-switch").click();
  await page.locator("#teach-warnings li", { hasText: /预测被遮盖词元的模型.*0\.005/ }).waitFor({ timeout: 60 * SECOND });
  const { file } = await tiny(t.tmp);
  await pick(t, file);
  await page.waitForFunction(
    () => document.getElementById("teach-learning-rate").placeholder !== "0.005", null, { timeout: 30 * SECOND });
  const { config } = await page.evaluate(() => kindling.defaults("sft", { adapter: true }));
  assert.notEqual(config["learning-rate"], 0.005, "a causal model's adapter has defaults of its own");
  await until(String(config["learning-rate"]));
});

for (const scheme of ["light", "dark"]) {
  test(`diffusion: in Chinese, on a phone, with contrast, ${scheme}`, LONG, async (t) => {
    const { page, assert } = t;
    await page.setViewportSize(PHONE);
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    await page.getByTestId("lang-switch").click();
    await convert(t);
    await fits(t, "models");
    await ask(t, QUESTION);
    await ask(t, HOLES);
    for (const summary of await page.locator("[data-testid=chat-written] summary").all()) await summary.click();
    await page.getByRole("slider").last().waitFor({ timeout: 10 * SECOND });
    await page.getByTestId("chat-orders").last().check();
    const still = await page.locator(".filled").first().evaluate((token) => getComputedStyle(token).animationName);
    assert.equal(still, "none", "nothing moves for who wants no motion");
    await fits(t, "chat");
    await t.picture("chat");
    const wrong = [await page.evaluate(faint)];
    const words = await page.locator("#panel-chat").innerText();
    for (const part of ["看它怎样写成", "播放", "填入顺序", "它对每个词元的把握"]) assert.ok(words.includes(part), part);
    await page.getByTestId("tab-models").click();
    wrong.push(await page.evaluate(faint));
    await page.getByTestId("tab-teach").click();
    await unfold(t, "teach-ways");
    wrong.push(await page.evaluate(faint));
    assert.match(await page.getByTestId("teach-only-causal").innerText(), /不可用/);
    await fits(t, "teach");
    await t.picture("teach");
    assert.deepEqual(wrong.flat(), []);
  });
}
