import { el } from "./dom.js";
import { mount } from "./view.js";

{ // a block: in the page all modules are one text, and their names must not meet
// The report of a run: the view as it stood at the end, from data in this page, and the figures.
const COLOURS = { "-1": "--as-on", 0: "--as-computing", 1: "--as-back", 2: "--as-crashes", 3: "--as-crashes", 4: "--as-walltime", 5: "--as-walltime", 6: "--as-idle" };
const data = JSON.parse(document.getElementById("report-data").textContent);

async function unpack(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = Uint8Array.from(text, (one) => one.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

// Answers what a server would: sorts and searches the rows that the page has.
class StaticHost {
  constructor() {
    this.isLive = false;
    this.mayChange = false;
    this.listeners = [];
    this.rows = unpack("report-rows");
    this.chosen = { key: null, rows: [] };
  }
  onMessage(listener) {
    this.listeners.push(listener);
    return () => { this.listeners = this.listeners.filter((one) => one !== listener); };
  }
  answer(message) {
    for (const listener of this.listeners) listener(message);
  }
  send(message) {
    if (message.type === "hello") queueMicrotask(() => this.answer(data.summary));
    else if (message.type === "rows") this.page(message);
    else if (message.type === "open") this.open(message.item);
    else if (message.type === "do") this.answer({ type: "error", request: message.request, text: "This is a report: nothing can be changed here." });
  }
  choose(rows, { sort = "", phase = "", search = "" }) {
    const key = JSON.stringify([sort, phase, search]);
    if (this.chosen.key === key) return this.chosen.rows;
    const place = (name) => data.columns.findIndex((one) => one.key === name);
    const wanted = search.toLowerCase();
    let found = rows;
    if (phase) found = found.filter((row) => row[place("phase")] === phase);
    if (wanted) found = found.filter((row) => row.some((cell) => cell !== null && String(cell).toLowerCase().includes(wanted)));
    const down = sort.startsWith("-");
    const by = place(down ? sort.slice(1) : sort);
    if (by >= 0) {
      const order = (a, b) => {
        if (a[by] === b[by]) return a[0] - b[0];
        if (a[by] === null) return 1;
        if (b[by] === null) return -1;
        return (a[by] < b[by] ? -1 : 1) * (down ? -1 : 1);
      };
      found = [...found].sort(order);
    }
    this.chosen = { key, rows: found };
    return found;
  }
  async page(message) {
    const rows = await this.rows;
    const found = this.choose(rows, message);
    const offset = Math.max(0, message.offset ?? 0);
    this.answer({ type: "rows", request: message.request, offset, total: rows.length, matching: found.length, columns: data.columns, rows: found.slice(offset, offset + (message.count ?? 50)) });
  }
  async open(item) {
    const row = (await this.rows).find((one) => one[0] === item);
    if (row === undefined) return;
    const failure = data.failures.find((one) => one.items[0] === item);
    const facts = data.columns.map((column, place) => [column.label, row[place]]).filter(([, value]) => value !== null && value !== "");
    this.answer({ type: "detail", item, title: String(row[1]), phase: row[2], facts: facts.map(([name, value]) => [name, String(value)]), history: [], traceback: failure ? failure.traceback : "", log: "", plot: null, actions: [] });
  }
}

function colour(element, name) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

function swatch(name) {
  const node = el("span", { class: "as-swatch", "aria-hidden": "true" });
  node.style.background = `var(${name})`;
  return node;
}

function facts(pairs) {
  return el("dl", { class: "as-facts" }, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));
}

function plain(names, lines, numbers = [], words = []) {
  const cell = (tag, value, place) => el(tag, { class: numbers.includes(place) ? "as-number" : words.includes(place) ? "as-word" : null }, value instanceof Node ? value : String(value));
  return el("table", { class: "as-plain" },
    el("thead", {}, el("tr", {}, ...names.map((name, place) => cell("th", name, place)))),
    el("tbody", {}, ...lines.map((line) => el("tr", {}, ...line.map((value, place) => cell("td", value, place))))));
}

function section(title, ...parts) {
  return el("section", {}, el("h2", {}, title), ...parts);
}

function use() {
  const held = data.use.reduce((sum, one) => sum + one.value, 0);
  if (!held) return section("What became of the cores", el("p", { class: "as-note" }, "No job has held cores yet, as far as is known."));
  const bar = el("div", { class: "as-use", role: "img", "aria-label": data.use.map((one) => `${one.label} ${(100 * one.value / held).toFixed(1)} %`).join(", ") });
  for (const one of data.use) {
    const part = el("span", { title: `${one.label}: ${one.text}` });
    part.style.flexGrow = one.value / held;
    part.style.background = `var(--as-${one.part})`;
    if (one.value) bar.append(part);
  }
  const lines = data.use.map((one) => [el("span", {}, swatch(`--as-${one.part}`), one.label), one.text, `${(100 * one.value / held).toFixed(1)} %`]);
  return section("What became of the cores", bar, plain(["part", "core time", "share"], [...lines, ["held in all", data.held, "100.0 %"]], [1, 2]));
}

// ------------------------------------------------------------------- jobs over time

const ROW = 16, LEFT = 190, TOP = 26, RIGHT = 12;

function clock(seconds, span) {
  const time = new Date(1000 * seconds);
  const two = (n) => String(n).padStart(2, "0");
  const hours = `${two(time.getHours())}:${two(time.getMinutes())}`;
  if (span < 600) return `${hours}:${two(time.getSeconds())}`;
  return span < 86400 ? hours : `${two(time.getMonth() + 1)}-${two(time.getDate())} ${hours}`;
}

function lasting(seconds) {
  const n = Math.max(0, Math.round(seconds));
  if (0 < seconds && seconds < 10) return `${seconds.toPrecision(2)} s`;
  if (n < 120) return `${n} s`;
  if (n < 7200) return `${Math.round(n / 60)} min`;
  return `${Math.floor(n / 3600)} h ${String(Math.floor(n / 60) % 60).padStart(2, "0")} min`;
}

function fit(paint, text, width) {
  if (paint.measureText(text).width <= width) return text;
  let n = text.length;
  while (n > 1 && paint.measureText(`${text.slice(0, n)}…`).width > width) n -= 1;
  return `${text.slice(0, n)}…`;
}

function prepare(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const paint = canvas.getContext("2d");
  paint.scale(scale, scale);
  paint.font = "12px system-ui, sans-serif";
  paint.textBaseline = "middle";
  return paint;
}

function axis(paint, x, width, height, colours) {
  const { begin, end } = data.chart;
  const n = Math.max(2, Math.floor((width - LEFT - RIGHT) / 130));
  paint.strokeStyle = colours.line;
  paint.fillStyle = colours.dim;
  for (let k = 0; k <= n; k += 1) {
    const time = begin + (k / n) * (end - begin);
    paint.beginPath();
    paint.moveTo(x(time), TOP - 4);
    paint.lineTo(x(time), height);
    paint.stroke();
    paint.textAlign = k === 0 ? "left" : k === n ? "right" : "center";
    paint.fillText(clock(time, end - begin), x(time), 10);
  }
  paint.textAlign = "left";
}

function drawJobs(canvas, width) {
  const { begin, end, lines } = data.chart;
  const height = TOP + ROW * lines.length + 6;
  const paint = prepare(canvas, width, height);
  const x = (time) => LEFT + ((time - begin) / Math.max(end - begin, 1e-9)) * (width - LEFT - RIGHT);
  const colours = { line: colour(canvas, "--as-line"), dim: colour(canvas, "--as-dim"), queue: colour(canvas, "--as-queue"), idle: colour(canvas, "--as-idle") };
  axis(paint, x, width, height, colours);
  lines.forEach((line, place) => {
    const y = TOP + ROW * place;
    const span = (from, to) => [x(from), y + 2, Math.max(1, x(to) - x(from)), ROW - 4];
    paint.fillStyle = colours.dim;
    paint.fillText(fit(paint, line.host ? `${line.id} · ${line.host}` : line.id, LEFT - 16), 8, y + ROW / 2);
    paint.fillStyle = colours.queue;
    if (line.submitted) paint.fillRect(...span(line.submitted, line.started || line.ended));
    paint.fillStyle = colours.idle;
    if (line.started) paint.fillRect(...span(line.started, line.ended));
    for (const [from, to, how, share] of line.bars) {
      paint.globalAlpha = 0.25 + 0.75 * share;
      paint.fillStyle = colour(canvas, COLOURS[how]);
      paint.fillRect(...span(from, to));
    }
    paint.globalAlpha = 1;
  });
  return (left, top) => {
    const line = lines[Math.floor((top - TOP) / ROW)];
    if (line === undefined || top < TOP) return "";
    const time = begin + ((left - LEFT) / (width - LEFT - RIGHT)) * (end - begin);
    const slack = (2 * (end - begin)) / (width - LEFT - RIGHT);
    const bar = line.bars.findLast(([from, to]) => from - slack <= time && time <= to + slack);
    const what = bar ? `\n${bar[4]}: ${data.ends[bar[2]]}, ${lasting(bar[1] - bar[0])}` : "";
    const wait = line.started && line.submitted ? `waited ${lasting(line.started - line.submitted)}, ` : "";
    const ran = line.started ? `ran ${lasting(line.ended - line.started)} on ${line.cores} core${line.cores === 1 ? "" : "s"}` : "has not started, as far as is known";
    return `job ${line.id}${line.host ? ` on ${line.host}` : ""}\n${wait}${ran}\n${line.end_text}${what}`;
  };
}

function drawCores(canvas, width) {
  const { begin, end } = data.chart;
  const { time, cores_held: held, cores_used: used, width: span } = data.series;
  const height = 150;
  const paint = prepare(canvas, width, height);
  const most = Math.max(1, ...held, ...used);
  const x = (one) => LEFT + ((one - begin) / Math.max(end - begin, 1e-9)) * (width - LEFT - RIGHT);
  const y = (value) => height - 8 - (value / most) * (height - TOP - 14);
  const colours = { line: colour(canvas, "--as-line"), dim: colour(canvas, "--as-dim") };
  axis(paint, x, width, height - 8, colours);
  for (const [values, name] of [[held, "--as-held"], [used, "--as-computing"]]) {
    paint.fillStyle = colour(canvas, name);
    time.forEach((middle, place) => {
      const from = Math.max(LEFT, x(middle - span / 2)), to = Math.min(width - RIGHT, x(middle + span / 2));
      if (to > from) paint.fillRect(from, y(values[place]), Math.max(1, to - from + 0.3), y(0) - y(values[place]));
    });
  }
  paint.fillStyle = colours.dim;
  paint.textAlign = "right";
  paint.fillText(`${Math.round(most)} cores`, LEFT - 8, y(most));
  paint.fillText("0", LEFT - 8, y(0));
  return (left) => {
    const at = begin + ((left - LEFT) / (width - LEFT - RIGHT)) * (end - begin);
    const place = time.findIndex((middle) => Math.abs(middle - at) <= span / 2);
    return place < 0 ? "" : `${clock(time[place], end - begin)}\n${held[place].toFixed(1)} cores held, ${used[place].toFixed(1)} with work`;
  };
}

// What is drawn when all is in the page, and can be measured.
const charts = [];

function drawn(canvas, draw, tip) {
  let name = () => "";
  let known = 0;
  const again = () => {
    const width = Math.floor(canvas.parentElement.clientWidth);
    if (width > LEFT + 100) { known = width; name = draw(canvas, width); }
  };
  charts.push(() => new ResizeObserver(() => { if (Math.floor(canvas.parentElement.clientWidth) !== known) again(); }).observe(canvas.parentElement));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  canvas.addEventListener("mousemove", (event) => {
    const text = name(event.offsetX, event.offsetY);
    tip.textContent = text;
    tip.style.visibility = text ? "visible" : "hidden";
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8))}px`;
  });
  canvas.addEventListener("mouseleave", () => { tip.style.visibility = "hidden"; });
}

function jobs(tip) {
  const { lines, jobs: n } = data.chart;
  if (!lines.length) return section("Jobs over time", el("p", { class: "as-note" }, "No jobs, as far as is known."));
  const legend = [["--as-queue", "in the queue"], ["--as-computing", "done"], ["--as-on", "goes on"], ["--as-back", "saved and given back"], ["--as-crashes", "failed or crashed"],
    ["--as-walltime", "out of walltime, or lost"], ["--as-idle", "held, without work"]];
  const chart = el("canvas", { role: "img", "aria-label": `${lines.length} jobs over time; the table below has the same` });
  const cores = el("canvas", { role: "img", "aria-label": "cores held by jobs, and computing, over time" });
  drawn(chart, drawJobs, tip);
  drawn(cores, drawCores, tip);
  const table = el("details", {}, el("summary", {}, "The same as a table"));
  table.addEventListener("toggle", () => {
    if (table.querySelector("table")) return;
    table.append(plain(["job", "host", "cores", "waited", "ran", "tries shown", "end"], lines.map((line) => [line.id, line.host, line.cores,
      line.started && line.submitted ? lasting(line.started - line.submitted) : "", line.started ? lasting(line.ended - line.started) : "", line.bars.length, line.end_text]), [2, 3, 4, 5]));
  });
  return section("Jobs over time",
    el("ul", { class: "as-legend" }, ...legend.map(([name, text]) => el("li", {}, swatch(name), text))),
    n > lines.length ? el("p", { class: "as-note" }, `${lines.length} of ${n.toLocaleString("en")} jobs: those that held most.`) : null,
    el("div", { class: "as-gantt", tabindex: "0", "aria-label": "Jobs over time" }, chart), table,
    el("h3", {}, "Cores held by jobs, and computing"), el("div", {}, cores));
}

// ------------------------------------------------------------------- the other figures

function failures() {
  if (!data.failures.length) return section("Failures", el("p", { class: "as-note" }, "None."));
  return section("Failures", ...data.failures.map((one) => {
    const names = one.items.map((item, place) => `${item}${one.names[place] && one.names[place] !== `${data.kind} ${item}` ? ` (${one.names[place]})` : ""}`).slice(0, 10).join(", ");
    const more = one.count > Math.min(10, one.items.length) ? ` and ${(one.count - Math.min(10, one.items.length)).toLocaleString("en")} more` : "";
    return el("div", {}, el("h3", {}, one.count > 1 ? `${one.count.toLocaleString("en")} times: ${one.reason}` : one.reason),
      el("p", { class: "as-note" }, `${data.kind}${one.count === 1 ? "" : "s"} ${names}${more}`),
      one.traceback ? el("details", { open: data.failures.length === 1 }, el("summary", {}, "Traceback"), el("pre", { tabindex: "0" }, one.traceback)) : null);
  }));
}

function retries() {
  if (!data.tries.length) return null;
  return section("Tries, and what they cost", el("div", { class: "as-columns" }, el("div", {}, plain(["ended", "tries", "held"], data.tries, [1, 2])),
    data.reasons.length ? el("div", {}, plain(["tries", "reason"], data.reasons, [0])) : null));
}

function draw(root) {
  const view = el("div", { class: "as-view" });
  const tip = el("div", { class: "as-tip", role: "presentation" });
  const report = el("article", { class: "as-report" }, el("h1", {}, data.title), facts(data.head),
    ...data.remarks.map((text) => el("p", { class: "as-note" }, text)), view, use(), jobs(tip),
    el("div", { class: "as-columns as-wide-last" }, section("Waiting in the queue", facts(data.waits)),
      data.slowest.length ? section(`Slowest ${data.kind}s`, plain(["no.", "name", "phase", "worked for", "tries"], data.slowest, [0, 3, 4], [2])) : null),
    failures(), retries(),
    el("div", { class: "as-columns" }, section("Settings", facts(data.parameters)), section("Versions", facts(data.versions))), tip);
  root.append(report);
  for (const begin of charts) begin();
  mount(view, new StaticHost());
}

draw(document.getElementById("report"));
}
