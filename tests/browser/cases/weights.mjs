// Models whose matrices are held in few bits: the same numbers as natively; they are kept, and adapters learn beside them.

import { basename, join } from "node:path";

import { losses, sameLosses, test } from "../harness.mjs";
import { sameTokens, tiny, train } from "../native.mjs";
import { sameScores } from "./generation.mjs";
import { begin, goOn } from "./reload.mjs";

const BITS = ["q8_0", "q4_0"];
const PROMPT = [1, 46, 87, 264];
const CONFIG = { "steps": 20, "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.003, "log-every": 1, "seed": 7 };

for (const weights of BITS) {
  test(`weights: log-probabilities in ${weights} equal native's, cpu`, { device: "cpu" }, (t) =>
    sameScores(t, 1e-4, weights));
  test(`weights: log-probabilities in ${weights} equal native's, webgpu`, { device: "webgpu" }, (t) =>
    sameScores(t, 1e-3, weights));
}

test("weights: greedy tokens in few bits equal native's, cpu", { device: "cpu" }, async (t) => {
  const { dir, file } = await tiny(t.tmp);
  for (const weights of BITS) {
    await t.load(file, { weights });
    await sameTokens(t, dir, PROMPT, 16, { more: ["--weights", weights] });
  }
  const odd = (name) => kindling.load(testFiles[name], { weights: "q3" });
  t.assert.match(await t.rejection(odd, basename(file)), /q3|variant/);
});

test("weights: a model in few bits is kept so, and opens as the same", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.load(file);
  await page.evaluate(() => kindling.models.keep("whole"));
  const sizes = {};
  for (const weights of BITS) {
    await t.load(file, { weights });
    const before = await t.greedy(PROMPT, 12);
    await page.evaluate((name) => kindling.models.keep(name), weights);
    await t.reload();
    for (const { name, bytes } of await page.evaluate(() => kindling.models.list())) sizes[name] = bytes;
    const info = await page.evaluate((kept) => kindling.load({ kept }, { weights: kept }), weights);
    assert.equal(info.weights, weights);
    assert.deepEqual(await t.greedy(PROMPT, 12), before);
  }
  // The vocabulary stands beside the weights in each of them.
  assert.ok(sizes.q4_0 < sizes.q8_0 && sizes.q8_0 < sizes.whole, JSON.stringify(sizes));
});

test("weights: an adapter learns beside few bits as natively, over a reload too", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { dir, file, lessons } = await tiny(t.tmp);
  const more = ["--weights", "q8_0"];
  const native = await train("lora", join(t.tmp, "run"), { model: dir, data: lessons, config: CONFIG, more });
  await t.load(file, { weights: "q8_0" });
  const request = { stage: "lora", data: await t.giveFile(lessons), config: CONFIG, name: "beside" };
  sameLosses(losses((await t.train(request)).events), native, 1e-3);

  const full = (data) => kindling.train({ stage: "sft", data: testFiles[data] });
  assert.match(await t.rejection(full, request.data), /few bits/);

  const id = await page.evaluate(begin, [request, 8]);
  await page.waitForFunction(() => window.savedStep !== undefined);
  const step = await page.evaluate(() => window.savedStep);
  await t.reload();
  const rest = await goOn(t, id, file);
  sameLosses(losses(rest.events), new Map([...native].filter(([at]) => at > step)), 1e-3);
  assert.equal((await page.evaluate(() => kindling.model())).weights, "q8_0");
  // The adapter belongs to the model in any bits.
  const files = await t.takeHome({ adapter: "beside" });
  await t.load(file);
  for (const { name, bytes } of files) await t.give(name, bytes);
  const add = (names) => kindling.adapters.add("again", names.map((name) => testFiles[name]));
  const [added] = await page.evaluate(add, files.map(({ name }) => name));
  assert.equal(added.name, "again");
});
