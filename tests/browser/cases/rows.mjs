// What is taught without a file: a form of questions and answers, cells of a spreadsheet, and anything that is pasted.

import { test } from "../harness.mjs";
import { tiny } from "../native.mjs";
import { SECOND, openTiny, pick, typedRows, unfold } from "../steps.mjs";

const PAGE = { device: "cpu" };
const LUMA = ["Who are you?", "I am Luma."];
const POEM = ["Say it twice.", "Once, \"then\"\nagain | 2"];

test("rows: a form is filled, moved and deleted by keys, and the keyboard stays", PAGE, async (t) => {
  const { page, assert } = t;
  await teach(t);
  assert.ok(await page.getByTestId("teach-source-form").isChecked(), "the form comes first");
  await page.getByTestId("teach-question").fill(LUMA[0]);
  await page.keyboard.press("Enter");
  assert.equal(await focused(t), "Answer 1");
  await page.keyboard.type(LUMA[1]);
  await page.keyboard.press("Enter");
  assert.equal(await focused(t), "Question 2", "Enter in the last field makes a row");
  await page.keyboard.type("What now?");
  await page.keyboard.press("Enter");
  await page.keyboard.type("one");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("two");
  await page.getByTestId("teach-pair-add").click();
  assert.equal(await focused(t), "Question 3");
  assert.deepEqual(await typedRows(t), [LUMA, ["What now?", "one\ntwo"], ["", ""]]);

  const second = page.getByTestId("teach-pair").nth(1);
  await second.getByTestId("teach-pair-up").click();
  assert.equal(await focused(t), "Move row 1 up");
  assert.match(await page.getByTestId("teach-pairs-status").innerText(), /Row 2 is now row 1/);
  await page.keyboard.press("Enter");
  assert.deepEqual((await typedRows(t))[0], ["What now?", "one\ntwo"], "above the first row is nothing");
  await page.getByTestId("teach-question").first().focus();
  await page.keyboard.press("Alt+ArrowDown");
  assert.equal(await focused(t), "Question 2");
  assert.deepEqual(await typedRows(t), [LUMA, ["What now?", "one\ntwo"], ["", ""]]);

  await page.getByTestId("teach-pair-delete").nth(1).click();
  assert.equal(await focused(t), "Question 2");
  await page.getByTestId("teach-pair-delete").nth(1).click();
  assert.equal(await focused(t), "Question 1");
  await t.reload();
  await page.getByTestId("tab-teach").click();
  assert.deepEqual(await typedRows(t), [LUMA], "the form is there after a reload");
  await page.getByTestId("teach-pair-delete").click();
  assert.deepEqual(await typedRows(t), [["", ""]], "the only row is emptied");
});

test("rows: what is missing is told beside its row, once, and Start leads there", PAGE, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await pick(t, file);
  await teach(t);
  await fillRow(t, 0, LUMA);
  await page.getByTestId("teach-pair-add").click();
  await page.keyboard.type("And who made you?");
  const fault = page.getByTestId("teach-pair").nth(1).getByTestId("teach-pair-fault");
  assert.ok(!(await fault.isVisible()), "while it is typed nothing is wrong");
  await page.locator("#teach-plan[data-kind=bad]", { hasText: "Every row needs" }).waitFor({ timeout: 20 * SECOND });
  await page.getByTestId("teach-start").click();
  assert.equal(await focused(t), "Answer 2");
  await page.getByTestId("teach-question").first().focus();
  await fault.filter({ hasText: "The answer is missing." }).waitFor({ timeout: 20 * SECOND });
  assert.equal(await page.getByTestId("teach-answer").nth(1).getAttribute("aria-invalid"), "true");
  assert.equal(await page.getByText("The answer is missing.").count(), 1);
  assert.equal(await page.locator("[data-kind=bad] #message:visible").count(), 0, "nothing is told a second time");
  await page.getByTestId("lang-switch").click();
  assert.equal(await fault.innerText(), "缺少回答。");
  assert.equal(await page.getByTestId("teach-answer").nth(1).getAttribute("aria-label"), "回答 2");
  await fillRow(t, 1, ["谁？", "露玛。"]);
  await page.locator("#teach-plan[data-kind=good]").waitFor({ timeout: 20 * SECOND });
  await page.getByTestId("teach-preview").click();
  await page.getByTestId("preview-row").nth(1).waitFor({ timeout: 20 * SECOND });
  assert.match((await page.getByTestId("preview").textContent()).replace(/\s/g, ""), /IamLuma/);
  await t.picture("form");
});

test("rows: cells of a spreadsheet fill rows of two answers", PAGE, async (t) => {
  const { page, assert } = t;
  await openTiny(t);
  await page.getByTestId("tab-teach").click();
  await unfold(t, "teach-ways");
  await page.getByTestId("teach-stage-dpo").check({ force: true });
  const typed = () => page.getByTestId("teach-pair").evaluateAll((rows) => rows.map((row) => [...row.querySelectorAll("textarea")].map(({ value }) => value)));
  const filled = async (expected) => {
    await page.getByTestId("teach-pair").nth(expected.length - 1).waitFor({ timeout: 10 * SECOND });
    assert.deepEqual(await typed(), expected);
  };
  await drop(t, page.getByTestId("teach-question").first(), "问题\t更好的回答\t更差的回答\r\nWho?\tMila.\tNobody.\r\nWhere?\tThere.\t\r\n");
  await filled([["Who?", "Mila.", "Nobody."], ["Where?", "There.", ""]]);
  await drop(t, page.getByTestId("teach-worse").nth(1), "When?\tNow.\tNever.");
  await filled([["Who?", "Mila.", "Nobody."], ["Where?", "There.", ""], ["When?", "Now.", "Never."]]);
  const cells = (text) => page.evaluate((text) => kindling.rows.cells(text, true), text);
  assert.deepEqual(await cells("Who?\tMila.\tNobody."), { pairs: [["Who?", "Mila."]], worse: ["Nobody."], odd: null });
  assert.equal((await cells("a\tb\tc\td")).odd.code, "paste.no_choice");
});

test("rows: cells of a spreadsheet fill the form", PAGE, async (t) => {
  const { page, assert } = t;
  await teach(t);
  const cells = "问题\t答案\r\n你是谁？\t我是露玛。\r\nSay it twice.\t\"Once, \"\"then\"\"\nagain | 2\"\r\nOnly this\t\r\n";
  await drop(t, page.getByTestId("teach-question"), cells);
  await holds(t, [["你是谁？", "我是露玛。"], POEM, ["Only this", ""]]);
  assert.equal(await focused(t), "Answer 3");
  assert.match(await page.getByTestId("teach-pairs-status").innerText(), /3 rows/);
  await drop(t, page.getByTestId("teach-answer").first(), "x\ty\nz\tw");
  const five = [["你是谁？", "我是露玛。"], ["x", "y"], ["z", "w"], POEM, ["Only this", ""]];
  await holds(t, five);

  await drop(t, page.getByTestId("teach-question").first(), "1\tPoru\tkelp\n2\tMiru\tmoss");
  await page.locator("#teach-pairs-status", { hasText: /not put in: .*“Poru”/ }).waitFor({ timeout: 10 * SECOND });
  assert.deepEqual(await typedRows(t), five, "cells that cannot be put in stand in no field");
  for (const text of [" no cells\nat all", "one\ttwo\nx\ty\tz"]) {
    five[0][0] += text;
    await drop(t, page.getByTestId("teach-question").first(), text);
    // The engine answers in turn.
    await page.evaluate(() => kindling.model());
    assert.deepEqual(await typedRows(t), five, "other texts go into the field as ever");
  }
});

test("rows: what is pasted while the engine is busy stays, and is read as soon as it is free", {}, async (t) => {
  const { page, assert } = t;
  t.beforeEngine(`(${holdReading})()`);
  await t.open("cpu");
  await teach(t);
  await page.getByTestId("teach-question").fill("x");
  await drop(t, page.getByTestId("teach-question"), "Who?\tLuma.\r\nAnd?\tNo.\r\n");
  assert.deepEqual(await typedRows(t), [["xWho?\tLuma.\nAnd?\tNo.\n", ""]]);
  await page.keyboard.type("y");
  await hold(t, false);
  await holds(t, [["xy", ""], ["Who?", "Luma."], ["And?", "No."]], "what was typed since stays");

  await hold(t, true);
  const waits = "is read as soon as the engine is free";
  await page.getByTestId("teach-source-paste").check({ force: true });
  await page.getByTestId("teach-data").fill("Q: One?\nA: 1");
  await page.locator("#teach-pasted", { hasText: waits }).waitFor({ timeout: 10 * SECOND });
  await page.getByTestId("teach-data").fill("Q: Two?\nA: 2");
  await page.evaluate(() => {
    window.found = [];
    const told = document.getElementById("teach-pasted");
    new MutationObserver(() => found.push(told.innerText)).observe(told, { childList: true });
  });
  await hold(t, false);
  await page.locator("#teach-pasted", { hasText: "“Two?” → “2”" }).waitFor({ timeout: 10 * SECOND });
  assert.doesNotMatch((await page.evaluate(() => found)).join(), /One/, "what is told is of the text that stands there");

  await hold(t, true);
  await page.getByTestId("teach-source-form").check({ force: true });
  await page.locator("#teach-pairs-status", { hasText: waits }).waitFor({ timeout: 10 * SECOND });
  assert.ok(!(await page.getByTestId("teach-pairs").isVisible()), "nobody types into rows that are about to change");
  await page.getByTestId("teach-source-paste").check({ force: true });
  assert.equal(await page.getByTestId("teach-data").inputValue(), "Q: Two?\nA: 2", "who goes back finds all as it was");
  await page.getByTestId("teach-source-form").check({ force: true });
  await hold(t, false);
  await holds(t, [["Two?", "2"]]);
});

test("rows: other pages have what is pasted read, too", PAGE, async (t) => {
  const { page, assert } = t;
  const found = await page.evaluate(async () => {
    const { data, ...pasted } = await kindling.rows.read("问题,答案\n谁？,露玛。\n空,\n");
    return {
      pasted,
      lines: new TextDecoder().decode(data.bytes),
      plain: await kindling.rows.read("Once, a lamp.", "pretrain"),
      pairs: [await kindling.rows.pairs("Q: a\nA: b"), await kindling.rows.pairs("Once there was a lamp.")],
      cells: [await kindling.rows.cells("question\tanswer\na\tb"), await kindling.rows.cells("1\tPoru\tkelp")],
      long: (await kindling.rows.read("x\ty\n".repeat(60_000))).rows,
    };
  });
  const { problems: [{ line, why }], ...pasted } = found.pasted;
  assert.deepEqual(pasted, { form: "csv", rows: 1, first: ["谁？", "露玛。"], wrong: 1 });
  assert.deepEqual([line, why.code, why.message], [3, "paste.empty_answer", "the answer is empty"]);
  assert.match(found.lines, /^\n\{[^\n]*\}\n$/, "the row stands in its line");
  assert.deepEqual(Object.values(JSON.parse(found.lines)), ["谁？", "露玛。"]);
  assert.deepEqual([found.plain.form, found.plain.wrong, found.plain.data], ["text", 0, null]);
  assert.deepEqual(found.pairs, [[["a", "b"]], null]);
  assert.deepEqual(found.cells[0], { pairs: [["a", "b"]], odd: null });
  assert.deepEqual([found.cells[1].pairs, found.cells[1].odd.code], [[], "paste.columns"]);
  assert.equal(found.long, 60_000);
  assert.match(await t.rejection(() => kindling.rows.read(5)), /rows\.read takes a text, and got 5/);
});

test("rows: every kind of paste is recognised", PAGE, async (t) => {
  const { page, assert } = t;
  await teach(t);
  await page.getByTestId("teach-source-paste").check({ force: true });
  const pairs = [LUMA, POEM];
  const [q, a] = POEM.map((text) => JSON.stringify(text));
  const cell = '"Once, ""then""\nagain | 2"';
  for (const [text, form] of [
    [`[\n  {\n    "question": "${LUMA[0]}",\n    "answer": "${LUMA[1]}",\n  },\n  {"q": ${q}, "a": ${a}},\n]`, "JSON"],
    [`{"user": "${LUMA[0]}", "assistant": "${LUMA[1]}"}\n{"prompt": ${q}, "completion": ${a}}`, "JSON"],
    [`答案,问题\n${LUMA[1]},${LUMA[0]}\n${cell},${POEM[0]}`, "CSV"],
    [`Frage;Antwort\n${LUMA.join(";")}\n${POEM[0]};${cell}`, "CSV"],
    [`${LUMA.join(",")}\n${POEM[0]},${cell}`, "CSV"],
    [`${LUMA.join("\t")}\n${POEM[0]}\t${cell}`, "cells of a spreadsheet"],
    [`| A | Q |\n|---|---|\n| ${LUMA[1]} | ${LUMA[0]} |\n| Once, "then"<br>again \\| 2 | ${POEM[0]} |`, "a Markdown table"],
    [`Q: ${LUMA[0]}\nA: ${LUMA[1]}\n\n**Q：** ${POEM[0]}\n**A：** ${POEM[1]}`, "Q: and A:"],
  ]) {
    await page.getByTestId("teach-data").fill(text);
    const said = `2 question/answer pairs found as ${form}; the first: “${LUMA[0]}” → “${LUMA[1]}”`;
    await page.locator("#teach-pasted", { hasText: said }).waitFor({ timeout: 10 * SECOND });
    assert.equal(await page.getByTestId("teach-problem").count(), 0, text);
    await page.getByTestId("teach-source-form").check({ force: true });
    await holds(t, pairs, text);
    await page.getByTestId("teach-source-paste").check({ force: true });
    assert.equal(await page.getByTestId("teach-data").inputValue(), text, "what says the same stays as it was typed");
  }
  await page.getByTestId("lang-switch").click();
  await page.getByTestId("teach-data").fill("问：你是谁？答：我是露玛。");
  await page.locator("#teach-pasted", { hasText: "共 1 组问答，识别为“问：”“答：”" }).waitFor({ timeout: 10 * SECOND });
});

test("rows: form and paste hold one lesson", PAGE, async (t) => {
  const { page, assert } = t;
  const text = () => page.getByTestId("teach-data").inputValue();
  const choose = (source) => page.getByTestId(`teach-source-${source}`).check({ force: true });
  await teach(t);
  await fillRow(t, 0, POEM);
  await choose("paste");
  assert.equal(await text(), 'question,answer\nSay it twice.,"Once, ""then""\nagain | 2"\n');
  await choose("form");
  await fillRow(t, 0, LUMA);
  await choose("files");
  await choose("paste");
  assert.equal(await text(), "question,answer\nWho are you?,I am Luma.\n");
  const talk = JSON.stringify(["a", "b", "c", "d"].map((content, i) => (
    { role: i % 2 ? "assistant" : "user", content }
  )));
  await page.getByTestId("teach-data").fill(talk);
  await page.locator("#teach-pasted", { hasText: "1 conversation found as JSON" }).waitFor({ timeout: 10 * SECOND });
  await choose("form");
  await holds(t, [LUMA], "what the form cannot hold is not put into it");
  assert.match(await page.getByTestId("teach-pairs-status").innerText(), /stays under “Paste anything”/);
  await choose("paste");
  assert.equal(await text(), talk);

  await choose("sample");
  await page.getByTestId("teach-sample-edit").click();
  await page.waitForFunction(() => document.activeElement.getAttribute("aria-label") === "Question 1");
  assert.equal((await typedRows(t)).length, 21, "the sample comes behind what was typed");
});

test("rows: errors of a paste stand beside their lines, in both languages", PAGE, async (t) => {
  const { page, assert } = t;
  const { file } = await tiny(t.tmp);
  await pick(t, file);
  await teach(t);
  await page.getByTestId("teach-source-paste").check({ force: true });
  const problems = () => page.getByTestId("teach-problem").allInnerTexts();
  const told = async (text, expected) => {
    await page.getByTestId("teach-data").fill(text);
    await page.locator("[data-testid=teach-problem]", { hasText: expected[0] }).first().waitFor({ timeout: 10 * SECOND });
    const said = (await problems()).map((line) => line.replace(/\s+/g, " "));
    assert.deepEqual(said.map((line, i) => line.includes(expected[i])), expected.map(() => true), said.join("\n"));
    assert.equal(said.length, expected.length);
    assert.doesNotMatch(said.join(" "), /--[a-z]/);
  };
  await told("question,answer\nWho?,Luma.\nAnd?,\nx,y,z", [
    "Line 3 And?,: the answer is empty.",
    "Line 4 x,y,z: 3 columns, and there should be 2",
  ]);
  await told('{"q": "a", "a": "b"}\n{"q": "c" "a": "d"}', ["Line 2"]);
  assert.match((await problems())[0], /JSON is broken at character 11/);
  await told("id,animal,food\n1,Poru,kelp\n2,Miru,moss", ["the columns “id” “animal” “food”"]);
  await told("Q: One?\nQ: Two?\nA: 2", ["Line 1 Q: One?: a question without an answer."]);
  await told("Once upon a time.", ["Line 1 Once upon a time.: no question with an answer is found"]);

  await told("Who?\tLuma.\nAnd?\t\n", ["Line 2"]);
  await page.locator("#teach-plan[data-kind=bad]", { hasText: "have to be corrected" }).waitFor({ timeout: 20 * SECOND });
  const marked = () => page.getByTestId("teach-data").evaluate((field) => (
    document.activeElement === field && field.value.slice(field.selectionStart, field.selectionEnd)
  ));
  await page.getByTestId("teach-start").click();
  assert.equal(await marked(), "And?\t", "Start leads to the line");
  assert.equal(await page.locator("[data-kind=bad] #message:visible").count(), 0);
  await page.getByTestId("lang-switch").click();
  assert.match((await problems())[0].replace(/\s+/g, " "), /第 2 行 And\?：回答是空的。/);
  await t.picture("paste");
  await page.getByTestId("teach-data").fill("Who?\tLuma.\nAnd?\tNo.\n");
  await page.locator("#teach-plan[data-kind=good]").waitFor({ timeout: 20 * SECOND });
  assert.deepEqual(await problems(), []);
});

test("rows: pretraining reads what is pasted as a text", PAGE, async (t) => {
  const { page } = t;
  await teach(t);
  await page.getByTestId("teach-source-paste").check({ force: true });
  await page.getByTestId("teach-data").fill("Once, upon a time.\nAnd, again.");
  await page.locator("#teach-pasted", { hasText: "2 question/answer pairs" }).waitFor({ timeout: 10 * SECOND });
  await page.getByTestId("teach-ways").evaluate((details) => (details.open = true));
  await page.getByTestId("teach-stage-pretrain").check({ force: true });
  await page.locator("#teach-pasted", { hasText: "A text of 30 characters." }).waitFor({ timeout: 10 * SECOND });
});

/** Opens the tab. */
async function teach(t) {
  await t.page.getByTestId("tab-teach").click();
}

/** Waits until the form holds these rows: the engine may have to read them first. */
async function holds(t, expected, why) {
  await t.page.getByTestId("teach-pairs").waitFor({ timeout: 10 * SECOND });
  const end = performance.now() + 10 * SECOND;
  let found = await typedRows(t);
  while (JSON.stringify(found) !== JSON.stringify(expected) && performance.now() < end) {
    await t.page.waitForTimeout(20);
    found = await typedRows(t);
  }
  t.assert.deepEqual(found, expected, why);
}

async function fillRow(t, place, [question, answer]) {
  await t.page.getByTestId("teach-question").nth(place).fill(question);
  await t.page.getByTestId("teach-answer").nth(place).fill(answer);
}

/** The name of what the keyboard is at. */
function focused(t) {
  return t.page.evaluate(() => document.activeElement.getAttribute("aria-label"));
}

/** Pastes into a field: the page hears of it, and then the browser puts the text in, with line feeds alone. */
async function drop(t, field, text) {
  await field.focus();
  await field.evaluate((element, text) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    const goesOn = element.dispatchEvent(
      new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }),
    );
    if (goesOn) document.execCommand("insertText", false, text.replaceAll("\r\n", "\n"));
  }, text);
}

/** Lets pasted text wait for the engine, or no longer. */
async function hold(t, holding) {
  const [worker] = t.page.workers();
  await worker.evaluate((holding) => self.hold(holding), holding);
}

function holdReading() {
  let [holding, held] = [true, []];
  self.addEventListener("message", (event) => {
    if (!holding || !/"call":"read-/.test(event.data.text)) return;
    event.stopImmediatePropagation();
    held.push(event.data);
  });
  self.hold = (now) => {
    holding = now;
    if (!now) for (const data of held.splice(0)) self.dispatchEvent(new MessageEvent("message", { data }));
  };
}
