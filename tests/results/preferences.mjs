// DPO: held-out pairs of which the better answer is the likelier one, before and after, and what it costs in SFT loss.

import { existsSync } from "node:fs";

import { data, each, kindling, lossOn, percent, table, trained } from "./program.mjs";
import { instructions, smollm2, talker } from "./models.mjs";

const HELD_OUT = { "val-split": 0.2, "seed": 42 };
const FLAGS = { "epochs": 3, "batch-size": 8, "max-seq-len": 384, "eval-every": 50, "log-every": 10, ...HELD_OUT };
const FORMS = {
  "full, β 0.1": { "learning-rate": 5e-5 },
  "full, lengths evened out": { "learning-rate": 5e-5, "length-normalise": true, "sft-weight": 0.1 },
  "LoRA, β 0.1": { "lora": true, "learning-rate": 1e-3 },
};
/** What SmolLM2 learns: its answers are good already, and an adapter keeps what it knows. */
const LARGE = {
  "LoRA, β 0.1": { "lora": true, "learning-rate": 2e-4 },
  "LoRA, β 0.1, SFT term 0.1": { "lora": true, "learning-rate": 2e-4, "sft-weight": 0.1, "epochs": 2 },
  "LoRA, β 0.1, SFT term 0.2": { "lora": true, "learning-rate": 2e-4, "sft-weight": 0.2 },
  "LoRA, β 0.05, SFT term 0.2": { "lora": true, "learning-rate": 2e-4, "beta": 0.05, "sft-weight": 0.2 },
  "LoRA, lengths evened out": { "lora": true, "learning-rate": 2e-4, "length-normalise": true, "sft-weight": 0.1 },
};
/** PAIR names the models to measure, and FORMS what they learn by, as regular expressions; else all. */
const [only, asked] = [process.env.PAIR, process.env.FORMS].map((pattern) => new RegExp(pattern ?? ""));
/** The models that learn, each with its forms. */
const BASES = {
  "talker (micro)": [async () => (await talker()).out, FORMS],
  ...(smollm2 && { "SmolLM2-135M": [async () => smollm2, LARGE] }),
};
/** Pairs, and conversations to see what they cost. */
const SETS = { preference_en_short: () => instructions("test"), oasst1_rank_zh: () => data("sft/oasst1_zh.jsonl") };

export async function preferences() {
  const cells = Object.entries(BASES).filter(([name]) => only.test(name)).flatMap(([named, [base, forms]]) =>
    Object.keys(SETS).flatMap((set) => Object.entries(forms).map(([form, flags]) => ({ named, base, set, form, flags }))))
    .filter(({ set, form }) => asked.test(`${set}: ${form}`));
  table(["model", "data", "trains", "pairs", "chosen likelier, before", "after", "reward accuracy", "reward margin",
    "SFT loss, before", "after", "change"], await each(cells, measured));
}

async function measured({ named, base: opened, set, form, flags }) {
  const [base, pairs, own] = [await opened(), data(`dpo/${set}.jsonl`), SETS[set]()];
  const score = async (model) => (await kindling("score", { ...model, data: pairs, pairs: true, ...HELD_OUT }))[0];
  const [share, loss] = [await score({ model: base }), await lossOn(own, base, plain(`${named}-${set}`))];
  const name = plain(`dpo-${named}-${set}-${form}`);
  const { out, evals } = await trained(name, "dpo", { model: base, data: pairs, ...FLAGS, ...flags });
  const model = flags.lora ? { model: base, adapter: out } : { model: out };
  const [after, paid] = [await score(model), await lossOn(own, await whole(model), name)];
  const end = evals.at(-1);
  return [
    named, set, form, share.pairs, percent(share.chosen_likelier), percent(after.chosen_likelier),
    percent(end.reward_accuracy), end.reward_margin.toFixed(3), loss.toFixed(3), paid.toFixed(3), percent(paid / loss - 1),
  ];
}

const plain = (name) => name.replace(/[^\w-]+/g, "-");

/** A model with its adapter, merged. */
async function whole({ model, adapter }) {
  if (!adapter) return model;
  const out = `${adapter}-merged`;
  if (!existsSync(out)) await kindling("merge", { model, adapter, out });
  return out;
}
