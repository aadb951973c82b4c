// What a person sees and presses, by the test ids of web/src/ui.

import { readFileSync } from "node:fs";

import { test } from "../harness.mjs";
import { endless, tiny } from "../native.mjs";
import { SECOND, answered, download, openTiny, pick, send, set, unfold } from "../steps.mjs";

const QUESTION = "Where is the kettle of Oren?";
const TABS = ["chat", "teach", "adapters", "models"];
const RUN = { "teach-batch-size": "4", "teach-max-seq-len": "64", "teach-rank": "4" };

test("ui: a question gets an answer", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  await openTiny(t);
  await set(t, "chat-temperature", "0");
  await set(t, "chat-max-tokens", "32");
  await send(t, QUESTION);
  await answered(t);
  const roles = await page.getByTestId("chat-message").evaluateAll((rows) => rows.map((row) => row.dataset.role));
  assert.deepEqual(roles, ["user", "assistant"]);
  const expected = await page.evaluate(async (content) => {
    const messages = [{ role: "user", content }];
    const answer = await kindling.chat.completions.create({ messages, temperature: 0, max_tokens: 32 });
    return answer.choices[0].message.content;
  }, QUESTION);
  assert.ok(expected.trim().length > 3, `the fixture is no test: ${expected}`);
  assert.equal((await said(t)).replace(/\s+/g, " ").trim(), expected.replace(/\s+/g, " ").trim());
  await t.picture("chat");
});

test("ui: an answer can be stopped", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await pick(t, { name: "tiny.safetensors", mimeType: "", buffer: endless(readFileSync(file)) });
  await page.getByTestId("tab-chat").click();
  await set(t, "chat-max-tokens", "8000");
  await set(t, "chat-temperature", "0");
  await send(t, QUESTION);
  const begun = () => document.querySelector("[data-role=assistant] .answer")?.innerText.length > 3;
  await page.waitForFunction(begun, null, { timeout: 20 * SECOND });
  await page.getByTestId("chat-stop").click({ timeout: 60 * SECOND });
  await answered(t, 10 * SECOND);
  assert.ok((await said(t)).length > 3, "what was said before the stop stays");
  await set(t, "chat-max-tokens", "8");
  await send(t, "And the lantern?");
  await answered(t);
  assert.ok((await said(t)).length > 0, "the next question is answered");
});

test("ui: the language changes, and the page remembers what was said", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  await openTiny(t);
  await set(t, "chat-max-tokens", "8");
  await send(t, QUESTION);
  await answered(t);
  const words = () => page.evaluate(() => [document.documentElement.lang, document.body.innerText]);
  const [english, before] = await words();
  assert.equal(english, "en");
  assert.doesNotMatch(before.replace("中文", ""), /[\u4e00-\u9fff]/, "English holds no Chinese but the switch");
  await page.getByTestId("lang-switch").click();
  const [chinese, after] = await words();
  assert.match(chinese, /^zh/);
  assert.match(after, /[\u4e00-\u9fff]{4}/);
  assert.ok(after.includes(QUESTION), "what was said stays as it was");
  await t.picture("chinese");
  await page.getByTestId("lang-switch").click();
  assert.equal((await words())[0], "en");
});

test("ui: the page's own module is small, because the library is the engine's", {}, async (t) => {
  const { byteLength } = await (await fetch(`${t.server.url}app_bg.wasm`)).arrayBuffer();
  t.note(`app_bg.wasm has ${byteLength} bytes`);
  t.assert.ok(byteLength > 100_000 && byteLength < 3_000_000, `${byteLength} bytes`);
});

test("ui: four tabs, by mouse and by key", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const seen = () => page.locator("[role=tabpanel]:visible").evaluateAll((panels) => panels.map((panel) => panel.id));
  for (const name of TABS) {
    await page.getByTestId(`tab-${name}`).click();
    assert.deepEqual(await seen(), [`panel-${name}`]);
  }
  await page.keyboard.press("ArrowRight");
  assert.deepEqual(await seen(), ["panel-chat"]);
  assert.equal(await page.evaluate(() => document.activeElement.id), "tab-chat");
});

for (const [width, scheme] of [[360, "light"], [360, "dark"], [1280, "light"]]) {
  test(`ui: nothing is cut off at ${width} px, ${scheme}`, { device: "cpu" }, async (t) => {
    const { page, assert } = t;
    await page.setViewportSize({ width, height: 740 });
    await page.emulateMedia({ colorScheme: scheme });
    await openTiny(t);
    await set(t, "chat-max-tokens", "24");
    await send(t, "awordthatismuchlongerthananyscreen".repeat(6));
    await answered(t);
    for (const name of TABS) {
      await page.getByTestId(`tab-${name}`).click();
      await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
      const { scrollWidth, clientWidth } = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        return { scrollWidth, clientWidth };
      });
      assert.ok(scrollWidth <= clientWidth, `${name}: ${scrollWidth} px wide in ${clientWidth} px`);
      await t.picture(name);
    }
  });
}

test("ui: teaching by files, and asking what was taught", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { chats } = await openTiny(t);
  await teach(t, chats, { ...RUN, "teach-steps": "12" });
  await page.getByTestId("teach-start").click();
  await page.getByTestId("teach-ask").waitFor({ timeout: 60 * SECOND });
  assert.match(await page.getByTestId("teach-status").innerText(), /12/);
  assert.ok(await page.getByTestId("teach-sample").count() > 0, "it was asked on the way");
  await t.picture("taught");
  assert.match((await download(t, page.getByTestId("teach-export"))).name, /\.zip$/);
  await page.getByTestId("tab-adapters").click();
  assert.equal(await page.getByTestId("adapter-on").isChecked(), true);
  await page.getByTestId("ab-prompt").fill(QUESTION);
  await page.getByTestId("ab-run").click();
  await page.locator("#ab-run:enabled").waitFor({ timeout: 60 * SECOND });
  const sides = await Promise.all(["ab-base", "ab-active"].map((side) => page.getByTestId(side).innerText()));
  assert.ok(sides.every((answer) => answer.length > 1), `answers: ${sides}`);
  await t.picture("compared");
  const zip = await download(t, page.getByTestId("adapter-export"));
  assert.match(zip.name, /\.zip$/);
  await page.locator("#panel-adapters .settings:has([data-testid=adapter-files])").evaluate((details) => (details.open = true));
  await page.getByTestId("adapter-name").fill("again");
  await page.getByTestId("adapter-files").setInputFiles(zip);
  await page.locator("[data-testid=adapter][data-name=again]").waitFor({ timeout: 30 * SECOND });
});

test("ui: a run that a reload interrupted is offered, and goes on", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file, chats } = await openTiny(t);
  await teach(t, chats, { ...RUN, "teach-steps": "400" });
  await page.getByTestId("teach-start").click();
  const moves = () => document.getElementById("teach-progress").value > 0;
  await page.waitForFunction(moves, null, { timeout: 60 * SECOND });
  // Going into the background saves; a page that is driven never does, so it is told that it did.
  await page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { get: () => "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await page.locator("#teach-notes:not(:empty)").waitFor({ timeout: 60 * SECOND });
  await t.reload();
  await pick(t, file);
  const banner = page.locator("#runs-banner");
  await banner.waitFor({ timeout: 20 * SECOND });
  await unfold(t, "runs-fold");
  await banner.getByTestId("run-resume").waitFor({ timeout: 20 * SECOND });
  assert.match((await download(t, banner.getByTestId("run-export"))).name, /\.zip$/, "it can be taken home");
  await banner.getByTestId("run-resume").click();
  await page.getByTestId("teach-ask").waitFor({ timeout: 90 * SECOND });
  assert.match(await page.getByTestId("teach-status").innerText(), /400/);
  assert.equal(await page.getByTestId("run-resume").count(), 0, "a finished run is not offered");
});

test("ui: settings that are not set show the engine's defaults", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  await page.getByTestId("tab-teach").click();
  await page.waitForFunction(() => document.getElementById("teach-epochs").placeholder, null, { timeout: 20 * SECOND });
  await page.getByTestId("teach-ways").evaluate((details) => (details.open = true));
  const keys = ["epochs", "steps", "batch-size", "learning-rate", "max-seq-len", "val-split", "rank", "alpha"];
  for (const [stage, trained] of [["pretrain", "full"], ["pretrain", "lora"], ["sft", "full"], ["sft", "lora"]]) {
    await page.getByTestId(`teach-stage-${stage}`).check({ force: true });
    await page.getByTestId(`teach-trained-${trained}`).check({ force: true });
    const read = (keys) => keys.map((key) => document.getElementById(`teach-${key}`).placeholder);
    const shown = (await page.evaluate(read, keys)).map((text) => (text === "" ? null : Number(text)));
    const { config, lora } = await page.evaluate(
      ([stage, adapter]) => kindling.defaults(stage, { adapter }), [stage, trained === "lora"]);
    const expected = keys.map((key) => ({ ...config, ...lora })[key] ?? null);
    assert.deepEqual(shown, expected, `${stage} ${trained}`);
  }
});

test("ui: a model goes home as one file and as a .zip, and the .zip opens again", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  await openTiny(t);
  await page.getByTestId("tab-models").click();
  assert.match((await download(t, page.getByTestId("export-model"))).name, /\.safetensors$/);
  await page.getByTestId("gguf-weights").selectOption("q8_0");
  const gguf = await download(t, page.getByTestId("export-model-gguf"));
  assert.match(gguf.name, /\.gguf$/);
  const zip = await download(t, page.getByTestId("export-model-hf"));
  assert.match(zip.name, /\.zip$/);
  await pick(t, { ...zip, name: "tiny-again.zip" });
  await page.locator("#model", { hasText: "tiny-again" }).waitFor({ timeout: 30 * SECOND });
});

test("ui: a model from an address is listed among those kept", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await page.getByTestId("tab-models").click();
  assert.equal(await page.getByTestId("kept-model").count(), 0);
  await page.getByTestId("model-url").fill(t.server.put("tiny-far.safetensors", readFileSync(file)));
  await page.getByTestId("model-open").click();
  await page.locator("[data-testid=kept-model]", { hasText: "tiny-far" }).waitFor({ timeout: 30 * SECOND });
  assert.equal(await page.getByTestId("kept-model").count(), 1);
});

test("ui: what fails is said, and the model stays open", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  await openTiny(t);
  await page.getByTestId("tab-models").click();
  const broken = { name: "broken.safetensors", mimeType: "", buffer: Buffer.from("no model at all") };
  await page.getByTestId("model-drop").setInputFiles(broken);
  await page.locator("[data-kind=bad] #message").waitFor({ timeout: 20 * SECOND });
  const message = await page.getByTestId("message").innerText();
  assert.ok(message.length > 20, message);
  assert.doesNotMatch(message, /panicked|undefined|\[object/);
  await t.picture("refused");
  await page.getByTestId("tab-chat").click();
  await set(t, "chat-max-tokens", "8");
  await send(t, QUESTION);
  await answered(t);
  assert.ok((await said(t)).length > 0);
});

test("ui: the page opens with a model of its own", {}, async (t) => {
  const { page, assert } = t;
  const { status } = await fetch(`${t.server.url}kindling-nano.safetensors`, { method: "HEAD" });
  if (status !== 200) t.skip("this build has no kindling-nano.safetensors beside the page");
  await t.open("cpu", "");
  assert.ok((await page.evaluate(() => kindling.model())).chat);
  await set(t, "chat-max-tokens", "24");
  await page.getByTestId("chat-starter").first().click();
  await answered(t);
  assert.ok((await said(t)).trim().length > 3);
  await t.picture("first-answer");
});

/** The last answer. */
function said(t) {
  return t.page.locator("[data-testid=chat-message][data-role=assistant] .answer").last().innerText();
}

/** Chooses files and settings in the teach tab, and waits for the plan. */
async function teach(t, file, settings) {
  const { page } = t;
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-files").check({ force: true });
  await page.getByTestId("teach-files").setInputFiles(file);
  await page.getByTestId("teach-settings").evaluate((details) => (details.open = true));
  for (const [id, value] of Object.entries(settings)) await page.getByTestId(id).fill(value);
  await page.locator("#teach-plan", { hasText: settings["teach-steps"] }).waitFor({ timeout: 30 * SECOND });
}
