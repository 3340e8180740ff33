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

// "All" ticks every box of its form that bears the name in data-all.
document.addEventListener("change", (event) => {
  const name = event.target.dataset.all;
  if (!name) return;
  for (const box of event.target.form.querySelectorAll(`input[type=checkbox][name="${name}"]`)) {
    box.checked = event.target.checked;
  }
});
