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

// Elapsed times keep counting, in the words of the filter `duration` (web/templatetags/times.py).
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
