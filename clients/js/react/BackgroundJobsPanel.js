"use client";

import { createElement, useEffect, useRef } from "react";

import { defineBackgroundJobsPanel } from "../src/panel.js";
import { defaultStore } from "./useBackgroundJobs.js";

/** The element <background-jobs-panel>, fed by a store. `compact` shows nothing while no job is unfinished. */
export function BackgroundJobsPanel({ compact = false, store = defaultStore(), theme }) {
  const panel = useRef(null);
  useEffect(() => {
    defineBackgroundJobsPanel();
    panel.current.store = store;
  }, [store]);
  return createElement("background-jobs-panel", { ref: panel, compact: compact ? "" : undefined, theme });
}

export default BackgroundJobsPanel;
