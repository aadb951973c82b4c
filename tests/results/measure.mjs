// Measures the parts that it is asked for; `run` beside it says how.

import { preferences } from "./preferences.mjs";
import { diffusion, unmasking } from "./diffusion.mjs";
import { distillation } from "./distillation.mjs";
import { mixture } from "./mixture.mjs";
import { reasoning } from "./reasoning.mjs";
import { rewards } from "./rewards.mjs";
import { attention, checkpointing, stages } from "./stages.mjs";

const PARTS = {
  preferences, distillation, mixture, reasoning, rewards, diffusion, unmasking, stages, attention, checkpointing,
};
const asked = process.argv.slice(2);
const unknown = asked.filter((part) => !(part in PARTS));
if (asked.length === 0 || unknown.length > 0) {
  console.error(`${unknown.join(", ") || "no part"}: name some of ${Object.keys(PARTS).join(", ")}`);
  process.exit(2);
}
for (const part of asked) await PARTS[part]();
