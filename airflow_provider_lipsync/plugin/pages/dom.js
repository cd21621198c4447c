// Building a page: elements whose text is text. Nothing in these pages makes HTML of data.

const SVG = "http://www.w3.org/2000/svg";
const TOLD_FOR = 2000; // ms

/** Return an element. `attributes`: false and null are left out; names that begin with "on" are listeners. */
export function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Return an element of an SVG drawing. */
export function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...shownOf(children));
  return element;
}

/** Put these in the place of all that an element holds; what is null is left out. */
export function put(element, ...children) {
  element.replaceChildren(...shownOf(children));
}

function shownOf(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}

/** Set a text only where it differs: a selection in it, or a reader at it, is left alone. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Tell those who cannot see the page that something changed. */
export function announce(text) {
  say(document.getElementById("announcer"), text);
}

/** Rebuild a part of the page; who stood on a control of it with the keyboard stands on it again. */
export function keepingFocus(part, rebuild) {
  const held = part.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  rebuild();
  if (held === undefined) return;
  for (const control of part.querySelectorAll("[data-key]")) {
    if (control.dataset.key === held) control.focus({ preventScroll: true });
  }
}

/** Return a function that shows data in an element, and rebuilds it only where the data is another than before. */
export function part(element, build) {
  let shown = null;
  return (data) => {
    const wanted = JSON.stringify(data ?? null);
    if (wanted === shown) return;
    shown = wanted;
    keepingFocus(element, () => put(element, build(data)));
  };
}

/** Return a button that copies a text, its `data-text`. `what`: names it to those who only hear the button. */
export function copyButton(text, what, { label = "Copy", key = null } = {}) {
  const button = make("button", { type: "button", class: "quiet", "aria-label": `${label} ${what}`, "data-key": key, "data-text": text }, label);
  button.addEventListener("click", async () => {
    const worked = await copy(button.dataset.text);
    say(button, worked ? "Copied" : "Not copied");
    announce(worked ? `Copied ${what}` : `The browser did not let ${what} be copied`);
    setTimeout(() => say(button, label), TOLD_FOR);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyByHand(text); // plain http has no clipboard
  }
}

function copyByHand(text) {
  const held = document.activeElement;
  const field = make("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1" });
  field.value = text;
  document.body.append(field);
  field.select();
  const worked = document.execCommand("copy");
  field.remove();
  held?.focus({ preventScroll: true });
  return worked;
}
