// Distillation: the same student with and without a teacher, at equal steps, over three seeds.

import { each, lossOn, spread, table, trained } from "./program.mjs";
import { instructions, small, smollm2, stories, talker } from "./models.mjs";

const SEEDS = [1, 2, 3];
const FLAGS = { "batch-size": 16, "learning-rate": 1e-3, "max-seq-len": 256 };
const FORMS = {
  "none": null,
  "forward KL": { "kd-loss": "forward-kl" },
  "reverse KL": { "kd-loss": "reverse-kl" },
  "skew KL": { "kd-loss": "skew-kl" },
  "on-policy, reverse KL, half of the batches": { "kd-loss": "reverse-kl", "on-policy": 0.5, "max-new-tokens": 48 },
};
/** FORMS names those to measure, as a regular expression; else all. */
const asked = new RegExp(process.env.FORMS ?? "");
/** PAIR names the pairs. */
const named = new RegExp(process.env.PAIR ?? "");

/** Teachers with the students that share their vocabulary, and the steps that are taken. */
const PAIRS = {
  "micro → nano": [150, async () => [(await talker()).out, (await stories("nano")).out]],
  ...(smollm2 && { "SmolLM2-135M → nano": [50, async () => [smollm2, (await small("nano")).out]] }),
};

export async function distillation() {
  const [rows, test] = [instructions("train"), instructions("test")];
  const lines = await each(Object.entries(PAIRS).filter(([pair]) => named.test(pair)), async ([pair, [count, models]]) => {
    const [teacher, student] = await models();
    const line = async (what, steps, runs) => {
      const losses = await Promise.all(runs);
      const cells = losses.length > 1 ? [spread(losses), losses.map((loss) => loss.toFixed(3)).join(" ")] : [losses[0].toFixed(3), ""];
      return [pair, what, steps, ...cells];
    };
    const forms = Object.entries(FORMS).filter(([form]) => asked.test(form)).map(([form, flags]) =>
      line(form, count, SEEDS.map((seed) => learned({ pair, count, form, flags, seed, teacher, student, rows, test }))));
    return Promise.all([
      line("(the teacher)", "", [lossOn(test, teacher, `${pair}-teacher`)]),
      line("(the student before)", "", [lossOn(test, student, `${pair}-student`)]),
      ...forms,
    ]);
  });
  table(["teacher → student", "teacher's term", "steps", "held-out loss", "seeds 1 2 3"], lines.flat());
}

/** The held-out loss of a student that learned with one form of the teacher's term, or without one. */
async function learned({ pair, count, form, flags, seed, teacher, student, rows, test }) {
  const name = `student-${pair}-${form}-${seed}`.replace(/[^\w-]+/g, "-");
  const own = { model: student, data: rows, ...FLAGS, steps: count, seed };
  const { out } = await (flags ? trained(name, "distill", { ...own, ...flags, teacher }) : trained(name, "sft", own));
  return lossOn(test, out, name);
}
