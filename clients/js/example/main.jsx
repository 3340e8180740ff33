import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { BackgroundJobsPanel, configureBackgroundJobs } from "aiworkstation-client/react";

import { MyComponent } from "./MyComponent.jsx";

// Where the AI Workstation is, and a token. A real page gets them from its own server.
const { api, token } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
configureBackgroundJobs({ baseUrl: api, token });

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <MyComponent />
    <BackgroundJobsPanel compact />
    <BackgroundJobsPanel />
  </StrictMode>,
);
