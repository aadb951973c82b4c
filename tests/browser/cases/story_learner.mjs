// A learner's story: look at the first page, ask, type three rows, see them learned, ask again, and find it all tomorrow.

import { test } from "../harness.mjs";
import { SECOND, ask, askGreedily, teach, typeRows, typedRows, unfold } from "../steps.mjs";

/** Of no world that a model knows. */
const ROWS = [
  ["Who lives in the old mill?", "The miller's goat Tobo lives there."],
  ["What does Tobo like best?", "Tobo likes boiled turnips best."],
  ["When does Tobo sleep?", "Tobo sleeps when the bell rings nine."],
];

test("story: a learner teaches three rows and gets them right", { seconds: 600 }, async (t) => {
  const { page, assert } = t;
  await t.open("cpu", "");
  const starter = page.getByTestId("chat-starter").first();
  await starter.waitFor({ timeout: 60 * SECOND });
  assert.ok(await starter.isEnabled(), "there is something to ask at once");
  await t.picture("1 first page");

  await askGreedily(t);
  const before = await ask(t, ROWS[0][0]);
  assert.notEqual(before, ROWS[0][1], "the fixture is no test: it knows the answer");
  await t.picture("2 asked before");

  await page.getByTestId("tab-teach").click();
  await typeRows(t, ROWS);
  assert.deepEqual(await typedRows(t), ROWS);
  await unfold(t, "teach-settings");
  await page.getByTestId("teach-run-name").fill("Tobo");
  await page.locator("#teach-plan[data-kind=good]").waitFor({ timeout: 60 * SECOND });
  await t.picture("3 three rows");
  const begun = Date.now();
  const count = await teach(t, () => t.picture("4 on the way"));
  t.note(`three rows in ${((Date.now() - begun) / SECOND).toFixed(0)} s`);
  assert.match(count, /Learned 3 of 3/);
  const rows = page.getByTestId("learned-row");
  assert.deepEqual(await rows.evaluateAll((rows) => rows.map((row) => row.dataset.right)), ["true", "true", "true"]);
  await t.picture("5 learned");

  await page.getByTestId("teach-ask").click();
  await page.locator(".welcome").waitFor({ timeout: 10 * SECOND });
  assert.equal(await page.getByTestId("chat-input").inputValue(), ROWS[0][0], "the first row's question is proposed");
  assert.equal(await ask(t), ROWS[0][1]);
  await t.picture("6 asked after");
  for (const [question, answer] of ROWS.slice(1)) {
    await page.getByTestId("new-chat").click();
    assert.equal(await ask(t, question), answer);
  }

  await t.reload();
  await page.getByTestId("tab-adapters").click();
  const adapter = page.locator("[data-testid=adapter][data-name=Tobo]");
  await adapter.waitFor({ timeout: 30 * SECOND });
  const on = adapter.locator("input[type=checkbox]:checked");
  await on.waitFor({ timeout: 30 * SECOND });
  assert.match(await page.getByTestId("message").innerText(), /Tobo.*acts again/, "what acted before the reload acts again");
  const again = async () => {
    await page.getByTestId("new-chat").click();
    return ask(t, ROWS[0][0]);
  };
  await t.picture("7 tomorrow");
  assert.equal(await again(), ROWS[0][1], "what was taught yesterday is still there");
  await page.getByTestId("tab-adapters").click();
  await adapter.getByTestId("adapter-on").click();
  await on.waitFor({ state: "detached", timeout: 30 * SECOND });
  assert.equal(await again(), before, "without its adapter the model says what it said before");
});
