// The page end to end, in a headless Chromium beside the native program.
//
//   node tests/browser/run.mjs [--only PART_OF_A_NAME]
//
// Settings: DIST, the built page; KINDLING, the native program; BINARYEN, as web/finish has it, and SCREENSHOTS, a folder
// for pictures of the page (both optional); and those of chromium.mjs. tests/run sets them.

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { launch, setting } from "./chromium.mjs";
import { Case, Skip, cases } from "./harness.mjs";
import { serve } from "./server.mjs";

const dist = resolve(setting("DIST"));
const tmp = mkdtempSync(join(tmpdir(), "kindling-browser-"));
const totals = { ok: 0, FAILED: 0, skipped: 0 };
/** Two browsers side by side; an emulated GPU is slow enough without a second one beside it. */
const lanes = [{}, {}];

try {
  await main();
} finally {
  for (const { context } of lanes) await context?.close().catch(() => {});
  rmSync(tmp, { recursive: true, force: true });
}
console.log(`${totals.ok} passed, ${totals.FAILED} failed, ${totals.skipped} skipped`);
process.exit(totals.FAILED ? 1 : 0);

async function main() {
  const folder = new URL("./cases/", import.meta.url);
  for (const file of readdirSync(folder).sort()) await import(new URL(file, folder));
  const only = process.argv.includes("--only") ? process.argv[process.argv.indexOf("--only") + 1] : "";
  const chosen = cases.filter(({ name }) => name.includes(only));
  if (chosen.length === 0) fail(`no case has "${only}" in its name`);
  const onGpu = ({ name, device }) => device === "webgpu" || name.includes("webgpu");
  const gpu = chosen.filter(onGpu);
  const cpu = chosen.filter((one) => !onGpu(one));
  await Promise.all([work(lanes[0], () => gpu.shift() ?? cpu.shift()), work(lanes[1], () => cpu.shift())]);
}

async function work(lane, next) {
  for (let one = next(); one; one = next()) {
    const [start, notes] = [performance.now(), []];
    const [outcome, detail] = await attempt(one, lane, notes).catch((error) => ["FAILED", error.stack]);
    totals[outcome] += 1;
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`test ${one.name} ... ${outcome}${outcome === "skipped" ? `: ${detail}` : ` in ${seconds} s`}`);
    for (const note of notes) console.log(`    ${note}`);
    if (outcome === "FAILED") console.log(detail.replace(/^/gm, "    "));
  }
}

/** A browser with a profile of its own; a new one where the last one died. */
async function browser(lane) {
  if (lane.context) return lane.context;
  lane.context = await launch(mkdtempSync(join(tmp, "profile-")));
  lane.context.on("close", () => (lane.context = undefined));
  return lane.context;
}

/** Runs a case in a tab and an origin of its own. */
async function attempt({ name, device, seconds, errors, run }, lane, notes) {
  const context = await browser(lane);
  const page = await context.newPage();
  const server = await serve(dist);
  const said = [];
  page.on("pageerror", (error) => said.push(`uncaught: ${error.stack ?? error}`));
  page.on("crash", () => said.push("the tab crashed"));
  page.on("console", (message) => message.type() === "error" && said.push(message.text()));
  const t = new Case({ name, page, context, server, tmp: mkdtempSync(join(tmp, "case-")), notes });
  let timer;
  try {
    const late = new Promise((_, broke) => {
      const end = async () => broke(new Error(`not done after ${seconds} s${await reached(page)}`));
      timer = setTimeout(end, seconds * 1000);
    });
    const work = async () => {
      if (device) await t.open(device);
      await run(t);
    };
    await Promise.race([work(), late]);
    const wrong = said.filter((line) => !errors?.test(line));
    if (wrong.length) throw new Error(`the console says: ${wrong.join("\n")}`);
    return ["ok"];
  } catch (error) {
    if (error instanceof Skip) return ["skipped", error.message];
    await t.picture("failed");
    return ["FAILED", [error.stack ?? String(error), ...said.map((line) => `console: ${line}`)].join("\n")];
  } finally {
    clearTimeout(timer);
    // A case may have gone on in another tab.
    for (const open of new Set([page, t.page])) await open.close().catch(() => {});
    await server.close();
  }
}

/** How far a page that is late came, where its case says so in `window.reached`. */
async function reached(page) {
  const silent = new Promise((done) => setTimeout(done, 5000, "; the page does not answer"));
  const told = page.evaluate(() => (window.reached === undefined ? "" : `, at ${window.reached}`));
  return Promise.race([told.catch((error) => `; ${error.message}`), silent]);
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
