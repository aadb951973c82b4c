// JavaScript because web-sys has Web Locks only behind a compiler flag, and because downloads write through the same
// handles as they come. The browser's private file system (OPFS): paths are segments joined by "/"; folders appear as
// needed.

/** Bytes that are read back at once. */
const BLOCK = 1 << 20;

/** Milliseconds that the browser has to open something before it is asked again, and how often it is. */
const PATIENCE = 5000;
const TRIES = 12;

/**
 * What the browser opens. Now and then Chromium leaves a question to its file system without an answer; it is then asked
 * again, and what comes late is given back.
 */
async function answered(ask, giveBack = () => {}) {
  const asked = [];
  for (let tries = 0; tries < TRIES; tries += 1) {
    asked.push(ask());
    let timer;
    const late = new Promise((later) => (timer = setTimeout(later, PATIENCE)));
    const answer = await Promise.race([Promise.any(asked), late])
      .catch(({ errors }) => Promise.reject(errors[0]))
      .finally(() => clearTimeout(timer));
    if (answer === undefined) continue;
    for (const other of asked) other.then((came) => came !== answer && giveBack(came), () => {});
    return answer;
  }
  for (const other of asked) other.then(giveBack, () => {});
  throw new Error(`the browser's file system does not answer, asked ${TRIES} times; close the browser and open it again`);
}

async function folder(path, create) {
  let at = await answered(() => navigator.storage.getDirectory());
  for (const name of path) {
    const parent = at;
    at = await answered(() => parent.getDirectoryHandle(name, { create }));
  }
  return at;
}

async function fileHandle(path, create) {
  const [parents, name] = split(path);
  const parent = await folder(parents, create);
  return answered(() => parent.getFileHandle(name, { create }));
}

function split(path) {
  const segments = path.split("/").map(encodeURIComponent);
  return [segments.slice(0, -1), segments.at(-1)];
}

const missing = (error) => error.name === "NotFoundError" || error.name === "TypeMismatchError";

async function accessTo(path) {
  const file = await fileHandle(path, true);
  // Safari writes through this handle only, and workers only have it.
  return answered(() => file.createSyncAccessHandle(), (late) => late.close());
}

/**
 * Writes a file, whole, and reads it back; gives the seconds that nothing else could run. The bytes must be the caller's
 * own: a view into a module's memory is empty once that memory has grown, as it may while this waits.
 */
export async function write(path, bytes) {
  const { length } = bytes;
  const access = await accessTo(path);
  const begun = performance.now();
  try {
    if (bytes.length !== length) throw new Error(`${path}: ${length} bytes went away before they were written`);
    access.truncate(0);
    for (let at = 0; at < length; ) {
      const written = access.write(bytes.subarray(at), { at });
      if (!(written > 0)) throw new Error(`${path}: the browser wrote ${at} of ${length} bytes`);
      at += written;
    }
    access.flush();
    check(path, access, bytes);
  } finally {
    access.close();
  }
  return (performance.now() - begun) / 1000;
}

/** Reads a file back and compares it with what it should hold. */
function check(path, access, bytes) {
  const size = access.getSize();
  if (size !== bytes.length) throw new Error(`${path}: ${size} of ${bytes.length} bytes were written`);
  const block = new Uint8Array(Math.min(BLOCK, size));
  for (let at = 0; at < size; ) {
    const read = access.read(block, { at });
    if (!(read > 0)) throw new Error(`${path}: it cannot be read back after ${at} bytes`);
    const expected = bytes.subarray(at, at + read);
    for (let i = 0; i < expected.length; i += 1) {
      if (block[i] !== expected[i]) throw new Error(`${path}: other bytes than were written come back`);
    }
    at += read;
  }
}

/** A file that grows; no other tab can open it meanwhile. */
export async function sink(path) {
  const access = await accessTo(path);
  return {
    size: () => access.getSize(),
    cut: (size) => access.truncate(size),
    write: (bytes, at) => access.write(bytes, { at }),
    bytes() {
      const whole = new Uint8Array(access.getSize());
      access.read(whole, { at: 0 });
      return whole;
    },
    close: () => access.close(),
  };
}

/** The bytes of a file, or undefined. */
export async function read(path) {
  try {
    const handle = await fileHandle(path, false);
    const file = await handle.getFile();
    return new Uint8Array(await file.arrayBuffer());
  } catch (error) {
    if (missing(error)) return undefined;
    throw error;
  }
}

/** [name, bytes] of everything in a folder; bytes is -1 for a folder. */
export async function list(path) {
  const found = [];
  try {
    const at = await folder(path.split("/").filter(Boolean).map(encodeURIComponent), false);
    for await (const [name, handle] of at.entries()) {
      const size = handle.kind === "file" ? await sizeOf(handle) : -1;
      if (size !== undefined) found.push([decoded(name), size]);
    }
  } catch (error) {
    if (!missing(error)) throw error;
  }
  return found;
}

/** Undefined where another tab removed the file meanwhile. */
function sizeOf(handle) {
  const gone = (error) => (missing(error) ? undefined : Promise.reject(error));
  return handle.getFile().then(({ size }) => size, gone);
}

/** A name that nobody encoded stays as it is. */
function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** Removes a file or a folder with everything in it; nothing where there is none. */
export async function remove(path) {
  const [parents, name] = split(path);
  try {
    await (await folder(parents, false)).removeEntry(name, { recursive: true });
  } catch (error) {
    if (!missing(error)) throw error;
  }
}

const mine = new Map();

/** Takes a name that only one tab can have, until `release` or the end; false where another tab has it. */
export function hold(name) {
  // Without locks there is no private file system either that two tabs could spoil.
  return navigator.locks ? patiently(() => holdNow(name), (taken) => taken) : Promise.resolve(true);
}

/** The same, without waiting for a tab that is about to end. */
export function holdNow(name) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((told, failed) => {
    const holding = (lock) => {
      told(lock !== null);
      return lock && new Promise((release) => mine.set(name, release));
    };
    navigator.locks.request(name, { ifAvailable: true }, holding).catch(failed);
  });
}

/** Gives a name back. */
export function release(name) {
  mine.get(name)?.();
  mine.delete(name);
}

/** The names that any tab has, of those that begin so. */
export function held(beginning) {
  if (!navigator.locks) return Promise.resolve([]);
  const begins = (name) => name.startsWith(beginning);
  const names = async () => (await navigator.locks.query()).held.map(({ name }) => name).filter(begins);
  return patiently(names, (names) => names.every((name) => mine.has(name)));
}

/** Asks again for a while: a worker that was just ended in the middle of its work still has its names. */
async function patiently(ask, good) {
  for (let asked = 1; ; asked += 1) {
    const answer = await ask();
    if (good(answer) || asked === 25) return answer;
    await new Promise((later) => setTimeout(later, 100));
  }
}
