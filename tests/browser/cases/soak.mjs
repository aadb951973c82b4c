// Random interruptions of runs; `bash tests/browser/soak` asks for more of them.

import { test } from "../harness.mjs";
import { soak } from "../soak.mjs";

const ROUNDS = Number(process.env.SOAK_ROUNDS ?? 10);
const SEED = Number(process.env.SOAK_SEED ?? 1);

test(`soak: ${ROUNDS} interruptions lose nothing`, { seconds: 240 + 30 * ROUNDS }, (t) => soak(t, ROUNDS, SEED));
