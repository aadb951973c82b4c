// What goes wrong, as other pages read it (a code and values) and as a Chinese reader does: in Chinese, without flags.

import { readFileSync } from "node:fs";

import { test } from "../harness.mjs";
import { tiny } from "../native.mjs";

const SECOND = 1000;
const CHINESE = /[\u4e00-\u9fff]/;
/** Words of English sentences; names of files, keys and formats are none. */
const ENGLISH = /\b(the|must|cannot|give|take)\b|--[a-z]/i;
const ROW = { messages: [{ role: "user", content: "a" }, { role: "assistant", content: "b" }] };

test("chinese: an error has a code and values", { device: "cpu" }, async (t) => {
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const rows = [ROW, { messages: [{ role: "user", content: 7 }] }];
  await t.give("bad.jsonl", rows.map((row) => JSON.stringify(row)).join("\n"));
  const failures = await t.page.evaluate(async () => {
    const { KindlingError } = await import("./kindling.js");
    const failure = (promise) => promise.then(
      () => null,
      (error) => ({ is: error instanceof KindlingError, code: error.code, values: error.values, message: error.message }),
    );
    return {
      rows: await failure(kindling.plan({ stage: "sft", data: testFiles["bad.jsonl"] })),
      temperature: await failure(kindling.generate({ prompt: "a", temperature: -1 })),
      adapter: await failure(kindling.export({ adapter: "none" })),
      field: await failure(kindling.generate({ prompt: "a", n: 2 })),
    };
  });
  for (const [name, { is, message }] of Object.entries(failures)) {
    t.assert.ok(is && message.length > 10, `${name}: ${message}`);
  }
  const { rows: bad, temperature, adapter, field } = failures;
  t.assert.deepEqual([bad.code, bad.values.total], ["data.bad_rows", 1]);
  const [row] = bad.values.rows;
  t.assert.deepEqual([row.code, row.values.origin], ["row.at", "bad.jsonl:2"]);
  t.assert.ok(bad.message.includes(row.message), bad.message);
  t.assert.deepEqual([temperature.code, temperature.values.problems[0].values.value], ["settings.unfit", -1]);
  t.assert.deepEqual([adapter.code, adapter.values], ["adapter.none", { name: "none" }]);
  t.assert.equal(field.code, "unsupported-field");
});

test("chinese: data, settings and files that do not fit", { device: "cpu" }, async (t) => {
  const { page } = t;
  const { file } = await tiny(t.tmp);
  await openInChinese(t, file);
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-files").check({ force: true });
  await page.getByTestId("teach-settings").evaluate((details) => (details.open = true));
  const lines = (...rows) => rows.map((row) => JSON.stringify(row)).join("\n");
  const refused = [
    ["shape.jsonl", lines(ROW, { colour: "red" }), "shape.jsonl:2"],
    ["broken.jsonl", `${lines(ROW)}\n{"messages": [}`, "broken.jsonl:2"],
    ["roles.jsonl", lines({ messages: [ROW.messages[0], ROW.messages[0]] }), "roles.jsonl:1"],
    ["picture.png", "\x89PNG", "picture.png"],
  ];
  const plan = page.getByTestId("teach-plan");
  for (const [name, text, named] of refused) {
    await page.getByTestId("teach-files").setInputFiles(picked(name, text));
    await page.locator("#teach-plan[data-kind=bad]", { hasText: named }).waitFor({ timeout: 30 * SECOND });
    inChinese(t, await plan.innerText());
    await page.locator("li", { hasText: name }).getByRole("button").click();
  }
  const long = { messages: [ROW.messages[0], { role: "assistant", content: "b ".repeat(90), note: "unread" }] };
  await page.getByTestId("teach-files").setInputFiles(picked("long.jsonl", lines(ROW, long)));
  await page.getByTestId("teach-max-seq-len").fill("24");
  const warnings = page.locator("#teach-warnings li");
  await warnings.filter({ hasText: "note" }).waitFor({ timeout: 30 * SECOND });
  await warnings.filter({ hasText: "最长行" }).waitFor({ timeout: 30 * SECOND });
  for (const warning of await warnings.allInnerTexts()) inChinese(t, warning);
  await page.getByTestId("teach-max-seq-len").fill("100000");
  await page.locator("#teach-plan[data-kind=bad]", { hasText: "100000" }).waitFor({ timeout: 30 * SECOND });
  inChinese(t, await plan.innerText());
});

test("chinese: models and adapters that do not fit", { device: "cpu" }, async (t) => {
  const { page } = t;
  const { file } = await tiny(t.tmp);
  await openInChinese(t, file);
  await t.give("rows.jsonl", JSON.stringify(ROW));
  await t.train({ stage: "lora", data: "rows.jsonl", name: "gone", config: { steps: 1, "max-seq-len": 32 } });
  const [zip] = await t.takeHome({ adapter: "gone" }, { as: "zip" });
  const whole = readFileSync(file);
  await page.getByTestId("tab-models").click();
  for (const [name, buffer] of [["damaged.zip", zip.bytes.subarray(0, 60)], ["half.safetensors", whole.subarray(0, 999)]]) {
    await page.getByTestId("model-drop").setInputFiles({ name, mimeType: "", buffer });
    inChinese(t, await message(t, name));
  }
  const other = Buffer.from(whole);
  // Another weight, and the model is another base. Safetensors: the header's length, the header, the tensors.
  const header = Number(whole.readBigUInt64LE(0));
  const tensors = JSON.parse(whole.subarray(8, 8 + header).toString());
  other[8 + header + tensors["model.embed_tokens.weight"].data_offsets[0] + 2] ^= 1;
  await page.getByTestId("model-drop").setInputFiles({ name: "other.safetensors", mimeType: "", buffer: other });
  await page.locator("#model", { hasText: "other" }).waitFor({ timeout: 30 * SECOND });
  await page.getByTestId("tab-adapters").click();
  await page.getByTestId("adapter-files").setInputFiles({ name: "gone.zip", mimeType: "", buffer: zip.bytes });
  inChinese(t, await message(t, "适配器"));
  await t.picture("chinese-error");
});

test("chinese: counts, times and words are those of the field", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await openInChinese(t, file);
  assert.match(await page.getByTestId("model").innerText(), /^tiny · 2\.8万 参数$/);
  assert.ok(await page.getByRole("heading", { name: "当前模型", exact: true }).isVisible());
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-files").check({ force: true });
  await page.getByTestId("teach-settings").evaluate((details) => (details.open = true));
  assert.ok(await page.locator("label", { hasText: "训练轮数" }).first().isVisible());
  // The pairs of names that Chinese data have.
  const pairs = [["问题", "答案"], ["提问", "回答"], ["指令", "输出"]];
  const rows = pairs.map(([q, a]) => JSON.stringify({ [q]: "谁？", [a]: "露玛。" }));
  await page.getByTestId("teach-files").setInputFiles(picked("数据.jsonl", rows.join("\n"), "utf8"));
  await page.getByTestId("teach-batch-size").fill("1");
  await page.getByTestId("teach-steps").fill("60000");
  const plan = page.locator("#teach-plan[data-kind=good]");
  await plan.filter({ hasText: "6.0万 步" }).waitFor({ timeout: 30 * SECOND });
  assert.match(await plan.innerText(), /3 行.*约 (\d+ (小时|分|秒) ?)+。/);
  await page.getByTestId("teach-steps").fill("3");
  await page.getByTestId("teach-val-split").fill("0.4");
  await plan.filter({ hasText: "3 步" }).waitFor({ timeout: 30 * SECOND });
  await page.getByTestId("teach-start").click();
  await page.locator("#teach-status", { hasText: /完成：3 \/ 3 步。 验证损失 \d/ }).waitFor({ timeout: 60 * SECOND });
  const run = await page.getByTestId("teach-run").innerText();
  assert.match(run, /验证损失/);
  assert.doesNotMatch(run, /held-out|epoch|\bloss\b|\d k\b/i);

  await page.getByTestId("teach-source-paste").check({ force: true });
  for (const [q, a] of pairs) {
    await page.getByTestId("teach-data").fill(`${a},${q}\n露玛。,${q}是谁？`);
    const found = page.locator("#teach-pasted", { hasText: `共 1 组问答，识别为 CSV；第一组：“${q}是谁？”→“露玛。”` });
    await found.waitFor({ timeout: 10 * SECOND });
  }
});

test("chinese: rules and stages are named in Chinese, and rules are read so", { device: "cpu", seconds: 240 }, async (t) => {
  const { page, assert } = t;
  const { file, chats } = await tiny(t.tmp);
  await openInChinese(t, file);
  await page.evaluate(() => {
    const plan = kindling.plan.bind(kindling);
    kindling.plan = (request) => plan((window.planned = request));
  });
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-sample").check({ force: true });
  for (const fold of ["teach-ways", "teach-settings", "teach-finer"]) {
    await page.getByTestId(fold).evaluate((details) => (details.open = true));
  }
  await page.getByTestId("teach-stage-grpo").check({ force: true });
  const reward = page.getByTestId("teach-grpo-reward");
  await page.waitForFunction(() => document.getElementById("teach-grpo-reward").placeholder === "答案:1, 标签:0.5", null, {
    timeout: 20 * SECOND,
  });
  await reward.fill("答案：1，长度:0.5");
  await page.waitForFunction(() => window.planned?.grpo?.reward?.length === 2, null, { timeout: 20 * SECOND });
  assert.deepEqual(await page.evaluate(() => window.planned.grpo.reward), ["answer:1", "length:0.5"]);
  await reward.fill("月亮:1");
  const plan = page.locator("#teach-plan[data-kind=bad]", { hasText: "'月亮' 不是规则；规则有答案、标签、长度、重复" });
  await plan.waitFor({ timeout: 20 * SECOND });
  inChinese(t, await plan.innerText());
  // What was typed before a reload stands there in the page's words.
  await reward.fill("标签:0.5");
  await t.reload();
  await page.getByTestId("tab-teach").click();
  assert.equal(await reward.inputValue(), "标签:0.5");
  // A run that waits is listed by the name of its stage.
  await t.load(file);
  const data = await t.giveFile(chats);
  await page.evaluate(async (data) => {
    let run;
    const onEvent = ({ event, step }) => event === "step" && step === 3 && run.stop();
    const config = { "steps": 5000, "batch-size": 4, "max-seq-len": 64 };
    run = await kindling.train({ stage: "sft", data: testFiles[data], config, onEvent });
    await run.done;
    new BroadcastChannel("kindling").postMessage("runs");
  }, data);
  await page.getByTestId("tab-models").click();
  const listed = page.getByTestId("saved-run");
  await listed.waitFor({ timeout: 20 * SECOND });
  // Behind its own name, which is a word of nobody's language.
  const told = (await listed.innerText()).split("\n").slice(1).join("\n");
  assert.match(told, /微调/);
  assert.doesNotMatch(told, /\bsft\b/);
});

async function openInChinese(t, file) {
  const { page } = t;
  await page.getByTestId("tab-models").click();
  await page.getByTestId("model-drop").setInputFiles(file);
  await page.locator("#model", { hasText: "tiny" }).waitFor({ timeout: 30 * SECOND });
  await page.getByTestId("lang-switch").click();
  t.assert.match(await page.evaluate(() => document.documentElement.lang), /^zh/);
}

function picked(name, text, encoding = "latin1") {
  return { name, mimeType: "", buffer: Buffer.from(text, encoding) };
}

/** The page's message on what went wrong, which holds a word. */
async function message(t, word) {
  const said = t.page.locator(".message[data-kind=bad] #message", { hasText: word });
  await said.waitFor({ timeout: 30 * SECOND });
  return said.innerText();
}

function inChinese(t, text) {
  t.assert.match(text, CHINESE);
  t.assert.doesNotMatch(text, ENGLISH);
}
