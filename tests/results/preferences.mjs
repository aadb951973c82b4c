// DPO: held-out pairs of which the better answer is the likelier one, before and after, and what it costs in SFT loss.

import { existsSync } from "node:fs";

import { data, each, kindling, lossOn, percent, table, trained } from "./program.mjs";
import { instructions, talker } from "./models.mjs";

const HELD_OUT = { "val-split": 0.2, "seed": 42 };
const FLAGS = { "epochs": 3, "batch-size": 8, "max-seq-len": 384, "eval-every": 50, "log-every": 10, ...HELD_OUT };
const FORMS = {
  "full, β 0.1": { "learning-rate": 5e-5 },
  "full, β 0.1, SFT term": { "learning-rate": 5e-5, "sft-weight": 0.2 },
  "LoRA, β 0.1": { "lora": true, "learning-rate": 1e-3 },
};
/** Pairs, and conversations to see what they cost. */
const SETS = { preference_en_short: () => instructions("test"), oasst1_rank_zh: () => data("sft/oasst1_zh.jsonl") };

export async function preferences() {
  const base = (await talker()).out;
  const cells = Object.entries(SETS).flatMap(([set, own]) => Object.keys(FORMS).map((form) => [set, own, form]));
  const lines = await each(cells, async ([set, own, form]) => {
    const pairs = data(`dpo/${set}.jsonl`);
    const score = async (model) => (await kindling("score", { ...model, data: pairs, pairs: true, ...HELD_OUT }))[0];
    const [share, loss] = [await score({ model: base }), await lossOn(own(), base, `talker-${set}`)];
    const name = `dpo-${set}-${form.replace(/\W+/g, "-")}`;
    const { out, evals } = await trained(name, "dpo", { model: base, data: pairs, ...FLAGS, ...FORMS[form] });
    const model = FORMS[form].lora ? { model: base, adapter: out } : { model: out };
    const [after, paid] = [await score(model), await lossOn(own(), await whole(model), name)];
    const end = evals.at(-1);
    return [
      set, form, share.pairs, percent(share.chosen_likelier), percent(after.chosen_likelier), percent(end.reward_accuracy),
      end.reward_margin.toFixed(3), loss.toFixed(3), paid.toFixed(3), percent(paid / loss - 1),
    ];
  });
  table(["data", "trains", "pairs", "chosen likelier, before", "after", "reward accuracy", "reward margin",
    "SFT loss, before", "after", "change"], lines);
}

/** A model with its adapter, merged. */
async function whole({ model, adapter }) {
  if (!adapter) return model;
  const out = `${adapter}-merged`;
  if (!existsSync(out)) await kindling("merge", { model, adapter, out });
  return out;
}
