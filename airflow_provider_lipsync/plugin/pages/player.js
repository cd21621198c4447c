// The player: one task's video, what is known of its job, and what to do next; live while the job renders.

import { Follower } from "./ask.js";
import * as common from "./common.js";
import { announce, copyButton, make, part, put, say } from "./dom.js";
import { Film } from "./film.js";
import * as words from "./words.js";

const PAUSE = 3; // seconds between questions while live
const LIVE_STATES = new Set(["rendering", "waiting"]);

const who = { dag_id: common.asked("dag_id"), run_id: common.asked("run_id"), task_id: common.asked("task_id") };
who.map_index = common.askedMapIndex();

const film = new Film({ onGone: () => put(parts.actions) });
const headline = make("p", { class: "headline" });
const elapsed = make("span", { class: "counter" });
const left = make("span", { class: "muted" });
const parts = {
  state: make("div", { class: "state-row" }),
  told: make("div"),
  stage: make("div", { class: "stage" }),
  actions: make("p", { class: "row actions" }),
  facts: make("section"),
  ledger: make("section"),
  sources: make("section", { class: "small muted" }),
};
let current = null;

const showBadge = part(parts.state, (state) => [common.badge(state), headline]);
const showTold = part(parts.told, toldOf);
const showStage = part(parts.stage, stageOf);
const showActions = part(parts.actions, actionsOf);
const showFacts = part(parts.facts, factsOf);
const showLedger = part(parts.ledger, ledgerOf);
const showSources = part(parts.sources, sourcesOf);

function begin() {
  common.putBar([
    ["Video", null],
    ["All of this run", common.runAddress(who)],
    ["Jobs", "jobs"],
  ]);
  if (!who.dag_id || !who.run_id || !who.task_id) {
    put(
      document.getElementById("main"),
      common.emptyState("This address names no task", "Open the page from a task instance: it has a tab for its video."),
    );
    return;
  }
  new Follower(() => ["api/task", who], show).now();
  setInterval(tick, 1000);
}

function show(view) {
  const before = current?.state;
  current = view;
  if (before === undefined) layOut(view);
  document.title = `${words.stateName(view.state)}: ${words.taskName(view)} (Lipsync)`;
  tick();
  parts.state.hidden = !view.is_lipsync; // there, the empty state says all
  showBadge(view.state);
  showTold([view.state, view.error, view.next_step, view.is_lipsync]);
  const plays = film.show(view, `Video of ${words.taskName(view)}`);
  showStage([plays, view.state, view.is_live, view.submitted_at !== null]);
  showActions([plays, view.video?.where, view.video?.src, view.task_id, view.map_index]);
  showFacts(factsIn(view));
  showLedger(view.is_lipsync ? [view.ledger] : null);
  showSources(view.sources);
  if (before !== undefined && before !== view.state) announce(`${words.stateName(view.state)}. ${view.headline}`);
  return view.is_live ? PAUSE : null;
}

function layOut(view) {
  const title = make(
    "div",
    { class: "title" },
    make("h1", {}, words.taskName(view)),
    make("p", { class: "muted small breakable" }, `${view.dag_id} / ${view.run_id}`),
  );
  const below = make("div", { class: "columns" }, parts.facts, make("div", {}, parts.ledger, parts.sources));
  put(document.getElementById("main"), title, parts.state, parts.told, parts.stage, parts.actions, below);
}

function tick() {
  if (current === null) return;
  say(headline, words.headlineNow(current));
  if (current.submitted_at !== null) say(elapsed, words.counter(words.now() - current.submitted_at));
  say(left, current.is_live && current.deadline !== null ? ` (${words.distance(current.deadline)})` : "");
}

function toldOf([state, error, nextStep, isLipsync]) {
  if (!isLipsync) return nothingHere();
  const isWrong = common.WRONG.has(state);
  const isCalm = !isWrong && !error && LIVE_STATES.has(state);
  if (isCalm) return nextStep ? make("p", { class: "muted" }, words.sentence(nextStep)) : null;
  if (!error && !nextStep) return null;
  const tone = state === "failed" || state === "undelivered" ? "error" : isWrong || state === "completed" ? "warning" : "info";
  const known = error && make("p", { class: "said" }, error);
  const copied = isWrong && nextStep ? copyButton(nextStep, "what to do next", { key: "copy-next" }) : null;
  const next = nextStep && [
    make("h2", {}, "What to do next"),
    make("p", { class: "said" }, words.sentence(nextStep)),
    copied && make("p", { class: "row" }, copied),
  ];
  return make("section", { class: `notice notice-${tone}` }, known && make("h2", {}, "What is known"), known, next);
}

function nothingHere() {
  return common.emptyState(
    "There is no video here",
    "This task is not one of Lipsync's. Every task instance has this tab; a video is in it where the task is a " +
      "LipsyncVideoOperator, LipsyncImageOperator, LipsyncImageMultiOperator, LipsyncJobSensor or " +
      "LipsyncToObjectStorageOperator.",
  );
}

function stageOf([plays, state, isLive, isCounted]) {
  if (plays) return film.element;
  if (!LIVE_STATES.has(state)) return null;
  const counts = state === "rendering" && isLive && isCounted;
  return make(
    "div",
    { class: `waiting-stage ${isLive ? "is-live" : ""}` },
    common.waves(),
    counts ? elapsed : null,
    make("p", { class: "muted" }, state === "rendering" ? "The video is shown here as soon as it is there." : "Nothing to see yet."),
  );
}

function actionsOf([plays, where, src, taskId, mapIndex]) {
  if (!plays || where !== "stored") return null;
  const name = mapIndex >= 0 ? `${taskId}-${mapIndex}.mp4` : `${taskId}.mp4`;
  return make("a", { href: src, download: name, "data-key": "download" }, "Download the video");
}

function factsIn(view) {
  const names = [
    "job_id", "endpoint", "seconds", "resolution", "credits_estimated", "labels", "inputs", "seed", "conn_id",
    "submitted_at", "deadline", "execution_time", "output_path", "sha256", "size", "state", "task_state", "try_number", "is_lipsync",
  ];
  return Object.fromEntries(names.map((name) => [name, view[name] ?? null]));
}

function factsOf(facts) {
  if (!facts.is_lipsync) return null;
  const or = (value, shown) => (value === null ? null : shown(value));
  const list = common.factList([
    ["Job", or(facts.job_id, (id) => copied(id, "the job id"))],
    ["Model", or(facts.endpoint, words.endpointName)],
    ["Seconds charged", or(facts.seconds, words.seconds) ?? (facts.job_id === null ? null : words.seconds(null))],
    ["Resolution", facts.resolution],
    ["Credits", facts.state === "nothing" ? null : words.creditsOf(facts)],
    ["Labels", common.labelChips(facts.labels)],
    ...(facts.inputs ?? []).map(({ name, shown }) => [`Input: ${name}`, make("code", {}, String(shown))]),
    ["Seed", or(facts.seed, String)],
    ["Connection", facts.conn_id],
    ["Submitted", or(facts.submitted_at, common.moment)],
    ["Deadline", or(facts.deadline, (at) => make("span", {}, common.moment(at), left))],
    ["Rendering took", or(facts.execution_time, words.milliseconds)],
    ["Stored at", or(facts.output_path, (path) => make("code", {}, path))],
    ["SHA-256", or(facts.sha256, (hash) => copied(hash, "the hash"))],
    ["Size", or(facts.size, words.bytes)],
    ["Airflow", `${facts.task_state ?? "no state yet"}, try ${facts.try_number ?? "unknown"}`],
  ]);
  return [make("h2", {}, "The job"), list];
}

function copied(text, what) {
  return make("span", { class: "copied" }, make("code", {}, String(text)), copyButton(String(text), what, { key: what }));
}

const LEDGER_WORDS = new Map([
  ["intent", "intent: a submit may have left, and its answer is not known"],
  ["bought", "bought: the vendor has the job, nobody has had its video yet"],
  ["refused", "refused: nothing was charged"],
  ["failed", "failed: the vendor said so"],
  ["delivered", "delivered: the task handed its result on"],
]);

function ledgerOf(told) {
  if (told === null) return null;
  const [ledger] = told;
  const heading = make("h2", {}, "What the ledger knows");
  if (ledger === null || ledger === undefined) return [heading, make("p", { class: "muted" }, "It has no record of this task.")];
  const list = common.factList([
    ["State", LEDGER_WORDS.get(ledger.state) ?? String(ledger.state)],
    ["Job", ledger.job_id === null ? "not known" : make("code", {}, String(ledger.job_id))],
    ["Submitted", ledger.submitted_at === null ? null : common.moment(ledger.submitted_at)],
    ["Credits", words.credits(ledger.credits)],
    ["Note", ledger.note],
  ]);
  return [heading, list];
}

function sourcesOf(sources) {
  if (!sources || sources.length === 0) return null;
  const list = sources.map((source) => make("li", {}, String(source)));
  return [make("h2", {}, "Where this comes from"), make("ul", {}, list)];
}

begin();
