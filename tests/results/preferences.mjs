// DPO: held-out pairs of which the better answer is the likelier one, before and after, and what it costs in SFT loss.

import { existsSync } from "node:fs";

import { data, kindling, lossOn, table, trained } from "./program.mjs";
import { instructions, talker } from "./models.mjs";

const HELD_OUT = { "val-split": 0.2, "seed": 42 };
const FLAGS = { "epochs": 3, "batch-size": 8, "max-seq-len": 384, "eval-every": 50, "log-every": 10, ...HELD_OUT };
const FORMS = {
  "full": { "learning-rate": 5e-5 },
  "full, with SFT term": { "learning-rate": 5e-5, "sft-weight": 0.2 },
  "LoRA": { "lora": true, "learning-rate": 1e-3 },
};
/** Pairs, and conversations to see what they cost. */
const SETS = { preference_en_short: () => instructions("test"), oasst1_rank_zh: () => data("sft/oasst1_zh.jsonl") };

export function preferences() {
  const base = talker().out;
  const lines = [];
  for (const [set, own] of Object.entries(SETS)) {
    const pairs = data(`dpo/${set}.jsonl`);
    const score = (model) => kindling("score", { ...model, data: pairs, pairs: true, ...HELD_OUT })[0];
    const [share, loss] = [score({ model: base }), lossOn(own(), base, "talker")];
    for (const [form, flags] of Object.entries(FORMS)) {
      const name = `dpo-${set}-${form.replace(/\W+/g, "-")}`;
      const { out, evals } = trained(name, "dpo", { model: base, data: pairs, ...FLAGS, ...flags });
      const model = flags.lora ? { model: base, adapter: out } : { model: out };
      const [after, paid] = [score(model), lossOn(own(), whole(model), name)];
      const end = evals.at(-1);
      const percent = (value) => `${(100 * value).toFixed(1)} %`;
      lines.push([
        set, form, share.pairs, percent(share.chosen_likelier), percent(after.chosen_likelier),
        percent(end.reward_accuracy), end.reward_margin.toFixed(3), loss.toFixed(3), paid.toFixed(3),
        `${(100 * (paid / loss - 1)).toFixed(1)} %`,
      ]);
    }
  }
  table(["data", "trains", "pairs", "chosen likelier, before", "after", "reward accuracy", "reward margin",
    "SFT loss, before", "after", "change"], lines);
}

/** A model with its adapter, merged. */
function whole({ model, adapter }) {
  if (!adapter) return model;
  const out = `${adapter}-merged`;
  if (!existsSync(out)) kindling("merge", { model, adapter, out });
  return out;
}
