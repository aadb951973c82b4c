// A static file server below a sub-path of 127.0.0.1, because the page must work in any folder of any server.

import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

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

/**
 * Serves `folder`. `requests` lists what was asked for; `prepend` puts code before that of matching files; `put` adds
 * a file, of which `part` says what becomes: "cut" breaks the connection half-way, "stall" stops there for good.
 */
export async function serve(folder) {
  const requests = [];
  const added = new Map();
  const prepended = [];
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://x");
    requests.push({ method: request.method, path: pathname });
    const name = pathname.startsWith(BASE) ? decodeURIComponent(pathname.slice(BASE.length)) || "index.html" : null;
    const file = added.get(name);
    if (file) return answer(response, file);
    const path = name === null ? null : normalize(join(folder, name));
    const size = path?.startsWith(folder) && (await stat(path).then((s) => (s.isFile() ? s.size : null), () => null));
    if (typeof size !== "number") return response.writeHead(404).end("no such file");
    const type = TYPES[extname(path)] ?? "application/octet-stream";
    const before = prepended.filter(({ pattern }) => pattern.test(pathname)).map(({ code }) => code).join("");
    if (before) return response.writeHead(200, { "content-type": type }).end(before + (await readFile(path, "utf8")));
    response.writeHead(200, { "content-type": type, "content-length": size });
    createReadStream(path).pipe(response);
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
    put(name, bytes, part) {
      added.set(name, { bytes: Buffer.from(bytes), part });
      return `${origin}${BASE}${name}`;
    },
    close() {
      server.closeAllConnections();
      return new Promise((closed) => server.close(closed));
    },
  };
}

function answer(response, { bytes, part }) {
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": bytes.length });
  if (!part) return response.end(bytes);
  response.write(bytes.subarray(0, bytes.length >> 1), () => part === "cut" && response.destroy());
}
