// A reload in the middle of a run loses nothing that was saved.

import { losses, sameLosses, test } from "../harness.mjs";
import { tiny } from "../native.mjs";

const STEPS = 300;
const SAVE_AT = 10;
const SHAPE = { "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.003 };
const CONFIG = { ...SHAPE, "steps": STEPS, "log-every": 1, "seed": 11 };

for (const [what, stage, earlier] of [["a lora run", "lora"], ["an sft run", "sft"], ["an earlier page's lora run", "lora", true]]) {
  test(`reload: ${what} goes on as if nothing had happened`, { device: "cpu", seconds: 240 }, async (t) => {
    const { page, assert } = t;
    const { file, lessons } = await tiny(t.tmp);
    await t.load(file);
    const request = { stage, data: await t.giveFile(lessons), config: CONFIG, name: "kept" };
    const whole = losses((await t.train(request)).events);
    assert.equal(whole.size, STEPS);

    await t.reload();
    await t.load(file);
    await t.giveFile(lessons);
    const id = await page.evaluate(begin, [request, SAVE_AT]);
    await page.waitForFunction(() => window.savedStep !== undefined);
    const step = await page.evaluate(() => window.savedStep);
    await t.reload();
    if (earlier) await page.evaluate(makeEarlier, id);

    const [saved, ...others] = await page.evaluate(() => kindling.runs.list());
    assert.deepEqual(others, []);
    const { model, ...others_of_it } = saved;
    assert.equal(typeof model, "string");
    assert.deepEqual(others_of_it, { id, stage: "sft", adapter: stage === "lora", name: "kept", step, total_steps: STEPS });
    const rest = await goOn(t, id, file);
    const expected = new Map([...whole].filter(([at]) => at > step));
    assert.ok(expected.size > 0 && expected.size < STEPS);
    sameLosses(losses(rest.events), expected, 1e-6);
    assert.deepEqual([rest.end.step, rest.end.stopped], [STEPS, false]);
    assert.deepEqual(await page.evaluate(() => kindling.runs.list()), [], "a finished run does not wait to go on");
  });
}

test("reload: a saved run can be thrown away", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file, lessons } = await tiny(t.tmp);
  await t.load(file);
  const request = { stage: "lora", data: await t.giveFile(lessons), config: { ...CONFIG, "steps": 5000 } };
  const id = await page.evaluate(begin, [request, 2]);
  await page.waitForFunction(() => window.savedStep !== undefined);
  await t.reload();
  assert.equal((await page.evaluate(() => kindling.runs.list())).length, 1);
  await page.evaluate((id) => kindling.runs.remove(id), id);
  assert.deepEqual(await page.evaluate(() => kindling.runs.list()), []);
  await t.rejection((id) => kindling.runs.resume(id), id);
});

test("reload: a kept model is still there", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const before = await t.greedy([1, 46, 87, 264], 12);
  await page.evaluate(() => kindling.models.keep("mine 我的/1"));
  await t.reload();
  const [kept, ...others] = await page.evaluate(() => kindling.models.list());
  assert.deepEqual([kept.name, others.length], ["mine 我的/1", 0]);
  assert.ok(kept.bytes > 100_000);
  await page.evaluate(() => kindling.load({ kept: "mine 我的/1" }));
  assert.deepEqual(await t.greedy([1, 46, 87, 264], 12), before);
  await page.evaluate(() => kindling.models.remove("mine 我的/1"));
  assert.deepEqual(await page.evaluate(() => kindling.models.list()), []);
  assert.match(await t.rejection(() => kindling.load({ kept: "mine 我的/1" })), /mine/);
});

/** In the page: begins a run and saves it after a step; `savedStep` tells when that is done. Returns the run's id. */
export async function begin([request, saveAt]) {
  const onEvent = ({ event, step }) => {
    if (event === "step" && step === saveAt) run.save();
    if (event === "save") window.savedStep = step;
  };
  const run = await kindling.train({ ...request, data: testFiles[request.data], onEvent });
  return run.id;
}

/** In the page: makes of a run's job what pages kept that knew `lora` as a stage. */
async function makeEarlier(id) {
  const runs = await (await navigator.storage.getDirectory()).getDirectoryHandle("runs");
  const handle = await (await runs.getDirectoryHandle(id)).getFileHandle("job.json");
  const { training: { adapter, ...training }, ...job } = JSON.parse(await (await handle.getFile()).text());
  const file = await handle.createWritable();
  await file.write(JSON.stringify({ ...job, training: { ...training, stage: "lora", lora: adapter } }));
  await file.close();
}

/** Resumes; a run that needs its model opened first must say so. */
export async function goOn(t, id, file) {
  const attempt = () => t.page.evaluate(async (id) => {
    const events = [];
    const run = await kindling.runs.resume(id, (event) => events.push(event));
    return { end: await run.done, events };
  }, id);
  try {
    return await attempt();
  } catch (error) {
    t.assert.match(error.message, /open .*model|model .*open|load/i);
    await t.load(file);
    return attempt();
  }
}

test("reload: a run outlives a crash of the GPU process", { device: "webgpu", seconds: 900, errors: /device|GPU|poisoned|lost/i }, async (t) => {
  const { page, assert } = t;
  const { file, hints } = await tiny(t.tmp);
  await t.load(file);
  const data = await t.giveFile(hints);
  await page.evaluate(async (data) => {
    window.seen = [];
    kindling.onCrash = (message) => window.seen.push(`crash: ${message}`);
    const onEvent = (event) => {
      window.seen.push(event.event);
      if (event.step === 1 && event.event === "step") run.save();
    };
    const config = { "steps": 60, "batch-size": 2, "max-seq-len": 32 };
    const run = await kindling.train({ stage: "lora", data: testFiles[data], config, onEvent });
    run.done.catch((error) => window.seen.push(`ended: ${error.message}`));
  }, data);
  await page.waitForFunction(() => window.seen.includes("save"), null, { timeout: 600_000 });
  const devtools = await t.context.newCDPSession(page);
  // The answer is lost with the process.
  await devtools.send("Browser.crashGpuProcess").catch(() => {});
  await page.waitForFunction(() => window.seen.some((line) => line.startsWith("ended")), null, { timeout: 100_000 });
  const told = await page.evaluate(() => window.seen.filter((line) => /^(crash|ended)/.test(line)).join("\n"));
  assert.match(told, /graphics device is lost/);
  assert.match(told, /[Rr]estart/);
  await page.evaluate(() => kindling.restart());
  const [saved] = await page.evaluate(() => kindling.runs.list());
  assert.ok(saved.step >= 1 && saved.total_steps === 60);
  const step = await page.evaluate(async (id) => {
    let first;
    const reached = new Promise((done) => (first = done));
    const run = await kindling.runs.resume(id, (event) => event.event === "step" && first(event.step));
    const step = await reached;
    run.stop();
    await run.done;
    return step;
  }, saved.id);
  assert.equal(step, saved.step + 1, "it goes on after the last save");
});
