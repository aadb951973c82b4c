// A real model of another program in the page: SmolLM2-135M-Instruct as llama.cpp has it.

import { readFileSync } from "node:fs";

import { losses, test } from "../harness.mjs";
import { tiny } from "../native.mjs";
import { memory, watchMemory } from "../watch.mjs";

const FILE = process.env.SMOLLM2;

for (const weights of ["f32", "q8_0", "q4_0"]) {
  test(`smollm2: it knows the capital of France, held as ${weights}`, { seconds: 600 }, async (t) => {
    if (!FILE) t.skip("SMOLLM2 names no .gguf; tests/interop/run fetches it");
    const { page, assert } = t;
    watchMemory(t);
    await t.open("cpu");
    const url = t.server.put("smollm2.gguf", readFileSync(FILE));
    const begun = performance.now();
    const info = await page.evaluate(([url, weights]) => kindling.load(url, { keep: false, weights }), [url, weights]);
    const seconds = (performance.now() - begun) / 1000;
    assert.equal(info.weights, weights);
    const loaded = await memory(t);
    const answer = await page.evaluate(() => kindling.chat.completions.create({
      messages: [{ role: "user", content: "What is the capital of France?" }],
      temperature: 0,
      max_tokens: 24,
    }));
    // 4 bits of weights that had 4 bits of another kind: what it knows is not the same any more.
    if (weights !== "q4_0") assert.match(answer.choices[0].message.content, /Paris/);
    const answered = await memory(t);
    const data = await t.giveFile((await tiny(t.tmp)).lessons);
    const config = { "batch-size": 2, "max-seq-len": 64, "steps": 3, "log-every": 1 };
    const { events } = await t.train({ stage: "lora", data, config });
    assert.equal(losses(events).size, 3);
    const speed = Math.max(...events.filter(({ event }) => event === "step").map((event) => event.tokens_per_second));
    const mb = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;
    t.note(`${weights}: opens in ${seconds.toFixed(1)} s, chat ${answer.usage.tokens_per_second.toFixed(1)} tokens/s, ` +
      `LoRA ${speed.toFixed(1)} tokens/s; the engine's memory ${mb(loaded)} once open, ${mb(answered)} after the answer, ` +
      `${mb(await memory(t))} after training: ${JSON.stringify(answer.choices[0].message.content)}`);
  });
}
