// JavaScript because it runs before a module of ours is there. What a person sees until the page stands: a text in
// their language, and a bar.
import { sizes } from "./progress.js";

/** Where web/src/ui/speech.rs keeps the language that a person chose. */
const LANGUAGE = "kindling-language";

/** The bar over everything that the page waits for. */
export class Opening {
  #place = document.getElementById("opening");
  #shares;
  #weights = {};

  /** `names` are the files that it waits for. */
  constructor(names) {
    this.#shares = new Map(names.map((name) => [name, 0]));
    document.documentElement.lang = language();
    sizes.then((weights) => {
      this.#weights = weights;
      this.#show();
    });
  }

  /** What hears how far a file is. */
  of(name) {
    return ({ loaded, total }) => {
      if (total) this.#shares.set(name, Math.min(1, loaded / total));
      this.#show();
    };
  }

  /** All stands, or the page says itself what does not. */
  close() {
    this.#place.remove();
  }

  /** The page does not come. */
  fail(error) {
    this.close();
    const place = document.getElementById("failed");
    if (!place) return;
    place.lastElementChild.textContent = String(error?.message ?? error);
    place.hidden = false;
  }

  /** By what is sent: the engine shrinks to a fifth on its way, a model's weights hardly at all. */
  #show() {
    const parts = [...this.#shares].map(([name, share]) => ({ share, packed: this.#weights[name]?.packed }));
    // A bar without a value runs to and fro, which is all that is known where nothing was weighed.
    if (parts.some(({ packed }) => packed === undefined)) return;
    const all = parts.reduce((sum, { packed }) => sum + packed, 0);
    const value = parts.reduce((sum, { share, packed }) => sum + share * packed, 0) / all;
    const [bar, percent] = this.#place.children;
    bar.value = value;
    percent.textContent = `${Math.floor(value * 100)} %`;
  }
}

/** The one chosen last time, else the browser's. */
function language() {
  let chosen = null;
  try {
    chosen = localStorage.getItem(LANGUAGE);
  } catch {
    // A browser that keeps nothing for this page says so.
  }
  return /^zh\b/i.test(chosen ?? navigator.language) ? "zh-CN" : "en";
}
