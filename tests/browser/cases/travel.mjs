// A run travels: begun natively, continued in the page, finished natively.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { losses, sameLosses, test } from "../harness.mjs";
import { lines, log, tiny, train } from "../native.mjs";

const CONFIG = { "steps": 90, "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.003, "log-every": 1, "seed": 7 };
const SHARE = 1e-3;

test("travel: native, page, native: one run", { device: "cpu" }, async (t) => {
  const { dir, lessons } = await tiny(t.tmp);
  const at = (name) => join(t.tmp, name);
  const whole = await train("sft", at("whole"), { model: dir, data: lessons, config: CONFIG });
  const begun = await train("sft", at("begun"), { model: dir, data: lessons, config: CONFIG, more: ["--stop-after", 10] });
  await lines("export", "--to", "single-file", "--model", at("begun"), "--out", at("begun.safetensors"));

  const [run, data] = [await t.giveFile(at("begun.safetensors")), await t.giveFile(lessons)];
  const page = await t.page.evaluate(goOn, [run, data, 20]);
  t.assert.deepEqual([page.saved.step, page.saved.total_steps], [10, 90]);
  t.assert.ok(page.end.stopped && page.end.step >= 20, `stopped at step ${page.end.step}`);
  t.assert.equal(page.files.length, 1);
  writeFileSync(at("page.safetensors"), Buffer.from(page.files[0].bytes));

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

/** In the page: takes the run, trains until `last`, and takes it home. */
async function goOn([run, data, last]) {
  const saved = await kindling.runs.import(testFiles[run], { stage: "sft", data: testFiles[data] });
  const events = [];
  let going;
  const onEvent = (event) => {
    events.push(event);
    if (event.event === "step" && event.step >= last) going.stop();
  };
  going = await kindling.runs.resume(saved.id, onEvent);
  const end = await going.done;
  const files = await kindling.export({ run: saved.id });
  return { saved, events, end, files: files.map(({ name, bytes }) => ({ name, bytes: Array.from(bytes) })) };
}
