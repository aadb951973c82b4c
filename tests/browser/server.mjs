// A static file server below a sub-path of 127.0.0.1, because the page must work in any folder of any server.

import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { Transform } from "node:stream";

const BASE = "/some/path/";
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".wasm": "application/wasm",
};

/** Compressed forms that may lie beside a file, by the name that a browser knows, best first. */
const FORMS = [["br", ".br"], ["gzip", ".gz"]];
/** What goes out at a time where a pace is kept. */
const PART = 16 << 10;

/** Milliseconds in which what was sent arrives; what a browser has not read when the connection breaks is lost. */
const ARRIVES = 300;

/**
 * Serves `folder`, compressed where a browser takes it and the folder has it. `requests` lists what was asked for, and
 * for files of the folder what was sent; `pace` lets these together go no faster; `prepend` puts code before that of
 * matching files; `put` adds a file or replaces it, and `drop` takes it away. `part` says what becomes of its answers:
 * "cut" breaks the connection half-way, "stall" stops there for good; without `ranges` each begins at the file's start.
 * `headers` go with every answer.
 */
export async function serve(folder, headers = {}) {
  const requests = [];
  const added = new Map();
  const prepended = [];
  let versions = 0;
  let pace = null;
  const server = createServer(async (request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const { pathname } = new URL(request.url, "http://x");
    const asked = { method: request.method, path: pathname, range: request.headers.range };
    requests.push(asked);
    const name = pathname.startsWith(BASE) ? decodeURIComponent(pathname.slice(BASE.length)) || "index.html" : null;
    const file = added.get(name);
    if (file) return answer(request, response, file);
    const before = prepended.filter(({ pattern }) => pattern.test(pathname)).map(({ code }) => code).join("");
    const takes = request.headers["accept-encoding"] ?? "";
    Object.assign(asked, await send(response, { folder, name, before, takes, pace }));
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const origin = `http://127.0.0.1:${server.address().port}`;
  return {
    origin,
    url: origin + BASE,
    requests,
    prepend(pattern, code) {
      prepended.push({ pattern, code });
    },
    put(name, bytes, part, ranges = true) {
      const before = added.get(name);
      versions += 1;
      const modified = before?.bytes.equals(bytes) ? before.modified : new Date(versions * 1000).toUTCString();
      const type = TYPES[extname(name)] ?? "application/octet-stream";
      added.set(name, { bytes: Buffer.from(bytes), type, part, ranges, modified });
      return `${origin}${BASE}${name}`;
    },
    pace(bytesPerSecond) {
      pace = pacemaker(bytesPerSecond);
    },
    drop(name) {
      added.delete(name);
    },
    close() {
      server.closeAllConnections();
      return new Promise((closed) => server.close(closed));
    },
  };
}

/** Answers with a file of `folder`, behind the code in `before`; returns in what form, and how long that is. */
async function send(response, { folder, name, before, takes, pace }) {
  const path = name === null ? null : normalize(join(folder, name));
  const plain = path?.startsWith(folder) ? await sizeOf(path) : null;
  if (plain === null) return void response.writeHead(404).end("no such file");
  const head = { "content-type": TYPES[extname(path)] ?? "application/octet-stream" };
  if (before) return void response.writeHead(200, head).end(before + (await readFile(path, "utf8")));
  let [form, ending, size] = ["", "", plain];
  for (const [name, of] of FORMS) {
    const small = form || !takes.includes(name) ? null : await sizeOf(path + of);
    if (small !== null) [form, ending, size] = [name, of, small];
  }
  if (form) Object.assign(head, { "content-encoding": form, vary: "accept-encoding" });
  response.writeHead(200, { ...head, "content-length": size });
  const file = createReadStream(path + ending, { highWaterMark: PART });
  (pace ? file.pipe(pace()) : file).pipe(response);
  return { form, bytes: size };
}

/** Bytes of a file; null where there is none. */
function sizeOf(path) {
  return stat(path).then((found) => (found.isFile() ? found.size : null), () => null);
}

/** Streams that share a line of so many bytes a second. */
function pacemaker(bytesPerSecond) {
  let free = 0;
  return () => new Transform({
    transform(part, _, done) {
      const now = performance.now();
      free = Math.max(now, free) + (part.length / bytesPerSecond) * 1000;
      setTimeout(done, free - now, null, part);
    },
  });
}

/** Answers with a file that was added, or with what `part` leaves of it. */
function answer(request, response, { bytes, type, part, ranges, modified }) {
  const from = ranges ? request.headers.range?.match(/^bytes=(\d+)-$/)?.[1] : undefined;
  const [start, length] = [Number(from ?? 0), bytes.length];
  // The browser's own cache would answer some requests, and no case would hear of them.
  const head = { "content-type": type, "last-modified": modified, "cache-control": "no-store" };
  if (ranges) head["accept-ranges"] = "bytes";
  if (start > 0 && start >= length) return response.writeHead(416, { "content-range": `bytes */${length}` }).end();
  if (from !== undefined) head["content-range"] = `bytes ${start}-${length - 1}/${length}`;
  response.writeHead(from === undefined ? 200 : 206, { ...head, "content-length": length - start });
  if (request.method === "HEAD") return response.end();
  if (!part) return response.end(bytes.subarray(start));
  const cut = () => setTimeout(() => response.destroy(), ARRIVES);
  response.write(bytes.subarray(start, (start + length) >> 1), () => part === "cut" && cut());
}
