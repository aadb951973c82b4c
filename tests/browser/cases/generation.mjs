// The page and the native program compute the same: greedy tokens, log-probabilities, chat answers.

import { test } from "../harness.mjs";
import { result, sameTokens, tiny } from "../native.mjs";

const PROMPTS = [[1, 46, 87, 264], [270, 280, 290, 260, 265], [40, 41, 42, 43, 44, 45, 46, 47]];
const QUESTION = "Where is the kettle of Oren?";

test("generation: greedy tokens equal native's, cpu", { device: "cpu" }, async (t) => {
  const { dir, file } = await tiny(t.tmp);
  const info = await t.load(file);
  const { page, assert } = t;
  assert.deepEqual([info.layers, info.hidden, info.vocabulary, info.chat], [2, 32, 300, true]);
  assert.deepEqual(await page.evaluate(() => kindling.model()), info);
  for (const prompt of PROMPTS) await sameTokens(t, dir, prompt, 16);
});

test("generation: greedy tokens equal native's, webgpu", { device: "webgpu" }, async (t) => {
  const { dir, file } = await tiny(t.tmp);
  await t.load(file);
  await sameTokens(t, dir, PROMPTS[2], 16);
});

test("generation: log-probabilities equal native's, cpu", { device: "cpu" }, (t) => sameScores(t, 1e-4));

test("generation: log-probabilities equal native's, webgpu", { device: "webgpu" }, (t) => sameScores(t, 1e-3));

test("generation: a chat answers as native does, streamed or whole", { device: "cpu" }, async (t) => {
  const { dir, file } = await tiny(t.tmp);
  await t.load(file);
  const flags = ["--temperature", 0, "--max-new-tokens", 32];
  const native = await result("chat", "--model", dir, "--prompt", QUESTION, ...flags);
  const { whole, pieces } = await t.page.evaluate(async (content) => {
    const request = { messages: [{ role: "user", content }], temperature: 0, max_tokens: 32 };
    const whole = await kindling.chat.completions.create({ ...request, logprobs: true, top_logprobs: 3 });
    const pieces = [];
    for await (const chunk of await kindling.chat.completions.create({ ...request, stream: true })) pieces.push(chunk);
    return { whole, pieces };
  }, QUESTION);
  const { assert } = t;
  const [choice] = whole.choices;
  assert.equal(choice.message.content, native.content);
  assert.equal(choice.finish_reason, native.finish_reason);
  assert.equal(whole.object, "chat.completion");
  const { prompt_tokens, completion_tokens, total_tokens } = whole.usage;
  assert.ok(prompt_tokens > 0 && completion_tokens > 0 && total_tokens === prompt_tokens + completion_tokens);
  for (const { logprob, top_logprobs } of choice.logprobs.content) {
    assert.equal(top_logprobs.length, 3);
    assert.ok(logprob <= 0 && Math.abs(logprob - top_logprobs[0].logprob) < 1e-6, "greedy takes the most likely");
  }
  assert.ok(choice.logprobs.content.length > 0);
  assert.equal(pieces.map((chunk) => chunk.choices[0].delta.content ?? "").join(""), native.content);
  assert.ok(pieces.every((chunk) => chunk.object === "chat.completion.chunk"));
  assert.equal(pieces.at(-1).choices[0].finish_reason, native.finish_reason);
  assert.deepEqual(pieces.at(-1).usage.completion_tokens, completion_tokens);
});

test("generation: the same seed gives the same text, another another", { device: "cpu" }, async (t) => {
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const texts = await t.page.evaluate(async () => {
    const texts = [];
    for (const seed of [5, 5, 6]) {
      texts.push((await kindling.generate({ prompt: "Mila lives", temperature: 1.2, max_tokens: 24, seed })).text);
    }
    return texts;
  });
  t.assert.equal(texts[0], texts[1]);
  t.assert.notEqual(texts[0], texts[2]);
});

test("generation: it can be stopped half-way", { device: "cpu" }, async (t) => {
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const most = 8000;
  const stopped = await t.page.evaluate(async (max_tokens) => {
    const abort = new AbortController();
    let heard = 0;
    const request = { tokens: [1, 46, 87], temperature: 0, max_tokens, ignore_eos: true, signal: abort.signal };
    request.onText = () => ++heard === 3 && abort.abort();
    const ended = await kindling.generate(request).then((answer) => answer.tokens.length, (error) => error.name);
    return { heard, ended };
  }, most);
  t.assert.ok(stopped.heard >= 3, "text came while it was made");
  t.assert.equal(stopped.ended, "AbortError");
  t.assert.equal((await t.greedy([1, 46, 87], 4)).length, 4);
});

/** `weights` is what the matrices are held as. */
export async function sameScores(t, most, weights = "f32") {
  const { dir, file } = await tiny(t.tmp);
  const more = weights === "f32" ? [] : ["--weights", weights];
  t.assert.equal((await t.load(file, { weights })).weights, weights);
  const tokens = PROMPTS.flat();
  const there = await result("score", "--model", dir, "--tokens", tokens.join(","), "--logits", ...more);
  const here = await t.page.evaluate((tokens) => kindling.score({ tokens, logits: true }), tokens);
  const { assert } = t;
  assert.deepEqual(here.tokens, tokens);
  assert.equal(here.logprobs[0], null);
  assert.equal(here.tokens_scored, tokens.length - 1);
  assert.deepEqual([here.logits.length, here.logprobs.length], [there.logits.length, tokens.length]);
  const pairs = here.logprobs.slice(1).map((value, i) => [value, there.logprobs[i + 1]]);
  pairs.push(...here.logits.map((value, i) => [value, there.logits[i]]));
  pairs.push([here.nll / tokens.length, there.nll / tokens.length]);
  for (const [a, b] of pairs) assert.ok(Math.abs(a - b) <= most, `${a} here, ${b} natively`);
}
