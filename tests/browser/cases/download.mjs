// Models from a URL: what broke goes on, what opened is kept, what is neither leaves nothing.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { test } from "../harness.mjs";
import { endless, greedy, padded, result, tiny } from "../native.mjs";

const NAME = "far.safetensors";
const PROMPT = [1, 46, 87, 264];
/** The console tells of answers that break off or are no file. */
const LOUD = { device: "cpu", errors: /Failed to load resource|net::ERR/ };

/** How a download ends before its time: what the server does, and what the page. */
const ENDS = [["breaks", "cut", fail], ["is aborted", "stall", abort], ["meets a reload", "stall", leave]];

for (const [how, part, begin] of ENDS) {
  test(`download: one that ${how} goes on where it stopped`, LOUD, async (t) => {
    const { assert } = t;
    const { dir, bytes } = await long(t);
    await begin(t, t.server.put(NAME, bytes, part));
    const parts = await load(t, t.server.put(NAME, bytes));
    const [whole, rest, ...others] = gets(t);
    assert.deepEqual([whole, others], [undefined, []]);
    const there = Number(rest?.match(/^bytes=(\d+)-$/)?.[1]);
    assert.ok(there > 0 && there <= bytes.length >> 1, `it asked for ${rest} of ${bytes.length} bytes`);
    assert.ok(parts[0].loaded >= there, `${parts[0].loaded} bytes at first, of which ${there} were there`);
    assert.deepEqual(parts.at(-1), { loaded: bytes.length, total: bytes.length });
    await answersAs(t, dir);
    assert.deepEqual(await kept(t), ["far"]);
  });
}

test("download: from a server that knows no ranges it begins again", LOUD, async (t) => {
  const { dir, bytes } = await long(t);
  await fail(t, t.server.put(NAME, bytes, "cut", false));
  const parts = await load(t, t.server.put(NAME, bytes, undefined, false));
  t.assert.deepEqual(parts.at(-1), { loaded: bytes.length, total: bytes.length });
  await answersAs(t, dir);
});

for (const [how, change] of [["of its length", endless], ["that is longer", (bytes) => padded(endless(bytes), 64)]]) {
  test(`download: another file ${how} is not put behind the half of the first`, LOUD, async (t) => {
    const { file } = await tiny(t.tmp);
    const before = readFileSync(file);
    const after = change(before);
    await fail(t, t.server.put(NAME, before, "cut"));
    const parts = await load(t, t.server.put(NAME, after));
    t.assert.deepEqual(parts.at(-1), { loaded: after.length, total: after.length });
    await scoresAs(t, after, before);
  });
}

test("download: a kept one is opened without being fetched again", LOUD, async (t) => {
  const { assert } = t;
  const { dir, bytes } = await long(t);
  const url = t.server.put(NAME, bytes);
  const opens = async (fetched) => {
    await load(t, url);
    assert.deepEqual([gets(t).length, await kept(t)], [fetched, ["far"]]);
    await answersAs(t, dir);
  };
  await opens(1);
  const [{ bytes: room }] = await t.page.evaluate(() => kindling.models.list());
  assert.ok(room > 100_000);
  await t.reload();
  await opens(1);
  const heads = t.server.requests.filter(({ method, path }) => method === "HEAD" && path.endsWith(NAME));
  assert.ok(heads.length > 0, "it asks whether the file changed");
  await t.page.evaluate(() => kindling.models.remove("far"));
  await opens(2);
  t.server.drop(NAME);
  await opens(2);
  await t.server.close();
  await opens(2);
});

test("download: a kept one that changed on the server is fetched anew", LOUD, async (t) => {
  const { file } = await tiny(t.tmp);
  const before = readFileSync(file);
  const after = endless(before);
  await load(t, t.server.put(NAME, before));
  await load(t, t.server.put(NAME, after));
  t.assert.deepEqual(gets(t), [undefined, undefined]);
  await scoresAs(t, after, before);
  t.assert.deepEqual(await kept(t), ["far"], "it takes the old one's place");
  await t.reload();
  await load(t, t.server.put(NAME, after));
  t.assert.equal(gets(t).length, 2);
  await scoresAs(t, after, before);
});

test("download: another model that is kept under its name is not taken for it", LOUD, async (t) => {
  const { file } = await tiny(t.tmp);
  const far = readFileSync(file);
  const own = endless(far);
  const url = t.server.put(NAME, far);
  await load(t, url);
  await t.give("own.safetensors", own);
  await t.page.evaluate(async () => {
    await kindling.load(testFiles["own.safetensors"]);
    await kindling.models.keep("far");
  });
  await load(t, url);
  await scoresAs(t, far, own);
});

test("download: what is not to be kept, or is no model, leaves nothing behind", LOUD, async (t) => {
  const { assert } = t;
  const { dir, bytes } = await long(t);
  const before = await stored(t);
  const url = t.server.put(NAME, bytes);
  for (const asked of [[undefined], [undefined, undefined]]) {
    await load(t, url, { keep: false });
    assert.deepEqual([gets(t), await kept(t), await stored(t)], [asked, [], before]);
    await answersAs(t, dir);
  }
  const letter = t.server.put("letter.safetensors", Buffer.alloc(1 << 20, "Dear diary, "));
  for (const asked of [[undefined], [undefined, undefined]]) {
    assert.match(await t.rejection((url) => kindling.load(url), letter), /letter\.safetensors/);
    assert.deepEqual([gets(t, "letter.safetensors"), await kept(t), await stored(t)], [asked, [], before]);
  }
  await answersAs(t, dir);
});

/** The tiny model in a file that comes in many parts. */
async function long(t) {
  const { dir, file } = await tiny(t.tmp);
  return { dir, bytes: padded(readFileSync(file), 4 << 20) };
}

/** Loads a URL; what was told of its progress. */
function load(t, url, options = {}) {
  return t.page.evaluate(async ([url, options]) => {
    const parts = [];
    await kindling.load(url, { ...options, onProgress: (part) => parts.push(part) });
    return parts;
  }, [url, options]);
}

/** Loads a URL whose answer breaks off. */
async function fail(t, url) {
  t.assert.match(await t.rejection((url) => kindling.load(url), url), /connection|network|fetch|ended|again/i);
}

/** Loads a URL until a part of it is there, and ends that. */
async function abort(t, url) {
  const ended = await t.page.evaluate((url) => {
    const abort = new AbortController();
    const onProgress = ({ loaded }) => loaded > 0 && abort.abort();
    return kindling.load(url, { signal: abort.signal, onProgress }).then(() => "loaded", (error) => error.name);
  }, url);
  t.assert.equal(ended, "AbortError");
}

/** Loads a URL until a part of it is there, and opens the page anew. */
async function leave(t, url) {
  await t.page.evaluate((url) => new Promise((some) => {
    kindling.load(url, { onProgress: ({ loaded }) => loaded > 0 && some() });
  }), url);
  await t.reload();
}

/** The ranges in which a file was asked for; undefined is the whole. */
function gets(t, name = NAME) {
  const asked = t.server.requests.filter(({ method, path }) => method === "GET" && path.endsWith(name));
  return asked.map(({ range }) => range);
}

async function kept(t) {
  return (await t.page.evaluate(() => kindling.models.list())).map(({ name }) => name);
}

/** Bytes in the browser's private file system. */
function stored(t) {
  return t.page.evaluate(async () => {
    const below = async (folder) => {
      let bytes = 0;
      for await (const entry of folder.values()) {
        bytes += entry.kind === "file" ? (await entry.getFile()).size : await below(entry);
      }
      return bytes;
    };
    return below(await navigator.storage.getDirectory());
  });
}

async function answersAs(t, model) {
  t.assert.deepEqual(await t.greedy(PROMPT, 8), await greedy(model, PROMPT, 8));
}

/** Asserts that the open model finds a text as likely as `file` natively, and not as `other`. */
async function scoresAs(t, file, other) {
  // With the two tokens in which `endless` differs.
  const tokens = [...PROMPT, 2, 270, 0, 280];
  const score = async (name, bytes) => {
    writeFileSync(join(t.tmp, name), bytes);
    return (await result("score", "--model", join(t.tmp, name), "--tokens", tokens.join(","))).nll;
  };
  const [there, elsewhere] = [await score("file.safetensors", file), await score("other.safetensors", other)];
  t.assert.ok(Math.abs(there - elsewhere) > 0.01, `the fixture is no test: nll ${there} and ${elsewhere}`);
  const here = (await t.page.evaluate((tokens) => kindling.score({ tokens }), tokens)).nll;
  t.assert.ok(Math.abs(here - there) < 1e-3, `nll ${here} here, ${there} natively`);
}
