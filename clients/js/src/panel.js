// The element <background-jobs-panel>: the jobs of a user, in any page.

import { BackgroundJobs } from "./store.js";

const NAME = "background-jobs-panel";
const RECENT = 10;
const PATIENCE = 2; // failures in a row before the panel says so: one lost answer is no news
const TOKEN_SECONDS = 3;
const REFUSAL_SECONDS = 10;
const MAX_HEIGHT = 2000;
const MAX_TEXT = 500;

const STYLE = `
:host {
  color-scheme: light dark; display: block; max-width: 40rem;
  --surface: light-dark(#ffffff, #191e28); --text: light-dark(#1b2130, #e4e8f1); --muted: light-dark(#596277, #a0a9bd);
  --line: light-dark(#dce0ea, #2d3444); --control: light-dark(#767e91, #7d8699); --sunken: light-dark(#eef0f6, #12161e);
  --link: light-dark(#3344bd, #a5b0ff); --bar: light-dark(#3b4fd8, #7f8fff); --good: light-dark(#17713f, #6fd69b);
  --bad: light-dark(#b3261e, #ff9a91); --warn: light-dark(#8a5300, #f2bf6c);
  --good-soft: light-dark(#e2f4e9, #15301f); --bad-soft: light-dark(#fdeae8, #3a1a18);
  --warn-soft: light-dark(#fdf1dc, #35280f); --bar-soft: light-dark(#e8ebfd, #232b52);
}
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([hidden]), [hidden] { display: none !important; }
*, ::before, ::after { box-sizing: border-box; }
section {
  padding: 0.9rem 1.1rem; border: 1px solid var(--line); border-radius: 0.6rem; background: var(--surface);
  color: var(--text); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; text-align: start;
}
h2, p, ul { margin: 0; padding: 0; }
h2 { font-size: 1.05rem; line-height: 1.3; }
ul { list-style: none; }
li { padding: 0.7rem 0; border-bottom: 1px solid var(--line); }
li:last-child { border-bottom: 0; padding-bottom: 0; }
.row { display: flex; flex-wrap: wrap; align-items: center; gap: 0.25rem 0.75rem; }
a { color: var(--link); text-underline-offset: 0.15em; }
.name { font-weight: 600; overflow-wrap: anywhere; min-width: 0; }
.status { padding: 0 0.55em; border-radius: 1em; font-size: 0.8rem; background: var(--sunken); color: var(--muted); white-space: nowrap; }
.status.running { background: var(--bar-soft); color: var(--link); }
.status.completed { background: var(--good-soft); color: var(--good); }
.status.failed { background: var(--bad-soft); color: var(--bad); }
.status.completed_with_errors, .status.waiting { background: var(--warn-soft); color: var(--warn); }
progress { display: block; width: 100%; height: 0.4rem; margin: 0.4rem 0; appearance: none; border: 0; border-radius: 1em; background: var(--sunken); }
progress::-webkit-progress-bar { background: var(--sunken); border-radius: 1em; }
progress { color: var(--bar); }
progress.completed { color: var(--good); }
progress.completed_with_errors { color: var(--warn); }
progress.failed { color: var(--bad); }
progress.cancelled { color: var(--muted); }
progress::-webkit-progress-value { background: currentcolor; border-radius: 1em; }
progress::-moz-progress-bar { background: currentcolor; border-radius: 1em; }
.figures, .message, .empty, .more, .notice { font-size: 0.875rem; color: var(--muted); overflow-wrap: anywhere; }
.figures { font-variant-numeric: tabular-nums; flex: 1; }
.message { display: block; }
.error { color: var(--bad); }
.notice { margin: 0.5rem 0 0; padding: 0.4rem 0.7rem; border-radius: 0.4rem; background: var(--warn-soft); color: var(--warn); }
button {
  min-height: 1.75rem; padding: 0.1rem 0.7rem; border: 1px solid var(--control); border-radius: 0.4rem;
  background: transparent; color: inherit; font: inherit; font-size: 0.875rem; cursor: pointer;
}
button:hover { background: var(--sunken); }
button[aria-disabled="true"] { cursor: progress; }
:focus-visible { outline: 3px solid var(--bar); outline-offset: 2px; border-radius: 0.25rem; }
.heard { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
iframe { display: block; width: 100%; height: 12rem; border: 0; }
@media (forced-colors: active) { .status { border: 1px solid; } }
`;

/** Defines the element, once. `baseUrl` is where its API is, unless an element has an attribute `base-url`. */
export function defineBackgroundJobsPanel({ baseUrl = null } = {}) {
  if (customElements.get(NAME)) return;
  const sheet = new CSSStyleSheet(); // a page's Content-Security-Policy has no say in these
  sheet.replaceSync(STYLE);

  class BackgroundJobsPanel extends HTMLElement {
    static observedAttributes = ["base-url", "compact", "session", "token"];

    #root = this.attachShadow({ mode: "open" });
    #token = null;
    #store = null;
    #given = null; // a store from outside
    #view = null;
    #forget = () => {};
    #isPlanned = false;

    constructor() {
      super();
      this.#root.adoptedStyleSheets = [sheet];
    }

    /** An API token, or a function that returns one or a promise of one. It can be set, but not read. */
    set token(value) {
      this.#token = value || null;
      this.#plan();
    }

    /** A store (`BackgroundJobs`) that the page keeps itself. */
    set store(value) {
      this.#given = value ?? null;
      this.#plan();
    }

    get compact() {
      return this.hasAttribute("compact");
    }

    set compact(value) {
      this.toggleAttribute("compact", Boolean(value));
    }

    connectedCallback() {
      // A page may have set these before this script defined the element.
      for (const name of ["compact", "store", "token"]) {
        if (Object.hasOwn(this, name)) {
          const value = this[name];
          delete this[name];
          this[name] = value;
        }
      }
      this.#plan();
    }

    disconnectedCallback() {
      this.#forget();
      this.#view = null;
    }

    attributeChangedCallback(name, before, value) {
      if (name === "token" && value !== null) {
        this.token = value;
        this.removeAttribute("token"); // so that it is not in the page's text, for style sheets and for copies of it
      } else if (name !== "token" && before !== value) this.#plan();
    }

    /** Several settings at once are one change. */
    #plan() {
      if (this.#isPlanned) return;
      this.#isPlanned = true;
      queueMicrotask(() => {
        this.#isPlanned = false;
        if (this.isConnected) this.#start();
      });
    }

    #start() {
      this.#forget();
      const address = this.getAttribute("base-url") ?? baseUrl ?? location.origin;
      const recent = this.compact ? 0 : RECENT;
      try {
        const { origin } = new URL(address, location.href);
        if (this.#given) this.#follow(this.#given);
        else if (this.#token) this.#follow(new BackgroundJobs({ baseUrl: address, token: this.#token, recent }));
        else if (origin === location.origin) this.#follow(new BackgroundJobs({ baseUrl: address, recent }));
        else if (this.hasAttribute("session")) this.#frame(origin);
        else this.#awaitToken();
      } catch (error) {
        this.#say(error.message); // a base-url that is none
      }
    }

    #follow(store) {
      this.#store = store;
      this.#view = new View(store, this.compact);
      this.#root.replaceChildren(...this.#view.elements);
      const draw = () => this.#view.draw(store.getSnapshot());
      this.#forget = store.subscribe(draw);
      draw();
    }

    /** Where the page's origin is another, only a frame of the same site has the session. */
    #frame(origin) {
      const page = new URL("/jobs/embed", origin);
      if (this.compact) page.searchParams.set("compact", "");
      if (this.hasAttribute("theme")) page.searchParams.set("theme", this.getAttribute("theme"));
      const frame = make("iframe", { title: "Background jobs", src: page.href });
      const fit = ({ source, origin: from, data }) => {
        if (source !== frame.contentWindow || from !== origin || data?.type !== NAME) return;
        const height = Math.min(MAX_HEIGHT, Number(data.height) || 0);
        frame.style.height = `${height}px`;
      };
      addEventListener("message", fit);
      this.#forget = () => removeEventListener("message", fit);
      this.#root.replaceChildren(frame);
    }

    #awaitToken() {
      this.#root.replaceChildren();
      const timer = setTimeout(
        () => this.#say("Waiting for an API token. The page sets the property token, or the attribute session."),
        TOKEN_SECONDS * 1000,
      );
      this.#forget = () => clearTimeout(timer);
    }

    #say(text) {
      const section = make("section", { lang: "en" });
      section.append(make("p", { className: "notice", textContent: text }));
      this.#root.replaceChildren(section);
    }
  }

  customElements.define(NAME, BackgroundJobsPanel);
}

/** The elements of a panel. Everything that comes from the server is set as text. */
class View {
  #rows = new Map();
  #known = new Map();
  #refusal = "";

  constructor(store, compact) {
    this.store = store;
    this.compact = compact;
    this.isForeign = new URL(store.client.baseUrl).origin !== location.origin;
    this.section = make("section", { lang: "en", ariaLabel: "Background jobs" });
    this.section.part = "panel";
    this.list = make("ul");
    this.notice = make("p", { className: "notice", hidden: true });
    this.empty = make("p", { className: "empty", textContent: "Loading…" });
    this.more = make("p", { className: "more", hidden: true });
    this.more.append(this.#link("All jobs", "/jobs/"));
    this.heading = make("h2", { textContent: compact ? "Unfinished jobs" : "Jobs", tabIndex: -1 });
    this.section.append(this.heading, this.notice, this.list, this.empty, this.more);
    this.heard = make("p", { className: "heard", role: "status", lang: "en" });
    this.elements = [this.section, this.heard];
  }

  draw({ jobs, recentJobs, hasMore, isLoading, error, failures, isRefused }) {
    const isLosing = failures > 0 && !isRefused;
    const problem = this.#refusal || (!isLosing ? error ?? "" : failures >= PATIENCE ? `${error} Trying again.` : "");
    const shown = this.compact ? jobs : [...jobs, ...recentJobs.filter(({ jobId }) => !jobs.some((job) => job.jobId === jobId))];
    this.notice.hidden = !problem;
    if (this.notice.textContent !== problem) this.notice.textContent = problem;
    this.empty.hidden = shown.length > 0 || Boolean(problem);
    if (!isLoading) this.empty.textContent = "No jobs yet.";
    this.more.hidden = !hasMore;
    this.section.hidden = this.compact && !shown.length && !problem;
    this.#place(shown);
    this.#announce(shown, isLoading, problem);
  }

  /** Rows stay the same elements, so that the focus and what is selected survive. */
  #place(jobs) {
    const held = this.list.getRootNode().activeElement;
    const wanted = new Set(jobs.map((job) => job.jobId));
    for (const [jobId, row] of this.#rows) {
      if (wanted.has(jobId)) continue;
      row.item.remove();
      this.#rows.delete(jobId);
    }
    jobs.forEach((job, index) => {
      if (!this.#rows.has(job.jobId)) this.#rows.set(job.jobId, this.#row(job));
      const row = this.#rows.get(job.jobId);
      this.#fill(row, job);
      if (this.list.children[index] !== row.item) this.list.insertBefore(row.item, this.list.children[index] ?? null);
    });
    if (!held) return;
    const lost = !held.isConnected || held.hidden;
    const place = lost ? held.closest("li")?.querySelector("a") : held;
    (place?.isConnected ? place : this.heading).focus({ preventScroll: true });
  }

  #row(job) {
    const item = make("li");
    const head = make("div", { className: "row" });
    const foot = make("div", { className: "row" });
    const name = this.#link("", `/jobs/${encodeURIComponent(job.jobId)}`);
    name.className = "name";
    const row = {
      item, name, job: null,
      status: make("span"), bar: make("progress", { max: 100 }), figures: make("span", { className: "figures" }),
      button: make("button", { type: "button" }), message: make("span", { className: "message" }),
    };
    row.button.addEventListener("click", () => void this.#act(row));
    head.append(name, row.status);
    foot.append(row.figures, row.button);
    item.append(head, row.bar, foot, row.message);
    return row;
  }

  #fill(row, job) {
    if (row.job === job) return;
    row.job = job;
    const { progress, status } = job;
    row.name.textContent = job.name;
    row.status.className = `status ${status}`;
    row.status.textContent = words(status);
    row.bar.className = status;
    row.bar.value = progress.percent;
    row.bar.ariaLabel = `Progress of ${job.name}`;
    const failed = progress.failed ? ` · ${progress.failed} failed` : "";
    const percent = !job.isFinished || status === "completed" ? `${progress.percent} % · ` : "";
    row.figures.textContent = `${percent}${progress.completed} of ${progress.total} steps${failed}`;
    const text = job.error?.message || progress.message || job.waitingFor || "";
    row.message.textContent = text.slice(0, MAX_TEXT);
    row.message.hidden = !text;
    row.message.classList.toggle("error", Boolean(job.error));
    const verb = !job.isFinished ? "Cancel" : status === "completed" ? "" : "Retry";
    row.button.hidden = !verb;
    row.button.textContent = `${verb} job`;
    row.button.ariaLabel = `${verb} job ${job.name}`;
  }

  async #act(row) {
    const { button, job } = row;
    if (button.ariaDisabled === "true") return;
    button.ariaDisabled = "true"; // a disabled button would lose the focus
    this.#refusal = "";
    try {
      await (job.isFinished ? this.store.retryJob(job.jobId) : this.store.cancelJob(job.jobId));
    } catch (error) {
      this.#refuse(error.message);
      setTimeout(() => this.#refuse(""), REFUSAL_SECONDS * 1000);
    } finally {
      button.ariaDisabled = "false";
    }
  }

  #refuse(text) {
    this.#refusal = text;
    this.draw(this.store.getSnapshot());
  }

  /** Changes of state only: progress would talk all the time. */
  #announce(jobs, isLoading, problem) {
    const first = !this.#known.size && !this.hasDrawn;
    const changed = jobs.filter(({ jobId, status }) => this.#known.get(jobId) !== status);
    const gone = [...this.#known.keys()].some((jobId) => !jobs.some((job) => job.jobId === jobId));
    this.#known = new Map(jobs.map(({ jobId, status }) => [jobId, status]));
    if (problem && problem !== this.said) this.heard.textContent = problem;
    else if (!first && changed.length) {
      this.heard.textContent = changed.map((job) => `${job.name} ${words(job.status)}`).join(", ");
    } else if (gone && this.compact) this.heard.textContent = `${jobs.length || "No"} unfinished jobs`;
    this.said = problem;
    this.hasDrawn ||= !isLoading;
  }

  #link(text, path) {
    const link = make("a", { textContent: text, href: this.store.client.baseUrl + path });
    if (this.isForeign) Object.assign(link, { target: "_blank", rel: "noopener" });
    return link;
  }
}

const words = (status) => status.replaceAll("_", " ");

function make(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}
