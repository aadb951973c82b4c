// The page from `kindling serve`: its models answer in the chat, by its own routes alone; on a host of files there is none.

import { readFileSync, writeFileSync } from "node:fs";
import { createServer, request as ask } from "node:http";
import { join, resolve } from "node:path";

import { setting } from "../chromium.mjs";
import { test } from "../harness.mjs";
import { endless, served, tiny } from "../native.mjs";
import { SECOND, answered, ask as askPage, askGreedily, send, typeRows } from "../steps.mjs";

const QUESTION = "Where is the kettle of Oren?";
const LONG = { seconds: 240 };
const LOCAL = /^(blob|data):/;

/** Starts the server with the built page, opens that, and tells what it asked for; all ends with the case. */
async function opened(t, flags, run) {
  const server = await served("--page", resolve(setting("DIST")), ...flags);
  const asked = [];
  const note = (request) => asked.push(request);
  t.context.on("request", note);
  try {
    await t.page.goto(`${server.url}/index.html?device=cpu&model=none`);
    await t.ready();
    const isOfServer = (request) => new URL(request.url()).pathname.startsWith("/v1");
    await run({ server, asked, ofServer: () => asked.filter(isOfServer) });
  } finally {
    t.context.off("request", note);
    await server.end();
  }
}

/** Lists the server's models, and talks with one. */
async function choose(t, name) {
  const { page } = t;
  await page.getByTestId("tab-models").click();
  await page.getByTestId("server-ask").click();
  await page.locator(`[data-testid=server-model][data-name=${name}]`).getByTestId("server-talk").click();
  await page.locator("#model", { hasText: name }).waitFor({ timeout: 20 * SECOND });
}

test("served: a model of the server answers as in the tab, and nothing goes elsewhere", LONG, async (t) => {
  const { page, assert } = t;
  const { dir, file } = await tiny(t.tmp);
  await opened(t, ["--model", `little=${dir}`], async ({ server, asked, ofServer }) => {
    assert.deepEqual(ofServer(), [], "nothing is asked of its models unasked");
    await choose(t, "little");
    assert.match(await page.getByTestId("model").innerText(), /on this computer's server: little/);
    assert.match(await page.getByTestId("chat-private").innerText(), /goes to that server/);
    await askGreedily(t);
    const answer = await askPage(t, QUESTION);
    assert.ok(answer.length > 3, `it answers: ${answer}`);
    const posted = ofServer().filter((request) => request.method() === "POST").map((request) => request.postDataJSON());
    assert.equal(posted.length, 1);
    const [{ model, stream, temperature, max_tokens, messages }] = posted;
    assert.deepEqual([model, stream, temperature, max_tokens], ["little", true, 0, 64]);
    assert.deepEqual(messages, [{ role: "user", content: QUESTION }]);
    // What needs weights in the tab says so, and there is none open.
    for (const tab of ["teach", "adapters", "models"]) {
      await page.getByTestId(`tab-${tab}`).click();
      assert.match(await page.getByTestId(`server-notice-${tab}`).innerText(), /needs a model in the tab, and none is open/);
    }
    await page.getByTestId("server-notice-models").getByTestId("server-back").click();
    assert.equal(await page.getByTestId("server-notice-models").isVisible(), false);
    // The same model in the tab says the same.
    await t.load(file);
    const request = { messages, temperature: 0, max_tokens: 64 };
    const here = await page.evaluate((request) => kindling.chat.completions.create(request), request);
    assert.equal(answer, here.choices[0].message.content.trim());
    const elsewhere = asked.map((request) => request.url()).filter((url) => !url.startsWith(server.url) && !LOCAL.test(url));
    assert.deepEqual(elsewhere, []);
    await t.picture("answered");
  });
});

const LOUD = { ...LONG, errors: /Failed to load resource/ };
test("served: a key is asked for and kept in memory alone, errors are told, an answer is stopped", LOUD, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  const never = join(t.tmp, "never.safetensors");
  writeFileSync(never, endless(readFileSync(file)));
  await opened(t, ["--model", `never=${never}`, "--api-key", "secret-7"], async ({ server, ofServer }) => {
    await page.getByTestId("tab-models").click();
    await page.getByTestId("server-key").fill("wrong");
    await page.getByTestId("server-key").press("Enter");
    await page.locator("[data-kind=bad] #message", { hasText: /server says/ }).waitFor({ timeout: 20 * SECOND });
    const state = page.getByTestId("server-state");
    assert.equal(await state.innerText(), "", "nothing was listed, and nothing is asked any more");
    await page.getByTestId("server-key").fill("secret-7");
    await page.getByTestId("server-key").press("Enter");
    await state.filter({ hasText: "Models and adapters: 1" }).waitFor({ timeout: 20 * SECOND });
    await choose(t, "never");
    await send(t, QUESTION);
    const said = page.locator("[data-testid=chat-message][data-role=assistant] .answer").last();
    await page.waitForFunction(
      () => [...document.querySelectorAll("[data-role=assistant] .answer")].at(-1)?.innerText.trim().length > 20,
      null, { timeout: 60 * SECOND },
    );
    await page.getByTestId("chat-stop").click();
    await answered(t);
    assert.ok((await said.innerText()).length > 20, "what came stays");
    assert.ok(ofServer().every((request) => !request.url().includes("secret")), "the key is in no address");
    const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
    assert.ok(!kept.includes("secret-7"), "the key is kept nowhere");
    // A server that is gone is told, too.
    await server.end();
    await send(t, "And now?");
    await page.locator("[data-kind=bad] #message", { hasText: /does not answer/ }).waitFor({ timeout: 30 * SECOND });
  });
});

test("served: the page teaches on its server, talks with what that gave, and comes back to a run", LOUD, async (t) => {
  const { page, assert } = t;
  const { dir } = await tiny(t.tmp);
  const runs = join(t.tmp, "served-runs");
  await opened(t, ["--model", `little=${dir}`, "--train", runs], async ({ server, asked, ofServer }) => {
    assert.deepEqual(ofServer(), [], "nothing is asked of it unasked");
    await page.getByTestId("tab-teach").click();
    await typeRows(t, [["Who mends the lamps of Oren?", "Tavi does."], ["When are they lit?", "At the third bell."]]);
    await page.getByTestId("teach-there").check();
    await page.getByTestId("teach-start").click();
    const status = page.getByTestId("teach-status");
    await page.locator("#teach-status", { hasText: /The server answers with it as/ }).waitFor({ timeout: 120 * SECOND });
    const { running, runs: listed } = await page.evaluate(() => kindling.served.list());
    assert.deepEqual([running, listed.length, listed[0].adapter], [null, 1, true]);
    const [{ id, step }] = listed;
    assert.ok(step > 0 && (await status.innerText()).includes(id), "it is called by its name");
    await page.locator(`[data-testid=server-run][data-name="${id}"]`).waitFor({ timeout: 20 * SECOND });
    for (const button of ["teach-export", "teach-export-hf", "teach-more"]) {
      assert.equal(await page.getByTestId(button).isVisible(), false, `${button}: no model is open in the tab`);
    }
    await page.getByTestId("teach-ask").click();
    await page.locator("#model", { hasText: id }).waitFor({ timeout: 20 * SECOND });
    await askGreedily(t);
    assert.ok((await askPage(t, "Who mends the lamps of Oren?")).length > 0);
    // A run goes on while the page is away.
    await page.evaluate(() => {
      const text = JSON.stringify({ messages: [{ role: "user", content: "a" }, { role: "assistant", content: "b" }] });
      const data = { name: "long.jsonl", bytes: new TextEncoder().encode(`${text}\n`) };
      const config = { steps: 1000000, "stop-at-loss": 0, "val-split": 0 };
      return kindling.served.train({ stage: "sft", adapter: {}, config, data }).then(() => null);
    });
    await page.reload();
    await t.ready();
    await page.getByTestId("tab-teach").click();
    await page.getByTestId("teach-there").check();
    await page.locator("[data-testid=server-run][data-name=long]").getByTestId("server-run-go").click();
    await page.waitForFunction(() => document.getElementById("teach-progress").value > 0, null, { timeout: 60 * SECOND });
    await page.getByTestId("teach-pause").click();
    await page.locator("#teach-notes", { hasText: /\d/ }).waitFor({ timeout: 30 * SECOND });
    await page.waitForFunction(
      () => kindling.served.list().then(({ running, paused }) => running === "long" && paused), null, { timeout: 30 * SECOND },
    );
    // Whoever comes back to it sees that it pauses, and lets it go on with one press.
    await page.reload();
    await t.ready();
    await page.getByTestId("tab-teach").click();
    await page.getByTestId("teach-there").check();
    await page.locator("[data-testid=server-run][data-name=long]").getByTestId("server-run-go").click();
    const pause = page.getByTestId("teach-pause");
    await pause.filter({ hasText: /^Resume$/ }).waitFor({ timeout: 30 * SECOND });
    await page.locator("#teach-status", { hasText: /^Paused/ }).waitFor({ timeout: 30 * SECOND });
    await pause.click();
    await page.waitForFunction(
      () => kindling.served.list().then(({ paused }) => !paused), null, { timeout: 30 * SECOND },
    );
    await page.locator("#teach-status", { hasText: /^Step \d/ }).waitFor({ timeout: 30 * SECOND });
    await page.getByTestId("teach-stop").click();
    await page.getByTestId("teach-resume").waitFor({ timeout: 60 * SECOND });
    await page.getByTestId("teach-resume").click();
    await page.waitForFunction(() => document.getElementById("teach-progress").value > 0, null, { timeout: 60 * SECOND });
    await page.getByTestId("teach-stop").click();
    await page.getByTestId("teach-resume").waitFor({ timeout: 60 * SECOND });
    // What it does not train it says in the page's words.
    const refused = await t.rejection(() => kindling.served.train({ stage: "dpo", data: { name: "a.jsonl", bytes: new Uint8Array() } }));
    assert.match(refused, /not by dpo/);
    const elsewhere = asked.map((request) => request.url()).filter((url) => !url.startsWith(server.url) && !LOCAL.test(url));
    assert.deepEqual(elsewhere, []);
  });
});

/** A server before another one, which answers chats itself: with a stream that `tell` writes to. */
async function before(url, tell) {
  const { hostname: host, port } = new URL(url);
  const server = createServer((request, response) => {
    if (request.url.endsWith("/chat/completions")) {
      request.resume();
      response.writeHead(200, { "content-type": "text/event-stream" });
      return tell(response);
    }
    const { method, headers, url: path } = request;
    const passed = ask({ host, port, path, method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    request.pipe(passed);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const end = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, end };
}

test("served: the connection of a stream that told of an error is let go", LOUD, async (t) => {
  const { page, assert } = t;
  const { dir } = await tiny(t.tmp);
  const server = await served("--model", `little=${dir}`, "--page", resolve(setting("DIST")));
  let closed = false;
  const stands = await before(server.url, (response) => {
    response.on("close", () => (closed = true));
    response.write('data: {"error": {"message": "the lamp broke"}}\n\n');
  });
  try {
    await page.goto(`${stands.url}/index.html?device=cpu&model=none`);
    await t.ready();
    await choose(t, "little");
    await send(t, QUESTION);
    await page.locator("[data-kind=bad] #message", { hasText: /the lamp broke/ }).waitFor({ timeout: 20 * SECOND });
    for (let waited = 0; waited < 100 && !closed; waited++) await new Promise((done) => setTimeout(done, 100));
    assert.ok(closed, "the page has closed it");
  } finally {
    stands.end();
    await server.end();
  }
});

test("served: on a host of files the page asks for no server and offers none", { device: "cpu" }, async (t) => {
  const { page, server, assert } = t;
  for (const tab of ["models", "chat", "teach"]) await page.getByTestId(`tab-${tab}`).click();
  assert.equal(await page.getByTestId("server-ask").count(), 0);
  assert.equal(await page.getByTestId("teach-there").count(), 0);
  assert.deepEqual(server.requests.filter(({ path }) => path.includes("/v1")), []);
});
