// The browser's private file system, as a case sees and spoils it.

/** Paths and sizes of all files below a folder. */
export function filesBelow(t, folder) {
  return t.page.evaluate(async (path) => {
    const found = {};
    const walk = async (at, before) => {
      for await (const [name, handle] of at.entries()) {
        const own = `${before}${decodeURIComponent(name)}`;
        if (handle.kind === "file") found[own] = (await handle.getFile()).size;
        else await walk(handle, `${own}/`);
      }
    };
    let at = await navigator.storage.getDirectory();
    try {
      for (const name of path.split("/")) at = await at.getDirectoryHandle(encodeURIComponent(name));
    } catch (error) {
      if (error.name === "NotFoundError") return found;
      throw error;
    }
    await walk(at, "");
    return found;
  }, folder);
}

/** Does something to a file: `put` a text into it, `read` it as text, `damage` a byte of it, or `drop` it. */
function touch(t, path, what, text = "") {
  return t.page.evaluate(async ([path, what, text]) => {
    const names = path.split("/").map(encodeURIComponent);
    let at = await navigator.storage.getDirectory();
    for (const name of names.slice(0, -1)) at = await at.getDirectoryHandle(name, { create: what === "put" });
    if (what === "drop") return void (await at.removeEntry(names.at(-1)));
    const handle = await at.getFileHandle(names.at(-1), { create: what === "put" });
    const file = await handle.getFile();
    if (what === "read") return file.text();
    const bytes = what === "put" ? new TextEncoder().encode(text) : new Uint8Array(await file.arrayBuffer());
    if (what === "damage") bytes[bytes.length - 1] ^= 1;
    const writable = await handle.createWritable();
    await writable.write(bytes);
    await writable.close();
  }, [path, what, text]);
}

/** Writes a text into a file. */
export const put = (t, path, text) => touch(t, path, "put", text);
/** Empties a file, as a page that ends in the middle of its work may leave it. */
export const tear = (t, path) => touch(t, path, "put");
/** Changes a byte of a file and nothing of its size. */
export const damage = (t, path) => touch(t, path, "damage");
/** Removes a file. */
export const drop = (t, path) => touch(t, path, "drop");
/** What stands in a file of text. */
export const read = (t, path) => touch(t, path, "read");

/** Runs before the engine: its memory grows whenever it opens a file, so that views into it are empty afterwards. */
export function growWhileOpening() {
  const open = FileSystemFileHandle.prototype.createSyncAccessHandle;
  FileSystemFileHandle.prototype.createSyncAccessHandle = async function (...args) {
    if (self.watched) {
      self.watched.grow(1);
      self.grown = (self.grown ?? 0) + 1;
    }
    return open.apply(this, args);
  };
}

/** Runs before the engine: the first file that is sought and the first that is opened are never answered for. */
export function loseAnswers() {
  const lose = (of, name) => {
    const original = of.prototype[name];
    let lost = false;
    of.prototype[name] = function (...args) {
      const answer = original.apply(this, args);
      if (lost) return answer;
      lost = true;
      self.lost = (self.lost ?? 0) + 1;
      return answer.then((handle) => {
        handle.close?.();
        return new Promise(() => {});
      });
    };
  };
  lose(FileSystemDirectoryHandle, "getFileHandle");
  lose(FileSystemFileHandle, "createSyncAccessHandle");
}
