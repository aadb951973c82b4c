// The browser's private file system (OPFS). Paths are segments joined by "/"; folders appear as needed.

async function folder(path, create) {
  let at = await navigator.storage.getDirectory();
  for (const name of path) at = await at.getDirectoryHandle(name, { create });
  return at;
}

function split(path) {
  const segments = path.split("/").map(encodeURIComponent);
  return [segments.slice(0, -1), segments.at(-1)];
}

const missing = (error) => error.name === "NotFoundError" || error.name === "TypeMismatchError";

async function accessTo(path) {
  const [parents, name] = split(path);
  const file = await (await folder(parents, true)).getFileHandle(name, { create: true });
  // Safari writes through this handle only, and workers only have it.
  return file.createSyncAccessHandle();
}

/** Writes a file, whole; gives the seconds that nothing else could run. */
export async function write(path, bytes) {
  const access = await accessTo(path);
  const begun = performance.now();
  try {
    access.truncate(0);
    access.write(bytes, { at: 0 });
    access.flush();
  } finally {
    access.close();
  }
  return (performance.now() - begun) / 1000;
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
  const [parents, name] = split(path);
  try {
    const file = await (await (await folder(parents, false)).getFileHandle(name)).getFile();
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
    const at = await folder(path ? path.split("/").map(encodeURIComponent) : [], false);
    for await (const [name, handle] of at.entries()) {
      const size = handle.kind === "file" ? (await handle.getFile()).size : -1;
      found.push([decodeURIComponent(name), size]);
    }
  } catch (error) {
    if (!missing(error)) throw error;
  }
  return found;
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

/** Takes a name that only one tab can have, until `release` or the worker's end; false where another tab has it. */
export function hold(name) {
  // Without locks there is no private file system either that two tabs could spoil.
  return navigator.locks ? patiently(() => tryToHold(name), (taken) => taken) : Promise.resolve(true);
}

function tryToHold(name) {
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

/** The names that any tab has. */
export function held() {
  if (!navigator.locks) return Promise.resolve([]);
  const names = async () => (await navigator.locks.query()).held.map(({ name }) => name);
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
