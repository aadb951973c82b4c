// What a person typed and began outlives a reload and other tabs, and nothing is lost without a question.

import { readFileSync } from "node:fs";

import { test } from "../harness.mjs";
import { tiny } from "../native.mjs";
import { SECOND, ask, pick, set } from "../steps.mjs";

const QUESTION = "Where is the kettle of Oren?";
const LONG = { device: "cpu", seconds: 240 };

test("leave: with steps that are not saved it asks, and loading another model does", LONG, async (t) => {
  const { page, assert } = t;
  const { file, chats } = await tiny(t.tmp);
  await pick(t, file);
  const asked = [];
  let answer = "accept";
  page.on("dialog", (dialog) => {
    asked.push(dialog.type());
    dialog[answer]().catch(() => {});
  });
  await t.reload();
  assert.deepEqual(asked, [], "there is nothing to lose");
  await pick(t, file);
  await begin(t, chats);
  await page.waitForFunction(() => document.getElementById("teach-progress").value > 0, null, { timeout: 60 * SECOND });

  answer = "dismiss";
  await page.getByTestId("tab-models").click();
  const other = { name: "another.safetensors", mimeType: "", buffer: readFileSync(file) };
  await page.getByTestId("model-drop").setInputFiles(other);
  await until(() => asked.length > 0);
  assert.deepEqual(asked, ["confirm"]);
  assert.match(await page.locator("#model").innerText(), /tiny/, "who says no keeps the model");
  answer = "accept";
  await page.getByTestId("model-drop").setInputFiles(other);
  await page.locator("#model", { hasText: "another" }).waitFor({ timeout: 30 * SECOND });
  assert.deepEqual(asked.splice(0), ["confirm", "confirm"]);

  await page.getByTestId("tab-teach").click();
  await t.reload();
  assert.deepEqual(asked.splice(0), ["beforeunload"]);

  // A run that pauses is saved where it stands.
  await pick(t, file);
  await begin(t, chats);
  await page.waitForFunction(() => document.getElementById("teach-progress").value > 0, null, { timeout: 60 * SECOND });
  await page.getByTestId("teach-pause").click();
  await page.locator("#teach-notes:not(:empty)").waitFor({ timeout: 60 * SECOND });
  await settled(t);
  const stands = await progress(t);
  await hide(t);
  await settled(t);
  assert.equal(await progress(t), stands, "hiding the page does not go on");
  assert.match(await page.getByTestId("teach-status").innerText(), /Paused/);
  await t.reload();
  assert.deepEqual(asked, []);
});

test("leave: a page that is hidden is saved before a browser would end it", LONG, async (t) => {
  const { page, assert } = t;
  const { file, chats } = await tiny(t.tmp);
  await pick(t, file);
  await begin(t, chats);
  // After the first save, which comes by itself, none is due for long.
  const note = page.locator("#teach-notes:not(:empty)");
  await note.waitFor({ timeout: 60 * SECOND });
  const step = async () => Number((await note.innerText()).match(/\d+/)[0]);
  const stood = await step();
  await page.waitForFunction((stood) => document.getElementById("teach-progress").value >= stood + 5, stood);
  const at = await progress(t);
  const begun = Date.now();
  await hide(t);
  await until(async () => (await step()) >= at);
  const seconds = (Date.now() - begun) / SECOND;
  t.note(`saved ${seconds.toFixed(2)} s after it was hidden`);
  assert.ok(seconds < 5, `${seconds} s`);
});

test("leave: what was typed to teach is there after a reload", LONG, async (t) => {
  const { page, assert } = t;
  const typed = '{"user": "Who are you?", "assistant": "I am Pell."}';
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-sample").check({ force: true });
  await page.getByTestId("teach-name").fill("Pell");
  await page.getByTestId("teach-source-files").check({ force: true });
  await page.getByTestId("teach-encoding").selectOption("GBK");
  await page.getByTestId("teach-source-paste").check({ force: true });
  await page.getByTestId("teach-data").fill(typed);
  await page.getByTestId("teach-ways").evaluate((details) => (details.open = true));
  await page.getByTestId("teach-stage-pretrain").check({ force: true });
  await page.getByTestId("teach-trained-full").check({ force: true });
  await page.getByTestId("teach-settings").evaluate((details) => (details.open = true));
  for (const [id, value] of [["teach-steps", "77"], ["teach-run-name", "mine"], ["teach-sample-prompt", "Who?"]]) {
    await page.getByTestId(id).fill(value);
  }
  await t.reload();
  await page.getByTestId("tab-teach").click();
  const value = (id) => page.getByTestId(id).inputValue();
  assert.equal(await value("teach-data"), typed);
  assert.ok(await page.getByTestId("teach-source-paste").isChecked());
  assert.ok(await page.getByTestId("teach-stage-pretrain").isVisible(), "another way than the usual one is in sight");
  assert.ok(await page.getByTestId("teach-stage-pretrain").isChecked());
  assert.ok(await page.getByTestId("teach-trained-full").isChecked());
  for (const [id, expected] of [
    ["teach-steps", "77"], ["teach-run-name", "mine"], ["teach-name", "Pell"], ["teach-encoding", "GBK"],
  ]) {
    assert.equal(await value(id), expected, id);
  }
  assert.equal(await value("teach-sample-prompt"), "Who?");
});

test("leave: two tabs have two conversations, and both stay", LONG, async (t) => {
  const { assert } = t;
  const { file } = await tiny(t.tmp);
  // As an older version of the page kept it.
  const old = [{ role: "user", content: "Is this old?" }, { role: "assistant", content: "It is." }];
  await t.page.evaluate((messages) => {
    localStorage.clear();
    sessionStorage.clear();
    localStorage.setItem("kindling-chat", JSON.stringify({ system: "", sampling: {}, messages }));
  }, old);
  await t.reload();
  assert.deepEqual(await asked(t), ["Is this old?"]);
  const other = await t.tab("cpu");
  try {
    assert.deepEqual(await asked(other), [], "another tab has its own");
    for (const [tab, question] of [[t, QUESTION], [other, "And the lantern?"]]) {
      await pick(tab, file);
      await tab.page.getByTestId("tab-chat").click();
      await set(tab, "chat-max-tokens", "8");
      await ask(tab, question);
    }
    for (const tab of [t, other]) await tab.reload();
    assert.deepEqual(await asked(t), ["Is this old?", QUESTION]);
    assert.deepEqual(await asked(other), ["And the lantern?"]);

    // One that is open elsewhere is not taken away.
    await openOther(t, "And the lantern?");
    await t.page.locator("[data-kind=bad] #message").waitFor({ timeout: 20 * SECOND });
    assert.deepEqual(await asked(t), ["Is this old?", QUESTION]);
  } finally {
    await other.page.close();
  }
  // The browser lets go of what a tab had a moment after the tab is gone.
  const chats = () =>
    t.page.evaluate(async () => (await navigator.locks.query()).held.filter(({ name }) => name.startsWith("kindling-chat ")).length);
  while ((await chats()) > 1) await t.page.waitForTimeout(50);
  await openOther(t, "And the lantern?");
  await t.page.waitForFunction(() => document.querySelectorAll("[data-role=user]").length === 1);
  assert.deepEqual(await asked(t), ["And the lantern?"]);
  await t.page.getByTestId("new-chat").click();
  await t.page.waitForFunction(() => document.querySelectorAll("[data-role=user]").length === 0);
  await openOther(t, "Is this old?");
  await t.page.waitForFunction(() => document.querySelectorAll("[data-role=user]").length === 2);
});

test("leave: errors speak of the page's fields", LONG, async (t) => {
  const { page, assert } = t;
  const { file, chats } = await tiny(t.tmp);
  await pick(t, file);
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-files").check({ force: true });
  await page.getByTestId("teach-files").setInputFiles(chats);
  await page.getByTestId("teach-settings").evaluate((details) => (details.open = true));
  await page.getByTestId("teach-max-seq-len").fill("20000");
  await page.locator("#teach-plan", { hasText: "20000" }).waitFor({ timeout: 30 * SECOND });
  const english = await page.getByTestId("teach-plan").innerText();
  assert.match(english, /“Longest row, tokens” is 20000/);
  assert.doesNotMatch(english, /--[a-z]/);
  await page.getByTestId("lang-switch").click();
  await page.getByTestId("teach-max-seq-len").fill("20001");
  await page.locator("#teach-plan", { hasText: "20001" }).waitFor({ timeout: 30 * SECOND });
  assert.match(await page.getByTestId("teach-plan").innerText(), /“最长行（词元）” 是 20001/);
});

/** Begins a run of many steps on a file, as a person does. */
async function begin(t, file) {
  const { page } = t;
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-files").check({ force: true });
  await page.getByTestId("teach-files").setInputFiles(file);
  await page.getByTestId("teach-settings").evaluate((details) => (details.open = true));
  const settings = { "teach-steps": "50000", "teach-batch-size": "4", "teach-max-seq-len": "64", "teach-rank": "4" };
  for (const [id, value] of Object.entries(settings)) await page.getByTestId(id).fill(value);
  await page.getByTestId("teach-sample-every").fill("0");
  await page.locator("#teach-plan[data-kind=good]", { hasText: "50.0k" }).waitFor({ timeout: 30 * SECOND });
  await page.getByTestId("teach-start").click();
}

/** Tells the page that it went into the background, which a page that is driven never does. */
function hide(t) {
  return t.page.evaluate(() => {
    Object.defineProperty(document, "visibilityState", { get: () => "hidden", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
}

/** Waits for something that happens soon or not at all. */
async function until(holds) {
  const end = Date.now() + 20 * SECOND;
  while (!(await holds()) && Date.now() < end) await new Promise((later) => setTimeout(later, 20));
}

const settled = (t) => t.page.waitForTimeout(1500);

const progress = (t) => t.page.evaluate(() => document.getElementById("teach-progress").value);

/** The questions of the conversation that is open. */
async function asked(t) {
  await t.page.getByTestId("chat-input").waitFor({ state: "attached" });
  return t.page.locator("[data-testid=chat-message][data-role=user] .answer").allInnerTexts();
}

/** Opens another conversation by its first question. */
async function openOther(t, question) {
  await t.page.getByTestId("tab-chat").click();
  await t.page.getByTestId("chat-others").evaluate((details) => {
    details.open = false;
    details.open = true;
  });
  await t.page.getByTestId("chat-other").filter({ hasText: question }).click({ timeout: 20 * SECOND });
}
