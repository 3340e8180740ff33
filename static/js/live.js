// Live fragments (web/live_fragments.py): when to poll, and what must survive a swap.

const SECONDS = 1000;
const SLOW = 0.5 * SECONDS; // a server that takes longer is polled less often
const LONGEST_PAUSE = 30 * SECONDS;
const GIVE_UP = 20 * SECONDS; // for one poll
const isLive = (element) => element.matches?.("[data-live]");

// The polls of one page share one state: they have one server.
let nextPoll = 0;
let failures = 0;
const pause = (milliseconds) => { nextPoll = performance.now() + Math.min(milliseconds, LONGEST_PAUSE); };

// A hidden page does not poll. It polls again when it becomes visible (visibilitychange in web/_live.html).
// Only a reader who asked for notifications is told of finished jobs while the page is hidden (notifications.js).
document.addEventListener("htmx:beforeRequest", (event) => {
  if (!isLive(event.detail.elt)) return;
  const { elt, requestConfig } = event.detail;
  const isTimer = !requestConfig.triggeringEvent; // and not a button that asks for a poll
  const isHeld = document.hidden ? !elt.hasAttribute("data-live-hidden") : isTimer && performance.now() < nextPoll;
  if (isHeld) return event.preventDefault();
  elt.removeAttribute("data-live-hidden");
  event.detail.xhr.timeout = GIVE_UP;
  event.detail.xhr.startedAt = performance.now();
});
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (!isLive(detail.elt) || !detail.xhr.status) return;
  if (detail.failed) return fail();
  if (detail.xhr.responseURL.includes("/login?")) return location.reload(); // the session has ended
  failures = 0;
  show(false);
  const took = performance.now() - detail.xhr.startedAt;
  if (took > SLOW) pause(4 * took);
});
for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, ({ detail }) => { if (isLive(detail.elt)) fail(); });
}

// The server cannot be reached: ask less and less often, and say so. One lost poll is no reason for a notice.
const fail = () => {
  failures += 1;
  pause(SECONDS * 2 ** failures);
  if (failures > 1) show(true);
};
const show = (isLost) => {
  const notice = document.getElementById("connection");
  if (notice && notice.hidden === isLost) {
    notice.hidden = !isLost;
    notice.textContent = isLost ? notice.dataset.text : "";
  }
};

// A swap may remove the focused element. Focus the same link or field in the new content, or else its container, so
// that the next Tab continues from there. htmx itself keeps the focus of elements with an id.
const nameOf = (element) => element.getAttribute("href") || (element.name || "") + (element.value || element.textContent);
document.addEventListener("htmx:oobBeforeSwap", ({ target }) => {
  const held = document.activeElement;
  if (!target.contains(held)) return;
  queueMicrotask(() => {
    if (document.activeElement !== document.body) return;
    const place = document.getElementById(target.id) || document.getElementById("main");
    const same = [...place.querySelectorAll(held.tagName)].find((element) => nameOf(element) === nameOf(held));
    if (!same) place.tabIndex = -1;
    (same || place).focus({ preventScroll: true });
  });
});

// Selected rows stay selected when their list is swapped.
document.addEventListener("htmx:oobBeforeSwap", ({ target }) => {
  const selected = [...target.querySelectorAll("input[type=checkbox]:checked:not([data-all])")];
  if (!selected.length) return;
  queueMicrotask(() => {
    for (const { name, value } of selected) {
      const box = document.querySelector(`input[name="${CSS.escape(name)}"][value="${CSS.escape(value)}"]`);
      if (box) box.checked = true;
    }
  });
});
