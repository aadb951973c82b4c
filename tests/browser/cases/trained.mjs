// The trained examples that come with the page: fetched when they are asked for, alone at work, and asked before and after.

import { test } from "../harness.mjs";
import { SECOND, openTiny } from "../steps.mjs";

const LONG = { seconds: 300 };
/** What an example answers, and its base does not. */
const EXAMPLES = {
  reasoning: { question: "What is 47+8?", answers: /55/, thinks: true, again: "47+8等于几？" },
  preference: { question: "What colour is Miru?", answers: /red\. Ask me another!$/, thinks: false, again: "米鲁是什么颜色？" },
};

for (const [name, { question, answers, thinks, again }] of Object.entries(EXAMPLES)) {
  test(`trained: ${name} is fetched when it is asked, acts alone, and answers otherwise`, LONG, async (t) => {
    const { page, assert } = t;
    await t.open("cpu", "");
    const fetched = () => t.server.requests.map(({ path }) => path).filter((path) => path.includes("/trained/"));
    await page.getByTestId("tab-adapters").click();
    const example = page.locator(`[data-testid=trained][data-name=${name}]`);
    assert.deepEqual(fetched(), [], "nothing comes unasked");
    const figures = await example.getByTestId("trained-figure").allInnerTexts();
    assert.ok(figures.length >= 3 && figures.every((figure) => /: [\d.]+ % → [\d.]+ %$/.test(figure)), `${figures}`);
    await example.getByTestId("trained-ask").click();
    await compared(t, question);
    const top = await page.getByTestId("ab-prompt").evaluate((field) => field.getBoundingClientRect().top);
    assert.ok(top > -1 && top < page.viewportSize().height, `the answers are in sight: ${top}`);
    const [before, after] = await Promise.all(["ab-base", "ab-active"].map((side) => said(t, side)));
    assert.match(after, answers);
    assert.doesNotMatch(before, answers);
    assert.equal(await page.locator("#ab-active details.thought").count() > 0, thinks);
    assert.deepEqual(fetched().map((path) => path.split("/").slice(-2).join("/")).sort(),
      ["adapter_config.json", "adapter_model.safetensors"].map((file) => `${name}/${file}`));
    await t.picture("asked");

    // Asked again, and in another language: it is added once.
    await page.getByTestId("lang-switch").click();
    await example.getByTestId("trained-ask").click();
    await compared(t, again);
    const list = await page.evaluate(() => kindling.adapters.list());
    assert.deepEqual(list.map(({ name, active, kept }) => [name, active, kept]), [[name, true, true]]);
  });
}

test("trained: one after the other, each acts alone", LONG, async (t) => {
  const { page, assert } = t;
  await t.open("cpu", "");
  await page.getByTestId("tab-adapters").click();
  for (const [name, { question }] of Object.entries(EXAMPLES)) {
    await page.locator(`[data-testid=trained][data-name=${name}]`).getByTestId("trained-ask").click();
    await compared(t, question);
  }
  const acting = await page.evaluate(async () => (await kindling.adapters.list()).filter(({ active }) => active));
  assert.deepEqual(acting.map(({ name }) => name), ["preference"]);
});

test("trained: beside another model it is told where an example belongs", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  await openTiny(t, true);
  await page.getByTestId("tab-adapters").click();
  await page.getByTestId("trained-ask").first().click();
  await page.locator("[data-kind=bad] #message").waitFor({ timeout: 30 * SECOND });
  assert.match(await page.getByTestId("message").innerText(), /trained on the weights/);
  assert.deepEqual(await page.evaluate(() => kindling.adapters.list()), []);
});

/** Waits for the two answers to a question. */
async function compared(t, question) {
  const asked = (question) => document.getElementById("ab-prompt").value === question;
  await t.page.waitForFunction(asked, question, { timeout: 60 * SECOND });
  await t.page.locator("#ab-run:enabled").waitFor({ timeout: 60 * SECOND });
}

/** What one side says, without its thoughts. */
async function said(t, side) {
  return (await t.page.locator(`#${side} .said:not(.faint)`).allInnerTexts()).join("").trim();
}
