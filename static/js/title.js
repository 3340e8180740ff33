// The title and the icon show how many jobs are unfinished: those of the compact panel.
const title = document.title;
const icon = document.querySelector("link[rel=icon][data-counted]");
const plain = icon?.href;
const counted = icon?.dataset.counted.split(" ") ?? []; // an icon for each count, the last one for more
const count = () => {
  const jobs = document.getElementById("jobs-panel")?.dataset.count ?? "0";
  document.title = jobs !== "0" ? `(${jobs}) ${title}` : title;
  const shown = jobs === "0" ? plain : counted[jobs.endsWith("+") ? counted.length - 1 : Number(jobs) - 1];
  if (icon && shown && icon.getAttribute("href") !== shown) icon.href = shown;
};
htmx.onLoad(count);
document.addEventListener("htmx:oobAfterSwap", count);
