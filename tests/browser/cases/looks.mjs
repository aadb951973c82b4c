// What makes the page easy on the eye and the hand: contrast, nothing hidden, room for thumbs, a keyboard that is never
// lost, a chart in words.

import { readFileSync } from "node:fs";

import { faint } from "../contrast.mjs";
import { test } from "../harness.mjs";
import { endless, tiny } from "../native.mjs";
import { SECOND, answered, openTiny, pick, send, set } from "../steps.mjs";

const CPU = { device: "cpu", seconds: 240 };
const QUESTION = "Where is the kettle of Oren?";
const TABS = ["chat", "teach", "adapters", "models"];
const PHONE = { width: 390, height: 844 };
const DESK = { width: 1280, height: 800 };
const RUN = { "teach-batch-size": "4", "teach-max-seq-len": "64", "teach-rank": "4" };

for (const scheme of ["light", "dark"]) {
  test(`looks: every text and every field has contrast, ${scheme}`, CPU, async (t) => {
    const { page, assert } = t;
    // Colours on their way to others are neither.
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    await openTiny(t, true);
    const wrong = [await page.evaluate(faint)];
    await say(t, QUESTION);
    for (const name of TABS) {
      await page.getByTestId(`tab-${name}`).click();
      await unfoldAll(t);
      wrong.push(await page.evaluate(faint));
    }
    assert.deepEqual(wrong.flat(), []);
    await page.evaluate(() => document.documentElement.style.setProperty("--edge", "var(--line)"));
    assert.ok((await page.evaluate(faint)).some((line) => /border of input/.test(line)), "the check finds pale borders");
  });
}

for (const [what, size] of [["phone", PHONE], ["desk", DESK]]) {
  test(`looks: the last message is never under the field, ${what}`, CPU, async (t) => {
    const { page, assert } = t;
    await page.setViewportSize(size);
    await openTiny(t, true);
    const hidden = () => page.evaluate(() => {
      const last = [...document.querySelectorAll("[data-testid=chat-message]")].at(-1).getBoundingClientRect();
      return last.bottom - document.querySelector(".composer").getBoundingClientRect().top;
    });
    for (let i = 0; i < 6; i += 1) {
      await say(t, `${QUESTION} (${i})`);
      assert.ok((await hidden()) <= 1, `${await hidden()} px are hidden after answer ${i}`);
    }
    assert.ok(await page.evaluate(() => window.scrollY > 0), "the fixture is no test: all of it fits");
    await page.getByTestId("chat-input").fill("a\nb\nc\nd\ne\nf");
    assert.ok((await hidden()) <= 1, `${await hidden()} px are hidden by a long question`);
    await page.getByTestId("chat-input").fill("");
    // Playwright's own click scrolls what is sticky to its place in the flow.
    for (const tab of ["tab-teach", "tab-chat"]) await page.getByTestId(tab).dispatchEvent("click");
    assert.ok((await hidden()) <= 1, `${await hidden()} px are hidden after another tab`);
    await t.reload();
    await page.getByTestId("chat-message").last().waitFor({ timeout: 20 * SECOND });
    // The head of the page grows once it knows its device.
    await page.locator("#device[data-kind=cpu]").waitFor({ timeout: 20 * SECOND });
    await page.waitForTimeout(SECOND);
    assert.ok((await hidden()) <= 1, `${await hidden()} px are hidden after a reload`);
  });
}

test("looks: what can be done to a message shows by pointer and by keyboard", CPU, async (t) => {
  const { page, assert } = t;
  await page.emulateMedia({ reducedMotion: "reduce" });
  await openTiny(t, true);
  await say(t, QUESTION);
  await page.mouse.move(0, 0);
  await page.getByTestId("chat-input").focus();
  const acts = page.locator("[data-role=user] .acts");
  const shown = async () => Number(await acts.evaluate((element) => getComputedStyle(element).opacity));
  assert.equal(await shown(), 0);
  await page.locator("[data-role=user] .answer").hover();
  assert.equal(await shown(), 1, "under the pointer");
  await page.mouse.move(0, 0);
  await page.getByTestId("chat-edit").focus();
  assert.equal(await shown(), 1, "at the keyboard");
});

test("looks: on a phone every control has room for a thumb", CPU, async (t) => {
  const { page, assert } = t;
  await page.setViewportSize(PHONE);
  await openTiny(t, true);
  await say(t, QUESTION);
  const small = () => {
    const controls = "button, summary, select, textarea, input:not([type=checkbox], [type=radio], [type=range], .unseen), "
      + "label.choice, label.drop, label.strength";
    const boxes = [...document.querySelectorAll(controls)].map((element) => [element, element.getBoundingClientRect()]);
    const low = boxes.filter(([, { width, height }]) => width > 0 && (height < 43.5 || width < 43.5));
    return low.map(([element, { width, height }]) => `${element.outerHTML.slice(0, 60)} ${width}×${height}`);
  };
  for (const name of TABS) {
    await page.getByTestId(`tab-${name}`).click();
    await unfoldAll(t);
    assert.deepEqual(await page.evaluate(small), [], name);
  }
});

test("looks: the notice is one line, closes, and stays closed", CPU, async (t) => {
  const { page, assert } = t;
  await page.setViewportSize({ width: 360, height: 740 });
  const notice = page.getByTestId("device-notice");
  await notice.waitFor({ timeout: 20 * SECOND });
  assert.ok((await notice.boundingBox()).height < 60, "one line");
  await notice.locator("summary").click();
  assert.match(await notice.innerText(), /hardware acceleration/);
  await page.getByTestId("device-notice-close").click();
  assert.ok(!(await notice.isVisible()));
  await keyboardAt(t, "main");
  await t.reload();
  await page.locator("#device[data-kind=cpu]").waitFor({ timeout: 20 * SECOND });
  assert.ok(!(await notice.isVisible()), "after a reload, too");
  await page.getByTestId("lang-switch").click();
  assert.ok(!(await notice.isVisible()), "in the other language, too");
});

test("looks: the keyboard is never lost in the chat", CPU, async (t) => {
  const { page } = t;
  await openTiny(t, true);
  await page.getByTestId("chat-teach").click();
  await keyboardAt(t, "tab-teach", "the way into Teach");
  await page.getByTestId("tab-chat").click();
  await say(t, QUESTION);
  await keyboardAt(t, "chat-send", "after Send");
  await page.getByTestId("chat-input").fill("And the lantern?");
  await page.keyboard.press("Enter");
  await answered(t);
  await keyboardAt(t, "chat-input", "after Enter");
  await page.getByTestId("chat-edit").first().click();
  await keyboardAt(t, "chat-edit-input");
  await page.getByTestId("chat-edit-cancel").click();
  await keyboardAt(t, "chat-message", "the message whose field was left");
  await page.getByTestId("chat-delete").first().click();
  await keyboardAt(t, "chat-delete", "what stands in the place of the message");
  await page.getByTestId("chat-edit").click();
  await page.getByTestId("chat-edit-send").click();
  await answered(t);
  await keyboardAt(t, "chat-messages", "after an edited question");
  await page.getByTestId("chat-delete").first().click();
  await keyboardAt(t, "chat-messages", "of an empty conversation");
  await page.getByTestId("new-chat").click();
  await keyboardAt(t, "chat-input", "after New chat");

  const { file } = await tiny(t.tmp);
  await pick(t, { name: "tiny-endless.safetensors", mimeType: "", buffer: endless(readFileSync(file)) }, true);
  await page.getByTestId("tab-chat").click();
  await set(t, "chat-max-tokens", "8000");
  await send(t, QUESTION);
  await page.getByTestId("chat-stop").waitFor({ timeout: 20 * SECOND });
  await keyboardAt(t, "chat-stop", "while it answers");
  await page.getByTestId("chat-stop").click();
  await answered(t);
  await keyboardAt(t, "chat-input", "after Stop");
});

test("looks: the keyboard is never lost elsewhere", CPU, async (t) => {
  const { page } = t;
  const { chats } = await openTiny(t, true);
  await page.getByTestId("tab-models").click();
  const broken = { name: "broken.safetensors", mimeType: "", buffer: Buffer.from("no model at all") };
  await page.getByTestId("model-drop").setInputFiles(broken);
  await page.locator("[data-kind=bad] #message").waitFor({ timeout: 20 * SECOND });
  await page.locator(".message button").click();
  await keyboardAt(t, "tab-models", "where it was before the message");
  await teach(t, chats, { ...RUN, "teach-steps": "30000" });
  await page.getByTestId("teach-start").click();
  await keyboardAt(t, "teach-run", "after Start");
  await page.waitForFunction(() => document.getElementById("teach-progress").value > 0, null, { timeout: 60 * SECOND });
  for (const _ of ["pause", "resume"]) await page.getByTestId("teach-pause").click();
  await keyboardAt(t, "teach-pause");
  await page.getByTestId("teach-stop").click();
  await page.getByTestId("teach-resume").waitFor({ timeout: 60 * SECOND });
  await keyboardAt(t, "teach-run", "after the run was stopped");
  await page.getByTestId("teach-resume").click();
  await keyboardAt(t, "teach-run", "after it went on");
  await page.getByTestId("teach-stop").waitFor({ timeout: 60 * SECOND });
  await page.getByTestId("teach-stop").click();
  await page.getByTestId("teach-resume").waitFor({ timeout: 60 * SECOND });

  await teach(t, chats, { ...RUN, "teach-steps": "2" });
  await page.getByTestId("teach-start").click();
  await page.getByTestId("teach-compare").waitFor({ timeout: 60 * SECOND });
  await page.getByTestId("teach-compare").click();
  await keyboardAt(t, "tab-adapters", "after the way to the comparison");
  const on = page.getByTestId("adapter-on").first();
  await on.uncheck();
  // A function of the page is not waited for.
  const acts = () => page.evaluate(async () => (await kindling.adapters.list()).some(({ active }) => active));
  for (const begun = Date.now(); (await acts()) && Date.now() - begun < 20 * SECOND;) await page.waitForTimeout(50);
  t.assert.equal(await acts(), false);
  await keyboardAt(t, "adapter-on", "the list was drawn anew");
  await page.getByTestId("ab-run").click();
  await page.locator("#ab-run:enabled").waitFor({ timeout: 60 * SECOND });
  await keyboardAt(t, "ab-run", "after a comparison");
});

test("looks: a run shows its chart and its answers at once on a phone, and tells the chart in words", CPU, async (t) => {
  const { page, assert } = t;
  await page.setViewportSize(PHONE);
  const { chats } = await openTiny(t, true);
  await teach(t, chats, { ...RUN, "teach-steps": "30000", "teach-sample-every": "20" });
  await page.getByTestId("teach-preview").click();
  await page.getByTestId("preview-row").first().waitFor({ timeout: 20 * SECOND });
  assert.equal(await page.getByTestId("preview-row").count(), 3, "three rows are previewed");
  const chart = page.getByTestId("teach-chart");
  await page.getByTestId("teach-start").click();
  await page.getByTestId("teach-sample").first().waitFor({ timeout: 60 * SECOND });
  const tabs = await page.locator("#tabs").boundingBox();
  for (const part of [page.locator(".chart:visible"), page.getByTestId("teach-sample").first()]) {
    const { y, height } = await part.boundingBox();
    assert.ok(y >= tabs.y + tabs.height - 1 && y + height <= PHONE.height, `from ${y} to ${y + height}`);
  }
  await t.picture("phone");
  const first = await chart.getAttribute("aria-label");
  assert.match(first, /at step \d+ of 30000\. The training loss (is|fell from|rose from) \d/);
  assert.doesNotMatch(first, /held-out/);
  await page.waitForFunction((first) => document.getElementById("teach-chart").getAttribute("aria-label") !== first, first);
  await page.getByTestId("lang-switch").click();
  assert.match(await chart.getAttribute("aria-label"), /第 \d+ 步，共 30000 步/);
  await page.getByTestId("lang-switch").click();
  assert.deepEqual(await page.locator(".axis-name").allInnerTexts(), ["Loss", "Step"]);
  await page.setViewportSize(DESK);
  const [left, right] = [await page.locator(".chart:visible").boundingBox(), await page.locator(".asked").boundingBox()];
  assert.ok(right.x >= left.x + left.width && Math.abs(right.y - left.y) < 2, "side by side on a desk");
  const [run, what] = [await page.locator("#teach-run").boundingBox(), await page.locator("#lessons").boundingBox()];
  assert.ok(run.y + run.height <= what.y, "above what it was set up with");
  await page.getByTestId("teach-stop").click();
  await page.getByTestId("teach-resume").waitFor({ timeout: 60 * SECOND });
});

test("looks: Back leads to the tab before, and from the first one out of the page", { seconds: 240 }, async (t) => {
  const { page, assert } = t;
  await page.goto(`${t.server.url}kindling.js`);
  await t.open("cpu");
  const seen = async () => (await page.locator("[role=tab][aria-selected=true]").getAttribute("id")).replace("tab-", "");
  const until = (name) => page.locator(`#tab-${name}[aria-selected=true]`).waitFor({ timeout: 10 * SECOND });
  for (const name of ["teach", "models", "teach"]) await page.getByTestId(`tab-${name}`).click();
  // The one that is seen adds nothing.
  await page.getByTestId("tab-teach").click();
  await page.goBack();
  await until("models");
  await page.goBack();
  await until("teach");
  await page.goForward();
  await until("models");
  assert.ok(await page.locator("#panel-models").isVisible() && !(await page.locator("#panel-teach").isVisible()));
  await page.goBack();
  await until("teach");
  await page.goBack();
  await until("chat");
  // After a reload the first tab is seen: beside its entry there is none that shows the same.
  await page.getByTestId("tab-teach").click();
  await until("teach");
  await t.reload();
  assert.equal(await seen(), "chat");
  await page.evaluate(() => history.back());
  await page.waitForURL(/kindling\.js$/, { timeout: 20 * SECOND });
});

test("looks: interrupted runs are one line on a phone, with the runs in its fold", CPU, async (t) => {
  const { page, assert } = t;
  await page.setViewportSize(PHONE);
  const { file, chats } = await tiny(t.tmp);
  await t.load(file);
  const data = await t.giveFile(chats);
  await page.evaluate(async (data) => {
    const config = { "steps": 5000, "batch-size": 4, "max-seq-len": 64 };
    for (let i = 0; i < 3; i += 1) {
      let run;
      const onEvent = ({ event, step }) => event === "step" && step === 3 && run.stop();
      run = await kindling.train({ stage: "lora", data: testFiles[data], config, name: `run ${i}`, onEvent });
      await run.done;
    }
  }, data);
  await t.reload();
  const banner = page.locator("#runs-banner");
  await banner.locator("summary", { hasText: "3" }).waitFor({ timeout: 20 * SECOND });
  assert.ok((await banner.boundingBox()).height <= 60, `${(await banner.boundingBox()).height} px high`);
  assert.equal(await page.getByTestId("run-resume").first().isVisible(), false);
  await banner.locator("summary").click();
  await page.getByTestId("run-resume").nth(2).waitFor({ timeout: 10 * SECOND });
  // It stays unfolded when a run of it goes.
  for (let press = 0; press < 2; press += 1) await page.getByTestId("run-discard").first().click();
  await banner.locator("summary", { hasText: "2" }).waitFor({ timeout: 20 * SECOND });
  assert.ok(await page.getByTestId("run-resume").first().isVisible());
  await t.picture("phone");
});

test("looks: the held-out loss is shown where there is one, and only there", CPU, async (t) => {
  const { page, assert } = t;
  const { chats } = await openTiny(t, true);
  for (const share of ["", "0.1"]) {
    await teach(t, chats, { ...RUN, "teach-steps": "20", "teach-val-split": share });
    await page.getByTestId("teach-start").click();
    await page.getByTestId("teach-ask").waitFor({ timeout: 60 * SECOND });
    const is = share !== "";
    assert.equal(await page.getByTestId("teach-heldout-key").isVisible(), is, "the legend");
    assert.equal(Boolean(await page.locator(".curve.held-out").getAttribute("points")), is, "the line");
    assert.equal(/held-out/.test(await page.getByTestId("teach-chart").getAttribute("aria-label")), is, "the words");
  }
});

/** Asserts that the keyboard comes to this element, by its name for tests, and stays there. */
async function keyboardAt(t, name, when = "") {
  const at = () => document.activeElement.dataset.testid ?? (document.activeElement.id || "nothing");
  for (let i = 0; i < 50 && (await t.page.evaluate(at)) !== name; i += 1) await t.page.waitForTimeout(100);
  await t.page.waitForTimeout(200);
  t.assert.equal(await t.page.evaluate(at), name, when);
}

function unfoldAll(t) {
  return t.page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
}

/** Asks for a short answer, and waits for it. */
async function say(t, question) {
  await set(t, "chat-max-tokens", "24");
  await send(t, question);
  await answered(t);
}

/** Chooses files and settings in the teach tab, and waits for the plan. */
async function teach(t, file, settings) {
  const { page } = t;
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-files").check({ force: true });
  for (const picked of await page.getByTestId("teach-file-remove").all()) await picked.click();
  await page.getByTestId("teach-files").setInputFiles(file);
  await page.getByTestId("teach-settings").evaluate((details) => (details.open = true));
  for (const [id, value] of Object.entries(settings)) await page.getByTestId(id).fill(value);
  const steps = Number(settings["teach-steps"]);
  const counted = steps >= 10_000 ? `${(steps / 1000).toFixed(1)}k` : `${steps}`;
  await page.locator("#teach-plan[data-kind=good]", { hasText: `${counted} steps` }).waitFor({ timeout: 30 * SECOND });
}
