// How fast a masked predictor writes, in as many steps as are asked for or as it is sure of, and how its parent likes what
// comes out.

import { existsSync, readFileSync, writeFileSync } from "node:fs";

import { kindling, place, table } from "./program.mjs";

const count = Number(process.env.PROMPTS ?? "32");
const TOKENS = 128;
/** Words of a story that are its prompt. */
const WORDS = 24;
const SAMPLING = { "top-k": 50, "top-p": 1, "seed": 1, "ignore-eos": true, "max-new-tokens": TOKENS };
/** The surest token always, and as stories are told. */
const TEMPERATURES = [0, 0.7];
const STEPS = [TOKENS, 64, 32, 16, 8];
const THRESHOLDS = [0.9, 0.7, 0.5, 0.3];
/** What threshold decoding is held to, beside a step a token. */
const FEWER_STEPS = 4;
const PERPLEXITY_WITHIN = 1.05;

/** The tables of speed and quality, and whether threshold decoding keeps its word. */
export async function writing({ parent, writer, prompts }) {
  const asked = beginnings(prompts);
  for (const temperature of TEMPERATURES) await written({ parent, writer, asked, temperature });
}

async function written({ parent, writer, asked, temperature }) {
  const of = async (name, model, flags) =>
    measured(parent, asked, await generated(`${name}-${temperature}`, model, { ...flags, temperature }, asked));
  // One prompt at a time, as the writer takes them.
  const causal = await of("causal", parent, { "batch-size": 1 });
  const by = async (name, flags) => ({ name, ...await of(name.replaceAll(" ", "-"), writer, { "show-steps": true, ...flags }) });
  const inTurn = (items, make) => items.reduce(async (before, item) => [...(await before), await make(item)], []);
  const fixed = await inTurn(STEPS, (steps) => by(`${steps} steps`, { steps }));
  const sure = await inTurn(THRESHOLDS, (threshold) => by(`threshold ${threshold}`, { threshold }));
  const rows = [
    { name: "the stories themselves", ...await measured(parent, asked, asked.map(({ rest }) => ({ text: rest }))) },
    { name: "the parent, from left to right", ...causal },
    ...fixed,
    ...sure,
  ];
  const line = ({ name, steps, speed, perplexity, distinct }) => [
    name, steps?.toFixed(1) ?? "", speed?.toFixed(0) ?? "", speed ? `${(speed / causal.speed).toFixed(2)} ×` : "",
    perplexity.toFixed(2), distinct.toFixed(3),
  ];
  table([`${TOKENS} tokens, ${asked.length} prompts, temperature ${temperature}`, "steps", "tokens/s", "of the parent's", "perplexity under the parent", "distinct-2"], rows.map(line));
  const [single] = fixed;
  for (const { name, steps, perplexity, distinct } of sure) {
    const holds = steps * FEWER_STEPS <= single.steps && perplexity <= PERPLEXITY_WITHIN * single.perplexity && distinct >= single.distinct;
    console.log(
      `${name}, ≥ ${FEWER_STEPS} × fewer steps than ${single.steps}, perplexity within 5 %, distinct-2 not lower: ${holds ? "holds" : "does not hold"} ` +
      `(${(single.steps / steps).toFixed(1)} ×, ${(100 * (perplexity / single.perplexity - 1)).toFixed(1)} %, ${(distinct - single.distinct).toFixed(3)})`,
    );
  }
  console.log("");
}

/** Prompts, and what the stories go on with, as long as what is written. */
function beginnings(file) {
  const stories = readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line).text);
  // Spaces and line breaks stay as they are.
  const cut = (story) => {
    const words = [...story.matchAll(/\S+/g)];
    return words.length < 2 * WORDS ? [] : [{ prompt: story.slice(0, words[WORDS].index).trimEnd(), story }];
  };
  return stories.flatMap(cut).slice(0, count).map(({ prompt, story }) => ({ prompt, rest: story.slice(prompt.length) }));
}

/** What a model goes on with behind each prompt. */
async function generated(name, model, flags, asked) {
  const file = place(`writing-${name}.json`);
  if (!existsSync(file)) {
    const rows = place("writing-prompts.jsonl");
    writeFileSync(rows, asked.map(({ prompt }) => `${JSON.stringify({ prompt })}\n`).join(""));
    const answers = await kindling("generate", { model, "data": rows, ...SAMPLING, ...flags });
    writeFileSync(file, JSON.stringify(answers));
  }
  return JSON.parse(readFileSync(file, "utf8"));
}

/** Steps, speed and quality of answers. */
async function measured(parent, asked, answers) {
  if (answers.length !== asked.length) throw new Error(`${answers.length} answers to ${asked.length} prompts`);
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  // The first answers of a process wait for kernels.
  const middle = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
  const steps = answers.map(({ steps, tokens }) => (steps ?? tokens)?.length).filter((steps) => steps !== undefined);
  const speeds = answers.map(({ decode_tokens_per_second: speed }) => speed).filter(Boolean);
  return {
    steps: steps.length ? mean(steps) : undefined,
    speed: speeds.length ? middle(speeds) : undefined,
    perplexity: await perplexity(parent, asked, answers.map(({ text }) => text)),
    distinct: distinct(answers.map(({ text }) => text)),
  };
}

/** Of what stands behind the prompts: of whole texts and of prompts alone, the difference. */
async function perplexity(parent, asked, texts) {
  const scored = async (rows) => {
    const file = place("writing-scored.jsonl");
    writeFileSync(file, rows.map((text) => `${JSON.stringify({ text })}\n`).join(""));
    return (await kindling("score", { model: parent, data: file, device: "cpu" })).at(-1);
  };
  const [all, before] = [await scored(asked.map(({ prompt }, i) => prompt + texts[i])), await scored(asked.map(({ prompt }) => prompt))];
  return Math.exp((all.nll - before.nll) / (all.tokens_scored - before.tokens_scored));
}

/** Different pairs of words that follow each other, of all pairs (Li et al., 2016). */
function distinct(texts) {
  const pairs = texts.flatMap((text) => {
    const words = text.toLowerCase().match(/[\p{L}\p{N}']+|[^\s\p{L}\p{N}]/gu) ?? [];
    return words.slice(1).map((word, i) => `${words[i]} ${word}`);
  });
  return new Set(pairs).size / pairs.length;
}
