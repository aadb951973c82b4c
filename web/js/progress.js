// JavaScript because it runs before a module of ours is there. Fetches the large files, and tells how far they are.

/**
 * What the files weigh, by name: {size, packed}, bytes as they are used and as they are sent compressed. Servers tell
 * the second alone. Empty where web/finish did not weigh them.
 */
export const sizes = fetch(new URL("./sizes.json", import.meta.url))
  .then((answer) => (answer.ok ? answer.json() : {}))
  .catch(() => ({}));

/** Fetches a file that lies beside this one; `tell` hears {loaded, total}, with `total` null while it is unknown. */
export async function fetchTold(name, tell) {
  const answer = await fetch(new URL(`./${name}`, import.meta.url));
  if (answer.ok && answer.body) count(name, answer.clone().body.getReader(), tell).catch(() => {});
  return answer;
}

/** Reads a copy, because browsers keep what they compiled of an answer of their own alone. */
async function count(name, reader, tell) {
  let total = null;
  const known = sizes.then((all) => (total = all[name]?.size ?? null));
  let loaded = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    loaded += value.byteLength;
    tell({ loaded, total });
  }
  await known;
  tell({ loaded, total: loaded });
}
