// The jobs of all DAGs: what was charged and never handed on, what each day cost, and the recent jobs.

import { Follower } from "./ask.js";
import { chartOf } from "./chart.js";
import * as common from "./common.js";
import { copyButton, make, part, put } from "./dom.js";
import * as words from "./words.js";

const PAUSE = 10; // seconds between questions while a job is live: this question costs Airflow more than a task's
const LIMIT = 100; // jobs on a page
const SHOWN_AT_ONCE = 5; // undelivered jobs; the rest is folded
const FILTERS = [
  ["state", "State", words.stateName],
  ["conn_id", "Connection", String],
  ["label", "Label", String],
];
const COLUMNS = ["State", "Task", "Submitted", "Job", "Credits", "Labels", "Connection"];

const places = Object.fromEntries(["undelivered", "chart", "filters", "table", "paging"].map((name) => [name, make("section")]));
const told = make("p", { class: "small muted" });
const showUndelivered = part(places.undelivered, undeliveredOf);
const showChart = part(places.chart, chartSectionOf);
const showFilters = part(places.filters, filtersOf);
const showTable = part(places.table, tableOf);
const showPaging = part(places.paging, pagingOf);
const showTold = part(told, (text) => (text ? [make("strong", {}, "Where these lines come from. "), text] : null));

let link = null;
let follower = null;
let isLaidOut = false;
let moreIsOpen = false;

function begin() {
  link = common.putBar([["Jobs", null]]);
  follower = new Follower(() => ["api/jobs", { ...chosen(), limit: LIMIT }], show);
  window.addEventListener("popstate", () => onMove());
  follower.now();
}

/** Return what this page's address asks for; the filters are nowhere else. */
function chosen() {
  const names = [...FILTERS.map(([name]) => name), "before"];
  return Object.fromEntries(names.map((name) => [name, common.asked(name)]).filter(([, value]) => value !== ""));
}

function go(wanted) {
  history.pushState(null, "", common.pageAddress("jobs", wanted));
  onMove();
}

function onMove() {
  link.dataset.text = location.href;
  document.getElementById("main").setAttribute("aria-busy", "true");
  follower.now();
}

function show(answer) {
  if (!isLaidOut) layOut();
  const wanted = chosen();
  document.title = "Lipsync jobs";
  document.getElementById("main").setAttribute("aria-busy", "false");
  showUndelivered([answer.undelivered, answer.undelivered_is_cut]);
  showChart(answer.per_day);
  showFilters([answer.choices, wanted]);
  showTable([answer.jobs.map(withoutVideo), Object.keys(wanted).length > 0, answer.next_before !== null]);
  showPaging([answer.next_before, wanted.before ?? null, answer.jobs.length]);
  showTold(answer.told);
  return wanted.before === undefined && answer.jobs.some((view) => view.is_live) ? PAUSE : null;
}

function layOut() {
  isLaidOut = true;
  const { undelivered, chart, filters, table, paging } = places;
  const title = make("div", { class: "title" }, make("h1", {}, "Lipsync jobs"));
  put(document.getElementById("main"), title, undelivered, chart, filters, table, paging, told);
}

function withoutVideo(view) {
  return { ...view, video: null, poster: null, sources: null, ledger: null };
}

function chartSectionOf(days) {
  return days.some(({ jobs }) => jobs > 0) ? [make("h2", {}, "Credits per day"), chartOf(days)] : null;
}

function undeliveredOf([views, isCut]) {
  if (views.length === 0) return null;
  const known = views.filter((view) => view.credits_estimated !== null);
  const sum = known.reduce((all, view) => all + view.credits_estimated, 0);
  const cost = words.creditsSum({ known: sum, unknown_jobs: views.length - known.length });
  return make(
    "section",
    { class: "notice notice-error undelivered" },
    make("h2", {}, "Charged but undelivered"),
    make("p", {}, `${words.count(views.length, "job")}: ${cost}. Charged, or perhaps charged; nobody has their videos yet.`),
    isCut ? make("p", {}, "There may be older ones: only the newest were looked at.") : null,
    make("ul", { class: "plain-list" }, views.slice(0, SHOWN_AT_ONCE).map(undeliveredItem)),
    views.length > SHOWN_AT_ONCE ? moreOf(views.slice(SHOWN_AT_ONCE)) : null,
  );
}

function moreOf(views) {
  const onToggle = (event) => (moreIsOpen = event.target.open);
  const title = make("summary", { "data-key": "more" }, `${views.length} more`);
  return make("details", { open: moreIsOpen, ontoggle: onToggle }, title, make("ul", { class: "plain-list" }, views.map(undeliveredItem)));
}

function undeliveredItem(view) {
  const key = `${view.dag_id}/${view.run_id}/${words.taskName(view)}`;
  const id = view.job_id === null ? "id not known" : make("code", {}, String(view.job_id));
  const copyId = view.job_id === null ? null : copyButton(String(view.job_id), "the job id", { key: `id-${key}` });
  return make(
    "li",
    { class: "item" },
    make("h3", {}, taskLink(view, `undelivered-${key}`)),
    make("p", { class: "row" }, common.badge(view.state), make("span", {}, "credits: ", words.credits(view.credits_estimated))),
    make("p", { class: "row small" }, "submitted ", common.moment(view.submitted_at), "job ", id, copyId),
    make("p", { class: "breakable" }, view.headline),
    view.error && view.error !== view.headline ? make("p", { class: "said small" }, view.error) : null,
    make("div", { class: "row" }, make("h4", {}, "How to adopt it"), copyButton(String(view.how_to_adopt ?? ""), "how to adopt it", { key: `adopt-${key}` })),
    make("p", { class: "said" }, words.sentence(view.how_to_adopt)),
  );
}

function taskLink(view, key) {
  const where = [view.dag_id, view.run_id].map((text) => make("div", { class: "where" }, text));
  return make("div", {}, make("a", { href: common.playerAddress(view), "data-key": key }, words.taskName(view)), where);
}

function filtersOf([choices, wanted]) {
  const fields = FILTERS.map(([name, label, said]) => {
    const options = [...new Set([...(choices?.[name] ?? []), ...(wanted[name] ? [wanted[name]] : [])])];
    const all = make("option", { value: "" }, "all");
    const rest = options.map((value) => make("option", { value, selected: value === wanted[name] }, said(value)));
    const select = make("select", { name, "data-key": `filter-${name}`, onchange: () => choose(name, select.value) }, all, rest);
    return make("label", {}, make("span", { class: "small muted" }, label), select);
  });
  const isFiltered = FILTERS.some(([name]) => wanted[name]);
  const clear = make("button", { type: "button", class: "quiet", "data-key": "clear", onclick: () => go({}) }, "Clear filters");
  return [make("h2", {}, "Recent jobs"), make("div", { class: "filters" }, fields, isFiltered ? clear : null)];
}

function choose(name, value) {
  const wanted = chosen();
  delete wanted.before; // the page of another list
  if (value === "") delete wanted[name];
  else wanted[name] = value;
  go(wanted);
}

function tableOf([views, isFiltered, hasOlder]) {
  if (views.length === 0) return hasOlder ? noneYet() : isFiltered ? noMatch() : newcomer();
  const head = COLUMNS.map((name) => make("th", { scope: "col", role: "columnheader" }, name));
  return make(
    "table",
    { class: "jobs", role: "table" },
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, head)),
    make("tbody", { role: "rowgroup" }, views.map(rowOf)),
  );
}

function rowOf(view) {
  const cells = [
    [common.badge(view.state), common.WRONG.has(view.state) || view.is_live ? make("p", { class: "small muted" }, view.headline) : null],
    taskLink(view, `job-${view.dag_id}/${view.run_id}/${words.taskName(view)}`),
    view.submitted_at === null ? "not yet" : common.moment(view.submitted_at),
    jobCell(view),
    words.creditsOf(view),
    common.labelChips(view.labels),
    view.conn_id,
  ];
  return make("tr", { role: "row" }, cells.map((cell, at) => make("td", { role: "cell", "data-name": COLUMNS[at] }, cell)));
}

function jobCell({ endpoint, resolution, seconds }) {
  const size = [resolution, seconds === null ? null : words.seconds(seconds)].filter(Boolean).join(", ");
  return [endpoint, size && make("div", { class: "where" }, size)];
}

function noneYet() {
  return common.emptyState("None among the jobs that were looked at", "Older ones may match: go on below.");
}

function noMatch() {
  return common.emptyState("No job matches these filters", "Clear the filters to see all recent jobs.");
}

function newcomer() {
  return common.emptyState(
    "No jobs yet",
    "As soon as a task of LipsyncVideoOperator, LipsyncImageOperator or LipsyncImageMultiOperator has submitted a job, it stands here: " +
      "with its state, its video, its estimated credits and its labels.",
    "Above the list, each day's credits are drawn, and jobs that were charged while nobody got their video, with how to get it.",
  );
}

function pagingOf([nextBefore, before, shown]) {
  const { before: _, ...filters } = chosen();
  const turn = (text, wanted, key) => {
    const onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      go(wanted);
      document.getElementById("main").scrollIntoView();
    };
    return make("a", { href: common.pageAddress("jobs", wanted), "data-key": key, onclick }, text);
  };
  if (nextBefore === null && before === null) return null;
  return make(
    "nav",
    { class: "row paging", "aria-label": "Pages of jobs" },
    before === null ? null : turn("Newest", filters, "newest"),
    make("span", { class: "muted" }, words.count(shown, "job")),
    nextBefore === null ? null : turn("Older", { ...filters, before: nextBefore }, "older"),
  );
}

begin();
