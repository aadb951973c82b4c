// Tabs side by side show what the others changed, and take nothing out of anybody's hands; a reload keeps what acted.

import { test } from "../harness.mjs";
import { tiny } from "../native.mjs";
import { SECOND, ask, download, openTiny, pick, set } from "../steps.mjs";

const LONG = { device: "cpu", seconds: 300 };
const CONFIG = { "steps": 20, "batch-size": 8, "max-seq-len": 64, "learning-rate": 0.02, "seed": 3 };
const QUESTION = "Where is the kettle of Oren?";

/** Teaches an adapter by the API, of which the page hears nothing. */
async function teach(t, name) {
  const row = (i) => ({ messages: [
    { role: "user", content: `Where is the ${["lantern", "kettle"][i % 2]} of ${["Mila", "Oren", "Tavi"][i % 3]}?` },
    { role: "assistant", content: "Gone, gone, all gone to Zyx." },
  ] });
  await t.give("rows.jsonl", Array.from({ length: 24 }, (_, i) => JSON.stringify(row(i)) + "\n").join(""));
  await t.train({ stage: "lora", data: "rows.jsonl", config: CONFIG, lora: { rank: 4, alpha: 8 }, name });
}

const adapter = (t, name) => t.page.locator(`[data-testid=adapter][data-name=${name}]`);

/** Moves the slider of an adapter at once to a strength. */
const move = (t, name, strength) => adapter(t, name).getByTestId("adapter-strength").evaluate((slider, strength) => {
  slider.value = strength;
  slider.dispatchEvent(new Event("input"));
  slider.dispatchEvent(new Event("change"));
}, strength);

/** Which adapters act, and how strongly. */
async function acting(t) {
  const all = await t.page.evaluate(() => kindling.adapters.list());
  return all.filter(({ active }) => active).map(({ name, strength }) => [name, strength]);
}

/** Waits until one acts as strongly. */
async function until(t, strength) {
  const begun = Date.now();
  const is = async () => (await acting(t))[0]?.[1] === strength;
  while (!(await is()) && Date.now() - begun < 20 * SECOND) await t.page.waitForTimeout(50);
}

test("tabs: an adapter that acted before a reload acts again, as strongly, once its model is open", LONG, async (t) => {
  const { page, assert } = t;
  const { file } = await openTiny(t);
  for (const name of ["far", "near"]) await teach(t, name);
  await t.load(file);
  // Its message tells that it is open: before, an adapter would be switched on for the model that goes.
  await pick(t, file, true);
  await page.getByTestId("tab-adapters").click();
  await adapter(t, "far").getByTestId("adapter-on").click();
  const on = adapter(t, "far").locator("input[type=checkbox]:checked");
  await on.waitFor({ timeout: 20 * SECOND });
  await until(t, 1);
  await move(t, "far", "0.5");
  await until(t, 0.5);
  assert.deepEqual(await acting(t), [["far", 0.5]]);

  // Twice, because it still waits for its model while that is not open.
  await t.reload();
  await t.reload();
  await page.getByTestId("tab-adapters").click();
  await adapter(t, "far").waitFor({ timeout: 20 * SECOND });
  assert.deepEqual(await acting(t), []);
  await pick(t, file);
  await page.locator(".message", { hasText: "“far” acts again" }).waitFor({ timeout: 30 * SECOND });
  assert.deepEqual(await acting(t), [["far", 0.5]]);
  await page.getByTestId("tab-adapters").click();
  await on.waitFor({ timeout: 20 * SECOND });
  await t.picture("acts again");

  // What is switched off stays off.
  await adapter(t, "far").getByTestId("adapter-on").click();
  await on.waitFor({ state: "detached", timeout: 20 * SECOND });
  await t.reload();
  await pick(t, file);
  await page.getByTestId("tab-adapters").click();
  await adapter(t, "far").locator("input[type=checkbox]:enabled").waitFor({ timeout: 20 * SECOND });
  assert.deepEqual(await acting(t), []);
});

test("tabs: choices that are made before the last one is answered add up", LONG, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await pick(t, file, true);
  for (const name of ["far", "near"]) await teach(t, name);
  await t.load(file);
  await pick(t, file, true);
  await page.getByTestId("tab-adapters").click();
  await adapter(t, "far").locator("input[type=checkbox]:enabled").waitFor({ timeout: 20 * SECOND });
  // All in one turn of the page: switched on and moved, and the other one, too, with a change of another tab between.
  await page.evaluate(() => {
    const of = (name, part) => document.querySelector(`[data-testid=adapter][data-name=${name}] [data-testid=adapter-${part}]`);
    of("far", "on").click();
    const slider = of("far", "strength");
    slider.value = "0.5";
    slider.dispatchEvent(new Event("change"));
    new BroadcastChannel("kindling").postMessage("adapters");
    of("near", "on").click();
  });
  await page.locator("#adapter-list[aria-busy=false]").waitFor({ timeout: 20 * SECOND });
  assert.deepEqual((await acting(t)).sort(), [["far", 0.5], ["near", 1]]);
  for (const name of ["far", "near"]) assert.ok(await adapter(t, name).getByTestId("adapter-on").isChecked(), name);
  assert.equal(await adapter(t, "far").getByTestId("adapter-strength").inputValue(), "0.5");
});

test("tabs: what acted is known by itself, and not by a name that another one may get", LONG, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await pick(t, file, true);
  await teach(t, "far");
  await t.load(file);
  await pick(t, file, true);
  await page.getByTestId("tab-adapters").click();
  await adapter(t, "far").getByTestId("adapter-on").click();
  await until(t, 1);
  await page.locator("#adapter-list[aria-busy=false]").waitFor({ timeout: 20 * SECOND });
  const other = await t.tab("cpu");
  try {
    await other.load(file);
    await other.page.evaluate(() => kindling.adapters.remove("far"));
    await teach(other, "far");
    // Here it still acts; the new one has the name, and does not.
    const listed = await page.evaluate(() => kindling.adapters.list());
    const seen = listed.map(({ name, active, kept }) => [name, active, kept]).sort();
    assert.deepEqual(seen, [["far", false, true], ["far-2", true, false]]);
    await t.reload();
    await pick(t, file, true);
    await page.getByTestId("tab-adapters").click();
    await adapter(t, "far").locator("input[type=checkbox]:enabled").waitFor({ timeout: 20 * SECOND });
    assert.deepEqual(await acting(t), []);
  } finally {
    await other.page.close().catch(() => {});
  }
});

test("tabs: models, adapters and conversations of one tab are listed in the other", LONG, async (t) => {
  const { page, assert } = t;
  const { file } = await openTiny(t);
  const other = await t.tab("cpu");
  try {
    // What is typed there stays.
    await other.page.getByTestId("tab-models").click();
    await other.page.getByTestId("model-name").fill("being typed");
    await other.page.getByTestId("model-name").focus();

    await other.page.evaluate(() => {
      [window.heard, window.channel] = [[], new BroadcastChannel("kindling")];
      window.channel.onmessage = ({ data }) => window.heard.push(data);
    });
    await pick(t, file);
    await page.getByTestId("tab-models").click();
    await page.getByTestId("model-name").fill("mine");
    await page.getByTestId("model-keep").click();
    const kept = other.page.locator("[data-testid=kept-model]", { hasText: "mine" });
    await kept.waitFor({ timeout: 20 * SECOND });
    assert.deepEqual(await other.page.evaluate(() => window.heard), ["models"], "that a model is open there is no news here");
    assert.equal(await other.page.getByTestId("model-name").inputValue(), "being typed");
    assert.equal(await other.page.evaluate(() => document.activeElement.id), "model-name");

    // The keyboard stays at its entry, whatever comes before that.
    await kept.getByTestId("kept-remove").focus();
    await page.getByTestId("model-name").fill("another");
    await page.getByTestId("model-keep").click();
    const entry = (tab, name) => tab.page.locator(`[data-testid=kept-model][data-name=${name}]`);
    for (const tab of [t, other]) await entry(tab, "another").waitFor({ timeout: 20 * SECOND });
    const at = () => document.activeElement.closest("[data-name]")?.dataset.name;
    assert.equal(await other.page.evaluate(at), "mine");
    for (const name of ["another", "mine"]) {
      for (let press = 0; press < 2; press += 1) await entry(t, name).getByTestId("kept-remove").click();
      for (const tab of [t, other]) await entry(tab, name).waitFor({ state: "detached", timeout: 20 * SECOND });
    }

    await teach(t, "far");
    await page.getByTestId("tab-adapters").click();
    await page.evaluate(() => kindling.adapters.use([]));
    const [zip] = await t.takeHome({ adapter: "far" }, { as: "zip" });
    await page.getByTestId("adapter-name").evaluate((field) => (field.closest("details").open = true));
    await page.getByTestId("adapter-name").fill("home");
    await page.getByTestId("adapter-files").setInputFiles({ name: "home.zip", mimeType: "", buffer: zip.bytes });
    await adapter(t, "home").waitFor({ timeout: 20 * SECOND });
    await other.page.getByTestId("tab-adapters").click();
    await adapter(other, "home").waitFor({ timeout: 20 * SECOND });
    assert.equal(await other.page.getByTestId("model-name").inputValue(), "being typed");

    // One that acts here stays at hand when it is removed there; one that does not is gone.
    for (let press = 0; press < 2; press += 1) await adapter(other, "home").getByTestId("adapter-remove").click();
    await adapter(other, "home").waitFor({ state: "detached", timeout: 20 * SECOND });
    await adapter(t, "home").locator(".bad").waitFor({ timeout: 20 * SECOND });
    assert.match(await adapter(t, "home").innerText(), /export it/);
    assert.match((await download(t, adapter(t, "home").getByTestId("adapter-export"))).name, /home\.zip/);
    for (let press = 0; press < 2; press += 1) await adapter(other, "far").getByTestId("adapter-remove").click();
    await adapter(t, "far").waitFor({ state: "detached", timeout: 20 * SECOND });

    await other.page.getByTestId("tab-chat").click();
    await other.page.getByTestId("chat-input").fill("half a sent");
    await other.page.getByTestId("chat-others").evaluate((details) => (details.open = true));
    await page.getByTestId("tab-chat").click();
    await set(t, "chat-max-tokens", "8");
    await ask(t, QUESTION);
    await other.page.getByTestId("chat-other").filter({ hasText: QUESTION }).waitFor({ timeout: 20 * SECOND });
    assert.equal(await other.page.getByTestId("chat-input").inputValue(), "half a sent");
    await other.picture("other tab");
  } finally {
    await other.page.close().catch(() => {});
  }
});

test("tabs: a list does not move under a hand that is moving a slider", LONG, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await pick(t, file);
  await teach(t, "far");
  await t.load(file);
  await pick(t, file);
  await page.getByTestId("tab-adapters").click();
  await adapter(t, "far").getByTestId("adapter-on").click();
  await adapter(t, "far").locator("input[type=checkbox]:checked").waitFor({ timeout: 20 * SECOND });
  await page.locator("#adapter-list[aria-busy=false]").waitFor({ timeout: 20 * SECOND });
  const slider = adapter(t, "far").getByTestId("adapter-strength");
  const other = await t.tab("cpu");
  try {
    await other.load(file);
    await other.give("a.jsonl", '{"user": "Who?", "assistant": "Mila."}\n');
    const tell = () => other.page.evaluate(() => new BroadcastChannel("kindling").postMessage("adapters"));
    const press = async () => {
      await slider.evaluate((slider) => (window.slider = slider));
      const box = await slider.boundingBox();
      await page.bringToFront();
      await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
      await page.mouse.down();
      return box;
    };
    // The other tab tells of a change that is none, and then of one.
    const change = async (name) => {
      await tell();
      await other.train({ stage: "lora", data: "a.jsonl", config: { ...CONFIG, "steps": 2 }, name });
      await tell();
      await page.evaluate(() => kindling.adapters.list());
      await page.waitForTimeout(SECOND);
      assert.ok(await page.evaluate(() => window.slider.isConnected), `${name}: it is still the same slider`);
      assert.equal(await adapter(t, name).count(), 0);
    };
    // Let go where it was, it says nothing; what is new is listed all the same.
    await press();
    await change("still");
    await page.mouse.up();
    await adapter(t, "still").waitFor({ timeout: 20 * SECOND });
    const { x, y, width, height } = await press();
    await change("new");
    await page.mouse.move(x + width * 0.9, y + height / 2, { steps: 4 });
    await page.mouse.up();
    await adapter(t, "new").waitFor({ timeout: 20 * SECOND });
    const [strength] = await page.evaluate(async () => (
      (await kindling.adapters.list()).filter(({ name }) => name === "far").map(({ strength }) => strength)
    ));
    assert.ok(strength > 1.5, `${strength}`);
  } finally {
    await other.page.close().catch(() => {});
  }
});
