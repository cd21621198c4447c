// Asking Airflow: one question at a time, again while something is live, and plain words when there is no answer.

import { make, put } from "./dom.js";
import { setClock } from "./words.js";

const PATIENCE = 30_000; // ms
const LONGEST_PAUSE = 30; // seconds between questions that fail
const LOGIN = "../api/v2/auth/login"; // Airflow's own, below whatever path it stands

const WORDS = {
  login: ["Your Airflow session has ended.", "Log in to Airflow again; then this page can be read."],
  forbidden: [
    "Airflow does not let you see this.",
    "You need the right to read this DAG's XComs. Whoever looks after your Airflow can give it.",
  ],
  missing: ["Airflow knows nothing by this name.", "The run may have been deleted, or the address is cut short."],
  wrong: ["Airflow does not understand this address.", "It may be cut short: open the page again from the task or the run."],
  server: ["Airflow could not answer.", "What went wrong is told in the log of its API server."],
  network: ["Airflow cannot be reached.", "Is the network up, and does the API server run?"],
  slow: ["Airflow takes too long to answer.", "The API server or its database may be busy."],
  garbled: ["Airflow's answer cannot be read.", "Perhaps a proxy wants you to log in again: reload the page."],
};
const PASSES = new Set(["server", "network", "slow"]); // what may mend itself
const TELLING = new Set(["missing", "wrong", "server"]); // where the server's own words say more than ours

/** An answer that did not come. `kind`: one of those that have words. */
export class Problem extends Error {
  constructor(kind, { status = 0, detail = "" } = {}) {
    super(kind);
    this.kind = kind;
    this.status = status;
    this.detail = detail;
  }
}

/** Return the JSON that Airflow answers; throws Problem, or what `signal` was aborted with. */
export async function ask(path, parameters, signal) {
  const response = await send(`${path}?${new URLSearchParams(parameters)}`, {}, signal);
  const body = await bodyOf(response, signal);
  if (!response.ok) throw problemOf(response, body);
  if (body === undefined) throw new Problem("garbled", { status: response.status });
  setClock(response.headers.get("date"));
  return body;
}

/** Return why a file of Airflow's cannot be had, or null where it can. */
export async function whyNot(address) {
  try {
    const response = await send(address, { Range: "bytes=0-0" });
    const body = response.ok ? undefined : await bodyOf(response);
    await response.body?.cancel().catch(() => {});
    return response.ok ? null : problemOf(response, body);
  } catch (error) {
    return error instanceof Problem ? error : new Problem("network");
  }
}

async function send(address, headers, signal) {
  const patience = AbortSignal.timeout(PATIENCE);
  try {
    return await fetch(address, {
      credentials: "same-origin",
      cache: "no-store",
      redirect: "manual", // to a login page, which would be taken for an answer
      headers: { Accept: "application/json", ...headers },
      signal: signal === undefined ? patience : AbortSignal.any([signal, patience]),
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw new Problem(error.name === "TimeoutError" ? "slow" : "network");
  }
}

async function bodyOf(response, signal) {
  try {
    return await response.json();
  } catch {
    signal?.throwIfAborted();
    return undefined;
  }
}

function problemOf(response, body) {
  const detail = typeof body?.detail === "string" ? body.detail : "";
  const { status } = response;
  const about = { status, detail };
  if (status === 401 || response.type === "opaqueredirect") return new Problem("login", about);
  if (status === 403) return new Problem("forbidden", about);
  if (status === 404 || status === 410) return new Problem("missing", about);
  return new Problem(status < 500 ? "wrong" : "server", about);
}

/** Return a problem in one sentence, for where there is no room for a notice. */
export function inShort(problem) {
  const [what] = WORDS[problem.kind];
  return (TELLING.has(problem.kind) && problem.detail) || what;
}

/** Return a notice of a problem, with a button to try again. */
export function noticeOf(problem, again) {
  const [what, next] = WORDS[problem.kind];
  const told = [problem.status || "", problem.detail].filter(Boolean).join(": ");
  const retry = make("button", { type: "button", class: "solid", onclick: again, "data-key": "again" }, "Try again");
  return make(
    "section",
    { class: "notice notice-error", role: "alert" },
    make("h2", {}, what),
    make("p", {}, next),
    told && make("p", { class: "small" }, told),
    make("p", { class: "row" }, retry, problem.kind === "login" ? loginLink() : null),
  );
}

function loginLink() {
  if (window.parent !== window) return "In Airflow's page, reload the whole of it to log in.";
  const back = `${location.pathname}${location.search}`;
  return make("a", { href: `${LOGIN}?${new URLSearchParams({ next: back })}` }, "Log in to Airflow");
}

/**
 * Ask, show, and ask again: `address()` gives path and parameters, `show(answer)` returns the seconds after which to
 * ask again, or null. Does not ask while the page is hidden, and at once when it is seen again.
 */
export class Follower {
  #address;
  #show;
  #trouble = document.getElementById("trouble");
  #asked = null;
  #timer = 0;
  #pause = null;
  #failed = 0;
  #shown = false;

  constructor(address, show) {
    this.#address = address;
    this.#show = show;
    document.addEventListener("visibilitychange", () => this.#onVisibility());
  }

  async now() {
    clearTimeout(this.#timer);
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    const pause = await this.#look(asked.signal);
    if (asked.signal.aborted) return;
    this.#asked = null;
    this.#pause = pause;
    this.#wait();
  }

  #wait() {
    clearTimeout(this.#timer);
    if (this.#pause !== null && !document.hidden) this.#timer = setTimeout(() => this.now(), this.#pause * 1000);
  }

  #onVisibility() {
    clearTimeout(this.#timer);
    if (!document.hidden && this.#pause !== null && this.#asked === null) this.now();
  }

  async #look(signal) {
    try {
      const answer = await ask(...this.#address(), signal);
      this.#failed = 0;
      this.#settle();
      return this.#show(answer);
    } catch (error) {
      if (signal.aborted) return null;
      if (!(error instanceof Problem)) throw error;
      return this.#onProblem(error);
    }
  }

  #settle() {
    this.#shown = true;
    put(this.#trouble);
    document.getElementById("loading")?.remove();
    document.getElementById("main").setAttribute("aria-busy", "false");
  }

  #onProblem(problem) {
    this.#failed += 1;
    document.getElementById("main").setAttribute("aria-busy", "false");
    document.getElementById("loading")?.remove();
    put(this.#trouble, noticeOf(problem, () => this.now()));
    const goesOn = this.#shown && this.#pause !== null && PASSES.has(problem.kind);
    return goesOn ? Math.min(LONGEST_PAUSE, this.#pause * 2 ** Math.min(this.#failed, 4)) : null;
  }
}
