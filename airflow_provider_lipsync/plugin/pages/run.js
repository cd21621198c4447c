// All videos of a run as a contact sheet: what each is, what it costs, and any of them played in its place.

import { Follower } from "./ask.js";
import * as common from "./common.js";
import { announce, make, part, put, say } from "./dom.js";
import { Film } from "./film.js";
import { Posters } from "./posters.js";
import * as words from "./words.js";

const PAUSE = 3; // seconds between questions while anything is live
const ORDER = ["undelivered", "uncertain", "failed", "refused", "rendering", "waiting", "completed", "stored", "nothing"];

const who = { dag_id: common.asked("dag_id"), run_id: common.asked("run_id") };
const posters = new Posters();
const cards = new Map();
const sum = make("p", { class: "sum" });
const chips = make("div", { class: "filters", role: "group", "aria-label": "Show videos by state" });
const sheet = make("ul", { class: "sheet" });
const none = make("div");
let wanted = common.asked("state");
let link = null;
let views = null;

const showChips = part(chips, chipsOf);
const showNone = part(none, noneOf);

function begin() {
  link = common.putBar([
    ["All of this run", null],
    ["Jobs", "jobs"],
  ]);
  if (!who.dag_id || !who.run_id) {
    put(
      document.getElementById("main"),
      common.emptyState("This address names no run", "Open the page from a DAG run: it has a tab for its videos."),
    );
    return;
  }
  new Follower(() => ["api/run", who], show).now();
  setInterval(() => cards.forEach((card) => card.tick()), 1000);
}

function show(run) {
  const before = new Map((views ?? []).map((view) => [keyOf(view), view.state]));
  if (views === null) layOut(run);
  views = run.views;
  document.title = `${words.count(views.length, "task")} of ${run.run_id} (Lipsync)`;
  say(sum, views.length === 0 ? "" : sumOf(run));
  lay();
  tellChanges(before);
  return run.is_live ? PAUSE : null;
}

function sumOf(run) {
  const sum = `${words.count(views.length, "task")}: ${words.creditsSum(run.credits)}`;
  return run.is_cut ? `${sum}. The run has more; these are the first.` : sum;
}

function layOut(run) {
  const title = make(
    "div",
    { class: "title" },
    make("h1", {}, run.dag_id),
    make("p", { class: "muted small breakable" }, run.run_id),
  );
  put(document.getElementById("main"), title, sum, chips, none, sheet);
}

function lay() {
  const states = ORDER.filter((state) => views.some((view) => view.state === state));
  if (wanted !== "" && !states.includes(wanted)) states.push(wanted);
  showChips([views.length, states.map((state) => [state, views.filter((view) => view.state === state).length]), wanted]);
  const shown = views.filter((view) => wanted === "" || view.state === wanted);
  showNone([views.length, shown.length]);
  dealCards();
}

function dealCards() {
  const keys = new Set(views.map(keyOf));
  for (const [key, card] of cards) {
    if (keys.has(key)) continue;
    card.element.remove();
    cards.delete(key);
  }
  for (const view of views) {
    const key = keyOf(view);
    if (!cards.has(key)) {
      cards.set(key, new Card());
      sheet.append(cards.get(key).element);
    }
    cards.get(key).show(view, wanted === "" || view.state === wanted);
  }
}

function tellChanges(before) {
  const changed = views.filter((view) => before.size > 0 && before.get(keyOf(view)) !== view.state);
  if (changed.length === 0) return;
  const told = changed.slice(0, 3).map((view) => `${words.taskName(view)}: ${words.stateName(view.state)}`);
  if (changed.length > 3) told.push(`and ${changed.length - 3} more`);
  announce(told.join(". "));
}

function chipsOf([all, states, chosen]) {
  if (all === 0) return null;
  const chip = (state, text) =>
    make(
      "button",
      { type: "button", class: "chip", "aria-pressed": String(state === chosen), "data-key": `chip-${state}`, onclick: () => choose(state) },
      text,
    );
  return [chip("", `All ${all}`), states.map(([state, some]) => chip(state, `${words.stateName(state)} ${some}`))];
}

function choose(state) {
  wanted = state;
  const address = common.pageAddress("run", state === "" ? who : { ...who, state });
  history.replaceState(null, "", address);
  link.dataset.text = location.href;
  lay();
}

function noneOf([all, shown]) {
  if (shown > 0) return null;
  if (all > 0) return common.emptyState("None of this run's tasks is in this state");
  return common.emptyState(
    "No videos in this run yet",
    "As soon as a Lipsync task of this run has started, it stands here: with a picture of its video, its state and its credits.",
  );
}

function keyOf({ task_id, map_index }) {
  return JSON.stringify([task_id, map_index]);
}

/** One job on the sheet. */
class Card {
  constructor() {
    this.film = new Film({ eager: false, note: false });
    this.frame = make("div", { class: "frame" });
    this.text = make("div", { class: "card-text" });
    this.told = make("p", { class: "small muted told" });
    this.element = make("li", { class: "card" }, this.frame, this.text);
    this.isOpen = false;
    this.showFrame = part(this.frame, (shown) => this.#frameOf(shown));
    this.showText = part(this.text, (shown) => this.#textOf(shown));
  }

  show(view, isWanted) {
    this.view = view;
    this.element.hidden = !isWanted;
    if (!isWanted) this.film.pause();
    const { video, poster, state, is_live } = view;
    if (this.isOpen) this.isOpen = this.film.show(view, `Video of ${words.taskName(view)}`);
    if (!this.isOpen) this.showFrame([video, poster, video === null ? [state, is_live] : null]);
    this.showText([words.taskName(view), state, words.costLine(view), view.labels]);
    this.tick();
  }

  tick() {
    const { state, error, is_live } = this.view;
    const isTold = is_live || common.WRONG.has(state);
    say(this.told, isTold ? error || words.headlineNow(this.view) : "");
  }

  #frameOf([video, poster, waiting]) {
    const name = words.taskName(this.view);
    const picture = make("span", { class: `placeholder ${waiting?.[1] ? "is-live" : ""}` }, common.waves());
    const parts = [picture, this.#posterOf(poster)];
    if (video === null) {
      const address = common.playerAddress(this.view);
      return make("a", { class: "open", href: address, tabindex: "-1", "aria-hidden": "true" }, parts);
    }
    return make(
      "button",
      { type: "button", class: "open", "aria-label": `Play ${name}`, "data-key": `play-${keyOf(this.view)}`, onclick: () => this.#play() },
      parts,
      make("span", { class: "play", "aria-hidden": "true" }, common.playSign()),
    );
  }

  #posterOf(told) {
    const address = common.safeAddress(told, { own: true });
    if (address === null) return null;
    const image = make("img", { alt: "", "data-src": address, decoding: "async" });
    posters.want(image);
    return image;
  }

  #play() {
    for (const other of cards.values()) other.film.pause();
    this.isOpen = this.film.show(this.view, `Video of ${words.taskName(this.view)}`);
    if (!this.isOpen) return;
    put(this.frame, this.film.element);
    this.film.play();
  }

  #textOf([name, state, cost, labels]) {
    const address = common.playerAddress(this.view);
    return [
      make("h2", {}, make("a", { href: address, "data-key": `open-${keyOf(this.view)}` }, name)),
      make("p", { class: "row" }, common.badge(state), make("span", { class: "small" }, cost)),
      common.labelChips(labels),
      this.told,
    ];
  }
}

begin();
