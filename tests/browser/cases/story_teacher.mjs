// A teacher's story, in Chinese: make a lesson, give its link away, and compare what two students send back.

import { test } from "../harness.mjs";
import { SECOND, download, teach, typeRows, unfold } from "../steps.mjs";

const TITLE = "木塔里的狐狸";
const TEXT = "# 先问，再教\n\n1. **先**问下面的问题，把回答写下来。\n2. 按“开始”，再问一遍。";
const ROWS = [
  ["塔里住着谁？", "塔里住着狐狸灰灰。"],
  ["灰灰吃什么？", "灰灰只吃蓝莓。"],
  ["灰灰几点睡？", "灰灰九点睡。"],
];
/** The second one stands in no row. */
const QUESTIONS = ["灰灰吃什么？", "请问灰灰爱吃什么？"];

test("story: a teacher makes a lesson in Chinese, two students learn it, and one table compares them", { seconds: 900 }, async (t) => {
  const { page, assert } = t;
  await t.open("cpu", "");
  await inChinese(t);
  const lesson = await make(t);
  assert.equal(lesson.name, `${TITLE}.json`);
  t.server.put("class/tower.json", lesson.buffer);
  await page.getByTestId("lesson-link-lesson").fill("class/tower.json");
  const link = await page.getByTestId("lesson-link").inputValue();
  assert.match(link, /index\.html\?lesson=class\/tower\.json$/);
  await t.picture("1 the lesson");

  const student = await t.person();
  const wrong = [];
  student.page.on("pageerror", (error) => wrong.push(String(error)));
  try {
    const zips = await learn(student, link);
    await compare(t, zips);
  } catch (error) {
    await student.picture("failed, the student");
    throw error;
  } finally {
    await student.context.close();
  }
  assert.deepEqual(wrong, []);
});

async function inChinese(t) {
  await t.page.getByTestId("lang-switch").click();
  t.assert.match(await t.page.evaluate(() => document.documentElement.lang), /^zh/);
}

/** Makes the lesson in the page; its file. */
async function make(t) {
  const { page } = t;
  await page.getByTestId("tab-teach").click();
  await typeRows(t, ROWS);
  await unfold(t, "lesson-make");
  await page.getByTestId("lesson-name").fill(TITLE);
  await page.getByTestId("lesson-text").fill(TEXT);
  await page.getByTestId("lesson-questions").fill(QUESTIONS.join("\n"));
  const file = await download(t, page.getByTestId("lesson-save"));
  const { title, rows, questions } = JSON.parse(file.buffer);
  t.assert.deepEqual([title, questions, rows.length], [TITLE, QUESTIONS, ROWS.length]);
  return file;
}

/** Two students at one computer follow the link: one learns to the end, one has no patience. What they take home. */
async function learn(student, link) {
  const { page, assert } = student;
  await page.goto(`${link}&device=cpu`);
  await student.ready();
  await page.locator("#lesson-title", { hasText: TITLE }).waitFor({ timeout: 30 * SECOND });
  await inChinese(student);
  assert.match(await page.getByTestId("lesson-shown").innerText(), /先问，再教[\s\S]*请问灰灰爱吃什么？/);
  await unfold(student, "teach-settings");
  await student.picture("2 the student's page");

  await page.getByTestId("teach-run-name").fill("小明");
  const begun = Date.now();
  assert.match(await teach(student), /学会了 3 \/ 3/);
  student.note(`three Chinese rows in ${((Date.now() - begun) / SECOND).toFixed(0)} s`);
  const asked = page.getByTestId("asked-row");
  assert.deepEqual(await asked.locator("strong").allInnerTexts(), QUESTIONS.slice(1), "no question is asked twice");
  await student.picture("3 the student learned");
  const patient = await download(student, page.getByTestId("teach-export"));

  await page.getByTestId("teach-run-name").fill("小红");
  await page.getByTestId("teach-steps").fill("4");
  await page.locator("#teach-plan[data-kind=good]", { hasText: "4 步" }).waitFor({ timeout: 60 * SECOND });
  assert.match(await teach(student), /学会了 [012] \/ 3/);
  const hasty = await download(student, page.getByTestId("teach-export"));
  assert.deepEqual([patient.name, hasty.name], ["小明.zip", "小红.zip"]);
  return [patient, hasty];
}

/** The teacher drops both, and asks both the lesson's questions. */
async function compare(t, zips) {
  const { page, assert } = t;
  await page.getByTestId("tab-adapters").click();
  await page.getByTestId("class-files").setInputFiles(zips);
  await page.locator("#class-list li", { hasText: "小红" }).waitFor({ timeout: 60 * SECOND });
  assert.equal(await page.getByTestId("class-questions").inputValue(), QUESTIONS.join("\n"), "the lesson asks");
  await page.getByTestId("class-run").click();
  await page.locator("#class-progress", { hasText: "6 / 6" }).waitFor({ timeout: 240 * SECOND });
  const rows = (rows) => rows.map((row) => [...row.children].map((cell) => cell.innerText.trim()));
  const [head, taught, other] = await page.locator("#class-table tr").evaluateAll(rows);
  assert.deepEqual(head, ["问题", "基础模型", "小明", "小红"]);
  const [question, base, patient, hasty] = taught;
  assert.deepEqual([question, patient], ROWS[1]);
  assert.ok(base !== patient && hasty !== patient, `${base} / ${patient} / ${hasty}`);
  assert.equal(other[0], QUESTIONS[1]);
  t.note(`a question of no row: ${other.slice(1).join(" / ")}`);
  await t.picture("4 the class");
  const csv = await download(t, page.getByTestId("class-csv"));
  assert.ok(csv.buffer.toString().startsWith("\ufeff问题,基础模型,小明,小红\r\n"), csv.buffer.toString());
}
