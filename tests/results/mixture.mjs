// A mixture of experts beside the dense model of equal active parameters, at equal steps.

import { each, spread, table } from "./program.mjs";
import { stories } from "./models.mjs";

const SEEDS = [1, 2, 3];
const STEPS = { "steps": 150, "batch-size": 16, "val-split": 0.05 };
/** Four experts of which a token gets one, as wide as the dense feed-forward. */
const experts = (balance) =>
  ({ "num-experts": 4, "num-experts-per-tok": 1, "n-shared-experts": 0, "router-aux-loss-coef": balance, "aux-loss-alpha": 0 });
const FORMS = { "dense": {}, "mixture, balance 0.1": experts(0.1), "mixture, balance 0.5": experts(0.5) };

export async function mixture() {
  const lines = await each(Object.entries(FORMS), async ([name, flags]) => {
    const runs = await each(SEEDS, (seed) => stories("nano", `stories-${name.replaceAll(/[^\w.]+/g, "-")}-${seed}`, { ...STEPS, ...flags, seed }));
    const losses = runs.map(({ evals }) => evals.at(-1).loss);
    const load = runs.map(({ steps }) => steps.at(-1).expert_load_max).filter((load) => load !== undefined);
    return [name, STEPS.steps, spread(losses), losses.map((loss) => loss.toFixed(3)).join(" "), load.map((x) => x.toFixed(2)).join(" ")];
  });
  table(["feed-forward", "steps", "held-out loss", "seeds 1 2 3", "largest load / mean, last logged step"], lines);
}
