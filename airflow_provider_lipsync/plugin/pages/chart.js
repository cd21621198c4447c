// Credits per day as bars, drawn in the width that there is, and the same as a table.

import { draw, make, put } from "./dom.js";
import { count, dayName, number } from "./words.js";

const HEIGHT = 190;
const EDGE = { top: 18, right: 8, bottom: 26, left: 48 };
const LABEL_ROOM = 58; // pixels that a day's name needs
const WIDEST_BAR = 36;
const TICKS = 4;
const DAY = 86_400_000; // ms
const LONGEST = 400; // days; a day that is far off does not make a thousand bars

let tableIsOpen = false; // also when the chart is drawn anew

/** Return the chart of some days: `[{day: "2026-11-23", credits, jobs, unknown}]`. */
export function chartOf(days) {
  const bars = withGaps(days);
  const place = make("div", { class: "chart" });
  new ResizeObserver(() => put(place, drawing(bars, place.clientWidth))).observe(place);
  const legend = bars.some(({ unknown }) => unknown > 0)
    ? make("p", { class: "small muted" }, make("strong", { class: "warned" }, "?"), " a day with jobs whose credits are unknown: it cost more than its bar shows.")
    : null;
  return make("figure", {}, place, legend, asTable(bars));
}

/** Return the days with those between them that had no job: an axis that skips days lies. */
export function withGaps(days) {
  const known = days.filter(({ day }) => !Number.isNaN(Date.parse(`${day}T00:00:00Z`)));
  const sorted = known.sort((one, other) => (one.day < other.day ? -1 : 1)).slice(-LONGEST);
  const filled = [];
  for (const one of sorted) {
    const last = filled.at(-1);
    if (last !== undefined) filled.push(...between(last.day, one.day));
    filled.push(one);
  }
  return filled.slice(-LONGEST);
}

function between(first, last) {
  const days = [];
  const end = Date.parse(`${last}T00:00:00Z`);
  for (let at = Date.parse(`${first}T00:00:00Z`) + DAY; at < end && days.length < LONGEST; at += DAY) {
    days.push({ day: new Date(at).toISOString().slice(0, 10), credits: 0, jobs: 0, unknown: 0 });
  }
  return days;
}

function drawing(bars, width) {
  const inner = { width: Math.max(width - EDGE.left - EDGE.right, 40), height: HEIGHT - EDGE.top - EDGE.bottom };
  const ticks = ticksFor(Math.max(...bars.map(({ credits }) => credits), 1));
  const top = ticks.at(-1);
  const y = (credits) => EDGE.top + inner.height * (1 - credits / top);
  const step = inner.width / bars.length;
  const every = Math.ceil(LABEL_ROOM / step);
  const newest = bars.length - 1;
  return draw(
    "svg",
    { width, height: HEIGHT, role: "img", "aria-label": summary(bars) },
    ticks.map((tick) => gridLine(y(tick), width, tick)),
    bars.map((bar, at) => {
      const middle = EDGE.left + step * (at + 0.5);
      const named = (newest - at) % every === 0;
      return barOf(bar, { middle, width: Math.max(1, Math.min(WIDEST_BAR, step * 0.7)), y, named, most: width - LABEL_ROOM / 2 });
    }),
  );
}

function gridLine(at, width, tick) {
  return draw(
    "g",
    {},
    draw("line", { x1: EDGE.left, x2: width - EDGE.right, y1: at, y2: at, class: "grid" }),
    draw("text", { x: EDGE.left - 8, y: at + 4, "text-anchor": "end", class: "tick" }, number(tick)),
  );
}

function barOf(bar, { middle, width, y, named, most }) {
  const [top, floor] = [y(bar.credits), y(0)];
  return draw(
    "g",
    {},
    draw("title", {}, said(bar)),
    draw("rect", { x: middle - width / 2, y: top, width, height: floor - top, rx: Math.min(3, width / 2), class: "bar-of-day" }),
    bar.unknown > 0 ? draw("text", { x: middle, y: top - 5, "text-anchor": "middle", class: "unknown-mark" }, "?") : null,
    named ? draw("text", { x: Math.min(middle, most), y: HEIGHT - 8, "text-anchor": "middle", class: "tick" }, dayName(bar.day)) : null,
  );
}

/** Return round numbers from 0 to at least `most`. */
export function ticksFor(most) {
  const rough = most / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].find((factor) => factor * power >= rough) * power);
  const ticks = [0];
  while (ticks.at(-1) < most) ticks.push(ticks.length * step);
  return ticks;
}

function said({ day, credits, jobs, unknown }) {
  const lacking = unknown > 0 ? `, ${unknown} of them unknown` : "";
  return `${dayName(day)}: ${count(credits, "credit")} estimated, ${count(jobs, "job")}${lacking}`;
}

function summary(bars) {
  const all = bars.reduce((sum, { credits }) => sum + credits, 0);
  return `Bars: ${count(all, "credit")} estimated from ${dayName(bars[0].day)} to ${dayName(bars.at(-1).day)}. The table below says the same.`;
}

function asTable(bars) {
  const head = ["Day (UTC)", "Credits (estimated)", "Jobs", "Unknown"].map((name) => make("th", { scope: "col" }, name));
  const rows = [...bars].reverse().map(({ day, credits, jobs, unknown }) =>
    make("tr", {}, make("th", { scope: "row" }, day), [credits, jobs, unknown].map((value) => make("td", {}, number(value)))),
  );
  const table = make("table", { class: "plain" }, make("thead", {}, make("tr", {}, head)), make("tbody", {}, rows));
  const onToggle = (event) => (tableIsOpen = event.target.open);
  return make("details", { open: tableIsOpen, ontoggle: onToggle }, make("summary", { "data-key": "chart-table" }, "As a table"), table);
}
