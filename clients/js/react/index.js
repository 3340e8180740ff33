"use client";

export { BackgroundJobsPanel } from "./BackgroundJobsPanel.js";
export { configureBackgroundJobs, useBackgroundJobs } from "./useBackgroundJobs.js";
