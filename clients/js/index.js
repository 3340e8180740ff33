export { ApiClient, ApiError, newKey } from "./src/client.js";
export { defineBackgroundJobsPanel } from "./src/panel.js";
export { BackgroundJobs } from "./src/store.js";
