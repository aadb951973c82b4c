// What computes, and what an engine that is closed or without a model says.

import { test } from "../harness.mjs";

test("device: cpu when asked for", { device: "cpu" }, async ({ page, assert }) => {
  const device = await page.evaluate(() => kindling.device());
  assert.equal(device.kind, "cpu");
  assert.ok(device.name.length > 0, "it has a name");
});

test("device: webgpu when asked for", { device: "webgpu" }, async ({ page, assert }) => {
  const device = await page.evaluate(() => kindling.device());
  assert.equal(device.kind, "webgpu", device.notice);
  assert.ok(device.name.length > 0, "it has a name");
});

test("device: without WebGPU the processor, and why", {}, async (t) => {
  const without = (scope) => `Object.defineProperty(${scope}.prototype, "gpu", { get: () => undefined })`;
  await t.page.addInitScript(without("Navigator"));
  t.beforeEngine(without("WorkerNavigator"));
  await t.open();
  const device = await t.page.evaluate(() => kindling.device());
  t.assert.equal(device.kind, "cpu");
  t.assert.match(device.notice ?? "", /WebGPU/);
});

test("engine: without a model it says so", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  assert.equal(await page.evaluate(() => kindling.model()), null);
  assert.deepEqual(await page.evaluate(() => kindling.adapters.list()), []);
  const messages = [
    await t.rejection(() => kindling.generate({ prompt: "a" })),
    await t.rejection(() => kindling.chat.completions.create({ messages: [{ role: "user", content: "a" }] })),
    await t.rejection(() => kindling.score({ text: "a" })),
    await t.rejection(() => kindling.export({ model: "single-file" })),
  ];
  for (const message of messages) assert.match(message, /model/i);
});

test("engine: closing fails what is open, restarting opens anew", { device: "cpu" }, async (t) => {
  const outcome = await t.page.evaluate(async () => {
    const open = kindling.runs.list().then(() => "answered", (error) => error.message);
    kindling.close();
    const after = await kindling.model().then(() => "answered", (error) => error.message);
    kindling.restart();
    return { open: await open, after, device: (await kindling.device()).kind };
  });
  t.assert.match(outcome.open, /closed/);
  t.assert.match(outcome.after, /restart/);
  t.assert.equal(outcome.device, "cpu");
});
