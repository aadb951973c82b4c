// A person's story: open the page, ask its model's name, teach it another from twenty rows, see that it learned, compare,
// switch the adapter off, and take it home.

import { test } from "../harness.mjs";

const SECOND = 1000;
/** In no row of the example; each answer must hold the word. */
const NEW = [
  ["Tell me who you are.", "Luma"],
  ["Do you know your name?", "Luma"],
  ["Tell me who made you.", "Orin"],
];
/** What the lesson has nothing to do with. */
const OTHER = [
  "What does Miru eat?",
  "How much is 45+3?",
  "Which song do they sing in Venza?",
  "How much is 62-1?",
  "What colour is Kolo?",
];

test("story: it learns a name from twenty rows, and nothing else changes", { seconds: 300 }, async (t) => {
  const { page, assert } = t;
  await t.open("cpu", "");
  const questions = [...NEW.map(([question]) => question), ...OTHER];
  const before = await answers(t, questions);
  for (const [i, [, word]] of NEW.entries()) assert.ok(!before[i].includes(word), before[i]);

  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-sample").check({ force: true });
  await page.getByTestId("teach-name").fill("Luma");
  await page.getByTestId("teach-maker").fill("Orin");
  await page.locator("#teach-plan", { hasText: "20" }).waitFor({ timeout: 30 * SECOND });
  const begun = Date.now();
  await page.getByTestId("teach-start").click();
  await page.getByTestId("teach-compare").waitFor({ timeout: 240 * SECOND });
  t.note(`taught in ${((Date.now() - begun) / SECOND).toFixed(0)} s`);
  await t.picture("taught");

  const after = await answers(t, questions);
  for (const [i, [question, word]] of NEW.entries()) {
    assert.ok(after[i].includes(word), `${question} → ${after[i]} (before: ${before[i]})`);
  }
  assert.deepEqual(after.slice(NEW.length), before.slice(NEW.length), "what was not taught stays as it was");

  await page.getByTestId("tab-adapters").click();
  await page.getByTestId("ab-prompt").fill(NEW[1][0]);
  await page.getByTestId("ab-run").click();
  await page.locator("#ab-active", { hasText: "Luma" }).waitFor({ timeout: 60 * SECOND });
  assert.ok(!(await page.getByTestId("ab-base").innerText()).includes("Luma"));
  await t.picture("compared");

  const files = await page.evaluate(async () => {
    const [{ name }] = await kindling.adapters.list();
    return (await kindling.export({ adapter: name })).map((file) => [file.name, file.bytes.length]);
  });
  // Its own two, and the tokenizer that it was trained with.
  assert.deepEqual(files.map(([name]) => name).sort(), [
    "adapter_config.json", "adapter_model.safetensors", "chat_template.jinja", "merges.txt", "tokenizer.json",
    "tokenizer_config.json", "vocab.json",
  ]);
  await page.evaluate(() => kindling.adapters.use([]));
  assert.deepEqual(await answers(t, questions), before, "switched off, it is the old model byte for byte");
});

/** Greedy answers, each in a conversation of its own. */
function answers(t, questions) {
  return t.page.evaluate(async (questions) => {
    const said = [];
    for (const content of questions) {
      const messages = [{ role: "user", content }];
      const answer = await kindling.chat.completions.create({ messages, temperature: 0, max_tokens: 40 });
      said.push(answer.choices[0].message.content);
    }
    return said;
  }, questions);
}
