// Draws each chart from the table beside it (templates/jobs/_dashboard.html): uPlot on a canvas, which screen readers
// skip. Without this script, the tables are shown.
const number = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const inWords = (ms) => {
  for (const [unit, length] of [["d", 86400e3], ["h", 3600e3], ["min", 60e3], ["s", 1e3]]) {
    if (ms >= length) return `${number.format(ms / length)} ${unit}`;
  }
  return `${number.format(ms)} ms`;
};
const FORMATS = {
  jobs: (value) => (Number.isInteger(value) ? number.format(value) : ""),
  tokens: (value) => (Number.isInteger(value) ? number.format(value) : ""),
  milliseconds: inWords,
  share: (value) => `${number.format(100 * value)} %`,
  dollars: (value) => `$${value && value < 1 ? value.toPrecision(2) : number.format(value)}`,
};

const HEIGHT = 190;

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// light-dark() is resolved only where a color is used.
const resolved = (name) => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = color(name);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
};

const read = (table) => {
  const rows = [...table.tBodies[0].rows];
  const heads = [...table.tHead.rows[0].cells].slice(1);
  return {
    times: rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000),
    series: heads.map((head, place) => ({
      label: head.textContent,
      color: resolved(head.dataset.color),
      values: rows.map((row) => {
        const { value } = row.cells[place + 1].dataset;
        return value === "" ? null : Number(value);
      }),
    })),
  };
};

// A line shows a value between two gaps as a point.
const alone = (plot, series) => {
  const values = plot.data[series];
  const isGap = (at) => values[at] === null || values[at] === undefined;
  return values.flatMap((_, at) => (!isGap(at) && isGap(at - 1) && isGap(at + 1) ? [at] : []));
};

// Each series is drawn on top of those before it: the topmost first, so that the lower ones cover it.
const stacked = (series) => {
  const sums = series[0].values.map(() => 0);
  return series.map((each) => each.values.map((value, at) => (sums[at] += value || 0))).reverse();
};

const options = (plot, { series }, format, isStacked) => {
  const axis = { stroke: resolved("--muted"), grid: { stroke: resolved("--line"), width: 1 }, ticks: { show: false } };
  const shown = isStacked ? [...series].reverse() : series;
  return {
    width: plot.clientWidth,
    height: HEIGHT,
    cursor: { drag: { setScale: false, x: false, y: false } },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.05 : 1] } },
    axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => format(tick)) }],
    series: [
      {},
      ...shown.map((each, place) => ({
        label: each.label,
        stroke: each.color,
        width: 2,
        spanGaps: false,
        ...(isStacked && { fill: each.color, width: 0, paths: uPlot.paths.bars({ size: [0.8], align: 1 }) }),
        points: { show: !isStacked, filter: alone },
        value: (_, __, ___, at) => {
          const value = at === null || at === undefined ? null : shown[place].values[at];
          return value === null ? "–" : format(value);
        },
      })),
    ],
  };
};

const draw = (plot) => {
  plot.replaceChildren();
  const found = read(plot.parentElement.querySelector("table"));
  const isStacked = "bars" in plot.dataset;
  const values = isStacked ? stacked(found.series) : found.series.map((each) => each.values);
  new uPlot(options(plot, found, FORMATS[plot.dataset.chart], isStacked), [found.times, ...values], plot);
};

const drawAll = () => document.querySelectorAll("[data-chart]").forEach(draw);
htmx.onLoad((root) => {
  if (root.querySelector("[data-chart]")) drawAll();
});
addEventListener("resize", drawAll);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);

// Tables that are open stay open when the dashboard refreshes itself.
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.target.id !== "dashboard") return;
  const open = [...detail.target.querySelectorAll("details[open]")].map((each) => each.id);
  document.addEventListener("htmx:afterSwap", () => {
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  }, { once: true });
});
