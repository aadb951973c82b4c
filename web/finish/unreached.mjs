// Takes out of a module what the page cannot reach, and a linker cannot know to be so: code that is named in a table of
// functions, or stands behind a choice that is never made. unreached.json names it, each entry with the reason.

import { readFile } from "node:fs/promises";

/**
 * What the page cannot reach of a module: entries {what, why, functions, least}; `functions` is a pattern of their names, as
 * the module's name section has them. Those of fewer than `least` bytes stay, where it is given: of short functions that are
 * equal the compiler keeps one, under the name of any of them.
 */
export async function unreachedOf(name) {
  const listed = JSON.parse(await readFile(new URL("./unreached.json", import.meta.url), "utf8"));
  return listed[name] ?? [];
}

const SECTION = { custom: 0, imports: 2, code: 10 };
/** No local variables, `unreachable`, `end`: who calls it stops at once, with that word. */
const STOP = Uint8Array.of(3, 0, 0, 0x0b);

/**
 * A module in which the functions of these entries only stop, and how many bytes of code that took out, by entry.
 *
 * The module must have its name section. An entry that names no function is an error: what it stood for has another name
 * by now.
 */
export function withoutUnreached(bytes, listed) {
  if (!listed.length) return { bytes, gone: [] };
  const found = sections(bytes);
  const names = functionNames(bytes, found);
  const code = found.find(({ id }) => id === SECTION.code);
  const reader = new Reader(bytes, code.start);
  const count = reader.number();
  const patterns = listed.map(({ functions }) => new RegExp(functions));
  const gone = listed.map(() => 0);
  const bodies = [number(count)];
  for (let index = importedFunctions(bytes, found), i = 0; i < count; i += 1, index += 1) {
    const from = reader.at;
    const size = reader.number();
    reader.at += size;
    const fits = (pattern, at) => size >= (listed[at].least ?? 0) && pattern.test(names.get(index) ?? "");
    const entry = patterns.findIndex(fits);
    if (entry >= 0) gone[entry] += reader.at - from;
    bodies.push(entry >= 0 ? STOP : bytes.subarray(from, reader.at));
  }
  const absent = listed.filter((_, i) => gone[i] === 0).map(({ functions }) => functions);
  if (absent.length) throw new Error(`no function is named ${absent.join(", ")}: correct web/finish/unreached.json`);
  const body = Buffer.concat(bodies);
  const parts = [bytes.subarray(0, code.head), Buffer.of(SECTION.code), number(body.length), body];
  return { bytes: Buffer.concat([...parts, bytes.subarray(code.end)]), gone };
}

/** Where the sections of a module stand: `head` is a section's first byte, `start` the first of its content. */
function sections(bytes) {
  const found = [];
  for (const reader = new Reader(bytes, 8); reader.at < bytes.length; ) {
    const head = reader.at;
    const id = reader.byte();
    const length = reader.number();
    found.push({ id, head, start: reader.at, end: reader.at + length });
    reader.at += length;
  }
  return found;
}

/** Imported functions are counted first. */
function importedFunctions(bytes, found) {
  const imports = found.find(({ id }) => id === SECTION.imports);
  if (!imports) return 0;
  const reader = new Reader(bytes, imports.start);
  let functions = 0;
  for (let left = reader.number(); left > 0; left -= 1) {
    reader.text();
    reader.text();
    const kind = reader.byte();
    if (kind === 0) functions += 1;
    if (kind === 0) reader.number();
    if (kind === 1) reader.byte();
    if (kind === 1 || kind === 2) reader.limits();
    if (kind === 3) reader.at += 2;
    if (kind > 3) throw new Error(`an import of kind ${kind} is not known here`);
  }
  return functions;
}

/** The names of functions, by index. */
function functionNames(bytes, found) {
  const names = new Map();
  for (const section of found.filter(({ id }) => id === SECTION.custom)) {
    const reader = new Reader(bytes, section.start);
    if (reader.text() !== "name") continue;
    while (reader.at < section.end) {
      const kind = reader.byte();
      const end = reader.number() + reader.at;
      if (kind === 1) for (let left = reader.number(); left > 0; left -= 1) names.set(reader.number(), reader.text());
      reader.at = end;
    }
  }
  if (!names.size) throw new Error("the module has no names of functions to find them by");
  return names;
}

class Reader {
  constructor(bytes, at) {
    this.bytes = bytes;
    this.at = at;
  }

  byte() {
    return this.bytes[this.at++];
  }

  /** An unsigned LEB128 number. */
  number() {
    for (let value = 0, scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  text() {
    const length = this.number();
    this.at += length;
    return this.bytes.toString("utf8", this.at - length, this.at);
  }

  limits() {
    const flags = this.byte();
    this.number();
    if (flags & 1) this.number();
  }
}

/** A number as unsigned LEB128. */
function number(value) {
  const bytes = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    if (left < 128) return Buffer.from([...bytes, left]);
    bytes.push((left % 128) | 128);
  }
}
