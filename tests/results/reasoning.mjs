// Reasoning: answers that keep the tags, and right ones among them, before and after, on held-out word problems.

import { data, each, percent, table, trained } from "./program.mjs";
import { talker } from "./models.mjs";

const ROWS = { "data": data("reason/math_cot_think_en.jsonl"), "max-seq-len": 512, "packing": true, "seed": 42 };
const ASKED = { "eval-answers": 160, "eval-max-new-tokens": 320 };
const FORMS = { "before": { "steps": 1, "learning-rate": 1e-12 }, "after": { "epochs": 4, "batch-size": 8, "learning-rate": 1e-3 } };

export async function reasoning() {
  const model = (await talker()).out;
  const lines = await each(Object.entries(FORMS), async ([form, flags]) => {
    const { steps, evals } = await trained(`reason-${form}`, "reason", { model, ...ROWS, ...ASKED, ...flags });
    const end = evals.at(-1);
    return [form, steps.at(-1).step, end.loss.toFixed(3), end.answers, percent(end.format_rate), percent(end.answer_accuracy)];
  });
  table(["math_cot_think_en", "steps", "held-out loss", "asked", "format", "right answers"], lines);
}
