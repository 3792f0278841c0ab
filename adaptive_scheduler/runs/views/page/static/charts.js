// Draws numbers: series over time, and the data of one learner. Numbers and texts come from Python.
import uPlot from "./uplot.js";
import { cssColor, el } from "./dom.js";

const LINE_COLORS = ["--as-blue", "--as-orange", "--as-green", "--as-purple", "--as-red", "--as-teal", "--as-pink", "--as-gray"];
// Viridis, at nine places between the least and the largest value.
const VIRIDIS = [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];

function axis(root, label) {
  const ink = cssColor(root, "--as-muted");
  const grid = { stroke: cssColor(root, "--as-grid"), width: 1 };
  return { stroke: ink, grid, ticks: grid, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", label: label || undefined, labelSize: 16, labelGap: 0 };
}

// Large and small numbers in few letters.
export function short(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size >= 1e6 || (size > 0 && size < 1e-3)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

function valueAxis(root, label) {
  return { ...axis(root, label), size: 58, values: (_, ticks) => ticks.map((tick) => (Math.abs(tick) >= 1e5 || (tick !== 0 && Math.abs(tick) < 1e-3) ? tick.toExponential(1) : String(Number(tick.toPrecision(6))))) };
}

// A uPlot that keeps the width of its element, is drawn anew for another theme, and shows new data.
class Chart {
  constructor(element, height, describe) {
    this.element = element;
    this.height = height;
    this.describe = describe;
    this.plot = null;
    this.shape = "";
    this.observer = new ResizeObserver(() => this.plot && this.width() && this.plot.setSize({ width: this.width(), height: this.height }));
    this.observer.observe(element);
  }

  width() {
    return Math.floor(this.element.clientWidth);
  }

  show(root, content) {
    this.content = content;
    this.root = root;
    if (!this.width()) {
      requestAnimationFrame(() => this.element.isConnected && this.width() && !this.plot && this.show(root, content));
      return;
    }
    const { options, data, shape } = this.describe(root, content);
    if (this.plot && shape === this.shape) {
      this.plot.setData(data);
      return;
    }
    this.shape = shape;
    if (this.plot) this.plot.destroy();
    this.plot = new uPlot({ width: this.width(), height: this.height, ...options }, data, this.element);
  }

  restyle() {
    this.shape = "";
    if (this.content) this.show(this.root, this.content);
  }

  remove() {
    this.observer.disconnect();
    if (this.plot) this.plot.destroy();
  }
}

// Texts of times by the distance between two in seconds: the same in all countries, the date where it is new.
const DAY = "\n{YYYY}-{MM}-{DD}";
const TIMES = [
  [31536000, "{YYYY}", null, null, null, null, null, null, 1],
  [2419200, "{YYYY}-{MM}", null, null, null, null, null, null, 1],
  [86400, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", DAY, null, DAY, null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", DAY, null, DAY, null, null, null, 1],
  [0.001, "{HH}:{mm}:{ss}", DAY, null, DAY, null, null, null, 1],
];

// content: {time: [...], lines: [{label, values, color, fill}]}
export function timeChart(element, height) {
  return new Chart(element, height, (root, content) => ({
    shape: JSON.stringify(content.lines.map((line) => line.label)),
    data: [content.time, ...content.lines.map((line) => line.values)],
    options: {
      cursor: { y: false, points: { size: 6 } },
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.1] } },
      axes: [{ ...axis(root), space: 110, values: TIMES }, valueAxis(root)],
      series: [{ label: "time", value: "{YYYY}-{MM}-{DD} {HH}:{mm}:{ss}" }, ...content.lines.map((line) => ({
        label: line.label,
        stroke: cssColor(root, line.color),
        fill: line.fill ? cssColor(root, `${line.color}-fill`) : undefined,
        width: 2,
        points: { show: false },
        value: (_, value) => short(value),
      }))],
    },
  }));
}

// content: {kind: "line" | "points", x, ys: [{label, values}], x_label, y_label}
function lineChart(element, height) {
  return new Chart(element, height, (root, content) => ({
    shape: JSON.stringify([content.kind, content.ys.map((one) => one.label)]),
    data: [content.x, ...content.ys.map((one) => one.values)],
    options: {
      scales: { x: { time: false } },
      axes: [{ ...axis(root, content.x_label), size: 30, values: valueAxis(root).values }, valueAxis(root, content.y_label)],
      series: [{ label: content.x_label || "x", value: (_, value) => short(value) }, ...content.ys.map((one, place) => {
        const color = cssColor(root, LINE_COLORS[place % LINE_COLORS.length]);
        const isLine = content.kind === "line" && !one.is_points;
        return { label: one.label, stroke: color, width: isLine ? 1.5 : 0, paths: isLine ? undefined : () => null, spanGaps: true, points: { show: true, size: isLine ? 4 : 5, fill: color, stroke: color, width: 0 }, value: (_, value) => short(value) };
      })],
    },
  }));
}

function decode(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function viridis(value) {
  const place = (value / 254) * (VIRIDIS.length - 1);
  const low = Math.min(VIRIDIS.length - 2, Math.floor(place));
  return VIRIDIS[low].map((one, n) => Math.round(one + (VIRIDIS[low + 1][n] - one) * (place - low)));
}

function raster(content) {
  const canvas = el("canvas", { width: content.nx, height: content.ny });
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(content.nx, content.ny);
  const values = decode(content.data);
  for (let row = 0; row < content.ny; row += 1) {
    for (let column = 0; column < content.nx; column += 1) {
      const value = values[row * content.nx + column];
      const place = 4 * ((content.ny - 1 - row) * content.nx + column); // y grows upwards
      if (value === 255) continue; // nothing is known there
      pixels.data.set([...viridis(value), 255], place);
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function drawImage(canvas, root, content, showsPoints) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const box = { left: 56, top: 10, width: width - 56 - 92, height: height - 10 - 40 };
  context.imageSmoothingEnabled = false;
  context.drawImage(raster(content), box.left, box.top, box.width, box.height);
  const across = (x) => box.left + ((x - content.x[0]) / (content.x[1] - content.x[0])) * box.width;
  const up = (y) => box.top + box.height - ((y - content.y[0]) / (content.y[1] - content.y[0])) * box.height;
  if (showsPoints) {
    context.fillStyle = "rgba(255, 255, 255, 0.85)";
    context.strokeStyle = "rgba(0, 0, 0, 0.6)";
    content.points[0].forEach((x, n) => {
      context.beginPath();
      context.arc(across(x), up(content.points[1][n]), 1.6, 0, 2 * Math.PI);
      context.fill();
    });
  }
  context.fillStyle = cssColor(root, "--as-muted");
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "top";
  for (const part of [0, 0.5, 1]) {
    context.textAlign = "center";
    context.fillText(short(content.x[0] + part * (content.x[1] - content.x[0])), box.left + part * box.width, box.top + box.height + 6);
    context.textAlign = "right";
    context.textBaseline = part === 0 ? "bottom" : part === 1 ? "top" : "middle";
    context.fillText(short(content.y[0] + part * (content.y[1] - content.y[0])), box.left - 6, box.top + (1 - part) * box.height);
    context.textBaseline = "top";
  }
  const bar = { left: box.left + box.width + 16, width: 14 };
  for (let line = 0; line < box.height; line += 1) {
    context.fillStyle = `rgb(${viridis(254 * (1 - line / box.height)).join(",")})`;
    context.fillRect(bar.left, box.top + line, bar.width, 1.5);
  }
  context.fillStyle = cssColor(root, "--as-muted");
  context.textAlign = "left";
  context.textBaseline = "top";
  context.fillText(short(content.z[1]), bar.left + bar.width + 5, box.top);
  context.textBaseline = "bottom";
  context.fillText(short(content.z[0]), bar.left + bar.width + 5, box.top + box.height);
}

class ImageChart {
  constructor(element) {
    this.points = el("input", { type: "checkbox", checked: true, onchange: () => this.draw() });
    this.canvas = el("canvas", { class: "as-image" });
    element.append(this.canvas, el("label", { class: "as-check" }, this.points, "show the points"));
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.canvas);
  }

  show(root, content) {
    this.root = root;
    this.content = content;
    this.draw();
  }

  draw() {
    if (this.content && this.canvas.clientWidth > 160) drawImage(this.canvas, this.root, this.content, this.points.checked);
  }

  restyle() {
    this.draw();
  }

  remove() {
    this.observer.disconnect();
  }
}

// The plot of one learner's data, of whatever kind it is.
export class DataPlot {
  constructor(element) {
    this.element = element;
    this.kind = null;
    this.chart = null;
  }

  show(root, content) {
    const kind = content ? (content.kind === "image" || content.kind === "text" ? content.kind : "line") : null;
    if (kind !== this.kind) {
      this.remove();
      this.kind = kind;
      this.caption = el("p", { class: "as-caption" });
      this.box = el("div", { class: "as-plot", role: "img" });
      if (kind) this.element.append(this.box, this.caption);
      if (kind === "line") this.chart = lineChart(this.box, 280);
      if (kind === "image") this.chart = new ImageChart(this.box);
    }
    if (!kind) return;
    this.box.setAttribute("aria-label", `Plot of the data: ${content.text || ""}`);
    this.caption.textContent = content.text || "";
    if (this.chart) this.chart.show(root, content);
  }

  restyle() {
    if (this.chart) this.chart.restyle();
  }

  remove() {
    if (this.chart) this.chart.remove();
    this.chart = null;
    this.kind = null;
    this.element.replaceChildren();
  }
}
