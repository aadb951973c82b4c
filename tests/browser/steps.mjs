// What a person does on the page, step by step, for stories that are longer than one case's matter.

import { readFileSync } from "node:fs";
import { basename } from "node:path";

import { tiny } from "./native.mjs";

export const SECOND = 1000;

/** Opens a model's file, by its path or as one to pick; `quietly` takes the message away that says so. */
export async function pick(t, file, quietly = false) {
  const { page } = t;
  await page.getByTestId("tab-models").click();
  await page.getByTestId("model-drop").setInputFiles(file);
  const name = (typeof file === "string" ? basename(file) : file.name).replace(/\.\w+$/, "");
  await page.locator("#model", { hasText: name }).waitFor({ timeout: 30 * SECOND });
  if (quietly) await page.locator(".message button").click();
}

/** Opens the tiny model as a person does, and goes to the chat; what it was made of. */
export async function openTiny(t, quietly = false) {
  const fixture = await tiny(t.tmp);
  await pick(t, fixture.file, quietly);
  await t.page.getByTestId("tab-chat").click();
  return fixture;
}

/** Fills a field of the chat's settings, and folds them again. */
export async function set(t, id, value) {
  const fold = (open) => t.page.getByTestId("chat-settings").evaluate((details, open) => (details.open = open), open);
  await fold(true);
  await t.page.getByTestId(id).fill(value);
  await fold(false);
}

/** Shows what stands behind a summary. */
export async function unfold(t, id) {
  await t.page.getByTestId(id).evaluate((details) => (details.open = true));
}

/** Fills the form of questions and answers by the keyboard alone, from its first row on. */
export async function typeRows(t, rows) {
  const { page } = t;
  await page.getByTestId("teach-question").first().focus();
  for (const [i, [question, answer]] of rows.entries()) {
    await page.keyboard.insertText(question);
    await page.keyboard.press("Enter");
    await page.keyboard.insertText(answer);
    if (i + 1 < rows.length) await page.keyboard.press("Enter");
  }
}

/** What the form holds. */
export function typedRows(t) {
  return t.page.getByTestId("teach-pair").evaluateAll((rows) => (
    rows.map((row) => [...row.querySelectorAll("textarea:not([hidden])")].map((field) => field.value))
  ));
}

/** Starts the run that is planned, and waits for what it says of the lesson; `meanwhile` is done on the way. */
export async function teach(t, meanwhile = async () => {}, timeout = 240 * SECOND) {
  const { page } = t;
  await page.locator("#teach-plan[data-kind=good]").waitFor({ timeout: 60 * SECOND });
  await page.getByTestId("teach-start").click();
  await page.waitForFunction(() => document.getElementById("teach-progress").value > 0, null, { timeout });
  await meanwhile();
  // It is shown once the run is over.
  const count = page.locator("#learned-count");
  await count.waitFor({ timeout });
  return count.innerText();
}

/** Answers are the most likely ones from now on. */
export async function askGreedily(t) {
  await unfold(t, "chat-settings");
  await t.page.getByTestId("chat-temperature").fill("0");
  await t.page.getByTestId("chat-max-tokens").fill("64");
}

/** Sends a question, and waits for nothing. */
export async function send(t, question) {
  await t.page.getByTestId("chat-input").fill(question);
  await t.page.getByTestId("chat-send").click();
}

/** Sends what stands in the field, or a question; the answer. */
export async function ask(t, question) {
  const { page } = t;
  const answers = page.locator("[data-testid=chat-message][data-role=assistant] .answer");
  await send(t, question ?? (await page.getByTestId("chat-input").inputValue()));
  await answered(t);
  return (await answers.last().innerText()).trim();
}

/** Waits until no answer is being written. */
export async function answered(t, timeout = 60 * SECOND) {
  await t.page.locator("[data-testid=chat-message][data-role=assistant]").last().waitFor({ timeout });
  await t.page.getByTestId("chat-stop").waitFor({ state: "hidden", timeout });
}

/** Presses a button and takes what it offers as a file to pick. */
export async function download(t, button) {
  const [offered] = await Promise.all([t.page.waitForEvent("download"), button.click()]);
  return { name: offered.suggestedFilename(), mimeType: "", buffer: readFileSync(await offered.path()) };
}
