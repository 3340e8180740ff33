// A job that finishes while a page is open announces itself once: on the page, and in a notification of the browser for
// readers who asked for it. Jobs are those of the compact panel. With several pages, the first one to notice announces.
const KEY = "notify-finished";
const ANNOUNCED = "announced-jobs";
const KEPT = 200;
const button = document.querySelector("button[data-notify]");
const panelIds = () => document.getElementById("jobs-panel")?.dataset.jobs?.split(" ").filter(Boolean) ?? [];
let unfinished = new Set(panelIds());

const isWanted = () => localStorage.getItem(KEY) !== null && window.Notification?.permission === "granted";
const setUp = () => {
  if (!button) return;
  button.hidden = !window.Notification;
  button.setAttribute("aria-pressed", String(isWanted()));
};
setUp();
button?.addEventListener("click", async () => {
  if (isWanted()) localStorage.removeItem(KEY);
  else if ((await Notification.requestPermission()) === "granted") localStorage.setItem(KEY, "1");
  setUp();
});
// A hidden page polls only for notifications, and slowly.
setInterval(() => {
  const panel = document.getElementById("jobs-panel-live");
  if (!panel || !document.hidden || !isWanted() || !unfinished.size) return;
  panel.setAttribute("data-live-hidden", ""); // for one poll
  htmx.trigger(panel, "refresh-fragments");
}, 15000);

const isFirst = (id) => {
  const known = JSON.parse(localStorage.getItem(ANNOUNCED) ?? "[]");
  if (known.includes(id)) return false;
  localStorage.setItem(ANNOUNCED, JSON.stringify([...known, id].slice(-KEPT)));
  return true;
};
const announce = async (id) => {
  const answer = await fetch(`/api/jobs/${id}`, { headers: { accept: "application/json" } });
  if (!answer.ok) return; // deleted
  const job = await answer.json();
  if (!job.isFinished || !isFirst(`${id} ${job.finishedAt}`)) return;
  const place = document.getElementById("finished-jobs");
  const text = `${job.name}: ${place.dataset[job.status] ?? job.status}`;
  const notice = document.createElement("p");
  notice.className = `notice ${job.status === "completed" ? "success" : "warning"}`;
  const link = document.createElement("a");
  link.href = `/jobs/${id}`;
  link.textContent = text;
  notice.append(link);
  place.replaceChildren(notice);
  if (!isWanted() || !document.hidden) return;
  const shown = new Notification(text, { tag: id });
  shown.addEventListener("click", () => {
    window.focus();
    location.assign(link.href);
  });
};
document.addEventListener("htmx:oobAfterSwap", ({ target }) => {
  if (target.id !== "jobs-panel") return;
  const now = new Set(panelIds());
  for (const id of unfinished) if (!now.has(id)) announce(id);
  unfinished = now;
});
