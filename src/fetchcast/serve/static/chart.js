// History and forecast fan. Reads its columns from <script type="application/json" id="columns">,
// draws with uPlot, and keeps what is shown in the address.
/* global uPlot */

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const DAY_S = 86400;
const FAN = [["q025", "q975", 0.16], ["q10", "q90", 0.2], ["q25", "q75", 0.28]];

const holder = document.getElementById("chart");
const columns = JSON.parse(document.getElementById("columns").textContent);
const readOut = document.getElementById("read-out");
const zoneDate = (seconds) => uPlot.tzDate(new Date(seconds * 1000), columns.zone);
const first = columns.t[0];
const last = columns.t[columns.t.length - 1];
const shown = new URL(location.href);
let withBacktests = shown.searchParams.get("bt") === "1" || columns.asOf;
let main;
let strip;

// The sheet's colours as a canvas understands them; read again when light and dark change.
let colours = {};
function readColours() {
  const probe = document.createElement("span");
  document.body.append(probe);
  for (const name of ["ink", "soft", "line", "blue", "rust"]) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
}

const colour = (name) => colours[name];

function faded(found, alpha) {
  const [red, green, blue] = found.match(/[\d.]+/g);
  return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
}

const two = (value) => String(value).padStart(2, "0");

function dayText(date, withYear) {
  const month = MONTHS[date.getMonth()];
  if (columns.dates === "iso") {
    const text = `${two(date.getMonth() + 1)}-${two(date.getDate())}`;
    return withYear ? `${date.getFullYear()}-${text}` : text;
  }
  const text = columns.dates === "month_first" ? `${month} ${date.getDate()}` : `${date.getDate()} ${month}`;
  if (!withYear) return text;
  return columns.dates === "month_first" ? `${text}, ${date.getFullYear()}` : `${text} ${date.getFullYear()}`;
}

function clockText(date) {
  if (columns.dates !== "month_first") return `${two(date.getHours())}:${two(date.getMinutes())}`;
  return `${date.getHours() % 12 || 12} ${date.getHours() < 12 ? "AM" : "PM"}`;
}

function axisTexts(_plot, splits, _axis, _space, step) {
  let year = null;
  return splits.map((seconds) => {
    const date = zoneDate(seconds);
    const text = step < DAY_S && (date.getHours() || date.getMinutes()) ? clockText(date) : dayText(date, false);
    const mark = year !== date.getFullYear() ? `\n${date.getFullYear()}` : "";
    year = date.getFullYear();
    return columns.dates === "iso" && mark ? dayText(date, true) : text + mark;
  });
}

function figure(value) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  const places = size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2;
  const text = size.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
  return (value < 0 && Number(text.replace(/,/g, "")) !== 0 ? "\u2212" : "") + text.replace(/,/g, "\u202f");
}

function tell(index) {
  if (index === null || index === undefined) {
    readOut.textContent = readOut.dataset.rest;
    return;
  }
  const date = zoneDate(columns.t[index]);
  const parts = [`${DAYS[date.getDay()]} ${dayText(date, true)}${columns.hourly ? ` ${clockText(date)}` : ""}`];
  const value = (key) => columns[key]?.[index] ?? null;
  const unit = columns.unit ? ` ${columns.unit}` : "";
  if (value("y") !== null) parts.push(`observed ${figure(value("y"))}${unit}`);
  if (value("q50") !== null) {
    parts.push(`median ${figure(value("q50"))}${unit}`);
    parts.push(`50 %: ${figure(value("q25"))} to ${figure(value("q75"))}`);
    parts.push(`80 %: ${figure(value("q10"))} to ${figure(value("q90"))}`);
    parts.push(`95 %: ${figure(value("q025"))} to ${figure(value("q975"))}`);
  }
  if (withBacktests && value("b50") !== null) {
    parts.push(`backtest ${figure(value("b50"))}, 80 %: ${figure(value("b10"))} to ${figure(value("b90"))}`);
  }
  readOut.textContent = parts.join(" · ");
}

// The columns in uPlot's order; the backtest comes before the fan so that the forecast lies on top.
function series() {
  const ink = colour("ink");
  const blue = colour("blue");
  const rust = colour("rust");
  const clear = "transparent";
  const few = columns.q50.filter((value) => value !== null).length < 3;
  return [
    {},
    { key: "b90", stroke: clear, points: { show: false }, show: withBacktests },
    { key: "b10", stroke: clear, points: { show: false }, show: withBacktests },
    { key: "b50", stroke: rust, width: 1.5, dash: [5, 4], points: { show: false }, show: withBacktests },
    ...FAN.flatMap(([low, high]) => [high, low].map((key) => ({ key, stroke: clear, points: { show: false } }))),
    { key: "y", stroke: ink, width: 1.5, points: { show: columns.sparse, size: 4, fill: ink } },
    { key: "q50", stroke: blue, width: 2.2, points: { show: few, size: 6, fill: blue } },
  ];
}

function bands() {
  const blue = colour("blue");
  return [
    { series: [1, 2], fill: faded(colour("rust"), 0.16) },
    ...FAN.map(([, , alpha], place) => ({ series: [4 + 2 * place, 5 + 2 * place], fill: faded(blue, alpha) })),
  ];
}

function marks(plot) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio || 1;
  const at = (seconds) => Math.round(plot.valToPos(seconds, "x", true));
  const line = (x, stroke, dash) => {
    ctx.strokeStyle = stroke;
    ctx.setLineDash(dash.map((part) => part * ratio));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  };
  ctx.save();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.lineWidth = ratio;
  ctx.font = `${12 * ratio}px system-ui, sans-serif`;
  ctx.textBaseline = "top";
  const begin = at(columns.begin);
  if (begin < bbox.left + bbox.width) {
    line(begin, colour("soft"), [4, 3]);
    ctx.fillStyle = colour("soft");
    const room = ctx.measureText("forecast").width + 8 * ratio;
    const right = begin + room < bbox.left + bbox.width;
    ctx.textAlign = right ? "left" : "right";
    ctx.fillText("forecast", begin + (right ? 6 : -6) * ratio, bbox.top + 4 * ratio);
  }
  if (withBacktests) {
    const rust = colour("rust");
    const places = columns.cutoffs.map(at);
    // Closer than this, the lines would be a fence and say nothing.
    const wide = places.every((x, place) => place === 0 || x - places[place - 1] > 40 * ratio);
    if (wide) {
      ctx.fillStyle = rust;
      ctx.textAlign = "left";
      places.forEach((x, place) => {
        line(x, rust, [2, 3]);
        const words = columns.asOf ? `made ${dayText(zoneDate(columns.cutoffs[place]), true)}` : `cutoff ${place + 1}`;
        if (places.length < 8) ctx.fillText(words, x + 4 * ratio, bbox.top + 4 * ratio);
      });
    }
  }
  ctx.restore();
}

// Anomalies: what was observed outside the 95 % band that a backtest had drawn.
function anomalies(plot) {
  if (!withBacktests || !columns.outside.length) return;
  const { ctx } = plot;
  const ratio = devicePixelRatio || 1;
  ctx.save();
  ctx.strokeStyle = colour("rust");
  ctx.lineWidth = 1.6 * ratio;
  for (const index of columns.outside) {
    const x = plot.valToPos(columns.t[index], "x", true);
    const y = plot.valToPos(columns.y[index], "y", true);
    if (x < plot.bbox.left || x > plot.bbox.left + plot.bbox.width) continue;
    ctx.beginPath();
    ctx.arc(x, y, 5 * ratio, 0, 2 * Math.PI);
    ctx.stroke();
  }
  ctx.restore();
}

function axes() {
  const soft = colour("soft");
  const grid = { stroke: colour("line"), width: 1 };
  const font = "12px system-ui, sans-serif";
  return [
    { stroke: soft, grid: { show: false }, ticks: grid, values: axisTexts, font, space: 70, size: 46 },
    { stroke: soft, grid, ticks: { show: false }, font, size: 52, values: (_plot, splits) => splits.map(figure) },
  ];
}

function keep(low, high) {
  const whole = low <= first && high >= last;
  for (const [name, value] of [["from", low], ["to", high]]) {
    if (whole) shown.searchParams.delete(name);
    else shown.searchParams.set(name, String(Math.round(value)));
  }
  history.replaceState(null, "", shown);
  press();
}

let keeping = 0;
function ranged(plot) {
  const { min, max } = plot.scales.x;
  if (strip && min !== null) {
    const left = strip.valToPos(Math.max(min, first), "x");
    const right = strip.valToPos(Math.min(max, last), "x");
    strip.setSelect({ left, width: Math.max(2, right - left), top: 0, height: strip.over.clientHeight }, false);
  }
}

function view(low, high, remember = true) {
  const width = Math.max(high - low, columns.step * 4);
  const from = Math.min(Math.max(low, first - columns.step), last - columns.step * 3);
  const to = Math.min(from + width, last + columns.step);
  if (remember) {
    shown.searchParams.delete("r");
    clearTimeout(keeping);
    keeping = setTimeout(() => keep(from, to), 150);
  }
  main.setScale("x", { min: from, max: to });
}

function range(name, remember = true) {
  const days = { "1m": 31, "3m": 92, "6m": 183, "1y": 366 }[name];
  if (remember) {
    shown.searchParams.set("r", name);
    shown.searchParams.delete("from");
    shown.searchParams.delete("to");
    clearTimeout(keeping);
    history.replaceState(null, "", shown);
    press();
  }
  view(days ? Math.max(first, columns.begin - days * DAY_S) : first - columns.step, last + columns.step, false);
}

function start() {
  const from = Number(shown.searchParams.get("from"));
  const to = Number(shown.searchParams.get("to"));
  if (from && to > from) view(from, to, false);
  else if (withBacktests && columns.tried && !shown.searchParams.has("r")) showTries();
  else range(shown.searchParams.get("r") ?? columns.range, false);
}

function draw() {
  const before = main?.scales.x;
  main?.destroy();
  strip?.destroy();
  strip = undefined;
  readColours();
  const list = series();
  const data = [columns.t, ...list.slice(1).map(({ key }) => columns[key])];
  main = new uPlot({
    width: holder.clientWidth,
    height: holder.clientHeight,
    tzDate: zoneDate,
    series: list,
    bands: bands(),
    axes: axes(),
    cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false }, y: false },
    legend: { show: false },
    padding: [12, 26, 0, 0],
    scales: { x: { time: true } },
    hooks: {
      setCursor: [(plot) => tell(plot.cursor.idx)],
      setScale: [(plot, key) => key === "x" && ranged(plot)],
      setSelect: [(plot) => {
        const { left, width } = plot.select;
        if (width > 4) view(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
        plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
      }],
      draw: [marks, anomalies, drawn],
    },
  }, data, holder);
  if (before && before.min !== null) main.setScale("x", { min: before.min, max: before.max });
  else start();
}

// The first picture of the chart is on the canvas; the overview may come a frame later.
function drawn() {
  if (strip) return;
  if (!holder.dataset.drawn) performance.mark("chart-drawn");
  holder.dataset.drawn = "true";
  requestAnimationFrame(() => {
    if (strip) return;
    strip = overview();
    ranged(main);
  });
}

function overview() {
  const place = document.getElementById("strip");
  const both = columns.t.map((_, index) => columns.y[index] ?? columns.q50[index]);
  return new uPlot({
    width: place.clientWidth,
    height: place.clientHeight,
    tzDate: zoneDate,
    series: [{}, { stroke: colour("soft"), width: 1, points: { show: false } }],
    axes: [{ show: false }, { show: false }],
    cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false }, x: false, y: false },
    legend: { show: false },
    padding: [2, 26, 2, 52],
    hooks: {
      setSelect: [(plot) => {
        const { left, width } = plot.select;
        if (width > 4) view(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
      }],
    },
  }, [columns.t, both], place);
}

function showTries() {
  const [begin, end] = columns.tried;
  const beside = Math.max((end - begin) * 0.3, columns.step * 20);
  view(begin - beside, end + beside * 0.5);
}

function backtests() {
  withBacktests = !withBacktests;
  const { min, max } = main.scales.x;
  if (withBacktests && (columns.tried[1] < min || columns.tried[0] > max)) showTries();
  if (withBacktests) shown.searchParams.set("bt", "1");
  else shown.searchParams.delete("bt");
  history.replaceState(null, "", shown);
  for (const index of [1, 2, 3]) main.setSeries(index, { show: withBacktests });
  press();
}

function press() {
  const zoomed = shown.searchParams.has("from");
  const pressed = zoomed ? "" : shown.searchParams.get("r") ?? columns.range;
  for (const button of document.querySelectorAll("[data-range]")) {
    button.setAttribute("aria-pressed", String(button.dataset.range === pressed));
  }
  document.getElementById("backtests")?.setAttribute("aria-pressed", String(withBacktests));
  for (const piece of document.querySelectorAll("[data-backtest]")) piece.hidden = !withBacktests;
}

function move(step) {
  const { min, max } = main.scales.x;
  view(min + (max - min) * step, max + (max - min) * step);
}

function zoom(factor) {
  const { min, max } = main.scales.x;
  const middle = (min + max) / 2;
  const half = ((max - min) / 2) * factor;
  view(Math.max(first - columns.step, middle - half), Math.min(last + columns.step, middle + half));
}

const KEYS = {
  ArrowLeft: () => move(-0.2),
  ArrowRight: () => move(0.2),
  "+": () => zoom(0.6),
  "=": () => zoom(0.6),
  "-": () => zoom(1 / 0.6),
  b: backtests,
  B: backtests,
  0: () => range("all"),
};

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const action = KEYS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

for (const button of document.querySelectorAll("[data-range]")) {
  button.addEventListener("click", () => range(button.dataset.range));
}
document.getElementById("backtests")?.addEventListener("click", backtests);
holder.addEventListener("dblclick", () => range("all"));
document.addEventListener("fetchcast:theme", draw);
new ResizeObserver(() => {
  if (!main) return;
  if (main.width !== holder.clientWidth || main.height !== holder.clientHeight) {
    main.setSize({ width: holder.clientWidth, height: holder.clientHeight });
  }
  const place = document.getElementById("strip");
  strip?.setSize({ width: place.clientWidth, height: place.clientHeight });
  ranged(main);
}).observe(holder);

press();
draw();
