// Distillation: the same student with and without a teacher, at equal steps, over three seeds.

import { lossOn, spread, table, trained } from "./program.mjs";
import { instructions, stories, talker } from "./models.mjs";

const SEEDS = [1, 2, 3];
const STEPS = 150;
const FLAGS = { "steps": STEPS, "batch-size": 16, "learning-rate": 1e-3, "max-seq-len": 256 };
const FORMS = {
  "none": null,
  "forward KL": { "kd-loss": "forward-kl" },
  "reverse KL": { "kd-loss": "reverse-kl" },
  "skew KL": { "kd-loss": "skew-kl" },
  "on-policy, reverse KL, half of the batches": { "kd-loss": "reverse-kl", "on-policy": 0.5, "max-new-tokens": 48 },
};

export function distillation() {
  const [teacher, student] = [talker().out, stories("nano").out];
  const [rows, test] = [instructions("train"), instructions("test")];
  const lines = [["the teacher, micro", "", lossOn(test, teacher, "talker"), ""]];
  lines.push(["the student before, nano", "", lossOn(test, student, "student"), ""]);
  lines.forEach((line) => (line[2] = line[2].toFixed(3)));
  for (const [form, flags] of Object.entries(FORMS)) {
    const losses = SEEDS.map((seed) => {
      const name = `student-${form.replace(/\W+/g, "-")}-${seed}`;
      const own = { model: student, data: rows, ...FLAGS, seed };
      const { out } = flags ? trained(name, "distill", { ...own, ...flags, teacher }) : trained(name, "sft", own);
      return lossOn(test, out, name);
    });
    lines.push([form, STEPS, spread(losses), losses.map((loss) => loss.toFixed(3)).join(" ")]);
  }
  table(["teacher's term", "steps", "held-out loss", "seeds 1 2 3"], lines);
}
