// A run travels: begun natively, continued in the page, finished natively. Directories travel as a .zip.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { losses, sameLosses, test } from "../harness.mjs";
import { greedy, lines, log, result, sameTokens, tiny, train } from "../native.mjs";
import { zip } from "../zip.mjs";

const CONFIG = { "steps": 90, "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.003, "log-every": 1, "seed": 7 };
const SHARE = 1e-3;
const TOKENS = [1, 46, 87, 264, 270, 280, 260];

test("travel: native, page, native: one run", { device: "cpu" }, async (t) => {
  const { dir, lessons } = await tiny(t.tmp);
  const at = (name) => join(t.tmp, name);
  const whole = await train("sft", at("whole"), { model: dir, data: lessons, config: CONFIG });
  const more = ["--stop-after", 10];
  const begun = await train("sft", at("begun"), { model: dir, data: lessons, config: CONFIG, more });
  await lines("export", "--to", "single-file", "--model", at("begun"), "--out", at("begun.safetensors"));

  const [run, data] = [await t.giveFile(at("begun.safetensors")), await t.giveFile(lessons)];
  const page = await t.page.evaluate(goOn, ["sft", run, data, 20]);
  t.assert.deepEqual([page.saved.step, page.saved.total_steps], [10, 90]);
  t.assert.ok(page.end.stopped && page.end.step >= 20, `stopped at step ${page.end.step}`);
  const [home, ...others] = await t.takeHome({ run: page.saved.id });
  t.assert.deepEqual(others, []);
  writeFileSync(at("page.safetensors"), home.bytes);

  const from = ["--model", at("page.safetensors"), "--stage", "sft", "--data", lessons, "--out", at("finished")];
  await lines("import", ...from);
  await lines("sft", "--resume", "--out", at("finished"));
  const steps = log(at("finished")).filter((line) => !line.event);
  const finished = new Map(steps.map((line) => [line.step, line.loss]));
  const all = new Map([...begun, ...losses(page.events), ...finished]);
  t.assert.equal(all.size, 90);
  sameLosses(all, whole, SHARE);
});

test("travel: a run is refused without its state or its data", { device: "cpu" }, async (t) => {
  const { file, lessons } = await tiny(t.tmp);
  const [data, other] = [await t.giveFile(lessons), await t.giveFile(file)];
  const refused = (source, data) =>
    t.page.evaluate(async ([source, data]) => {
      const files = (name) => (name ? testFiles[name] : []);
      return kindling.runs.import(files(source), { stage: "sft", data: files(data) }).then(() => "", (e) => e.message);
    }, [source, data]);
  t.assert.match(await refused(other, null), /data/);
  t.assert.match(await refused(data, data), /is no model/);
  t.assert.deepEqual(await t.page.evaluate(() => kindling.runs.list()), []);
});

test("travel: a model goes home as .gguf and answers natively as here", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const sizes = {};
  for (const weights of ["f32", "f16", "bf16", "q8_0", "q4_0"]) {
    const [gguf, ...others] = await t.takeHome({ model: "gguf" }, { weights });
    assert.deepEqual([gguf.name, gguf.bytes.toString("latin1", 0, 4), others], ["tiny.gguf", "GGUF", []]);
    sizes[weights] = gguf.bytes.length;
    writeFileSync(join(t.tmp, `${weights}.gguf`), gguf.bytes);
  }
  assert.ok(sizes.q4_0 < sizes.q8_0 && sizes.q8_0 < sizes.f16 && sizes.f16 < sizes.f32, JSON.stringify(sizes));
  assert.equal(sizes.f16, sizes.bf16);
  const [usual] = await t.takeHome({ model: "gguf" });
  assert.ok(usual.bytes.equals(readFileSync(join(t.tmp, "f16.gguf"))), "16 bits where nothing was chosen");
  await sameTokens(t, join(t.tmp, "f32.gguf"), TOKENS, 16);
  for (const weights of ["q8_0", "q4_0"]) {
    await t.load(file, { weights });
    const [blocks] = await t.takeHome({ model: "gguf" });
    assert.equal(blocks.bytes.length, sizes[weights], "blocks stay blocks");
    const path = join(t.tmp, `blocks-${weights}.gguf`);
    writeFileSync(path, blocks.bytes);
    await sameTokens(t, path, TOKENS, 16, { more: ["--weights", weights] });
  }
  await t.load(join(t.tmp, "f16.gguf"));
  await sameTokens(t, join(t.tmp, "f16.gguf"), TOKENS, 16);
  const home = ([what, options]) => kindling.export(what, options);
  assert.match(await t.rejection(home, [{ model: "hf" }, { weights: "q8_0" }]), /weights belongs to .*gguf/);
  assert.match(await t.rejection(home, [{ model: "gguf" }, { weights: "q3_k" }]), /q3_k/);
  assert.match(await t.rejection(home, [{ model: "onnx" }, {}]), /single-file, hf and gguf/);
});

test("travel: an adapter's run goes on from its .zip", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file, lessons } = await tiny(t.tmp);
  await t.load(file);
  const request = { stage: "lora", data: await t.giveFile(lessons), config: { ...CONFIG, "steps": 40 }, name: "home" };
  const whole = losses((await t.train(request)).events);
  const { id, step } = await page.evaluate(begin, [request, 10]);
  const [home, ...others] = await t.takeHome({ run: id }, { as: "zip" });
  assert.deepEqual([home.name, others], [`${id}.zip`, []]);
  await page.evaluate((id) => kindling.runs.remove(id), id);

  await t.reload();
  await t.load(file);
  await t.give(home.name, home.bytes);
  await t.giveFile(lessons);
  const { saved, events, end } = await page.evaluate(goOn, ["lora", home.name, request.data, 40]);
  assert.deepEqual([saved.step, saved.total_steps, end.step, end.stopped], [step, 40, 40, false]);
  const rest = new Map([...whole].filter(([at]) => at > step));
  assert.ok(rest.size > 0 && rest.size < 40);
  sameLosses(losses(events), rest, 1e-6);
});

test("travel: a run knows what its data are written in, and may be told", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const row = (i) => ({ messages: [
    { role: "user", content: `Où est la clé ${i} ?` }, { role: "assistant", content: `Dans le café n° ${i}.` },
  ] });
  const rows = Array.from({ length: 24 }, (_, i) => JSON.stringify(row(i)) + "\n").join("");
  await t.give("rows.jsonl", Buffer.from(rows, "latin1"));
  const request = { stage: "lora", data: "rows.jsonl", config: { ...CONFIG, "steps": 30 }, name: "clé" };
  const plan = (request) => kindling.plan({ ...request, data: testFiles[request.data] });
  assert.match(await t.rejection(plan, request), /UTF-8/, "the fixture is no test: it needs no encoding");
  const encoded = { ...request, encoding: "windows-1252" };
  const whole = losses((await t.train(encoded)).events);
  const { id, step } = await page.evaluate(begin, [encoded, 10]);
  const [home] = await t.takeHome({ run: id }, { as: "zip" });
  await page.evaluate((id) => kindling.runs.remove(id), id);
  await t.give(home.name, home.bytes);
  const { events, end } = await page.evaluate(goOn, ["lora", home.name, "rows.jsonl", 30]);
  assert.deepEqual([end.step, end.stopped], [30, false]);
  sameLosses(losses(events), new Map([...whole].filter(([at]) => at > step)), 1e-6);
  // Data that were written anew are read as they are said to be.
  const other = async ([home, encoding]) => {
    const told = { stage: "lora", data: testFiles["rows.jsonl"], encoding };
    const { id } = await kindling.runs.import(testFiles[home], told);
    return kindling.runs.resume(id);
  };
  assert.match(await t.rejection(other, [home.name, "utf-8"]), /no(t| ) utf-8|UTF-8/i);
  await t.give("rows.jsonl", Buffer.from(rows, "utf8"));
  const resumed = async ([home, encoding]) => {
    const told = { stage: "lora", data: testFiles["rows.jsonl"], encoding };
    const { id } = await kindling.runs.import(testFiles[home], told);
    return (await (await kindling.runs.resume(id)).done).step;
  };
  assert.equal(await page.evaluate(resumed, [home.name, "utf-8"]), 30);
});

test("travel: files and folders open where they are dropped", { device: "cpu" }, async (t) => {
  const { dir, file, lessons } = await tiny(t.tmp);
  const folder = join(t.tmp, "a folder");
  await lines("export", "--to", "hf", "--weights-only", "--model", dir, "--out", folder);
  // As transformers 5 saves it: this file wins over what tokenizer_config.json holds.
  writeFileSync(join(folder, "chat_template.jinja"), "{% for m in messages %}[{{ m.role }}] {{ m.content }}<|im_end|>{% endfor %}");
  await t.page.getByTestId("tab-models").click();
  const zone = t.page.locator("label.drop", { has: t.page.getByTestId("model-drop") });
  const devtools = await t.context.newCDPSession(t.page);
  for (const [path, name] of [[file, "tiny"], [folder, "a folder"]]) {
    await zone.scrollIntoViewIfNeeded();
    const { x, y, width, height } = await zone.boundingBox();
    const data = { items: [], files: [path], dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"]) {
      await devtools.send("Input.dispatchDragEvent", { type, x: x + width / 2, y: y + height / 2, data });
    }
    await t.page.locator("#model", { hasText: name }).waitFor({ timeout: 30_000 });
    t.assert.deepEqual(await t.greedy(TOKENS, 12), await greedy(dir, TOKENS, 12));
  }
  const preview = async (name) => {
    const { rows } = await kindling.preview({ stage: "sft", data: testFiles[name], rows: 1 });
    return rows[0].tokens.map(({ text }) => text).join("");
  };
  const said = await t.page.evaluate(preview, await t.giveFile(lessons));
  t.assert.ok(said.startsWith("[user] "), said);
});

test("travel: a .gguf of the native program opens", { device: "cpu" }, async (t) => {
  const { dir } = await tiny(t.tmp);
  const path = join(t.tmp, "tiny.gguf");
  await lines("export", "--to", "gguf", "--weights", "q8_0", "--model", dir, "--out", path);
  t.assert.equal((await t.load(path)).name, "tiny");
  t.assert.deepEqual(await t.greedy(TOKENS, 12), await greedy(path, TOKENS, 12));
});

test("travel: a model goes home as a .zip, which opens here and natively", { device: "cpu" }, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const [home, ...others] = await t.takeHome({ model: "hf" }, { as: "zip" });
  assert.deepEqual([home.name, others], ["tiny.zip", []]);
  const [path, folder] = [join(t.tmp, home.name), join(t.tmp, "unpacked")];
  writeFileSync(path, home.bytes);
  const { nll } = await page.evaluate((tokens) => kindling.score({ tokens }), TOKENS);
  for (const model of unpack(path, folder) ? [path, folder] : [path]) {
    const there = await result("score", "--model", model, "--tokens", TOKENS.join(","));
    assert.ok(Math.abs(nll - there.nll) < 1e-3, `nll ${nll} here, ${there.nll} of ${model}`);
  }

  const before = await t.greedy(TOKENS, 12);
  const files = await t.takeHome({ model: "hf" });
  const names = files.map(({ name }) => name);
  for (const name of ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"]) {
    assert.ok(names.includes(name), `${name} is among ${names}`);
  }
  // Only a file's own name counts, so that no other part of it leads anywhere.
  const places = ["../../", "/etc/", "a model/", "C:\\"];
  const odd = zip(files.map(({ name, bytes }, i) => ({ name: places[i % places.length] + name, bytes })));
  for (const [name, bytes] of [["again.zip", home.bytes], ["odd.zip", odd]]) {
    await t.give(name, bytes);
    await page.evaluate((name) => kindling.load(testFiles[name]), name);
    assert.deepEqual(await t.greedy(TOKENS, 12), before, name);
  }
});

/** Unpacks an archive with what this machine has; false where it has nothing. */
function unpack(archive, folder) {
  const ways = [["python3", "-m", "zipfile", "-e", archive, folder], ["unzip", archive, "-d", folder]];
  for (const [program, ...words] of ways) {
    try {
      execFileSync(program, words, { stdio: "ignore" });
      return true;
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
    }
  }
  return false;
}

/** In the page: begins a run and stops it after so many steps; where it stands. */
async function begin([request, last]) {
  const onEvent = ({ event, step }) => event === "step" && step >= last && run.stop();
  const run = await kindling.train({ ...request, data: testFiles[request.data], onEvent });
  return run.done;
}

/** In the page: takes a run in, and trains until `last`. */
async function goOn([stage, run, data, last]) {
  const saved = await kindling.runs.import(testFiles[run], { stage, data: testFiles[data] });
  const events = [];
  let going;
  const onEvent = (event) => {
    events.push(event);
    if (event.event === "step" && event.step >= last) going.stop();
  };
  going = await kindling.runs.resume(saved.id, onEvent);
  return { saved, events, end: await going.done };
}
