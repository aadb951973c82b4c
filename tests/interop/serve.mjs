// OpenAI's JavaScript SDK asks a server; a line of JSON a check, which tests/interop/serve.py counts.
//
//   NODE_PATH=FOLDER/node_modules node tests/interop/serve.mjs URL

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const required = createRequire(import.meta.url);
const { default: OpenAI } = await import(pathToFileURL(required.resolve("openai")).href).then((found) => ({
  default: found.default?.OpenAI ?? found.default ?? found.OpenAI,
}));
const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "none", maxRetries: 0 });
const check = (what, holds) => console.log(JSON.stringify({ what: `javascript: ${what}`, holds: Boolean(holds) }));
const asked = { model: "nano", messages: [{ role: "user", content: "What colour is the lamp?" }], temperature: 0, max_tokens: 12 };

const whole = await client.chat.completions.create(asked);
check("a chat", whole.choices[0].message.content !== null && whole.usage.total_tokens > 0);

let text = "";
let reason = null;
for await (const part of await client.chat.completions.create({ ...asked, stream: true })) {
  text += part.choices[0]?.delta?.content ?? "";
  reason = part.choices[0]?.finish_reason ?? reason;
}
check("a stream is the whole answer in parts", text === whole.choices[0].message.content);
check("a stream says why it ended", reason === whole.choices[0].finish_reason);

const runner = client.chat.completions.stream ?? client.beta?.chat?.completions?.stream;
if (runner) {
  const owner = client.chat.completions.stream ? client.chat.completions : client.beta.chat.completions;
  const gathered = await owner.stream(asked).finalChatCompletion();
  check("the SDK gathers a stream", gathered.choices[0].message.content === whole.choices[0].message.content);
}

const likely = await client.chat.completions.create({ ...asked, logprobs: true, top_logprobs: 2 });
check("likelihoods", likely.choices[0].logprobs.content[0].top_logprobs.length === 2);

const completion = await client.completions.create({ model: "nano", prompt: "The lamp", max_tokens: 4, temperature: 0 });
check("a text goes on", completion.choices[0].text.length > 0);

const vectors = await client.embeddings.create({ model: "nano", input: ["a lamp", "a dog"] });
const length = Math.hypot(...vectors.data[0].embedding);
check("vectors of length 1", vectors.data.length === 2 && Math.abs(length - 1) < 1e-4);

const models = [];
for await (const model of client.models.list()) models.push(model.id);
check("models are listed", models.join() === "nano");

const schema = {
  type: "object", properties: { count: { type: "integer" } }, required: ["count"], additionalProperties: false,
};
const formed = await client.chat.completions.create({
  ...asked, max_tokens: 100, response_format: { type: "json_schema", json_schema: { name: "row", schema, strict: true } },
});
check("json_schema holds", Number.isInteger(JSON.parse(formed.choices[0].message.content).count));

const refused = await client.chat.completions.create({ ...asked, model: "none" }).catch((error) => error);
check("an unknown model is NotFoundError", refused instanceof OpenAI.NotFoundError && refused.status === 404);

const wrong = await client.chat.completions.create({ ...asked, temperature: 9 }).catch((error) => error);
check("a wrong field is BadRequestError", wrong instanceof OpenAI.BadRequestError && wrong.param === "temperature");

const aborted = new AbortController();
const stream = await client.chat.completions.create(
  { ...asked, max_tokens: 300, stream: true, ignore_eos: true }, { signal: aborted.signal },
);
for await (const _ of stream) {
  aborted.abort();
  break;
}
const running = async () => {
  const lines = (await (await fetch(`${process.argv[2]}/metrics`)).text()).split("\n");
  return Number(lines.find((line) => line.startsWith("kindling_answers_running ")).split(" ")[1]);
};
for (let i = 0; i < 100 && (await running()) > 0; i += 1) await new Promise((done) => setTimeout(done, 50));
check("an aborted stream frees its place", (await running()) === 0);
