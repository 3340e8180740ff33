"use strict";

// A hidden page asks for nothing; htmx asks again when it is looked at (visibilitychange in web/_live.html).
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.elt.matches("[data-live]")) event.preventDefault();
});

// Times are rendered in UTC; show them in the reader's own time zone.
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

// News may replace what has the focus: it goes to the same link or field in what came, or else to where that stood,
// so that the next Tab goes on from there. htmx itself looks after elements with an id.
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

// "All" ticks every box of its form that bears the name in data-all.
document.addEventListener("change", (event) => {
  const name = event.target.dataset.all;
  if (!name) return;
  for (const box of event.target.form.querySelectorAll(`input[type=checkbox][name="${name}"]`)) {
    box.checked = event.target.checked;
  }
});
