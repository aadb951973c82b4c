// Distillation: the same student with and without a teacher, at equal steps, over three seeds.

import { each, lossOn, spread, table, trained } from "./program.mjs";
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

export async function distillation() {
  const [teacher, student] = (await Promise.all([talker(), stories("nano")])).map(({ out }) => out);
  const [rows, test] = [instructions("train"), instructions("test")];
  const ends = { "the teacher, micro": [teacher, "talker-here"], "the student before, nano": [student, "student"] };
  const first = await each(Object.entries(ends), async ([line, [model, name]]) =>
    [line, "", (await lossOn(test, model, name)).toFixed(3), ""]);
  const lines = await each(Object.entries(FORMS), async ([form, flags]) => {
    const losses = await each(SEEDS, async (seed) => {
      const name = `student-${form.replace(/\W+/g, "-")}-${seed}`;
      const own = { model: student, data: rows, ...FLAGS, seed };
      const { out } = await (flags ? trained(name, "distill", { ...own, ...flags, teacher }) : trained(name, "sft", own));
      return lossOn(test, out, name);
    });
    return [form, STEPS, spread(losses), losses.map((loss) => loss.toFixed(3)).join(" ")];
  });
  table(["teacher's term", "steps", "held-out loss", "seeds 1 2 3"], [...first, ...lines]);
}
