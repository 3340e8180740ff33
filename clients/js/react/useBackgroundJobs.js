"use client";

import { useSyncExternalStore } from "react";

import { BackgroundJobs } from "../src/store.js";

const RECENT = 10;
let store = null;

/** The store of hooks and panels that name no other. By default it uses the session of the page's own origin. */
export function configureBackgroundJobs(options) {
  store = new BackgroundJobs({ recent: RECENT, ...options });
  return store;
}

export function defaultStore() {
  return store ?? configureBackgroundJobs();
}

/** The snapshot of a store and its actions. Anything that is no store, such as a poll interval, means the default one. */
export function useBackgroundJobs(given) {
  const from = given instanceof BackgroundJobs ? given : defaultStore();
  const snapshot = useSyncExternalStore(from.subscribe, from.getSnapshot, from.getServerSnapshot);
  const { triggerWorkflowJob, triggerBulkDocuments, triggerReprocess, cancelJob, retryJob, refreshJobs } = from;
  return { ...snapshot, triggerWorkflowJob, triggerBulkDocuments, triggerReprocess, cancelJob, retryJob, refreshJobs };
}

export default useBackgroundJobs;
