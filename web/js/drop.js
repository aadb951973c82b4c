// JavaScript because browsers tell of a dropped folder's files in nested callbacks. What was dropped on the page: files,
// and the files of folders with the folders before their names.

/** The files that a drop event carries. What it carries is gone when the event is over, so nothing waits before it. */
export async function droppedFiles({ dataTransfer }) {
  const plain = [...dataTransfer.files];
  const entries = [...dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return plain;
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    // As a folder that is picked has it.
    Object.defineProperty(file, "webkitRelativePath", { value: entry.fullPath.replace(/^\//, "") });
    found.push(file);
    return;
  }
  const reader = entry.createReader();
  // It gives a part of a large folder at a time, and in the end nothing.
  for (;;) {
    const part = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (part.length === 0) return;
    for (const inner of part) await walk(inner, found);
  }
}
