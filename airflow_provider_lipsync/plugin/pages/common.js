// What the pages share: the bar on top, badges, labels, moments, lists of facts, and the addresses of one another.

import { copyButton, draw, make, put } from "./dom.js";
import { isKnown, local, stateName, utc } from "./words.js";

/** States in which somebody has to do something. */
export const WRONG = new Set(["failed", "refused", "uncertain", "undelivered"]);

/** Return what this page's address says, trimmed; missing is "". */
export function asked(name) {
  return (new URLSearchParams(location.search).get(name) ?? "").trim();
}

/** Return the map index that this page's address names: -1 where the task is not mapped. */
export function askedMapIndex() {
  const told = asked("map_index");
  return /^\d+$/.test(told) ? told : "-1"; // Airflow leaves {MAP_INDEX} as it is where there is none
}

/** Return the address of another page, relative to this one. */
export function pageAddress(page, parameters) {
  const told = new URLSearchParams(parameters).toString();
  return told === "" ? page : `${page}?${told}`;
}

export function playerAddress({ dag_id, run_id, task_id, map_index }) {
  return pageAddress("player", { dag_id, run_id, task_id, map_index });
}

export function runAddress({ dag_id, run_id }) {
  return pageAddress("run", { dag_id, run_id });
}

/** Return an address that may be loaded, or null: http and https alone; `own` takes only those of this host. */
export function safeAddress(told, { own = false } = {}) {
  if (typeof told !== "string" || told === "") return null;
  let url;
  try {
    url = new URL(told, document.baseURI);
  } catch {
    return null;
  }
  const isOwn = url.origin === location.origin;
  return isOwn || (!own && (url.protocol === "https:" || url.protocol === "http:")) ? told : null;
}

/** Put up the bar on top. `links`: pairs of a text and an address; without an address it is this page. */
export function putBar(links) {
  const list = links.map(([text, address]) =>
    make("li", {}, address === null ? make("span", { "aria-current": "page" }, text) : make("a", { href: address }, text)),
  );
  const link = copyButton(location.href, "the address of this page", { label: "Copy link" });
  const brand = make("img", { src: "assets/icon.svg", alt: "", width: 20, height: 20 });
  put(
    document.getElementById("bar"),
    make("span", { class: "brand" }, brand, "Lipsync"),
    make("nav", { "aria-label": "Lipsync pages" }, make("ul", {}, list)),
    link,
  );
  return link;
}

export function badge(state) {
  return make("span", { class: `badge state-${isKnown(state) ? state : "nothing"}` }, stateName(state));
}

/** Return labels as chips, or null where there are none. */
export function labelChips(labels) {
  const pairs = Object.entries(labels ?? {});
  if (pairs.length === 0) return null;
  const chips = pairs.map(([name, value]) =>
    make("li", {}, make("span", { class: "muted" }, `${name} `), String(value)),
  );
  return make("ul", { class: "chips", "aria-label": "Labels" }, chips);
}

/** Return a moment in the reader's time, with UTC on hover; unknown where it is. */
export function moment(epoch) {
  if (typeof epoch !== "number" || !Number.isFinite(epoch)) return make("span", {}, "unknown");
  return make("time", { datetime: new Date(epoch * 1000).toISOString(), title: utc(epoch) }, local(epoch));
}

/** Return names and what they stand for; pairs whose second is null are left out. */
export function factList(pairs) {
  const rows = pairs
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([name, ...values]) => make("div", {}, make("dt", {}, name), make("dd", {}, values)));
  return make("dl", { class: "facts" }, rows);
}

/** Return a notice: a heading, and what stands below it. `tone`: error, warning or info. */
export function notice(tone, heading, ...children) {
  return make("section", { class: `notice notice-${tone}` }, make("h2", {}, heading), children);
}

/** Return an empty state: what would be here, for whoever sees the page for the first time. */
export function emptyState(heading, ...paragraphs) {
  const told = paragraphs.map((text) => make("p", {}, text));
  return make("section", { class: "empty" }, make("h2", {}, heading), told);
}

/** Return the drawing that stands where a video will be. It moves where its place says that something is live. */
export function waves() {
  const heights = [10, 22, 34, 18, 40, 26, 14];
  const bars = heights.map((height, at) =>
    draw("rect", { x: at * 10, y: 24 - height / 2, width: 5, height, rx: 2.5, class: `wave wave-${at}` }),
  );
  return draw("svg", { viewBox: "0 0 65 48", class: "waves", "aria-hidden": "true", focusable: "false" }, bars);
}

/** Return the triangle of a play button. */
export function playSign() {
  return draw("svg", { viewBox: "0 0 24 24", focusable: "false" }, draw("path", { d: "M8 5.5v13l11-6.5z" }));
}
