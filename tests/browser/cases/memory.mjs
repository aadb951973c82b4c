// Long work needs no more memory than short work.

import { test } from "../harness.mjs";
import { tiny } from "../native.mjs";

/** What may come on top: WebAssembly's memory never shrinks, and its holes are not always filled again. */
const SLACK = 4 << 20;

/** In the worker, before its own code: keeps hold of the module's memory. */
const WATCH = `
for (const name of ["instantiate", "instantiateStreaming"]) {
  const original = WebAssembly[name];
  WebAssembly[name] = async (...args) => {
    const made = await original.apply(WebAssembly, args);
    self.watched = (made.instance ?? made).exports.memory;
    return made;
  };
}`;

test("memory: 200 steps need no more than 50", { seconds: 240 }, async (t) => {
  const { chats } = await openWatched(t);
  const data = await t.giveFile(chats);
  const config = { "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.003 };
  const train = async (steps) => {
    await t.train({ stage: "lora", data, config: { ...config, steps }, name: "again" });
    await t.page.evaluate(() => kindling.adapters.remove("again"));
  };
  await train(50);
  const early = await used(t);
  await train(200);
  const late = await used(t);
  t.assert.ok(late - early <= SLACK, `${early} bytes after 50 steps, ${late} after 250`);
});

test("memory: many answers and many loads need no more than few", { seconds: 240 }, async (t) => {
  await openWatched(t);
  const work = (rounds) => t.page.evaluate(async (rounds) => {
    const [source] = Object.values(testFiles);
    for (let i = 0; i < rounds; i += 1) {
      await kindling.load(source);
      await kindling.generate({ tokens: [1, 46, 87], max_tokens: 64, ignore_eos: true });
    }
  }, rounds);
  await work(5);
  const early = await used(t);
  await work(40);
  const late = await used(t);
  t.assert.ok(late - early <= SLACK, `${early} bytes after 5 rounds, ${late} after 45`);
});

/** Opens the page on the processor and loads the tiny model. */
async function openWatched(t) {
  t.beforeEngine(WATCH);
  await t.open("cpu");
  const fixture = await tiny(t.tmp);
  await t.load(fixture.file);
  return fixture;
}

/** The size of the engine's memory, in bytes. */
async function used(t) {
  const [worker] = t.page.workers();
  const bytes = await worker.evaluate(() => self.watched?.buffer.byteLength);
  t.assert.ok(bytes > 0, "the engine's memory is seen");
  return bytes;
}
