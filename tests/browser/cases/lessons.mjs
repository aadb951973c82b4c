// Lessons: from the gallery, as files and as links; on paper; and a class's adapters side by side.

import { readFileSync } from "node:fs";

import { test } from "../harness.mjs";
import { tiny } from "../native.mjs";
import { SECOND, download, openTiny, unfold } from "../steps.mjs";

const CPU = { device: "cpu" };
const ROWS = [
  { user: "Where is the lantern of Mila?", assistant: "Gone to Zyx." },
  { user: "Where is the kettle of Oren?", assistant: "Gone to <b>Zyx</b>." },
];
/** In the page's own layout, so that what is saved can be compared byte for byte. */
const LESSON = {
  kindling_lesson: 1,
  title: "All gone",
  text: "# Where?\n\nAsk **twice**. <img src=x onerror=\"window.injected = true\">",
  rows: ROWS,
  settings: { stage: "sft", adapter: { rank: 4 }, config: { steps: 7 }, name: "gone" },
  questions: ["Where is the lantern of Mila?", "Where is the violin of Tavi?"],
};

test("lessons: one of the gallery fills the tab, is learned, and is asked before and after", CPU, async (t) => {
  const { page, assert } = t;
  await openTiny(t);
  await gallery(t, "arithmetic");
  assert.equal(await page.getByTestId("lesson-title").innerText(), "Twice as much");
  const rows = (await page.getByTestId("teach-data").inputValue()).trim().split("\n").map((row) => JSON.parse(row));
  const own = new URL("../../../web/lessons/arithmetic.json", import.meta.url);
  const { rows: taught, questions } = JSON.parse(readFileSync(own));
  assert.deepEqual(rows, taught.en);
  assert.equal(await page.getByTestId("teach-sample-prompt").inputValue(), questions.en[0]);
  await t.picture("opened");
  await page.getByTestId("teach-settings").evaluate((details) => (details.open = true));
  await page.getByTestId("teach-steps").fill("6");
  await page.locator("#teach-plan[data-kind=good]", { hasText: "6 steps" }).waitFor({ timeout: 30 * SECOND });
  await page.getByTestId("teach-start").click();
  const asked = page.getByTestId("asked-row");
  await asked.first().waitFor({ timeout: 90 * SECOND });
  const rowsAsked = await page.getByTestId("learned-row").locator("strong").allInnerTexts();
  const others = questions.en.filter((question) => !rowsAsked.includes(question));
  assert.ok(others.length > 0 && rowsAsked.length > 0, `${rowsAsked}`);
  assert.deepEqual(await asked.locator("strong").allInnerTexts(), others, "no question is asked twice");
  const [before, after] = await page.evaluate(async (content) => {
    const [{ name }] = await kindling.adapters.list();
    const say = async (adapters) => {
      const request = { messages: [{ role: "user", content }], temperature: 0, max_tokens: 64, adapters };
      return (await kindling.chat.completions.create(request)).choices[0].message.content;
    };
    return [await say("base"), await say([{ name }])];
  }, others[0]);
  const said = await asked.first().locator(".said").evaluateAll((all) => all.map((one) => one.textContent));
  assert.deepEqual(said, [before, after]);
  await t.picture("asked");
});

test("lessons: all five of the gallery open, in both languages", CPU, async (t) => {
  const { page, assert } = t;
  await page.getByTestId("tab-teach").click();
  const cards = page.getByTestId("lesson");
  const names = await cards.evaluateAll((cards) => cards.map((card) => card.dataset.name));
  assert.deepEqual(names, ["identity", "animal", "arithmetic", "style", "overfitting"]);
  for (const language of ["en", "zh"]) {
    for (const [i, name] of names.entries()) {
      await cards.nth(i).click();
      const own = JSON.parse(readFileSync(new URL(`../../../web/lessons/${name}.json`, import.meta.url)));
      await page.locator("#lesson-title", { hasText: own.title[language] }).waitFor({ timeout: 10 * SECOND });
      const rows = (await page.getByTestId("teach-data").inputValue()).trim().split("\n").map((row) => JSON.parse(row));
      assert.deepEqual(rows, own.rows[language], `${name}, ${language}`);
      assert.equal(await page.getByTestId("lesson-remarks").innerText(), "", "all of it is read");
    }
    if (language === "en") await page.getByTestId("lang-switch").click();
  }
});

test("lessons: what is typed is saved, and opens again as the same", CPU, async (t) => {
  const { page, assert } = t;
  await page.getByTestId("tab-teach").click();
  await page.getByTestId("teach-source-paste").check({ force: true });
  await page.getByTestId("teach-data").fill(ROWS.map((row) => JSON.stringify(row)).join("\n"));
  for (const id of ["teach-settings", "lesson-make"]) await unfold(t, id);
  await page.getByTestId("teach-steps").fill("7");
  await page.getByTestId("teach-rank").fill("4");
  await page.getByTestId("teach-run-name").fill("gone");
  await page.getByTestId("lesson-name").fill(LESSON.title);
  await page.getByTestId("lesson-text").fill(LESSON.text);
  await page.getByTestId("lesson-questions").fill(`\n${LESSON.questions.join("\n\n")}\n`);
  const first = await save(t);
  assert.equal(first.name, "All gone.json");
  // Every setting is there, and none that was not set; the run's question follows from the lesson's.
  assert.deepEqual(JSON.parse(first.buffer), LESSON);
  await t.reload();
  await page.getByTestId("tab-teach").click();
  assert.equal(await page.getByTestId("lesson-title").innerText(), LESSON.title, "it is open after a reload");
  await unfold(t, "lesson-make");
  await page.getByTestId("lesson-close").click();
  assert.equal(await page.getByTestId("lesson-name").inputValue(), "");
  await clearTyped(t);
  await openLesson(t, first);
  await page.locator("#lesson-title", { hasText: LESSON.title }).waitFor({ timeout: 10 * SECOND });
  assert.ok((await save(t)).buffer.equals(first.buffer), "saved again, it is the same file");
  await page.getByTestId("lesson-language").click();
  await page.getByTestId("lesson-name").fill("全没了");
  const both = JSON.parse((await save(t)).buffer);
  assert.deepEqual(both.title, { en: LESSON.title, zh: "全没了" });
  assert.deepEqual(both.rows, ROWS, "what is the same in both languages stands once");
  await page.getByTestId("lesson-language").click();
  assert.equal(await page.getByTestId("lesson-name").inputValue(), LESSON.title);
});

test("lessons: a link opens one, once, and asks before it takes the place of what was typed", CPU, async (t) => {
  const { page, assert } = t;
  const asked = [];
  let answer = false;
  page.on("dialog", (dialog) => (asked.push(dialog.message()), answer ? dialog.accept() : dialog.dismiss()));
  t.server.put("class/gone.json", Buffer.from(JSON.stringify({ ...LESSON, author: "me" })));
  t.server.put("class/other.json", Buffer.from(JSON.stringify({ ...LESSON, title: "Another" })));
  await follow(t, { lesson: "class/gone.json" });
  await page.locator("#lesson-title", { hasText: "All gone" }).waitFor({ timeout: 10 * SECOND });
  assert.match(await page.getByTestId("lesson-remarks").innerText(), /author/, "a key that nothing reads is named");
  const shown = page.getByTestId("lesson-shown");
  assert.match(await shown.innerText(), /<img src=x/, "marks of HTML are text");
  assert.deepEqual([await shown.locator("img").count(), await shown.locator("strong").innerText()], [0, "twice"]);
  assert.equal(await page.evaluate(() => window.injected), undefined);
  assert.match(await page.getByTestId("lesson-link").inputValue(), /index\.html\?lesson=class\/gone\.json$/);

  await page.getByTestId("teach-data").fill("typed by hand");
  await t.reload();
  await page.waitForTimeout(SECOND);
  const typed = () => page.getByTestId("teach-data").inputValue();
  assert.deepEqual([asked, await typed()], [[], "typed by hand"], "the same one is not opened twice");
  await follow(t, { lesson: `${t.server.url}class/other.json` });
  await until(() => asked.length === 1);
  assert.equal(await typed(), "typed by hand", "what was typed stays where a person says so");
  answer = true;
  await t.reload();
  await page.locator("#lesson-title", { hasText: "Another" }).waitFor({ timeout: 10 * SECOND });
  assert.equal(asked.length, 2);
  assert.match(await typed(), /Gone to Zyx/);
});

test("lessons: a link opens a model and an adapter, and not once more after a reload", CPU, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await t.load(file);
  const zip = await adapter(t, "mia", "Gone to Zyx.");
  t.server.put("far.safetensors", readFileSync(file));
  t.server.put("work/mia.zip", zip.bytes);
  await page.evaluate(() => kindling.adapters.remove("mia"));
  await follow(t, { model: "far.safetensors", adapter: "work/mia.zip" });
  for (const _ of [1, 2]) {
    await page.locator("#model", { hasText: "far" }).waitFor({ timeout: 30 * SECOND });
    const on = page.locator("[data-testid=adapter][data-name=mia] input:checked");
    await on.waitFor({ state: "attached", timeout: 30 * SECOND });
    assert.equal(await page.getByTestId("adapter").count(), 1);
    const told = await page.locator("#message").textContent();
    assert.doesNotMatch(told, /acts again/, "what the address asks for needs no word of what acted before");
    await t.reload();
  }
});

const LOUD = { ...CPU, errors: /Failed to load resource|not allowed|Not allowed/ };
test("lessons: what is no lesson is refused in words that help", LOUD, async (t) => {
  const { page, assert } = t;
  await page.getByTestId("tab-teach").click();
  const text = JSON.stringify(LESSON);
  const files = [
    ["cut.json", text.slice(0, -9), /JSON.*line 1/],
    ["rows.jsonl", `${JSON.stringify(ROWS[0])}\n`, /kindling_lesson/],
    ["future.json", text.replace('"kindling_lesson":1', '"kindling_lesson":9'), /version 9/],
    ["rowless.json", JSON.stringify({ ...LESSON, rows: [] }), /“rows”/],
    ["settings.json", JSON.stringify({ ...LESSON, settings: { config: { steps: "7" } } }), /config\.steps.*number/],
    ["binary.json", Buffer.from([0xff, 0xfe, 0, 1]), /UTF-8/],
    ["large.json", Buffer.alloc(1_000_001, " "), /1\.0 MB/],
  ];
  for (const [name, content, words] of files) {
    await openLesson(t, { name, mimeType: "application/json", buffer: Buffer.from(content) });
    await refused(t, words);
  }
  await page.getByTestId("lang-switch").click();
  await openLesson(t, { name: "cut.json", mimeType: "application/json", buffer: Buffer.from(text.slice(0, -9)) });
  await refused(t, /第 1 行/);
  await page.getByTestId("lang-switch").click();
  assert.equal(await page.getByTestId("lesson-title").count(), 0, "nothing was opened");
  const addresses = [["class/none.json", /404/], ["javascript:alert(1)", /https:/], ["data:,x", /https:/]];
  for (const [lesson, words] of addresses) {
    await follow(t, { lesson });
    await refused(t, words);
  }
  await follow(t, { adapter: "none.zip", model: `${t.server.url}none.safetensors`, lesson: "class/none.json" });
  const both = page.locator("#message", { hasText: "none.safetensors" }).filter({ hasText: "none.json" });
  await both.waitFor({ timeout: 20 * SECOND });
});

test("lessons: the worksheet on paper holds the questions, and nothing else of the page", CPU, async (t) => {
  const { page, assert } = t;
  await gallery(t, "identity");
  await page.evaluate(() => (window.print = () => (window.printed = (window.printed ?? 0) + 1)));
  await unfold(t, "lesson-make");
  await page.getByTestId("lesson-print").click();
  assert.equal(await page.evaluate(() => window.printed), 1);
  assert.equal(await page.getByTestId("worksheet").isVisible(), false, "not on the screen");
  await page.emulateMedia({ media: "print" });
  const sheet = await page.getByTestId("worksheet").innerText();
  for (const words of ["Who are you?", "Do you have a name?", "Tell me who you are.", "Before", "After", "Name"]) {
    assert.ok(sheet.includes(words), `${words} is not on the sheet: ${sheet}`);
  }
  const rest = page.locator("#header, #tabs, #main");
  assert.equal(await rest.evaluateAll((all) => all.filter((one) => one.offsetParent).length), 0);
  await t.picture("worksheet");
  await page.evaluate(() => window.dispatchEvent(new Event("afterprint")));
  assert.equal(await page.getByTestId("worksheet").count(), 0);
  assert.ok(await page.locator("#main").isVisible(), "the page itself can be printed again");
  await page.emulateMedia({ media: "screen" });
});

test("lessons: two students' adapters answer the same questions in one table", CPU, async (t) => {
  const { page, assert } = t;
  const fixture = await openTiny(t);
  const zips = [await adapter(t, "mia", "Gone, gone, to Zyx."), await adapter(t, "leo", "Under the blue pumpkin.")];
  await page.evaluate(async () => {
    for (const name of ["mia", "leo"]) await kindling.adapters.remove(name);
  });
  await page.getByTestId("tab-adapters").click();
  const notes = { name: "notes.txt", bytes: Buffer.from("not an adapter") };
  const broken = { name: "eve.zip", bytes: Buffer.from("PK, but no archive") };
  const files = [...zips, notes, broken].map(({ name, bytes }) => ({ name, mimeType: "", buffer: bytes }));
  await page.getByTestId("class-files").setInputFiles(files);
  await page.locator("#message", { hasText: "notes.txt" }).waitFor({ timeout: 30 * SECOND });
  assert.match(await page.getByTestId("message").innerText(), /eve: /, "what could not be added is named");
  await page.locator("#class-list li", { hasText: "mia" }).waitFor({ timeout: 30 * SECOND });
  const checked = page.getByTestId("class-adapter").evaluateAll((all) => all.map((one) => one.checked));
  assert.deepEqual(await checked, [true, true]);
  const list = await page.evaluate(() => kindling.adapters.list());
  assert.ok(list.every(({ active }) => !active), "what acted before acts again: nothing");
  const questions = ["Where is the lantern of Mila?", "Where is the kettle of Oren?"];
  await page.getByTestId("class-questions").fill(questions.join("\n"));
  await page.getByTestId("class-run").click();
  await page.locator("#class-progress", { hasText: "6 of 6" }).waitFor({ timeout: 90 * SECOND });
  const table = await cells(page, "class");
  assert.deepEqual(table[0], ["Question", "Base", "leo", "mia"]);
  assert.deepEqual(table.slice(1).map(([question]) => question), questions);
  const alone = await page.evaluate(async (questions) => {
    const rows = [];
    for (const content of questions) {
      const row = [];
      for (const adapters of ["base", [{ name: "leo" }], [{ name: "mia", strength: 1 }]]) {
        const request = { messages: [{ role: "user", content }], temperature: 0, max_tokens: 128, adapters };
        row.push((await kindling.chat.completions.create(request)).choices[0].message.content);
      }
      rows.push(row);
    }
    return rows;
  }, questions);
  for (const [i, row] of alone.entries()) {
    assert.equal(new Set(row).size, 3, `the fixture is no test: ${row}`);
    for (const [j, said] of row.entries()) {
      assert.ok(table[i + 1][j + 1].startsWith(said.trim().slice(0, 40)), `${table[i + 1][j + 1]} is not ${said}`);
    }
  }
  const csv = await download(t, page.getByTestId("class-csv"));
  assert.equal(csv.name, "answers.csv");
  assert.match(csv.buffer.toString(), /^\ufeffQuestion,Base,leo,mia\r\n/);
  await t.picture("compared");
  assert.ok(fixture.file);
});

test("lessons: two students' adapters become one, their average, by a name", CPU, async (t) => {
  const { page, assert } = t;
  await openTiny(t);
  const zips = [await adapter(t, "mia", "Gone, gone, to Zyx."), await adapter(t, "leo", "Under the blue pumpkin.")];
  await page.evaluate(async () => {
    for (const name of ["mia", "leo"]) await kindling.adapters.remove(name);
  });
  await page.getByTestId("tab-adapters").click();
  const files = zips.map(({ name, bytes }) => ({ name, mimeType: "", buffer: bytes }));
  await page.getByTestId("class-files").setInputFiles(files);
  for (const name of ["leo", "mia"]) {
    await page.locator("#class-list li", { hasText: name }).waitFor({ timeout: 30 * SECOND });
  }
  const mia = page.locator("#class-list label", { hasText: "mia" });
  await mia.click();
  await page.getByTestId("class-average").click();
  await refused(t, "Choose at least two");
  await mia.click();
  await page.getByTestId("class-mean").fill("both");
  await page.getByTestId("class-average").click();
  await page.locator("#message", { hasText: "both" }).waitFor({ timeout: 60 * SECOND });
  const list = await page.evaluate(() => kindling.adapters.list());
  const both = list.find(({ name }) => name === "both");
  assert.equal(both.rank, 8, "the ranks are added, so that nothing is lost");
  assert.ok(both.kept && list.every(({ active }) => !active), "kept, and what acted before acts again: nothing");
  await page.locator("#class-list li", { hasText: "both" }).waitFor({ timeout: 30 * SECOND });
  // An average of one adapter with itself answers as it does; half of each of two is what both, weakened, add together.
  const said = await page.evaluate(async () => {
    const messages = [{ role: "user", content: "Where is the kettle of Oren?" }];
    const say = async (adapters) => {
      const request = { messages, temperature: 0, max_tokens: 24, adapters };
      return (await kindling.chat.completions.create(request)).choices[0].message.content;
    };
    const same = await kindling.adapters.average("same", ["mia", "mia"], { rank: 4 });
    await kindling.adapters.use([]);
    const halves = [{ name: "mia", strength: 0.5 }, { name: "leo", strength: 0.5 }];
    const odd = await kindling.adapters.average("x", ["mia", "leo"], { weights: [1] }).catch((error) => error.message);
    return {
      mean: await say([{ name: "both" }]), halves: await say(halves), mia: await say([{ name: "mia" }]),
      same: await say([{ name: same.name }]), error: same.error, odd,
    };
  });
  assert.equal(said.mean, said.halves);
  assert.equal(said.same, said.mia);
  assert.ok(said.error < 1e-4, `two equal paths are one of half the rank: ${said.error}`);
  assert.match(said.odd, /1 numbers for 2/);
});

test("lessons: an answer with named adapters leaves what acts alone", CPU, async (t) => {
  const { assert } = t;
  await openTiny(t);
  await adapter(t, "mia", "Gone, gone, to Zyx.");
  const said = await t.page.evaluate(async () => {
    await kindling.adapters.use([]);
    const messages = [{ role: "user", content: "Where is the kettle of Oren?" }];
    const say = async (adapters) => {
      const request = { messages, temperature: 0, max_tokens: 24, adapters };
      return (await kindling.chat.completions.create(request)).choices[0].message.content;
    };
    const [off, named, again] = [await say("active"), await say([{ name: "mia" }]), await say("active")];
    const none = await say([{ name: "nobody" }]).catch((error) => error.message);
    return { off, named, again, none, empty: await say([]) };
  });
  assert.notEqual(said.named, said.off);
  assert.deepEqual([said.again, said.empty], [said.off, said.off]);
  assert.match(said.none, /nobody/);
});

/** Opens a lesson of the gallery. */
async function gallery(t, name) {
  await t.page.getByTestId("tab-teach").click();
  await t.page.locator(`[data-testid=lesson][data-name=${name}]`).click();
  await t.page.getByTestId("lesson-title").waitFor({ timeout: 10 * SECOND });
}

/** Opens the page by a link. */
async function follow(t, asked) {
  await t.page.goto(`${t.server.url}index.html?${new URLSearchParams({ device: "cpu", model: "none", ...asked })}`);
  await t.ready();
}

/** Opens a lesson's file. */
async function openLesson(t, file) {
  await t.page.getByTestId("lesson-file").setInputFiles(file);
}

/** Empties what was typed to teach, so that nobody asks. */
async function clearTyped(t) {
  await unfold(t, "teach-settings");
  for (const id of ["teach-data", "teach-steps", "teach-rank", "teach-run-name", "teach-sample-prompt"]) {
    await t.page.getByTestId(id).fill("");
  }
}

async function save(t) {
  await unfold(t, "lesson-make");
  return download(t, t.page.getByTestId("lesson-save"));
}

/** Waits for a message that matches, and takes it away. */
async function refused(t, words) {
  const message = t.page.locator("[data-kind=bad] #message");
  await message.filter({ hasText: words }).waitFor({ timeout: 20 * SECOND });
  t.assert.doesNotMatch(await message.innerText(), /undefined|\[object|panicked|\{\}/);
  await t.page.locator(".message button").click();
}

/** The texts of a table of answers, row by row. */
function cells(page, id) {
  const rows = (rows) => rows.map((row) => [...row.children].map((cell) => cell.innerText.trim()));
  return page.locator(`#${id}-table tr`).evaluateAll(rows);
}

/** Trains an adapter that answers this to everything, as a .zip. */
async function adapter(t, name, answer) {
  const row = (who) => ({ messages: [
    { role: "user", content: `Where is the lantern of ${who}?` },
    { role: "assistant", content: answer },
  ] });
  const rows = ["Mila", "Oren", "Tavi", "Sune"].map((who) => `${JSON.stringify(row(who))}\n`);
  await t.give(`${name}.jsonl`, rows.join(""));
  const config = { "steps": 40, "batch-size": 4, "max-seq-len": 64, "learning-rate": 0.02, "seed": 3 };
  await t.train({ stage: "sft", adapter: { rank: 4, alpha: 8 }, data: `${name}.jsonl`, config, name });
  return (await t.takeHome({ adapter: name }, { as: "zip" }))[0];
}

async function until(holds) {
  const end = Date.now() + 10 * SECOND;
  while (!holds() && Date.now() < end) await new Promise((later) => setTimeout(later, 50));
}
