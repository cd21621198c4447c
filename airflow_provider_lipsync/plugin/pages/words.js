// How numbers, moments and states are said. Pure, but for the clock. What is unknown is said to be so: never 0.

const STATES = new Map([
  ["nothing", "No job"],
  ["waiting", "Waiting"],
  ["rendering", "Rendering"],
  ["completed", "Completed"],
  ["stored", "Stored"],
  ["failed", "Failed"],
  ["refused", "Refused"],
  ["uncertain", "Uncertain"],
  ["undelivered", "Undelivered"],
]);
const ENDPOINTS = new Map([
  ["lipsync-video", "a video with another sound"],
  ["lipsync-image", "a picture that speaks"],
  ["lipsync-image-multi", "a picture of two who speak"],
]);
const NUMBERS = new Intl.NumberFormat("en");
const ABOUT = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const DAYS = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", timeZone: "UTC" });
const UNKNOWN = "unknown";
const TICKING = /^Rendering for (?:\d+ (?:s|min|h) ?)+/;
const SKEW_TOLD = 2; // seconds; less is the rounding of the Date header

let ahead = 0; // seconds that Airflow's clock is ahead of the reader's

/** Take Airflow's clock from the Date header of an answer: elapsed times count by it. */
export function setClock(header) {
  const told = Date.parse(header ?? "") / 1000;
  const differs = told - Date.now() / 1000;
  if (Number.isFinite(differs)) ahead = Math.abs(differs) > SKEW_TOLD ? differs : 0;
}

/** Return seconds since the epoch, by Airflow's clock. */
export function now() {
  return Date.now() / 1000 + ahead;
}

/** Whether a state is one of those the pages know; another one is shown as it came. */
export function isKnown(state) {
  return STATES.has(state);
}

export function stateName(state) {
  return STATES.get(state) ?? String(state);
}

export function endpointName(endpoint) {
  const said = ENDPOINTS.get(endpoint);
  return said === undefined ? String(endpoint) : `${endpoint} (${said})`;
}

/** Return a length of time as the API server says it too. */
export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Return a length of time as a clock that runs: 0:42, 12:05, 1:02:05. */
export function counter(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  const rest = String(whole % 60).padStart(2, "0");
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** Return the headline with its seconds counted on since Airflow said it. */
export function headlineNow(view) {
  const headline = String(view.headline ?? "");
  if (headline === stateName(view.state)) return ""; // the badge says it
  if (view.state !== "rendering" || view.submitted_at === null || !view.is_live) return headline;
  return headline.replace(TICKING, () => `Rendering for ${span(now() - view.submitted_at)}`);
}

/** Return how far a moment is, seen from now. */
export function distance(moment) {
  const seconds = moment - now();
  return seconds >= 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`;
}

export function number(value) {
  return isNumber(value) ? NUMBERS.format(value) : UNKNOWN;
}

/** Return a count with its noun. */
export function count(value, noun) {
  return `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
}

export function credits(value) {
  return isNumber(value) ? `${number(value)} (estimated)` : UNKNOWN;
}

/** Return the sum of a run: a sum in which nothing is known is not a sum. */
export function creditsSum({ known, unknown_jobs: unknown }) {
  if (unknown > 0 && known === 0) return `credits unknown (${count(unknown, "job")})`;
  const sum = `${count(known, "credit")} estimated`;
  return unknown > 0 ? `${sum}, ${count(unknown, "job")} unknown` : sum;
}

/** Whether a job was bought, or may have been: then what is not known of its cost is unknown, else there is none. */
function isBought({ job_id: id, state }) {
  return (id !== null && id !== undefined) || state === "uncertain" || state === "undelivered";
}

/** Return the credits of a view, as a list has room for. */
export function creditsOf(view) {
  if (isBought(view)) return credits(view.credits_estimated);
  return view.state === "refused" ? "none charged" : "none yet";
}

/** Return what a job costs and how long it is, in one line. */
export function costLine(view) {
  if (!isBought(view)) return view.state === "refused" ? "nothing charged" : "nothing bought";
  const { seconds: charged, credits_estimated: estimate } = view;
  const length = isNumber(charged) ? seconds(charged) : "length unknown";
  return `${length} · ${isNumber(estimate) ? `${count(estimate, "credit")} (estimated)` : "credits unknown"}`;
}

export function seconds(value) {
  return isNumber(value) ? `${ABOUT.format(value)} s` : UNKNOWN;
}

export function milliseconds(value) {
  return isNumber(value) ? `${ABOUT.format(value / 1000)} s` : UNKNOWN;
}

export function bytes(value) {
  if (!isNumber(value)) return UNKNOWN;
  const [size, unit] = value >= 1e6 ? [value / 1e6, "MB"] : [value / 1e3, "kB"];
  return value < 1000 ? `${number(value)} bytes` : `${ABOUT.format(size)} ${unit} (${number(value)} bytes)`;
}

/** Return a moment in the reader's time, as Airflow writes it. */
export function local(moment) {
  const at = new Date(moment * 1000);
  const [day, time] = [[at.getFullYear(), at.getMonth() + 1, at.getDate()], [at.getHours(), at.getMinutes(), at.getSeconds()]];
  return `${day.map(twoDigits).join("-")} ${time.map(twoDigits).join(":")}`;
}

export function utc(moment) {
  return `${new Date(moment * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** Return a day (YYYY-MM-DD) as an axis has room for. */
export function dayName(day) {
  const at = new Date(`${day}T00:00:00Z`);
  return Number.isNaN(at.getTime()) ? String(day) : DAYS.format(at);
}

/** Return words of the server as a sentence that stands alone. */
export function sentence(text) {
  const said = String(text ?? "").trim();
  if (said === "") return "";
  return said[0].toUpperCase() + said.slice(1) + (/[.!?)]$/.test(said) ? "" : ".");
}

/** Return what a task instance is called. */
export function taskName(view) {
  return view.map_index >= 0 ? `${view.task_id} [${view.map_index}]` : String(view.task_id);
}

function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

function twoDigits(value) {
  return String(value).padStart(2, "0");
}
