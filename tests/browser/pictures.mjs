// The pictures of the docs: every tab, and a lesson as it runs out, in both languages, on a phone and on a desk, light and
// dark.
//
//   node tests/browser/pictures.mjs FOLDER [--no-run]
//
// Settings: DIST, the built page with its own model, and those of chromium.mjs (CHROMIUM, PLAYWRIGHT). Files are called
// TAB-LANGUAGE-SIZE-SCHEME.png, such as chat-en-phone-light.png; TAB is chat, teach, models or, but with --no-run, which
// spares two short runs, conversation, run or compare. Each tab's eight lie together in TAB.jpg, as docs/pictures keeps them.

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { launch, setting } from "./chromium.mjs";
import { Case } from "./harness.mjs";
import { serve } from "./server.mjs";

const SECOND = 1000;
const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 800 } };
const SCHEMES = ["light", "dark"];
const [folder, ...flags] = process.argv.slice(2);
if (!folder || flags.some((flag) => flag !== "--no-run")) {
  console.error("node tests/browser/pictures.mjs FOLDER [--no-run]");
  process.exit(2);
}
const dist = resolve(setting("DIST"));
const tmp = mkdtempSync(join(tmpdir(), "kindling-pictures-"));
mkdirSync(folder, { recursive: true });
/** Names of the pictures, by tab. */
const taken = new Map();

try {
  for (const language of ["en", "zh"]) await inLanguage(language);
  await sheets();
} finally {
  rmSync(tmp, { recursive: true, force: true });
}
console.log(`${[...taken.values()].flat().length} pictures in ${folder}, and ${taken.size} sheets of them`);

async function inLanguage(language) {
  const server = await serve(dist);
  const context = await launch(join(tmp, language));
  const page = await context.newPage();
  try {
    const tag = language === "zh" ? "zh-CN" : "en";
    await page.addInitScript((tag) => localStorage.setItem("kindling-language", tag), tag);
    // A button on its way from one colour to another is in neither scheme.
    await page.emulateMedia({ reducedMotion: "reduce" });
    const t = new Case({ name: "pictures", page, context, server, tmp, notes: [] });
    await t.open("cpu", "");
    await page.locator("[data-testid=chat-starter]:enabled").first().waitFor({ timeout: 60 * SECOND });
    await scenes(page, language);
  } finally {
    await context.close();
    await server.close();
  }
}

async function scenes(page, language) {
  await take(page, "chat", language);
  await page.getByTestId("tab-models").click();
  await take(page, "models", language);
  await page.getByTestId("tab-teach").click();
  await take(page, "teach", language);
  if (flags.includes("--no-run")) return;
  await page.getByTestId("device-notice-close").click();
  await page.getByTestId("teach-source-sample").check({ force: true });
  await page.locator("#teach-plan[data-kind=good]", { hasText: "20" }).waitFor({ timeout: 30 * SECOND });
  await page.getByTestId("teach-start").click();
  await page.locator("#learned-count").waitFor({ timeout: 400 * SECOND });
  await take(page, "run", language, "teach-run");
  await page.getByTestId("teach-compare").click();
  await page.getByTestId("ab-run").click();
  await page.locator("#ab-run:enabled").waitFor({ timeout: 60 * SECOND });
  await take(page, "compare", language);
  await page.getByTestId("tab-chat").click();
  await page.getByTestId("chat-starter").first().click();
  await page.locator("[data-testid=chat-message][data-role=assistant]").last().waitFor({ timeout: 60 * SECOND });
  await page.getByTestId("chat-stop").waitFor({ state: "hidden", timeout: 60 * SECOND });
  await take(page, "conversation", language);
}

/** What is seen now, from the head of the page or from an element, in every size and scheme. */
async function take(page, name, language, id) {
  // A ring around what was pressed last, or what a pointer brings out, is no part of it.
  await page.mouse.move(0, 0);
  await page.evaluate(() => document.activeElement.blur());
  for (const [size, viewport] of Object.entries(SIZES)) {
    await page.setViewportSize(viewport);
    for (const scheme of SCHEMES) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.evaluate((id) => (id ? document.getElementById(id).scrollIntoView() : window.scrollTo(0, 0)), id);
      const file = `${name}-${language}-${size}-${scheme}.png`;
      await page.screenshot({ path: join(folder, file), animations: "disabled" });
      taken.set(name, [...(taken.get(name) ?? []), file]);
    }
  }
}

/** A tab's pictures side by side: a row for each language. */
async function sheets() {
  const context = await launch(join(tmp, "sheets"));
  const page = await context.newPage();
  await page.setViewportSize({ width: 1960, height: 900 });
  try {
    for (const [name, files] of taken) {
      const image = (file) => `<img src="data:image/png;base64,${readFileSync(join(folder, file)).toString("base64")}">`;
      const rows = ["en", "zh"].map((language) => files.filter((file) => file.includes(`-${language}-`)).map(image).join(""));
      const style = "body{margin:8px;background:#888}div{display:flex;gap:8px;margin-bottom:8px}img{height:420px}";
      await page.setContent(`<style>${style}</style>${rows.map((row) => `<div>${row}</div>`).join("")}`);
      await page.screenshot({ path: join(folder, `${name}.jpg`), type: "jpeg", quality: 80, fullPage: true });
    }
  } finally {
    await context.close();
  }
}
