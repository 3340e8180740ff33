// The jobs of a user, kept up to date: a store for any framework, with the shape of React's useSyncExternalStore.

import { ApiClient } from "./client.js";

const MAX_INTERVAL = 60_000;
const SLOW = 3; // an answer that takes a second is asked for every three seconds
const LIMIT = 50;
const FINISHED = ["completed", "completed_with_errors", "failed", "cancelled"];
const NOT_ALLOWED = new Set([401, 403]);

const EMPTY = Object.freeze({
  jobs: Object.freeze([]), recentJobs: Object.freeze([]), hasMore: false, hasRunningJobs: false,
  isLoading: true, error: null, failures: 0, isRefused: false,
});

/** While it has subscribers and the page is visible, it polls. `recent`: how many finished jobs to keep up to date too. */
export class BackgroundJobs {
  #listeners = new Set();
  #snapshot = EMPTY;
  #lists = { jobs: { etag: null, page: null }, recentJobs: { etag: null, page: null } };
  #recentAt = -Infinity;
  #starting = 0;
  #failures = 0;
  #timer = null;
  #refreshing = null;
  #wait = 0;

  constructor({ client, interval = 2000, idleInterval = 15_000, recent = 0, ...options } = {}) {
    this.client = client ?? new ApiClient(options);
    this.interval = interval;
    this.idleInterval = idleInterval;
    this.recent = recent;
  }

  subscribe = (listener) => {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#wake();
    return () => {
      this.#listeners.delete(listener);
      if (!this.#listeners.size) this.#sleep();
    };
  };

  /** The same object until something changes. */
  getSnapshot = () => this.#snapshot;

  getServerSnapshot = () => EMPTY;

  triggerWorkflowJob = (payload, options) => this.#start("workflow", payload, options);
  triggerBulkDocuments = (payload, options) => this.#start("bulk-documents", payload, options);
  triggerReprocess = (payload, options) => this.#start("document-reprocess", payload, options);
  cancelJob = (jobId) => this.#act(() => this.client.cancelJob(jobId));
  retryJob = (jobId) => this.#act(() => this.client.retryJob(jobId));

  /** Reads the jobs now. Never rejects: what went wrong is in the snapshot. */
  refreshJobs = async () => {
    await this.#refreshing; // began before this call, so it may miss what the caller has just done
    await this.#poll();
  };

  async #start(jobType, payload, options) {
    this.#starting += 1;
    this.#change({ isLoading: true });
    try {
      return await this.#act(() => this.client.startJob(jobType, payload, options));
    } finally {
      this.#starting -= 1;
      this.#change({ isLoading: this.#starting > 0 });
    }
  }

  async #act(call) {
    try {
      const answer = await call();
      await this.refreshJobs();
      return answer;
    } catch (error) {
      this.#change({ error: error.message });
      throw error;
    }
  }

  #wake() {
    globalThis.document?.addEventListener("visibilitychange", this.#look);
    globalThis.addEventListener?.("online", this.#look);
    this.#look();
  }

  #sleep() {
    globalThis.document?.removeEventListener("visibilitychange", this.#look);
    globalThis.removeEventListener?.("online", this.#look);
    clearTimeout(this.#timer);
  }

  #look = () => {
    clearTimeout(this.#timer);
    if (!globalThis.document?.hidden) void this.#poll();
  };

  #poll() {
    return (this.#refreshing ??= this.#refresh());
  }

  async #refresh() {
    clearTimeout(this.#timer);
    const began = performance.now();
    try {
      const hasChanged = await this.#read("jobs", { limit: LIMIT });
      if (this.recent && (hasChanged || began - this.#recentAt >= this.idleInterval)) {
        await this.#read("recentJobs", { status: FINISHED, limit: this.recent });
        this.#recentAt = began;
      }
      this.#failures = 0;
      this.#show();
      const base = this.#snapshot.hasRunningJobs ? this.interval : this.idleInterval;
      this.#wait = Math.min(MAX_INTERVAL, Math.max(base, SLOW * (performance.now() - began)));
    } catch (error) {
      this.#failures += 1;
      this.#wait = this.#waitAfter(error);
      const isRefused = NOT_ALLOWED.has(error.status);
      this.#change({ error: error.message, failures: this.#failures, isRefused, isLoading: this.#starting > 0 });
    } finally {
      this.#refreshing = null;
      const isWatched = this.#listeners.size > 0 && !globalThis.document?.hidden;
      if (isWatched && this.#wait !== null) this.#timer = setTimeout(() => void this.#poll(), this.#wait);
    }
  }

  /** Null: nothing but another sign-in can help, which the user brings along when the page becomes visible again. */
  #waitAfter(error) {
    if (NOT_ALLOWED.has(error.status)) return null;
    const longer = this.interval * 2 ** Math.min(this.#failures, 10) * (1 + Math.random() / 4);
    return Math.max((error.retryAfter ?? 0) * 1000, Math.min(MAX_INTERVAL, longer));
  }

  /** Reads a list if it has changed. Returns whether it has. */
  async #read(name, query) {
    const list = this.#lists[name];
    const answer = await this.client.send("GET", "/api/jobs", { query, etag: list.etag });
    if (!answer.data) return false;
    this.#lists[name] = { etag: answer.etag, page: { ...answer.data, jobs: kept(list.page?.jobs, answer.data.jobs) } };
    return true;
  }

  #show() {
    const { jobs, nextCursor } = this.#lists.jobs.page;
    this.#change({
      jobs, recentJobs: this.#lists.recentJobs.page?.jobs ?? EMPTY.recentJobs, hasMore: nextCursor !== null,
      hasRunningJobs: jobs.length > 0, isLoading: this.#starting > 0, error: null, failures: 0, isRefused: false,
    });
  }

  #change(changes) {
    if (Object.entries(changes).every(([name, value]) => this.#snapshot[name] === value)) return;
    this.#snapshot = Object.freeze({ ...this.#snapshot, ...changes });
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Keeps the objects of jobs that have not changed, so that a framework need not draw them again. */
function kept(before = [], now) {
  const known = new Map(before.map((job) => [job.jobId, job]));
  return Object.freeze(now.map((job) => {
    const old = known.get(job.jobId);
    return old && JSON.stringify(old) === JSON.stringify(job) ? old : Object.freeze(job);
  }));
}
