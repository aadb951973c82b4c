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

/** Writes a file, whole. */
export async function write(path, bytes) {
  const [parents, name] = split(path);
  const file = await (await folder(parents, true)).getFileHandle(name, { create: true });
  // Safari writes through this handle only, and workers only have it.
  const access = await file.createSyncAccessHandle();
  try {
    access.truncate(0);
    access.write(bytes, { at: 0 });
    access.flush();
  } finally {
    access.close();
  }
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
