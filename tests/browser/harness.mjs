// What a case is, and what it is given. A case file calls `test`; run.mjs runs what was registered.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

import { emulated, launch } from "./chromium.mjs";

/** A case that cannot be tried here, and why. */
export class Skip extends Error {}

export const cases = [];

/**
 * Registers a case.
 *
 * `device` opens the page on "cpu" or "webgpu" before `run`; without it the case opens the page itself.
 * The console may show no errors but those that match `errors`.
 */
export function test(name, options, run) {
  cases.push({ name, seconds: options.device === "webgpu" ? 400 : 120, ...options, run });
}

/** What `run` receives; `page` is a tab of its own, and `server` an origin of its own with empty storage. */
export class Case {
  constructor({ name, page, context, server, tmp, notes }) {
    Object.assign(this, { name, page, context, server, tmp, notes, assert });
  }

  /** Says something below the case's line. */
  note(text) {
    this.notes.push(text);
  }

  /** Saves a picture of the page, where SCREENSHOTS names a folder. */
  async picture(of) {
    const folder = process.env.SCREENSHOTS;
    const name = `${this.name} ${of}`.replace(/[^a-z0-9]+/gi, "-");
    const options = { path: join(folder ?? "", `${name}.png`), fullPage: true, timeout: 5000 };
    if (folder) await this.page.screenshot(options).catch(() => {});
  }

  skip(reason) {
    throw new Skip(reason);
  }

  /** Opens the page and waits for its engine; with "" as model it opens the one that comes with it. */
  async open(device = "auto", model = "none") {
    await this.page.goto(`${this.server.url}index.html?${new URLSearchParams({ device, model })}`);
    await this.ready();
    const architecture = async () => (await navigator.gpu?.requestAdapter())?.info.architecture;
    const found = device === "webgpu" ? await this.page.evaluate(architecture) : "";
    if (found === undefined) this.skip("this Chromium gives no WebGPU adapter");
    if (found === "swiftshader" && !emulated) this.skip("this Chromium emulates WebGPU, and a card was asked for");
  }

  /** Opens another tab of the same origin; whoever asks for it closes its page. */
  async tab(device) {
    const tab = new Case({ ...this, page: await this.context.newPage() });
    await tab.open(device);
    return tab;
  }

  /** Another person's browser, with a profile of its own and the same server; whoever asks for it closes its context. */
  async person() {
    const context = await launch(mkdtempSync(join(this.tmp, "profile-")));
    return new Case({ ...this, context, page: context.pages()[0] ?? (await context.newPage()) });
  }

  /** Lets the engine's worker run `code` before its own, from the next opening on. */
  beforeEngine(code) {
    this.server.prepend(/\/worker[^/]*\.js$/, `${code};\n`);
  }

  async reload() {
    await this.page.reload();
    await this.ready();
  }

  async ready() {
    await this.page.waitForFunction(() => window.kindlingReady !== undefined, null, { timeout: 60_000 });
    await this.page.evaluate(async () => void (await window.kindlingReady));
    const stands = await this.page.evaluate(() => typeof window.kindling?.load === "function");
    assert.ok(stands, "window.kindling is the API");
  }

  /** Puts a file into the page, as `testFiles[name]`. */
  async give(name, bytes) {
    const place = ([name, text]) => {
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      (window.testFiles ??= {})[name] = new File([bytes], name);
    };
    await this.page.evaluate(place, [name, Buffer.from(bytes).toString("base64")]);
  }

  /** Puts a file of this machine into the page; returns its name. */
  async giveFile(path) {
    await this.give(basename(path), readFileSync(path));
    return basename(path);
  }

  /** Loads a single-file checkpoint of this machine. */
  async load(path, options = {}) {
    const name = await this.giveFile(path);
    return this.page.evaluate(([name, options]) => kindling.load(testFiles[name], options), [name, options]);
  }

  /** Greedy tokens after `tokens`. */
  async greedy(tokens, count) {
    const request = { tokens, temperature: 0, max_tokens: count, ignore_eos: true };
    return (await this.page.evaluate((request) => kindling.generate(request), request)).tokens;
  }

  /** Trains to the end on a file given before: `{id, plan, events, end}`. */
  train(request) {
    return this.page.evaluate(async (request) => {
      const events = [];
      const onEvent = (event) => events.push(event);
      const run = await kindling.train({ ...request, data: testFiles[request.data], onEvent });
      return { id: run.id, plan: run.plan, end: await run.done, events };
    }, request);
  }

  /** Takes home what `kindling.export` gives. */
  async takeHome(what, options = {}) {
    const take = async ([what, options]) => {
      const files = await kindling.export(what, options);
      return files.map(({ name, bytes }) => ({ name, bytes: Array.from(bytes) }));
    };
    const files = await this.page.evaluate(take, [what, options]);
    return files.map(({ name, bytes }) => ({ name, bytes: Buffer.from(bytes) }));
  }

  /** Runs a function of the page that must reject; returns the message. */
  async rejection(run, argument) {
    const outcome = await this.page.evaluate(run, argument).then(
      (value) => ({ value: JSON.stringify(value) }),
      (error) => ({ message: error.message.split("\n    at ")[0] }),
    );
    assert.ok("message" in outcome, `should have been refused, but gave ${outcome.value}`);
    return outcome.message.replace(/^page\.evaluate: (\w*Error: )?/, "");
  }
}

/** Losses by step, of the events of a run. */
export function losses(events) {
  return new Map(events.filter((event) => event.event === "step").map(({ step, loss }) => [step, loss]));
}

/** Asserts that two series have the same steps and, within a share, the same values. */
export function sameLosses(actual, expected, share) {
  assert.deepEqual([...actual.keys()], [...expected.keys()], "the same steps");
  for (const [step, loss] of expected) {
    const off = Math.abs(actual.get(step) - loss) / Math.abs(loss);
    assert.ok(off <= share, `step ${step}: ${actual.get(step)} here, ${loss} expected (${off.toExponential(1)} apart)`);
  }
}
