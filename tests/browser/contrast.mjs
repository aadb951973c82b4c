// What of a page has too little contrast, by the colours that the browser computed: WCAG 2.2, 1.4.3 and 1.4.11.

/** In the page: every text under 4.5:1 (large ones under 3:1), and every border of a control under 3:1. */
export function faint() {
  const wrong = [];
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((value, i) => value * a + below[i] * (1 - a));
  const ground = (element) => {
    if (!element) return rgba("Canvas").slice(0, 3);
    const colour = rgba(getComputedStyle(element).backgroundColor);
    return colour[3] === 1 ? colour.slice(0, 3) : over(colour, ground(element.parentElement));
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (one, other) => {
    const [a, b] = [light(one), light(other)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const opaque = (element) => !element || (Number(getComputedStyle(element).opacity) === 1 && opaque(element.parentElement));
  const seen = (element) => {
    // What cannot be used now is pale on purpose, and so is what a pointer brings out.
    if (element.closest(":disabled, .acts, .unseen") || !opaque(element)) return false;
    return element.checkVisibility({ visibilityProperty: true }) && element.getClientRects().length > 0;
  };
  const name = (element) => `${element.localName}${element.id ? `#${element.id}` : ""}.${[...element.classList].join(".")}`;
  const check = (what, element, colour, below, least) => {
    const got = contrast(over(rgba(colour), below), below);
    if (got < least) wrong.push(`${what} of ${name(element)}: ${got.toFixed(2)} of ${least} (${colour} on ${below.map(Math.round)})`);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !seen(element) || element.closest("svg, script, noscript")) continue;
    const { color, fontSize, fontWeight } = getComputedStyle(element);
    const size = parseFloat(fontSize);
    check("text", element, color, ground(element), size >= 24 || (size >= 18.66 && fontWeight >= 700) ? 3 : 4.5);
  }
  for (const element of document.querySelectorAll("input, select, textarea, button, .drop, .segments .choice")) {
    if (!seen(element) || ["checkbox", "radio", "range"].includes(element.type)) continue;
    const { borderTopColor, borderTopWidth, color } = getComputedStyle(element);
    if (element.placeholder && !element.value) {
      check("placeholder", element, getComputedStyle(element, "::placeholder").color, ground(element), 4.5);
    } else if (element.value && "placeholder" in element) {
      check("value", element, color, ground(element), 4.5);
    }
    // A quiet button is its words alone.
    if (parseFloat(borderTopWidth) === 0 || rgba(borderTopColor)[3] === 0) continue;
    check("border", element, borderTopColor, ground(element.parentElement), 3);
    if (/^(input|select|textarea)$/.test(element.localName)) check("inner border", element, borderTopColor, ground(element), 3);
  }
  return [...new Set(wrong)];
}
