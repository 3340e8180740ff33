"use strict";

// A hidden page does not poll. It polls again when it becomes visible (visibilitychange in web/_live.html).
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.elt.matches("[data-live]")) event.preventDefault();
});

// Times are rendered in UTC. Show them in the reader's time zone.
const FORMATS = {
  minutes: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }),
  seconds: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" }),
};
htmx.onLoad((root) => {
  for (const time of root.querySelectorAll("time[data-precision]")) {
    time.title = time.dateTime;
    time.textContent = FORMATS[time.dataset.precision].format(new Date(time.dateTime));
  }
});

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

// The checkbox with data-all selects every checkbox of its form that has that name.
document.addEventListener("change", (event) => {
  const name = event.target.dataset.all;
  if (!name) return;
  for (const box of event.target.form.elements) {
    if (box.type === "checkbox" && box.name === name) box.checked = event.target.checked;
  }
});

// A button with data-copy copies the text of the element that it names. Without scripts, the button is hidden.
htmx.onLoad((root) => {
  for (const button of root.querySelectorAll("button[data-copy]")) button.hidden = !navigator.clipboard;
});
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent);
  button.textContent = "Copied";
});

// Elapsed times go on, in the words of the filter `duration` (web/templatetags/times.py).
const inWords = (milliseconds) => {
  const seconds = Math.max(milliseconds, 0) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const all = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(all / 3600), Math.floor((all % 3600) / 60), all % 60];
  if (hours) return `${hours} h ${String(minutes).padStart(2, "0")} min`;
  return minutes ? `${minutes} min ${String(rest).padStart(2, "0")} s` : `${rest} s`;
};
setInterval(() => {
  if (document.hidden) return;
  for (const span of document.querySelectorAll("[data-since]")) {
    span.textContent = inWords(Date.now() - Date.parse(span.dataset.since));
  }
}, 1000);

// Selected jobs stay selected when their list is swapped.
let ticked = [];
document.addEventListener("htmx:oobBeforeSwap", ({ target }) => {
  const boxes = target.querySelectorAll("input[type=checkbox]:checked:not([data-all])");
  ticked = [...boxes].map((box) => [box.name, box.value]);
});
document.addEventListener("htmx:oobAfterSwap", ({ target }) => {
  const place = document.getElementById(target.id);
  for (const [name, value] of ticked) {
    const box = place?.querySelector(`input[name="${CSS.escape(name)}"][value="${CSS.escape(value)}"]`);
    if (box) box.checked = true;
  }
  ticked = [];
});
