// The title shows how many jobs are unfinished: those of the compact panel.
const title = document.title;
const count = () => {
  const jobs = document.getElementById("jobs-panel")?.dataset.count;
  document.title = jobs && jobs !== "0" ? `(${jobs}) ${title}` : title;
};
htmx.onLoad(count);
document.addEventListener("htmx:oobAfterSwap", count);
