// Masked predictors in the page: converted, asked, trained and taken home as the native program does.

import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { losses, sameLosses, test } from "../harness.mjs";
import { lines, log, result, tiny, train } from "../native.mjs";

const CONFIG = { "steps": 20, "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.0005, "log-every": 1, "seed": 7 };
const LORA = { rank: 4, alpha: 8 };
const LORA_FLAGS = ["--lora", "--lora-rank", 4, "--lora-alpha", 8];
const SHARE = 1e-5;
const LONG = { device: "cpu", seconds: 300 };
const PROMPT = [1, 46, 87, 264];
const QUESTION = "Where is the kettle of Oren?";
const NEW = 12;
/** Sampling and unmasking of an answer. */
const WAYS = [
  [{ temperature: 0 }, {}],
  [{ temperature: 0 }, { steps: 5 }],
  [{ temperature: 0 }, { steps: 6, block_length: 4 }],
  [{ temperature: 0 }, { threshold: 0.6 }],
  [{ temperature: 0 }, { steps: 6, cfg_scale: 0.5 }],
  [{ temperature: 0.8, seed: 5 }, { steps: 6 }],
  [{ temperature: 0, seed: 9 }, { steps: 6, remasking: "random" }],
];

/** By the settings of the conversion. */
const made = new Map();

/** The tiny model, converted natively and taught to fill masks: its directory and file, and those of the tiny one. */
function masked(t, ...flags) {
  const key = flags.join(" ");
  if (!made.has(key)) made.set(key, make(t.tmp, flags));
  return made.get(key);
}

async function make(tmp, flags) {
  const own = await tiny(tmp);
  const folder = mkdtempSync(join(tmp, "masked-"));
  const at = (name) => join(folder, name);
  await lines("convert", "--to", "diffusion", "--model", own.dir, "--out", at("converted"), ...flags);
  const steps = ["--steps", 120, "--batch-size", 8, "--max-seq-len", 64, "--learning-rate", 0.005];
  await lines("sft", "--data", own.chats, "--model", at("converted"), "--out", at("model"), ...steps);
  const file = at("masked.safetensors");
  await lines("export", "--to", "single-file", "--model", at("model"), "--out", file);
  return { ...own, parent: own.file, causal: own.dir, converted: at("converted"), dir: at("model"), file };
}

/** Settings by their names in requests as flags. */
function flags(settings) {
  return Object.entries(settings).flatMap(([name, value]) => [`--${name.replaceAll("_", "-")}`, value]);
}

/** Asserts that the page goes on from a prompt as native does, in each of these ways. */
async function sameAnswers(t, dir, ways = WAYS) {
  for (const [sampling, unmask] of ways) {
    const request = { tokens: PROMPT, ...sampling, max_tokens: NEW, ignore_eos: true, unmask };
    const { answer, steps } = await t.page.evaluate(async (request) => {
      const steps = [];
      const answer = await kindling.generate({ ...request, onUnmask: (step) => steps.push(step) });
      return { answer, steps };
    }, request);
    const more = [...flags(sampling), "--max-new-tokens", NEW, "--ignore-eos", ...flags(unmask)];
    const there = await result("generate", "--model", dir, "--tokens", PROMPT.join(","), ...more);
    const what = JSON.stringify([sampling, unmask]);
    t.assert.deepEqual(answer.tokens, there.tokens, what);
    t.assert.equal(answer.tokens.length, NEW, what);
    checkSteps(t, steps, answer.tokens, what);
    t.assert.ok(steps.at(-1).step <= (unmask.steps ?? NEW), `${what}: ${steps.at(-1).step} steps`);
  }
}

/** Asserts that steps fill each place once, with what stands there in the end. */
function checkSteps(t, steps, tokens, what) {
  const filled = steps.flatMap(({ filled }) => filled);
  const ids = [...filled].sort((a, b) => a.place - b.place).map(({ place, id }) => [place, id]);
  t.assert.deepEqual(ids, tokens.map((id, place) => [place, id]), what);
  t.assert.ok(filled.every(({ confidence }) => confidence >= 0 && confidence <= 1), what);
  const numbers = [...new Set(steps.map(({ step }) => step))];
  t.assert.deepEqual(numbers, numbers.map((_, i) => i + 1), `${what}: steps are told in their order`);
  t.assert.ok(steps.every(({ step, steps, canvas_length }) => step <= steps && canvas_length === tokens.length), what);
}

/** What a converted model says of itself, as its native config.json has it. */
function kind(dir) {
  const config = JSON.parse(readFileSync(join(dir, "config.json"), "utf8"));
  const { mask_token_id, block_length = null, shift_logits } = config;
  return { diffusion: { mask_token_id, block_length, shift_logits }, vocabulary: config.vocab_size };
}

for (const [what, options, more] of [
  ["whole", {}, []],
  ["in blocks", { block_length: 4 }, ["--block-length", 4]],
  ["without a shift", { shift_logits: false }, ["--shift-logits", "false"]],
]) {
  test(`diffusion: a model converted ${what} is the one that native makes, and its parent stays`, LONG, async (t) => {
    const { page, assert } = t;
    const { dir, file } = await tiny(t.tmp);
    const parent = await t.load(file);
    const before = await t.greedy(PROMPT, 8);
    const kept = await page.evaluate((o) => kindling.models.convert({ to: "diffusion", ...o }), options);
    assert.equal(kept.name, "tiny (diffusion)");
    assert.ok(kept.notes.some(({ code }) => code.startsWith("convert.mask")), "the mask token is told");
    assert.ok(kept.bytes > 4 * parent.parameters);
    assert.deepEqual(await page.evaluate(() => kindling.model()), parent, "the parent is still the open one");
    assert.deepEqual(await t.greedy(PROMPT, 8), before);
    const second = await page.evaluate(() => kindling.models.convert({ to: "diffusion" }));
    assert.notEqual(second.name, kept.name, "what was converted before stays");
    // A reload keeps it.
    await t.reload();
    assert.ok((await page.evaluate(() => kindling.models.list())).some(({ name }) => name === kept.name));
    const info = await page.evaluate((kept) => kindling.load({ kept }), kept.name);
    const out = join(t.tmp, "converted");
    await lines("convert", "--to", "diffusion", "--model", dir, "--out", out, ...more);
    const { diffusion, vocabulary } = info;
    assert.deepEqual({ diffusion, vocabulary }, kind(out));
    assert.equal(info.card.parent, "tiny");
    assert.deepEqual(info.warnings, []);
    await sameAnswers(t, out, WAYS.slice(0, 2));
    // What goes home opens natively, and is the same.
    const [home] = await t.takeHome({ model: "single-file" });
    const path = join(t.tmp, "home.safetensors");
    writeFileSync(path, home.bytes);
    await sameAnswers(t, path, WAYS.slice(0, 1));
  });
}

test("diffusion: answers equal native's, however masks are filled", LONG, async (t) => {
  const { dir, file, parent } = await masked(t);
  const { diffusion } = await t.load(file);
  t.assert.deepEqual(diffusion, kind(dir).diffusion);
  await sameAnswers(t, dir);
  // As a folder it has LLaDA's own names, and opens again.
  const home = await t.takeHome({ model: "hf" });
  t.assert.equal(JSON.parse(home.find(({ name }) => name === "config.json").bytes).model_type, "llada");
  for (const { name, bytes } of home) await t.give(name, bytes);
  const again = (names) => kindling.load(names.map((name) => testFiles[name]));
  t.assert.deepEqual((await t.page.evaluate(again, home.map(({ name }) => name))).diffusion, diffusion);
  await sameAnswers(t, dir, WAYS.slice(0, 1));
  t.assert.equal("diffusion" in (await t.load(parent)), false, "its parent is none");
});

test("diffusion: answers of a model of blocks equal native's", LONG, async (t) => {
  const { dir, file } = await masked(t, "--block-length", 4);
  t.assert.equal((await t.load(file)).diffusion.block_length, 4);
  await sameAnswers(t, dir, WAYS.filter(([, { block_length }]) => !block_length));
});

test("diffusion: a chat tells its steps and says what native's says, turn by turn", LONG, async (t) => {
  const { page, assert } = t;
  for (const more of [[], ["--block-length", 4]]) {
    const { dir, file } = await masked(t, ...more);
    await t.load(file);
    const request = { messages: [{ role: "user", content: QUESTION }], temperature: 0, max_tokens: 24 };
    const unmask = { steps: 12 };
    const limits = ["--temperature", 0, "--max-new-tokens", 24, "--steps", 12];
    const native = await result("chat", "--model", dir, "--prompt", QUESTION, ...limits);
    const chunks = await page.evaluate(async (request) => {
      const chunks = [];
      const stream = await kindling.chat.completions.create({ ...request, stream: true });
      for await (const chunk of stream) chunks.push(chunk);
      return chunks;
    }, { ...request, unmask });
    assert.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), native.content);
    const steps = chunks.filter(({ unmasked }) => unmasked).map(({ unmasked }) => unmasked);
    assert.ok(steps.length > 1 && steps.every(({ filled }) => filled.length > 0));
    assert.ok(chunks.filter(({ unmasked }) => unmasked).every(({ choices }) => !("content" in choices[0].delta)));
    assert.equal(chunks.at(-1).choices[0].finish_reason, native.finish_reason);
    // A second turn reads again what its cache does not hold, and answers as if it were new.
    const whole = (messages) => page.evaluate(async (request) => {
      const { choices, usage } = await kindling.chat.completions.create(request);
      return [choices[0].message.content, usage.prompt_tokens];
    }, { ...request, messages, unmask });
    const [first] = await whole(request.messages);
    assert.equal(first, native.content);
    const said = { role: "assistant", content: first };
    const turns = [...request.messages, said, { role: "user", content: "Who lives in Velm?" }];
    const second = await whole(turns);
    await t.load(file);
    assert.deepEqual(await whole(turns), second);
  }
});

test("diffusion: what one kind of model cannot do is refused by its name", LONG, async (t) => {
  const { page, assert } = t;
  const { parent, file } = await masked(t);
  await t.load(parent);
  const unmask = (unmask) => t.rejection((unmask) => kindling.generate({ prompt: "a", max_tokens: 2, unmask }), unmask);
  assert.match(await unmask({ steps: 2, threshold: 0.5 }), /--steps.*--threshold/);
  assert.match(await unmask({ stepz: 2 }), /unmask does not support 'stepz'/);
  assert.match(await unmask({ remasking: "best" }), /best/);
  assert.match(await t.rejection(() => kindling.infill({ text: "a ___" })), /predicts the next token/);
  const again = (to) => t.rejection((to) => kindling.models.convert({ to }), to);
  assert.match(await again("causal"), /it can be "diffusion"/);
  const objective = { stage: "sft", config: { "objective": "diffusion" } };
  const data = await t.giveFile((await tiny(t.tmp)).lessons);
  const plan = (more) => t.rejection(([data, more]) => kindling.plan({ ...more, data: testFiles[data] }), [data, more]);
  assert.match(await plan(objective), /diffusion/);
  await t.load(parent, { weights: "q8_0" });
  assert.match(await again("diffusion"), /32-bit floats/);

  await t.load(file);
  const messages = [{ role: "user", content: QUESTION }];
  const chat = (more) => t.rejection((request) => kindling.chat.completions.create(request), { messages, ...more });
  assert.match(await chat({ logprobs: true, top_logprobs: 2 }), /logprobs/);
  assert.match(await unmask({ steps: 0 }), /--steps is 0/);
  assert.match(await unmask({ threshold: 2 }), /--threshold is 2/);
  assert.match(await again("diffusion"), /predicts masked tokens already/);
  assert.match(await t.rejection(() => kindling.infill({ text: "no hole" })), /no hole/);
  const infill = (more) => t.rejection((more) => kindling.infill({ text: "a ___", ...more }), more);
  assert.match(await infill({ max_tokens: 3 }), /infill does not support 'max_tokens'/);
  assert.match(await infill({ hole_tokens: 0 }), /--hole-tokens is 0/);
  assert.match(await plan({ stage: "sft", config: { "objective": "next-token" } }), /next-token/);
  const pairs = '{"prompt": "Who?", "chosen": "Mila.", "rejected": "Nobody."}\n';
  await t.give("pairs.jsonl", Buffer.from(pairs));
  const dpo = () => kindling.plan({ stage: "dpo", data: testFiles["pairs.jsonl"] });
  assert.match(await t.rejection(dpo), /dpo needs a model that predicts the next token/);
  assert.match(await t.rejection(() => kindling.export({ model: "gguf" })), /\.gguf file needs a model that predicts/);
  assert.equal((await page.evaluate(() => kindling.export({ model: "hf" }))).length > 2, true);
});

test("diffusion: an answer is aborted between its steps, and the engine goes on", { device: "cpu" }, async (t) => {
  const { file } = await masked(t);
  await t.load(file);
  const answer = () => t.page.evaluate(async (tokens) => {
    return (await kindling.generate({ tokens, temperature: 0, max_tokens: 8, ignore_eos: true })).tokens;
  }, PROMPT);
  const before = await answer();
  const seen = await t.page.evaluate(async (content) => {
    const heard = {};
    const messages = [{ role: "user", content }];
    for (const kind of ["generate", "stream", "infill"]) {
      const abort = new AbortController();
      const { signal } = abort;
      let steps = 0;
      const onUnmask = () => ++steps === 3 && abort.abort();
      const calls = {
        generate: () => kindling.generate({ prompt: content, max_tokens: 2000, ignore_eos: true, onUnmask, signal }),
        infill: () => kindling.infill({ text: `${content} ___`, hole_tokens: 2000, onUnmask, signal }),
        stream: async () => {
          const request = { messages, max_tokens: 2000, stream: true, signal };
          for await (const { unmasked } of await kindling.chat.completions.create(request)) if (unmasked) onUnmask();
        },
      };
      const ended = await calls[kind]().then(() => "ended", (error) => error.name);
      heard[kind] = [steps, ended];
    }
    return heard;
  }, QUESTION);
  for (const [kind, heard] of Object.entries(seen)) t.assert.deepEqual(heard, [3, "AbortError"], kind);
  t.assert.deepEqual(await answer(), before);
});

test("diffusion: holes are filled as native fills them", LONG, async (t) => {
  const { page, assert } = t;
  const { dir, file } = await masked(t);
  await t.load(file);
  const text = "Mila lives in ___. The ___ of Mila is in Karu.";
  const { filled, given, steps } = await page.evaluate(async (text) => {
    const [seen, steps] = [{}, []];
    const onCanvas = (given) => (seen.given = given);
    const unmask = { steps: 4 };
    const request = { text, hole_tokens: 3, temperature: 0, unmask, onCanvas, onUnmask: (step) => steps.push(step) };
    return { filled: await kindling.infill(request), given: seen.given, steps };
  }, text);
  const more = ["--hole-tokens", 3, "--temperature", 0, "--steps", 4];
  const there = await result("generate", "--model", dir, "--prompt", text, ...more);
  assert.equal(filled.text, there.text);
  assert.equal(filled.holes.length, 2);
  const places = given.flatMap((piece, place) => (piece === null ? [place] : []));
  assert.equal(places.length, 6);
  const said = steps.flatMap(({ filled }) => filled).sort((a, b) => a.place - b.place);
  assert.deepEqual(said.map(({ place }) => place), places, "each hole's place is filled once");
  assert.ok(said.every(({ place, id }) => filled.tokens[place] === id));
  assert.ok(steps.every(({ canvas_length }) => canvas_length === given.length));
  assert.equal(filled.tokens.length, given.length);
  assert.ok(filled.text.endsWith(" of Mila is in Karu."));
});

test("diffusion: the likelihood of a text is estimated as natively", LONG, async (t) => {
  const { assert } = t;
  const tokens = [...PROMPT, 270, 280, 290, 260];
  for (const flags of [[], ["--block-length", 4]]) {
    const { dir, file } = await masked(t, ...flags);
    await t.load(file);
    const request = { tokens, likelihood: { mc: 32, mc_seed: 3 } };
    const here = await t.page.evaluate((request) => kindling.score(request), request);
    const there = await result("score", "--model", dir, "--tokens", tokens.join(","), "--mc", 32, "--mc-seed", 3);
    assert.ok(Math.abs(here.nll - there.nll) <= 1e-4 * there.nll, `${here.nll} here, ${there.nll} natively`);
    assert.deepEqual([here.mc, here.nll_is_bound, here.tokens_scored], [32, true, tokens.length - 1]);
    assert.match(await t.rejection((tokens) => kindling.score({ tokens, logits: true }), tokens), /logits are those/);
  }
  const { parent } = await masked(t);
  await t.load(parent);
  const idle = (tokens) => kindling.score({ tokens, likelihood: { mc: 4 } });
  assert.match(await t.rejection(idle, tokens), /--mc needs a model that predicts masked tokens/);
});

for (const [what, stage, config, request, more] of [
  ["an adapter", "sft", { "objective": "diffusion" }, { adapter: LORA }, LORA_FLAGS],
  ["attention only", "sft", { "loss-weight": "uniform" }, { freeze: ["mlp"] }, ["--freeze", "mlp"]],
  ["all weights on texts", "pretrain", { "objective": "diffusion" }, {}, []],
]) {
  test(`diffusion: the losses of ${stage} by ${what} equal native's`, LONG, async (t) => {
    const { assert } = t;
    const { converted, lessons, stories } = await masked(t);
    const file = join(t.tmp, "converted.safetensors");
    await lines("export", "--to", "single-file", "--model", converted, "--out", file);
    const data = stage === "pretrain" ? stories : lessons;
    const all = { ...CONFIG, ...config, "val-split": 0.1, "eval-every": 10 };
    const out = join(t.tmp, "run");
    const there = await train(stage, out, { model: converted, data, config: all, more });
    await t.load(file);
    const { freeze, ...settings } = request;
    const here = { ...all, ...(freeze && { freeze }) };
    const { events, end } = await t.train({ stage, data: await t.giveFile(data), config: here, ...settings });
    assert.deepEqual([end.step, end.stopped], [20, false]);
    sameLosses(losses(events), there, SHARE);
    for (const kind of ["step", "eval"]) {
      const told = events.filter(({ event }) => event === kind).map(({ metrics }) => metrics.masked_accuracy);
      const logged = log(out).filter(({ event }) => (event ?? "step") === kind).map((line) => line.masked_accuracy);
      assert.ok(told.length > 0 && told.every((share) => share >= 0 && share <= 1), `${kind}: ${told}`);
      assert.equal(told.length, logged.length, kind);
      told.forEach((share, i) => assert.ok(Math.abs(share - logged[i]) < 1e-3, `${kind} ${i}: ${share}, ${logged[i]}`));
    }
    if (!end.lesson) return;
    assert.ok(end.lesson.answers.every(({ before, after }) => typeof before === "string" && typeof after === "string"));
  });
}

for (const [what, settings] of [["an adapter", { adapter: LORA }], ["all weights", {}]]) {
  test(`diffusion: a run by ${what} goes on after a reload, bit for bit`, LONG, async (t) => {
    const { page, assert } = t;
    const { file, lessons } = await masked(t);
    await t.load(file);
    const data = await t.giveFile(lessons);
    const config = { ...CONFIG, "steps": 30, "t-range": "0.1,0.5", "loss-weight": "inverse-t" };
    const request = { stage: "sft", data, config, name: "whole", ...settings };
    const whole = losses((await t.train(request)).events);
    await page.evaluate(() => kindling.adapters.use([]));
    await t.load(file);
    const stopped = await page.evaluate(async (request) => {
      const seen = [];
      const onEvent = (event) => {
        seen.push(event);
        if (event.event === "step" && event.step === 10) run.stop();
      };
      const run = await kindling.train({ ...request, data: testFiles[request.data], onEvent, name: "again" });
      return { id: run.id, end: await run.done, seen };
    }, request);
    assert.ok(stopped.end.stopped && stopped.end.step < 30);
    await t.reload();
    await t.load(file);
    const gone = await page.evaluate(async (id) => {
      const seen = [];
      const run = await kindling.runs.resume(id, (event) => seen.push(event));
      return { end: await run.done, seen };
    }, stopped.id);
    assert.deepEqual([gone.end.step, gone.end.stopped], [30, false]);
    sameLosses(new Map([...losses(stopped.seen), ...losses(gone.seen)]), whole, 0);
    // What it gave is a masked predictor, too.
    const info = await page.evaluate(() => kindling.model());
    assert.equal(info.diffusion.shift_logits, true);
  });
}

test("diffusion: the model that comes with the page is converted, kept and opened", { seconds: 300 }, async (t) => {
  const { page, assert } = t;
  await t.open("cpu", "");
  const parent = await page.evaluate(() => kindling.model());
  const kept = await page.evaluate(() => kindling.models.convert({ to: "diffusion", name: "masked" }));
  assert.equal(kept.name, "masked");
  const info = await page.evaluate(() => kindling.load({ kept: "masked" }));
  assert.equal(info.card.parent, parent.name);
  assert.deepEqual(info.card.questions, parent.card.questions, "what its maker tells of it stays");
  assert.ok(info.diffusion.mask_token_id < info.vocabulary && info.parameters >= parent.parameters);
  const count = await page.evaluate(async (content) => {
    let filled = 0;
    const request = { messages: [{ role: "user", content }], temperature: 0, max_tokens: 16, unmask: { steps: 4 } };
    for await (const { unmasked } of await kindling.chat.completions.create({ ...request, stream: true })) {
      filled += unmasked?.filled.length ?? 0;
    }
    return filled;
  }, QUESTION);
  assert.equal(count, 16);
});

test("diffusion: a masked predictor in few bits is kept, and answers as before", LONG, async (t) => {
  const { page, assert } = t;
  const { file } = await masked(t);
  assert.equal((await t.load(file, { weights: "q8_0" })).weights, "q8_0");
  const answer = () => page.evaluate(async (tokens) => {
    return (await kindling.generate({ tokens, temperature: 0, max_tokens: 8, ignore_eos: true })).tokens;
  }, PROMPT);
  const before = await answer();
  await page.evaluate(() => kindling.models.keep("few"));
  await t.reload();
  const info = await page.evaluate(() => kindling.load({ kept: "few" }, { weights: "q8_0" }));
  assert.equal(typeof info.diffusion.mask_token_id, "number");
  assert.deepEqual(await answer(), before);
});
