// Masked predictors in the page: converted, asked, filled in and taken home as the native program does. How they train is
// in diffusion_training.mjs.

import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { test } from "../harness.mjs";
import { PROMPT, WAYS, kind, masked, sameAnswers } from "../masked.mjs";
import { lines, result, tiny } from "../native.mjs";

const LONG = { device: "cpu", seconds: 300 };
const QUESTION = "Where is the kettle of Oren?";

for (const [what, options, more, called] of [
  ["whole", {}, [], "tiny (diffusion)"],
  ["in blocks", { block_length: 4 }, ["--block-length", 4], "tiny (diffusion, blocks of 4)"],
  ["without a shift", { shift_logits: false }, ["--shift-logits", "false"], "tiny (diffusion, unshifted)"],
]) {
  test(`diffusion: a model converted ${what} is the one that native makes, and its parent stays`, LONG, async (t) => {
    const { page, assert } = t;
    const { dir, file } = await tiny(t.tmp);
    const parent = await t.load(file);
    const before = await t.greedy(PROMPT, 8);
    const kept = await page.evaluate((o) => kindling.models.convert({ to: "diffusion", ...o }), options);
    assert.deepEqual([kept.name, kept.known], [called, false]);
    assert.ok(kept.notes.some(({ code }) => code.startsWith("convert.mask")), "the mask token is told");
    assert.ok(kept.bytes > 4 * parent.parameters);
    assert.deepEqual(await page.evaluate(() => kindling.model()), parent, "the parent is still the open one");
    assert.deepEqual(await t.greedy(PROMPT, 8), before);
    const again = (more) => page.evaluate((o) => kindling.models.convert({ to: "diffusion", ...o }), { ...options, ...more });
    const { name, known, bytes } = await again({});
    assert.deepEqual([name, known, bytes], [called, true, kept.bytes], "an equal one is not kept twice");
    assert.equal((await again({ name: "mine" })).known, false, "under a name of its own it is");
    assert.deepEqual(await again({ name: "mine" }), { ...kept, name: "mine", known: true });
    const other = await again({ block_length: 8 });
    assert.equal(other.known, false, "what was converted otherwise is another one");
    const all = (await page.evaluate(() => kindling.models.list())).map(({ name }) => name).sort();
    assert.deepEqual(all, [called, "mine", other.name].sort());
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
  const told = async () => {
    const codes = [];
    await kindling.export({ model: "hf" }, { onWarning: (_, { code }) => codes.push(code) });
    return codes;
  };
  t.assert.deepEqual(await t.page.evaluate(told), ["llada.shifted"], "what LLaDA's code does otherwise is told");
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
        generate: () => kindling.generate({ prompt: content, max_tokens: 400, ignore_eos: true, onUnmask, signal }),
        infill: () => kindling.infill({ text: `${content} ___`, hole_tokens: 400, onUnmask, signal }),
        stream: async () => {
          const request = { messages, max_tokens: 400, stream: true, signal };
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
