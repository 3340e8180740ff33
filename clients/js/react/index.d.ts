import type { FunctionComponent } from "react";

import type { BackgroundJobs, JobActions, JobsSnapshot, StoreOptions } from "../index.js";

export function configureBackgroundJobs(options?: StoreOptions): BackgroundJobs;

export function useBackgroundJobs(store?: BackgroundJobs | number): JobsSnapshot & JobActions;

export const BackgroundJobsPanel: FunctionComponent<{
  compact?: boolean;
  store?: BackgroundJobs;
  theme?: "light" | "dark";
}>;
