// Random reloads, crashes of the worker and closings of the tab in the middle of runs: nothing that was said to be saved
// is lost, every save opens, and the losses go on as if nothing had happened. `bash tests/browser/soak` runs many rounds.

import { losses, sameLosses } from "./harness.mjs";
import { filesBelow, growWhileOpening } from "./files.mjs";
import { tiny } from "./native.mjs";
import { watchMemory } from "./watch.mjs";

const STAGES = ["lora", "sft", "pretrain"];
const STEPS = 60;
const SHAPE = { "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.003 };
const CONFIG = { ...SHAPE, "steps": STEPS, "log-every": 1, "seed": 9 };
const PROMPT = [1, 46, 87, 264];
/** A run is let go to its end after so many interruptions. */
const MOST_BREAKS = 3;

/** Numbers from 0 to below 1, the same for the same seed (mulberry32). */
function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** How a run is interrupted. Each leaves the page open, with a new engine and without a model. */
const BREAKS = {
  reload: (t) => t.reload(),
  async crash(t) {
    const [worker] = t.page.workers();
    // The promise is lost with the worker.
    worker.evaluate(() => setTimeout(() => self.close())).catch(() => {});
    await t.page.waitForTimeout(50);
    await t.page.evaluate(() => kindling.restart());
    await t.page.evaluate(async () => void (await kindling.device()));
  },
  async close(t) {
    const page = await t.context.newPage();
    await t.page.close();
    t.page = page;
    await t.open("cpu");
  },
};

/** Runs the rounds; a round is one interruption. */
export async function soak(t, rounds, seed) {
  const random = randomOf(seed);
  const pick = (list) => list[Math.floor(random() * list.length)];
  t.note(`seed ${seed}`);
  watchMemory(t);
  t.beforeEngine(`(${growWhileOpening})()`);
  await t.open("cpu");
  const fixture = await tiny(t.tmp);
  const expected = {};
  for (const stage of STAGES) expected[stage] = await whole(t, fixture, stage);
  const tally = { broken: {}, runs: {}, opened: 0, anew: 0, steps: 0, grown: 0 };
  const results = [];
  for (let [round, number] = [0, 0]; round < rounds; number += 1) {
    const stage = STAGES[number % STAGES.length];
    t.assert.ok(number <= rounds, "the soak is no test: runs end before they are interrupted");
    const name = `${stage} of round ${round}`;
    const state = { id: null, told: new Map(), saved: 0 };
    for (let breaks = 0; ; breaks += 1) {
      const how = breaks < MOST_BREAKS && round < rounds ? pick(Object.keys(BREAKS)) : null;
      const until = how && state.saved + 1 + Math.floor(random() * (STEPS / 3));
      const saveAt = how && until - Math.floor(random() * 4);
      // The others break off while the save is written, or before that.
      const patient = random() < 0.6;
      const asked = { stage, name, state, until, saveAt, patient, known: expected[stage].warnings };
      if (await advance(t, fixture, asked)) break;
      tally.grown += await grownSoFar(t);
      await BREAKS[how](t);
      tally.broken[`${stage} ${how}`] = (tally.broken[`${stage} ${how}`] ?? 0) + 1;
      round += 1;
      if (round % 10 === 0) console.error(`${round} of ${rounds} interruptions, ${Math.round(performance.now() / 1000)} s`);
      tally[(await afterBreak(t, state, name)) ? "opened" : "anew"] += 1;
    }
    tally.runs[stage] = (tally.runs[stage] ?? 0) + 1;
    const told = new Map([...state.told].sort(([a], [b]) => a - b));
    t.assert.ok(told.has(STEPS) && told.size > STEPS / 2, `${name}: ${told.size} steps were told`);
    sameLosses(told, new Map([...expected[stage].losses].filter(([step]) => told.has(step))), 1e-6);
    tally.steps += told.size;
    tally.grown += await grownSoFar(t);
    results.push({ stage, ...state.end });
    await checkResults(t, fixture, results, expected);
    // What is checked makes room, or two hundred rounds would fill the disk.
    if (results.length >= 3) await forget(t, results.shift());
  }
  t.assert.ok(tally.opened >= rounds / 4, `the soak is no test: ${tally.opened} of ${rounds} interruptions found a save`);
  report(t, tally);
}

/** What a soak that ended well has shown, in numbers. */
function report(t, { broken, runs, opened, anew, steps, grown }) {
  const of = (stage, how) => broken[`${stage} ${how}`] ?? 0;
  const kinds = Object.keys(BREAKS);
  const cells = (first, ...rest) => [first.padEnd(8), ...rest.map((cell) => String(cell).padStart(8))].join(" ");
  t.note(`nothing lost, every save opens, resumed losses equal: ${opened + anew} interruptions`);
  t.note(cells("", "runs", ...kinds));
  for (const stage of STAGES) t.note(cells(stage, runs[stage] ?? 0, ...kinds.map((how) => of(stage, how))));
  t.note(`${opened} saves were listed, read and trained on; ${anew} runs had none yet, and began anew the same`);
  t.note(`${steps} steps had the losses of runs that nothing interrupted, within a millionth`);
  t.note(`the engine's memory grew ${grown} times while a file was being opened`);
}

/** How often the memory of the engine of now grew while it opened a file. */
async function grownSoFar(t) {
  const [worker] = t.page.workers();
  return (await worker.evaluate(() => self.grown)) ?? 0;
}

/** A run that nothing interrupts: its losses, and what its result says. */
async function whole(t, fixture, stage) {
  await t.load(fixture.file);
  const { events, end } = await t.train(await request(t, fixture, stage, `whole ${stage}`));
  const said = await t.greedy(PROMPT, 12);
  await forget(t, { stage, name: end.adapter ?? end.model });
  return { losses: losses(events), said, warnings: warningsOf(events) };
}

function warningsOf(events) {
  return events.filter(({ event }) => event === "warning").map(({ message }) => message);
}

async function request(t, { lessons, stories }, stage, name) {
  const data = await t.giveFile(stage === "pretrain" ? stories : lessons);
  return { stage, data, config: CONFIG, lora: stage === "lora" ? { rank: 4, alpha: 8 } : undefined, name };
}

/**
 * Begins a run or goes on with it, until its end or until a step, saving a little before that; who is `patient` waits until
 * it is saved. Returns whether it ended; what it told goes into `state`. Of warnings it may give none but the `known` ones
 * of such a run.
 */
async function advance(t, fixture, { stage, name, state, until, saveAt, patient, known }) {
  if (!state.id) await t.load(fixture.file);
  const asked = state.id ? { id: state.id } : await request(t, fixture, stage, name);
  const told = await t.page.evaluate(goUntil, [asked, until, saveAt, patient]);
  state.id = told.id;
  for (const [step, loss] of losses(told.events)) {
    const before = state.told.get(step);
    // A step that is taken once more gives the same.
    if (before !== undefined) sameLosses(new Map([[step, loss]]), new Map([[step, before]]), 1e-6);
    state.told.set(step, loss);
  }
  const saves = told.events.filter(({ event }) => event === "save").map(({ step }) => step);
  state.saved = Math.max(state.saved, ...saves);
  const odd = warningsOf(told.events).filter((message) => !known.includes(message) && !/begins anew/.test(message));
  t.assert.deepEqual(odd, []);
  if (told.end) state.end = { name: told.end.adapter ?? told.end.model, kept: told.end.kept };
  return Boolean(told.end);
}

/** In the page: trains until a step or to the end, while other work lets the memory grow. */
async function goUntil([asked, until, saveAt, patient]) {
  const events = [];
  let [run, reached, saved] = [null, null, false];
  const far = new Promise((done) => (reached = done));
  const onEvent = (event) => {
    events.push(event);
    // What comes before the run stands are warnings.
    if (!run) return;
    if (event.event === "save" && !saveAt) saved = true;
    if (event.event !== "step") return;
    if (saveAt && event.step >= saveAt) {
      saveAt = null;
      run.save();
    }
    if (until && event.step >= until && (saved || !patient)) reached(null);
  };
  run = asked.id
    ? await kindling.runs.resume(asked.id, onEvent)
    : await kindling.train({ ...asked, data: testFiles[asked.data], onEvent });
  // A longer row each time, so that the module's memory grows beside the saves.
  const rows = (length) => {
    const text = JSON.stringify({ text: "word ".repeat(length) });
    return { name: "rows.jsonl", bytes: new TextEncoder().encode(text) };
  };
  let growing = true;
  const grow = (async () => {
    for (let length = 1000; growing; length = Math.min(2 * length, 16_000)) {
      await kindling.preview({ stage: "pretrain", data: rows(length), rows: 1 }).catch(() => {});
      await new Promise((later) => setTimeout(later, 20));
    }
  })();
  const end = await Promise.race([far, run.done]);
  growing = false;
  if (end) await grow;
  return { id: run.id, events: [...events], end };
}

/** What was said to be saved is there, whole, and opens; whether there was a save. */
async function afterBreak(t, state, name) {
  const list = await t.page.evaluate(() => kindling.runs.list());
  const saved = list.find(({ id }) => id === state.id);
  t.assert.ok(saved, `${name}: the run is lost; listed are ${JSON.stringify(list)}`);
  t.assert.ok(saved.step >= state.saved, `${name}: saved at step ${state.saved}, listed at ${saved.step}`);
  t.assert.equal(saved.name, name);
  t.assert.equal(saved.total_steps, STEPS);
  state.saved = saved.step;
  if (saved.step === 0) return false;
  const files = await t.takeHome({ run: state.id });
  for (const file of files) t.assert.ok(file.bytes.length > 0, `${name}: ${file.name} is empty`);
  return true;
}

/** All results are listed, and those of the model that fits say what an uninterrupted run's say. */
async function checkResults(t, fixture, results, expected) {
  await t.reload();
  const adapters = await t.page.evaluate(() => kindling.adapters.list());
  const models = await t.page.evaluate(() => kindling.models.list());
  for (const { stage, name, kept } of results) {
    t.assert.equal(kept, true, name);
    const list = stage === "lora" ? adapters : models;
    t.assert.ok(list.some((one) => one.name === name), `${name} is lost; listed are ${JSON.stringify(list)}`);
  }
  const { stage, name } = results.at(-1);
  if (stage === "lora") {
    await t.load(fixture.file);
    await t.page.evaluate((name) => kindling.adapters.use([{ name }]), name);
  } else {
    await t.page.evaluate((kept) => kindling.load({ kept }), name);
  }
  const said = await t.greedy(PROMPT, 12);
  t.assert.deepEqual(said, expected[stage].said, `${name} answers as one that was never interrupted`);
  for (const [path, size] of Object.entries(await filesBelow(t, "runs"))) t.assert.ok(size > 0, `${path} is empty`);
}

async function forget(t, { stage, name }) {
  const kind = stage === "lora" ? "adapters" : "models";
  await t.page.evaluate(([kind, name]) => kindling[kind].remove(name), [kind, name]);
}
