// Plots of small arrays as SVG, and of an image of bytes on a canvas.

import { count, counted, h, s } from "./dom.js";

const LEFT = 40;
const BOTTOM = 20;

const day = (year, month, date) => new Date(Date.UTC(year, month, date)).toISOString().slice(0, 10);

/** Return a histogram of sessions by month or year; dragging over it selects a range. */
export function histogram({ unit, first, counts }, from, to, width, select) {
  const height = 46;
  const chart = s("svg", { class: "histogram", viewBox: `0 0 ${width} ${height}`, height, role: "img" });
  if (!counts.length) return chart;
  const [year, month] = first.split("-").map(Number);
  const months = unit === "year" ? 12 : 1;
  const begin = (at) => day(year, month - 1 + at * months, 1);
  const last = (at) => day(year, month - 1 + (at + 1) * months, 0);
  const largest = Math.max(1, ...counts);
  const step = width / counts.length;
  chart.append(s("title", {}, `Sessions by ${unit}, ${begin(0).slice(0, 7)} to ${last(counts.length - 1).slice(0, 7)}; drag to select`));
  const bars = counts.map((number, at) => {
    const tall = number ? Math.max(1.5, (number / largest) * (height - 14)) : 0;
    const isIn = (!from || last(at) >= from) && (!to || begin(at) <= `${to}~`); // a year or month ends after its days
    const bar = s("rect", { x: at * step, y: height - 12 - tall, width: Math.max(step - 0.8, 0.6), height: tall, class: isIn ? "in" : "out" });
    chart.append(bar);
    return bar;
  });
  chart.append(
    s("line", { x1: 0, x2: width, y1: height - 11.5, y2: height - 11.5, class: "axis" }),
    s("text", { x: 0, y: height - 1 }, begin(0).slice(0, 4)),
    s("text", { x: width, y: height - 1, "text-anchor": "end" }, last(counts.length - 1).slice(0, 4)),
  );
  const place = (event) => {
    const box = chart.getBoundingClientRect();
    return Math.min(counts.length - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * counts.length)));
  };
  let start = null;
  chart.addEventListener("pointerdown", (event) => {
    start = place(event);
    chart.setPointerCapture(event.pointerId);
  });
  chart.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const [low, high] = [start, place(event)].sort((a, b) => a - b);
    bars.forEach((bar, at) => bar.setAttribute("class", at >= low && at <= high ? "in" : "out"));
  });
  chart.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const [low, high] = [start, place(event)].sort((a, b) => a - b);
    start = null;
    select(begin(low), last(high));
  });
  return chart;
}

/** Return round numbers between two ends. */
function ticks(low, high, most) {
  const raw = (high - low || 1) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= raw);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + step * 1e-6; at++) found.push(+(at * step).toPrecision(12));
  return found;
}

function frame(width, height, label) {
  return s("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
}

function xAxis(chart, width, height, values, at, text) {
  chart.append(s("line", { class: "axis", x1: LEFT, x2: width - 8, y1: height - BOTTOM, y2: height - BOTTOM }));
  for (const value of values) {
    chart.append(s("text", { x: at(value), y: height - 6, "text-anchor": "middle" }, text(value)));
  }
}

const minutes = (seconds) => (seconds >= 60 || seconds <= -60 ? `${+(seconds / 60).toPrecision(3)} min` : `${+seconds.toPrecision(3)} s`);

function timeAxis(chart, width, height, [start, end]) {
  const at = (time) => LEFT + ((time - start) / (end - start || 1)) * (width - LEFT - 8);
  const long = end - start > 180;
  const values = (long ? ticks(start / 60, end / 60, 5).map((one) => one * 60) : ticks(start, end, 5)).filter((one) => at(one) < width - 24);
  xAxis(chart, width, height, values, at, long ? minutes : (time) => `${+time.toPrecision(4)} s`);
  return at;
}

/** Return half of the width of a 68 % confidence interval of a share. */
const error = (share, number) => Math.sqrt(Math.max(share * (1 - share), 0.25 / (number + 1)) / number);

export function psychometric({ blocks }, width) {
  const height = 190;
  const chart = frame(width, height, "Share of choices to the right by contrast");
  const contrasts = blocks.flatMap((block) => block.points.map((point) => point[0]));
  const reach = Math.max(...contrasts.map(Math.abs), 1);
  const x = (value) => LEFT + 6 + ((value + reach) / (2 * reach)) * (width - LEFT - 34);
  const y = (share) => 8 + (1 - share) * (height - BOTTOM - 16);
  for (const share of [0, 0.5, 1]) {
    chart.append(s("line", { class: "grid", x1: LEFT, x2: width - 8, y1: y(share), y2: y(share) }),
      s("text", { x: LEFT - 6, y: y(share) + 3.5, "text-anchor": "end" }, `${share * 100} %`));
  }
  chart.append(s("line", { class: "grid", x1: x(0), x2: x(0), y1: y(1), y2: y(0) }));
  xAxis(chart, width, height, [-reach, -reach / 2, 0, reach / 2, reach], x, (value) => `${+value.toPrecision(4)} %`);
  for (const { left, points } of blocks) {
    const name = left < 0.5 ? "right" : left > 0.5 ? "left" : "even";
    const group = s("g", { class: `block ${name}` });
    group.append(s("polyline", { points: points.map(([contrast, share]) => `${x(contrast)},${y(share)}`).join(" ") }));
    for (const [contrast, share, number] of points) {
      const half = error(share, number);
      group.append(
        s("line", { x1: x(contrast), x2: x(contrast), y1: y(Math.min(1, share + half)), y2: y(Math.max(0, share - half)) }),
        s("circle", { cx: x(contrast), cy: y(share), r: 2.8 },
          s("title", {}, `${contrast} %: ${Math.round(share * 100)} % right of ${counted(number, "trial")} (P(left) = ${left})`)),
      );
    }
    chart.append(group);
  }
  return chart;
}

export function psychometricLegend({ blocks, trials, chosen }) {
  return h("div", { class: "legend" },
    blocks.map(({ left }) => h("span", { class: `key block ${left < 0.5 ? "right" : left > 0.5 ? "left" : "even"}` }, `P(left) = ${left}`)),
    h("span", { class: "note" }, chosen === trials ? counted(trials, "trial") : `${count(chosen)} of ${counted(trials, "trial")} with a choice`));
}

export function raster({ width: columns, height: rows, image, time, range, over }, width) {
  const height = 170;
  const chart = frame(width, height, `Spikes by time and ${over}`);
  timeAxis(chart, width, height, time);
  const top = 6;
  const y = (value) => top + (1 - (value - range[0]) / (range[1] - range[0] || 1)) * (height - BOTTOM - top);
  for (const value of ticks(range[0], range[1], 5)) {
    chart.append(s("text", { x: LEFT - 6, y: Math.max(y(value) + 3.5, 10), "text-anchor": "end" }, count(value)));
  }
  const canvas = h("canvas", { width: columns, height: rows });
  const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
  const [red, green, blue] = colour("--ink");
  const pixels = new ImageData(columns, rows);
  bytes.forEach((value, at) => pixels.data.set([red, green, blue, value], at * 4));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return h("div", { class: "raster", vars: { "--left": `${LEFT}px`, "--bottom": `${BOTTOM}px` } }, chart, canvas);
}

/** Return a colour of the style sheet, `#rrggbb`, as numbers. */
function colour(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

export function wheel({ points, time }, width) {
  const height = 130;
  const chart = frame(width, height, "Position of the wheel over time");
  const x = timeAxis(chart, width, height, time);
  const low = Math.min(...points.map((point) => point[1]));
  const high = Math.max(...points.map((point) => point[2]));
  const y = (value) => 8 + (1 - (value - low) / (high - low || 1)) * (height - BOTTOM - 16);
  for (const value of ticks(low, high, 3)) {
    chart.append(s("line", { class: "grid", x1: LEFT, x2: width - 8, y1: y(value), y2: y(value) }),
      s("text", { x: LEFT - 6, y: y(value) + 3.5, "text-anchor": "end" }, `${value}`));
  }
  const upper = points.map(([at, , most]) => `${x(at).toFixed(1)},${y(most).toFixed(1)}`);
  const lower = points.map(([at, least]) => `${x(at).toFixed(1)},${y(least).toFixed(1)}`).reverse();
  chart.append(s("polygon", { class: "trace", points: [...upper, ...lower].join(" ") }));
  return chart;
}
