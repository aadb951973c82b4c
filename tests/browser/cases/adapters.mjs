// Adapters travel: trained in the page, used and merged natively, and back.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { test } from "../harness.mjs";
import { greedy, lines, tiny } from "../native.mjs";

const CONFIG = { "steps": 40, "batch-size": 8, "max-seq-len": 64, "learning-rate": 0.02, "seed": 3 };
const PROMPT = [1, 46, 87, 264];

/** Rows that contradict what the model knows, so that an adapter that acts is heard. */
function contrary() {
  const row = (i) => ({ messages: [
    { role: "user", content: `Where is the ${["lantern", "kettle"][i % 2]} of ${["Mila", "Oren", "Tavi"][i % 3]}?` },
    { role: "assistant", content: "Gone, gone, all gone to Zyx." },
  ] });
  return Array.from({ length: 24 }, (_, i) => JSON.stringify(row(i)) + "\n").join("");
}

test("adapters: trained in the page, the same natively, alone and merged", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { dir, file } = await tiny(t.tmp);
  await t.load(file);
  const base = await t.greedy(PROMPT, 16);
  await t.give("contrary.jsonl", contrary());
  const request = { stage: "lora", data: "contrary.jsonl", config: CONFIG, lora: { rank: 4, alpha: 8 }, name: "gone" };
  const { end } = await t.train(request);
  assert.equal(end.adapter, "gone");
  const adapted = await t.greedy(PROMPT, 16);
  assert.notDeepEqual(adapted, base, "the adapter is heard");

  const adapter = await takeHome(t, "gone");
  assert.deepEqual(await greedy(dir, PROMPT, 16, "--adapter", adapter), adapted, "native with --adapter");
  const merged = join(t.tmp, "merged");
  await lines("merge", "--model", dir, "--adapter", adapter, "--out", merged);
  assert.deepEqual(await greedy(merged, PROMPT, 16), adapted, "native, merged");

  const [info] = await page.evaluate(() => kindling.adapters.list());
  assert.deepEqual([info.name, info.rank, info.active, info.strength], ["gone", 4, true, 1]);
  assert.ok(info.parameters > 0);
});

test("adapters: on, off, weaker, removed and added again", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const base = await t.greedy(PROMPT, 16);
  await t.give("contrary.jsonl", contrary());
  await t.train({ stage: "lora", data: "contrary.jsonl", config: CONFIG, lora: { rank: 4, alpha: 8 }, name: "gone" });
  const adapted = await t.greedy(PROMPT, 16);
  const use = (active) => page.evaluate((active) => kindling.adapters.use(active), active);

  assert.equal((await use([]))[0].active, false);
  assert.deepEqual(await t.greedy(PROMPT, 16), base, "off");
  assert.equal((await use([{ name: "gone", strength: 0 }]))[0].strength, 0);
  assert.deepEqual(await t.greedy(PROMPT, 16), base, "at strength 0");
  assert.equal((await use([{ name: "gone" }]))[0].strength, 1);
  assert.deepEqual(await t.greedy(PROMPT, 16), adapted, "on again");

  const answers = await page.evaluate(async () => {
    const messages = [{ role: "user", content: "Where is the kettle of Oren?" }];
    const say = async (adapters) => {
      const request = { messages, temperature: 0, max_tokens: 24, adapters };
      return (await kindling.chat.completions.create(request)).choices[0].message.content;
    };
    const answers = { active: await say("active"), base: await say("base"), again: await say("active") };
    await kindling.adapters.use([]);
    return { ...answers, off: await say("active") };
  });
  assert.equal(answers.again, answers.active);
  assert.equal(answers.base, answers.off);
  assert.notEqual(answers.base, answers.active);

  const back = await page.evaluate(async () => {
    const files = await kindling.export({ adapter: "gone" });
    const none = await kindling.adapters.remove("gone");
    await kindling.adapters.add("back", files);
    return { none, list: await kindling.adapters.use([{ name: "back" }]) };
  });
  assert.deepEqual(back.none, []);
  assert.deepEqual(back.list.map(({ name, active }) => [name, active]), [["back", true]]);
  assert.deepEqual(await t.greedy(PROMPT, 16), adapted, "added from its files");
});

test("adapters: one trained natively acts in the page", { device: "cpu" }, async (t) => {
  const { dir, file } = await tiny(t.tmp);
  const [data, out] = [join(t.tmp, "contrary.jsonl"), join(t.tmp, "run")];
  writeFileSync(data, contrary());
  const flags = Object.entries(CONFIG).flatMap(([name, value]) => [`--${name}`, value]);
  await lines("lora", "--model", dir, "--data", data, "--out", out, "--lora-rank", 4, "--lora-alpha", 8, ...flags);
  await t.load(file);
  const base = await t.greedy(PROMPT, 16);
  for (const name of ["adapter_config.json", "adapter_model.safetensors"]) await t.giveFile(join(out, name));
  await t.page.evaluate(async () => {
    await kindling.adapters.add("native", Object.values(testFiles).filter(({ name }) => name.startsWith("adapter_")));
    await kindling.adapters.use([{ name: "native" }]);
  });
  const adapted = await t.greedy(PROMPT, 16);
  t.assert.notDeepEqual(adapted, base);
  t.assert.deepEqual(adapted, await greedy(dir, PROMPT, 16, "--adapter", out));
});

test("adapters: one goes home as a .zip, and acts from it here and natively", { device: "cpu" }, async (t) => {
  const { assert } = t;
  const { dir, file } = await tiny(t.tmp);
  await t.load(file);
  await t.give("contrary.jsonl", contrary());
  await t.train({ stage: "lora", data: "contrary.jsonl", config: CONFIG, lora: { rank: 4, alpha: 8 }, name: "gone" });
  const adapted = await t.greedy(PROMPT, 16);
  const [zip, ...others] = await t.takeHome({ adapter: "gone" }, { as: "zip" });
  assert.deepEqual([zip.name, others], ["gone.zip", []]);
  const path = join(t.tmp, zip.name);
  writeFileSync(path, zip.bytes);
  assert.deepEqual(await greedy(dir, PROMPT, 16, "--adapter", path), adapted, "native with --adapter");

  await t.reload();
  await t.load(file);
  assert.notDeepEqual(await t.greedy(PROMPT, 16), adapted);
  await t.give(zip.name, zip.bytes);
  const list = await t.page.evaluate((name) => kindling.adapters.add("back", [testFiles[name]]), zip.name);
  assert.deepEqual(list.map(({ name, active }) => [name, active]), [["back", true], ["gone", false]]);
  assert.deepEqual(await t.greedy(PROMPT, 16), adapted, "in a page that never trained it");
});

/** Writes an adapter of the page into a directory. */
async function takeHome(t, name) {
  const files = await t.takeHome({ adapter: name });
  const names = files.map((file) => file.name);
  for (const name of ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "chat_template.jinja"]) {
    t.assert.ok(names.includes(name), `${name} is among ${names}`);
  }
  const folder = join(t.tmp, name);
  mkdirSync(folder);
  for (const file of files) writeFileSync(join(folder, file.name), file.bytes);
  return folder;
}
