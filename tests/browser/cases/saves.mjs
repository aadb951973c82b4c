// A run's saves: whole or skipped, whatever happens while they are written; nothing that is damaged breaks a list.

import { readFileSync } from "node:fs";

import { losses, sameLosses, test } from "../harness.mjs";
import { damage, drop, filesBelow, growWhileOpening, loseAnswers, put, read, tear } from "../files.mjs";
import { tiny } from "../native.mjs";
import { watchMemory } from "../watch.mjs";

const SHAPE = { "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.003, "log-every": 1, "seed": 5 };
const PROMPT = [1, 46, 87, 264];
const LONG = { device: "cpu", seconds: 240 };

for (const stage of ["lora", "sft", "pretrain"]) {
  test(`saves: a ${stage} run's are whole though the memory grows meanwhile`, { seconds: 480 }, async (t) => {
    watchMemory(t);
    t.beforeEngine(`(${growWhileOpening})()`);
    await t.open("cpu");
    const { page, assert } = t;
    const { file, lessons, stories } = await tiny(t.tmp);
    await t.load(file);
    const data = await t.giveFile(stage === "pretrain" ? stories : lessons);
    const request = { stage, data, config: { ...SHAPE, "steps": 400 }, name: "grown" };
    const whole = losses((await t.train(request)).events);
    await t.reload();
    await t.load(file);
    await t.giveFile(stage === "pretrain" ? stories : lessons);
    const id = await page.evaluate(beginSaving, [request, [8, 16]]);
    const sizes = await filesBelow(t, `runs/${id}`);
    const lists = Object.keys(sizes).filter((path) => path.endsWith("save.json"));
    assert.equal(lists.length, 2, JSON.stringify(sizes));
    for (const [path, size] of Object.entries(sizes)) assert.ok(size > 0, `${path} is empty`);
    const last = await page.evaluate(() => window.savedSteps.at(-1));
    await t.reload();
    const [saved, ...others] = await page.evaluate(() => kindling.runs.list());
    assert.deepEqual([saved.id, saved.damaged, others], [id, undefined, []]);
    assert.equal(saved.step, last);
    const rest = await goOn(t, id);
    assert.deepEqual(rest.warnings, []);
    sameLosses(rest.losses, new Map([...whole].filter(([step]) => step > saved.step)), 1e-6);
  });
}

test("saves: what the browser leaves without an answer is asked again", { seconds: 120 }, async (t) => {
  t.beforeEngine(`(${loseAnswers})()`);
  await t.open("cpu");
  const { file, lessons } = await tiny(t.tmp);
  await t.load(file);
  const request = { stage: "lora", data: await t.giveFile(lessons), config: { ...SHAPE, "steps": 3 }, name: "unanswered" };
  const { events, end } = await t.train(request);
  t.assert.equal(await t.page.workers()[0].evaluate(() => self.lost), 2);
  const odd = events.filter(({ event, code }) => event === "warning" && !code.startsWith("data."));
  t.assert.deepEqual(odd, []);
  t.assert.equal(end.kept, true);
  await t.reload();
  const kept = await t.page.evaluate(() => kindling.adapters.list());
  t.assert.deepEqual(kept.map(({ name }) => name), ["unanswered"]);
});

test("saves: a torn or changed one is named, and the run goes on from the one before", LONG, async (t) => {
  const { page, assert } = t;
  const { file, lessons } = await tiny(t.tmp);
  await t.load(file);
  const request = { stage: "lora", data: await t.giveFile(lessons), config: { ...SHAPE, "steps": 400 }, name: "torn" };
  const whole = losses((await t.train(request)).events);
  for (const spoil of [tear, damage]) {
    await t.reload();
    await t.load(file);
    await t.giveFile(lessons);
    const id = await page.evaluate(beginSaving, [request, [8, 16]]);
    await t.reload();
    const places = await Promise.all([0, 1].map(async (place) => {
      const path = `runs/${id}/${place}`;
      return { path, step: await stepIn(t, path) };
    }));
    const [older, newer] = places.sort((a, b) => a.step - b.step);
    assert.ok(older.step > 0 && newer.step > older.step, `${older.step}, ${newer.step}`);
    await spoil(t, `${newer.path}/training/optimizer.safetensors`);
    const [listed] = await page.evaluate(() => kindling.runs.list());
    if (spoil === tear) {
      assert.equal(listed.step, older.step);
      assert.match(listed.damaged.map(({ message }) => message).join(), /optimizer\.safetensors has 0 of \d+ bytes/);
    }
    const rest = await goOn(t, id);
    assert.match(rest.warnings.join(), /optimizer\.safetensors/);
    sameLosses(rest.losses, new Map([...whole].filter(([step]) => step > older.step)), 1e-6);
  }
});

test("saves: what is empty or missing is named, deletes nothing and breaks no list", LONG, async (t) => {
  const { page, assert } = t;
  const { file, lessons } = await tiny(t.tmp);
  await t.load(file);
  const data = await t.giveFile(lessons);
  const ids = [];
  for (const name of ["good", "job", "lists", "data"]) {
    const request = { stage: "lora", data, config: { ...SHAPE, "steps": 5000 }, name };
    ids.push(await page.evaluate(beginSaving, [request, [3, 6]]));
    await t.page.evaluate(() => window.going.stop());
    await t.page.evaluate(() => window.going.done);
  }
  await t.reload();
  await tear(t, `runs/${ids[1]}/job.json`);
  for (const place of [0, 1]) await tear(t, `runs/${ids[2]}/${place}/save.json`);
  const [row] = Object.keys(await filesBelow(t, `runs/${ids[3]}/data`));
  await tear(t, `runs/${ids[3]}/data/${row}`);
  const before = await filesBelow(t, "runs");

  const list = await page.evaluate(() => kindling.runs.list());
  assert.deepEqual(list.map(({ id }) => id), [...ids].sort());
  const of = (id) => list.find((run) => run.id === id);
  assert.deepEqual([of(ids[0]).name, of(ids[0]).damaged], ["good", undefined]);
  assert.match(of(ids[1]).damaged.map(({ message }) => message).join(), /job\.json/);
  assert.match(of(ids[2]).damaged.map(({ message }) => message).join(), /save\.json/);
  for (const [id, words] of [[ids[1], /job\.json/], [ids[2], /save\.json/], [ids[3], /data\/0000/]]) {
    assert.match(await t.rejection((id) => kindling.runs.resume(id), id), words);
  }
  // A run that begins makes room, and takes none of these for leftovers.
  await t.load(file);
  await t.giveFile(lessons);
  await t.train({ stage: "lora", data, config: { ...SHAPE, "steps": 3 }, name: "new" });
  const after = await filesBelow(t, "runs");
  for (const path of Object.keys(before)) assert.equal(after[path], before[path], path);
  await page.evaluate((id) => kindling.runs.remove(id), ids[1]);
  assert.ok(!(await page.evaluate(() => kindling.runs.list())).some(({ id }) => id === ids[1]));
});

test("saves: a run that was never saved begins anew, the same", LONG, async (t) => {
  const { page, assert } = t;
  const { file, lessons } = await tiny(t.tmp);
  for (const stage of ["lora", "sft"]) {
    await t.load(file);
    const request = { stage, data: await t.giveFile(lessons), config: { ...SHAPE, "steps": 100 }, name: stage };
    const whole = losses((await t.train(request)).events);
    await t.load(file);
    const id = await page.evaluate(async (request) => {
      const run = await kindling.train({ ...request, data: testFiles[request.data] });
      return run.id;
    }, request);
    await t.reload();
    const [listed] = await page.evaluate(() => kindling.runs.list());
    assert.deepEqual([listed.id, listed.step, listed.total_steps], [id, 0, 100]);
    const rest = await goOn(t, id);
    sameLosses(rest.losses, whole, 1e-6);
  }
});

test("saves: those of an older page open, whatever became of its markers", LONG, async (t) => {
  const { page, assert } = t;
  const { file, lessons } = await tiny(t.tmp);
  await t.load(file);
  const request = { stage: "lora", data: await t.giveFile(lessons), config: { ...SHAPE, "steps": 300 }, name: "old" };
  const whole = losses((await t.train(request)).events);
  for (const state of ["whole", "torn"]) {
    const id = await page.evaluate(beginSaving, [request, [7]]);
    await t.reload();
    const [{ step }] = await page.evaluate(() => kindling.runs.list());
    for (const place of [0, 1]) await drop(t, `runs/${id}/${place}/save.json`).catch(() => {});
    const paths = Object.keys(await filesBelow(t, `runs/${id}`));
    const places = paths.filter((path) => /^[01]\/training\/progress/.test(path));
    const steps = await Promise.all(places.map((path) => stepIn(t, `runs/${id}/${path[0]}`)));
    const place = Number(places[steps.indexOf(step)][0]);
    const marker = JSON.stringify({ place, step, total_steps: 300 });
    await put(t, `runs/${id}/state.json`, state === "whole" ? marker : "");
    const [listed] = await page.evaluate(() => kindling.runs.list());
    assert.deepEqual([listed.id, listed.step], [id, step], state);
    assert.equal(listed.damaged === undefined, state === "whole");
    const rest = await goOn(t, id);
    sameLosses(rest.losses, new Map([...whole].filter(([at]) => at > step)), 1e-6);
    await t.load(file);
    await t.giveFile(lessons);
  }

  await t.load(file);
  const said = await t.greedy(PROMPT, 8);
  for (const name of ["torn", "empty", "good"]) await page.evaluate((name) => kindling.models.keep(name), name);
  for (const [name, marker] of [["torn", ""], ["empty", "0"]]) {
    await drop(t, `models/${name}/0/save.json`);
    await put(t, `models/${name}/whole`, marker);
  }
  await tear(t, "models/empty/0/model.safetensors");
  const models = await page.evaluate(() => kindling.models.list());
  assert.deepEqual(models.map(({ name }) => name).sort(), ["empty", "good", "torn"]);
  assert.match(models.find(({ name }) => name === "empty").damaged.message, /whole/);
  await t.rejection(() => kindling.load({ kept: "empty" }));
  for (const name of ["torn", "good"]) {
    await page.evaluate((kept) => kindling.load({ kept }), name);
    assert.deepEqual(await t.greedy(PROMPT, 8), said, name);
  }
});

/** How a browser may write other bytes than it was given, though it says that it did as asked. */
const SPOILT = ["a byte is another", "the end is missing"];

for (const how of SPOILT) {
  test(`saves: one that the disk holds otherwise is none, and the one before stays: ${how}`, LONG, async (t) => {
    const { page, assert } = t;
    const { file, lessons } = await tiny(t.tmp);
    await t.load(file);
    const request = { stage: "lora", data: await t.giveFile(lessons), config: { ...SHAPE, "steps": 100 }, name: "spoiled" };
    const whole = losses((await t.train(request)).events);
    const id = await page.evaluate(beginSaving, [request, [8]]);
    const step = await page.evaluate(() => window.savedSteps.at(-1));
    const before = await filesBelow(t, `runs/${id}`);
    const [worker] = page.workers();
    await worker.evaluate(spoilWrites, how === SPOILT[0]);
    const told = await page.evaluate(async () => {
      const heard = new Promise((done) => (window.heardNext = done));
      window.going.save();
      return heard;
    });
    assert.equal(told.event, "warning", JSON.stringify(told));
    assert.match(told.message, new RegExp(`step ${step} was not saved: .*(other bytes|bytes were written)`));
    await worker.evaluate(() => self.mend());
    for (const [path, size] of Object.entries(before)) {
      assert.equal((await filesBelow(t, `runs/${id}`))[path], size, `${path} is as it was`);
    }
    await t.reload();
    const [listed] = await page.evaluate(() => kindling.runs.list());
    assert.deepEqual([listed.id, listed.step], [id, step]);
    const rest = await goOn(t, id);
    sameLosses(rest.losses, new Map([...whole].filter(([at]) => at > step)), 1e-6);
  });
}

/** In the worker: files hold other bytes than were written, until `mend`. */
function spoilWrites(whole) {
  const of = FileSystemSyncAccessHandle.prototype;
  const { write } = of;
  of.write = function (bytes, options) {
    const other = whole ? bytes.slice() : bytes.subarray(0, bytes.length >> 1);
    if (whole) other[other.length - 1] ^= 1;
    write.call(this, other, options);
    return bytes.length;
  };
  self.mend = () => void (of.write = write);
}

test("saves: the first comes by itself within seconds, and an adapter's holds no model", LONG, async (t) => {
  const { page, assert } = t;
  const { file, lessons } = await tiny(t.tmp);
  await t.load(file);
  const data = await t.giveFile(lessons);
  const { id, seconds, step } = await page.evaluate(async ([data, config]) => {
    let began;
    let saved;
    const first = new Promise((done) => (saved = done));
    const onEvent = ({ event, step }) => {
      if (event === "step") began ??= performance.now();
      if (event === "save") saved({ step, seconds: (performance.now() - began) / 1000 });
    };
    window.going = await kindling.train({ stage: "lora", data: testFiles[data], config, onEvent });
    return { id: window.going.id, ...(await first) };
  }, [data, { ...SHAPE, "steps": 50_000 }]);
  t.note(`saved at step ${step}, ${seconds.toFixed(1)} s after the first`);
  assert.ok(seconds < 20, `the first save came after ${seconds} s`);
  await page.evaluate(() => window.going.stop());
  await page.evaluate(() => window.going.done);
  const paths = Object.keys(await filesBelow(t, `runs/${id}`)).filter((path) => /^[01]\//.test(path));
  assert.ok(paths.some((path) => path.endsWith("adapter_model.safetensors")), `${paths}`);
  assert.deepEqual(paths.filter((path) => path.endsWith("/model.safetensors")), [], "what is saved again is small");
});

test("saves: what the page asks for is written before training goes on", LONG, async (t) => {
  const { page, assert } = t;
  const { file, lessons } = await tiny(t.tmp);
  await t.load(file);
  const data = await t.giveFile(lessons);
  const saves = await page.evaluate(async ([data, config]) => {
    const saves = [];
    let [last, asked, heard] = [0, 0, null];
    const onEvent = ({ event, step }) => {
      if (event === "step") last = step;
      // One that comes by itself may still be under way.
      if (event === "save" && asked > 0 && step >= asked) heard({ step, last });
    };
    const run = await kindling.train({ stage: "sft", data: testFiles[data], config, onEvent });
    for (let i = 0; i < 3; i += 1) {
      while (last < asked + 10) await new Promise((later) => setTimeout(later, 10));
      asked = last;
      const begun = performance.now();
      const saved = new Promise((done) => (heard = done));
      run.save();
      saves.push({ ...(await saved), seconds: (performance.now() - begun) / 1000 });
      asked = last;
    }
    run.stop();
    await run.done;
    return saves;
  }, [data, { ...SHAPE, "steps": 50_000 }]);
  t.note(saves.map(({ step, seconds }) => `step ${step} in ${seconds.toFixed(2)} s`).join(", "));
  for (const { step, last } of saves) assert.ok(last - step <= 1, `step ${step} was saved as step ${last} was taken`);
});

test("saves: what a page gives away stays its own", { device: "cpu" }, async (t) => {
  const { file } = await tiny(t.tmp);
  const name = await t.giveFile(file);
  const lengths = await t.page.evaluate(async (name) => {
    const bytes = await testFiles[name].arrayBuffer();
    await kindling.load({ name, bytes });
    const view = new Uint8Array(bytes);
    await kindling.load({ name, bytes: view });
    return [bytes.byteLength, view.length];
  }, name);
  const { length } = readFileSync(file);
  t.assert.deepEqual(lengths, [length, length]);
});

/**
 * In the page: begins a run, saves it after steps, and lets it pause after the last of them, which saves, too. Returns
 * the run's id.
 */
async function beginSaving([request, saveAt]) {
  window.savedSteps = [];
  let paused;
  const all = new Promise((done) => (paused = done));
  const wanted = [...saveAt];
  let waiting = false;
  const onEvent = ({ event, step, message }) => {
    if (event === "save" || event === "warning") window.heardNext?.({ event, message });
    if (event === "save" && waiting) {
      window.savedSteps.push(step);
      waiting = false;
      if (wanted.length === 0) paused();
    } else if (event === "step" && !waiting && step >= wanted[0]) {
      wanted.shift();
      waiting = true;
      if (wanted.length > 0) window.going.save();
      else window.going.pause();
    }
  };
  window.going = await kindling.train({ ...request, data: testFiles[request.data], onEvent });
  await all;
  return window.going.id;
}

/** Resumes to the end. */
async function goOn(t, id) {
  const { events, end } = await t.page.evaluate(async (id) => {
    const events = [];
    const run = await kindling.runs.resume(id, (event) => events.push(event));
    return { end: await run.done, events };
  }, id);
  t.assert.equal(end.step, end.total_steps);
  const warnings = events.filter(({ event }) => event === "warning").map(({ message }) => message);
  return { losses: losses(events), warnings, end };
}

/** The step that a save itself tells. */
async function stepIn(t, path) {
  return JSON.parse(await read(t, `${path}/training/progress.json`)).step;
}
