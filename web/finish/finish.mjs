// Makes the bundled page light: optimises its WebAssembly, without what it cannot reach, writes `.br` and `.gz` beside the
// files for servers that send them, writes sizes.json, by which the page shows how far it is, and holds all of it to the
// budget.
//
//   node web/finish/finish.mjs [FOLDER [BUDGET]]
//
// FOLDER is trunk's, where it is not given; BUDGET is budget.json. Settings:
//   BINARYEN   the folder of npm's package binaryen; without it only sizes.json is written, which is quick
//   FINISHED   a folder that keeps what took long, for the next time (optional)

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, readFile, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

import { BUDGET, check } from "./budget.mjs";
import { unreachedOf, withoutUnreached } from "./unreached.mjs";

/**
 * Smaller first, and no slower where tensors are computed: those loops are written in vector instructions. Then by name:
 * copies of one generic function lie side by side, which Brotli uses more than the longer numbers of functions cost.
 */
const OPTIMISE = ["-Oz", "--reorder-functions-by-name"];
/** What a browser may get compressed. */
const PACKED = new Set([".html", ".js", ".css", ".json", ".wasm", ".safetensors"]);
/** The share of its bytes that a file must lose to be worth a second form. */
const WORTH = 0.03;

const folder = process.argv[2] ?? process.env.TRUNK_STAGING_DIR;
const { BINARYEN, FINISHED } = process.env;
if (!folder) fail("which folder? trunk says so in TRUNK_STAGING_DIR; by hand: node web/finish/finish.mjs FOLDER");

const all = await readdir(folder, { recursive: true });
const names = all.filter((name) => PACKED.has(extname(name)) && name !== "sizes.json").sort();
if (!BINARYEN) {
  console.log("web/finish: without BINARYEN the page stays as it was built (README.md says how to make it light)");
  await writeSizes(new Map(await Promise.all(names.map(async (name) => [name, await weight(name)]))));
} else {
  await Promise.all(names.filter((name) => extname(name) === ".wasm").map(optimise));
  const weights = new Map(await Promise.all(names.map(async (name) => [name, await pack(name)])));
  await writeSizes(weights);
  const broken = await check(weights, process.argv[3] ?? BUDGET);
  if (broken.length) {
    fail(`${broken.join("\n")}\nMake it smaller, or raise web/finish/budget.json with what was added and what it cost.`);
  }
}

/** A module in the place of the one that trunk made: optimised, without what it cannot reach and its functions' names. */
async function optimise(name) {
  const path = join(folder, name);
  const program = join(BINARYEN, "bin", "wasm-opt");
  const version = JSON.parse(await readFile(join(BINARYEN, "package.json"), "utf8")).version;
  const unreached = await unreachedOf(name);
  await kept(path, `${name}.opt`, [version, ...OPTIMISE, unreached], path, async (made) => {
    const start = Date.now();
    const reached = `${path}.reached`;
    const { bytes, gone } = withoutUnreached(await readFile(path), unreached);
    await writeFile(reached, bytes);
    try {
      await promisify(execFile)(process.execPath, [program, ...OPTIMISE, reached, "-o", made], { maxBuffer: 1 << 28 });
    } finally {
      await rm(reached);
    }
    unreached.forEach(({ what }, i) => console.log(`web/finish: ${name}: ${(gone[i] / 1000).toFixed(0)} kB of ${what}`));
    console.log(`web/finish: ${name} optimised in ${((Date.now() - start) / 1000).toFixed(0)} s`);
  });
}

/** Writes the compressed forms of a file; returns what it weighs. */
async function pack(name) {
  const path = join(folder, name);
  const bytes = await readFile(path);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  const forms = [["br", brotliCompress, { params }], ["gz", gzip, { level: constants.Z_BEST_COMPRESSION }]];
  await Promise.all(forms.map(async ([form, compress, options]) => {
    const small = `${path}.${form}`;
    const make = async (made) => writeFile(made, await promisify(compress)(bytes, options));
    await kept(path, `${name}.${form}`, [process.version], small, make);
    if ((await stat(small)).size > bytes.length * (1 - WORTH)) await rm(small);
  }));
  return weight(name);
}

/** Bytes of a file, and of what a browser gets that takes Brotli. */
async function weight(name) {
  const { size } = await stat(join(folder, name));
  const packed = await stat(join(folder, `${name}.br`)).then((found) => found.size, () => size);
  return { size, packed };
}

async function writeSizes(weights) {
  await writeFile(join(folder, "sizes.json"), `${JSON.stringify(Object.fromEntries(weights))}\n`);
}

/**
 * Lets `make` write a file made of `source`, or takes it from last time where the source and `how` are the same; it
 * then lies at `target`. Of each name only the last is kept.
 */
async function kept(source, name, how, target, make) {
  const hash = createHash("sha256").update(JSON.stringify(how)).update(await readFile(source));
  const flat = name.replaceAll(/[/\\]/g, "-");
  const key = `${flat}.${hash.digest("hex").slice(0, 32)}`;
  const made = `${target}.made`;
  if (!FINISHED) {
    await make(made);
    return rename(made, target);
  }
  await mkdir(FINISHED, { recursive: true });
  if (!(await copyFile(join(FINISHED, key), target).then(() => true, () => false))) {
    await make(made);
    await rename(made, target);
    for (const old of await readdir(FINISHED)) if (old.startsWith(`${flat}.`)) await rm(join(FINISHED, old));
    // Whole or not at all, so that a break leaves nothing that looks finished.
    await copyFile(target, join(FINISHED, `part.${key}`));
    await rename(join(FINISHED, `part.${key}`), join(FINISHED, key));
  }
}

function fail(message) {
  console.error(`web/finish: ${message}`);
  process.exit(1);
}
