// What the page may weigh. budget.json holds the limits in bytes, by file; "*" stands for all files together, which is
// more than a first visit fetches before it is ready.

import { readFile } from "node:fs/promises";

/** The limits that come with the page. */
export const BUDGET = new URL("./budget.json", import.meta.url);

/**
 * Prints what the files weigh beside what they may.
 *
 * `weights` is a map from names to {size, packed}: bytes as built, and as they go to a browser that takes Brotli.
 * Returns a sentence for every limit that is broken.
 */
export async function check(weights, budget = BUDGET) {
  const limits = JSON.parse(await readFile(budget, "utf8"));
  const sum = (key) => [...weights.values()].reduce((sum, weight) => sum + weight[key], 0);
  const all = new Map([...weights, ["*", { size: sum("size"), packed: sum("packed") }]]);
  const broken = [];
  for (const [name, limit] of Object.entries(limits)) {
    const weight = all.get(name);
    const called = name === "*" ? "all files" : name;
    if (!weight) {
      broken.push(`${called}: the budget names it, and the page has no such file`);
      continue;
    }
    const brotli = `${mb(weight.packed)} of ${mb(limit.brotli)} as Brotli`;
    console.log(`web/finish: ${called}: ${mb(weight.size)} of ${mb(limit.size)}, ${brotli}`);
    if (weight.size > limit.size) broken.push(over(called, weight.size, limit.size, ""));
    if (weight.packed > limit.brotli) broken.push(over(called, weight.packed, limit.brotli, " as Brotli"));
  }
  return broken;
}

function over(called, bytes, limit, how) {
  const more = ((bytes - limit) / 1000).toFixed(1);
  return `${called}: ${mb(bytes)}${how}, ${more} kB over the budget of ${mb(limit)}`;
}

const mb = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;
