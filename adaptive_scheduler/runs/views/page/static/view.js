// Draws one run. What is shown is decided in Python; this file lays it out and sends what is asked.
import { DataPlot, short, timeChart } from "./charts.js";
import { betweenClicks, el, fill, setText, watchTheme } from "./dom.js";
import { RowTable } from "./table.js";

let views = 0;

// Milliseconds, by a clock that nobody sets.
const now = () => performance.now();

// host: {send(message), onMessage(listener), isLive, mayChange}; returns a function that removes the view.
export function mount(element, host) {
  const view = new View(host);
  element.append(view.root);
  view.start();
  return () => view.remove();
}

class View {
  constructor(host) {
    this.host = host;
    this.id = `as-${(views += 1)}`;
    this.request = 0;
    this.doing = null;
    this.opened = null;
    this.filter = { phase: "", search: "" };
    this.table = new RowTable("Learners or tasks", (offset, count, sort) => this.askRows(offset, count, sort), (item) => this.open(item));
    this.make();
    const draw = betweenClicks(this.root);
    host.onMessage((message) => draw(() => this.take(message)));
  }

  make() {
    this.name = el("h2", { class: "as-name" });
    this.sentence = el("p", { class: "as-sentence", role: "status", "aria-live": "polite" }, "Loading…");
    this.age = el("p", { class: "as-age", role: "status", "aria-live": "polite" });
    this.notes = el("ul", { class: "as-notes", "aria-label": "Notes" });
    this.bar = el("div", { class: "as-bar", role: "progressbar", "aria-valuemin": 0, "aria-label": "Done" });
    this.progress = el("p", { class: "as-progress" });
    this.phases = el("div", { class: "as-phases", role: "group", "aria-label": "Show only those of one phase" });
    this.buttons = el("div", { class: "as-buttons", role: "group", "aria-label": "Change the run" });
    this.question = el("div", { class: "as-question", role: "alertdialog", "aria-modal": "false", hidden: true });
    this.result = el("p", { class: "as-result", role: "status", "aria-live": "polite" });
    this.coresBox = el("div", { class: "as-plot" });
    this.rateBox = el("div", { class: "as-plot" });
    this.coresTitle = el("h3", {}, "Cores");
    this.rateTitle = el("h3", {}, "Rate");
    this.charts = el("div", { class: "as-charts", hidden: true }, el("figure", {}, this.coresTitle, this.coresBox), el("figure", {}, this.rateTitle, this.rateBox));
    this.cores = timeChart(this.coresBox, 150);
    this.rate = timeChart(this.rateBox, 150);
    this.failures = el("section", { class: "as-failures", hidden: true, "aria-label": "Failures by reason" });
    this.jobsTitle = el("summary", {});
    this.jobsBox = el("div", { class: "as-scroll", tabindex: 0, "aria-label": "Jobs" });
    this.jobs = el("details", { class: "as-jobs", hidden: true }, this.jobsTitle, this.jobsBox);
    this.search = el("input", { type: "search", placeholder: "Search", "aria-label": "Search in the table", oninput: () => this.searchSoon() });
    this.matching = el("span", { class: "as-matching", role: "status", "aria-live": "polite" });
    this.detail = el("aside", { class: "as-detail", hidden: true, tabindex: -1, onkeydown: (event) => event.key === "Escape" && this.close() });
    const head = el("header", {}, this.name, this.sentence, this.age, this.notes);
    const meter = el("div", { class: "as-meter" }, this.bar, this.progress);
    const tools = el("div", { class: "as-tools" }, this.phases, this.search, this.matching);
    const split = el("div", { class: "as-split" }, el("div", { class: "as-left" }, tools, this.table.element), this.detail);
    this.root = el("section", { class: "adaptive-scheduler", "aria-label": "Run of adaptive-scheduler" }, el("div", { class: "as-inner" }, head, meter, this.buttons, this.question, this.result, this.charts, this.failures, this.jobs, split));
    this.makeDetail();
  }

  makeDetail() {
    this.plotBox = el("div", { class: "as-data" });
    this.plot = new DataPlot(this.plotBox);
    this.detailTitle = el("h3", { class: "as-title" });
    this.detailButtons = el("div", { class: "as-buttons", role: "group", "aria-label": "Change this one" });
    this.facts = el("dl", { class: "as-facts" });
    this.parts = { history: el("div"), traceback: el("div"), log: el("div") };
    const close = el("button", { type: "button", class: "as-close", "aria-label": "Close the details", onclick: () => this.close() }, "×");
    this.detail.append(el("div", { class: "as-top" }, this.detailTitle, close), this.detailButtons, this.plotBox, this.facts, ...Object.values(this.parts));
  }

  start() {
    this.unwatch = watchTheme((theme) => {
      this.root.dataset.theme = theme;
      requestAnimationFrame(() => [this.cores, this.rate, this.plot].forEach((one) => one.restyle()));
    });
    this.heard = this.asked = now();
    if (this.host.isLive) this.timer = setInterval(() => this.noteSilence(), 5000);
    this.send({ type: "hello" });
    this.table.load();
  }

  remove() {
    clearInterval(this.timer);
    clearTimeout(this.searching);
    this.unwatch();
    this.table.remove();
    this.cores.remove();
    this.rate.remove();
    this.plot.remove();
    this.root.remove();
  }

  take(message) {
    this.heard = now();
    if (this.root.classList.contains("as-silent")) {
      this.root.classList.remove("as-silent");
      if (this.summary) setText(this.age, this.summary.age_text);
    }
    if (message.type === "summary") this.drawSummary(message);
    else if (message.type === "rows") this.drawRows(message);
    else if (message.type === "detail") this.drawDetail(message);
    else if (message.type === "done" || message.type === "error") this.drawResult(message);
  }

  // Whoever sends says something at least every 30 s; else the kernel or the server is gone, or busy.
  noteSilence() {
    const silent = Math.round((now() - this.heard) / 1000);
    if (now() - Math.max(this.heard, this.asked) > 40000) this.askAgain();
    else this.askForLost();
    if (silent < 60) return;
    this.root.classList.add("as-silent");
    setText(this.age, `Nothing was heard for ${silent} s: the notebook's kernel or the server has ended or is busy. What is shown is old.`);
  }

  // A message may have been lost, or who answered may be gone: what is shown is asked for anew.
  askAgain() {
    this.asked = now();
    this.send({ type: "hello" });
    this.table.loadAgain();
    if (this.opened !== null) this.askItem();
  }

  // What was asked for and is not there yet: the question itself may have been lost.
  askForLost() {
    if (this.table.isLate(now())) this.table.loadAgain();
    if (this.opened !== null && this.drawn !== this.opened && now() - this.askedItem > 15000) this.askItem();
  }

  askItem() {
    this.askedItem = now();
    this.send({ type: "open", item: this.opened });
  }

  // Of a kernel that has ended it raises: noteSilence says so.
  send(message) {
    try {
      this.host.send(message);
      return true;
    } catch {
      return false;
    }
  }

  // ------------------------------------------------------------------ the run

  drawSummary(summary) {
    this.summary = summary;
    setText(this.name, summary.name);
    setText(this.sentence, summary.sentence);
    setText(this.age, summary.age_text);
    this.root.dataset.state = summary.state;
    this.root.classList.toggle("as-old", summary.is_old);
    fill(this.notes, summary.notes, () => summary.notes.map((note) => el("li", {}, note)));
    this.drawProgress(summary);
    fill(this.buttons, summary.actions, () => summary.actions.map((action) => this.button(action, [])));
    if (summary.series) this.drawSeries(summary);
    this.drawFailures(summary);
    this.drawJobs(summary);
  }

  drawProgress(summary) {
    fill(this.bar, summary.phases, () => summary.phases.map((one) => {
      const part = el("span", { class: `as-part as-phase-${one.phase}`, title: `${one.count} ${one.label}` });
      part.style.flexGrow = one.count;
      return part;
    }));
    this.bar.setAttribute("aria-valuemax", summary.total);
    this.bar.setAttribute("aria-valuenow", summary.done);
    const rate = summary.rate === null ? "" : `${short(summary.rate)} ${summary.rate_unit}`;
    setText(this.progress, [`${summary.done.toLocaleString("en")} of ${summary.total.toLocaleString("en")} done`, rate, summary.remaining].filter(Boolean).join(" · "));
    const all = { phase: "", label: "all", count: summary.total };
    fill(this.phases, [summary.phases, this.filter.phase], () => [all, ...summary.phases].map((one) => el("button", { type: "button", class: "as-chip", "data-phase": one.phase, "aria-pressed": this.filter.phase === one.phase ? "true" : "false", onclick: () => this.choosePhase(one.phase) }, one.phase ? el("span", { class: `as-dot as-phase-${one.phase}` }) : null, `${one.label} ${one.count.toLocaleString("en")}`)));
  }

  drawSeries(summary) {
    const { series } = summary;
    this.charts.hidden = series.time.length < 2; // of one point a chart has an axis of years
    if (this.charts.hidden) return;
    const known = series.cores_used.some((value) => value !== null);
    const lines = [{ label: "held by jobs", values: series.cores_held, color: "--as-gray", fill: true }];
    if (known) lines.push({ label: "computing", values: series.cores_used, color: "--as-blue" });
    this.cores.show(this.root, { time: series.time, lines });
    setText(this.coresTitle, known ? "Cores held by jobs, and computing" : "Cores held by jobs");
    setText(this.rateTitle, summary.kind === "task" ? "Tasks ended per second" : "Points per second");
    this.rate.show(this.root, { time: series.time, lines: [{ label: summary.rate_unit, values: series.rate, color: "--as-green", fill: true }] });
    const last = series.time.length - 1;
    this.coresBox.setAttribute("role", "img");
    this.coresBox.setAttribute("aria-label", `Cores over time; last: ${short(series.cores_held[last])} held, ${short(series.cores_used[last])} computing`);
    this.rateBox.setAttribute("role", "img");
    this.rateBox.setAttribute("aria-label", `Rate over time; last: ${short(series.rate[last])} ${summary.rate_unit}`);
  }

  drawFailures(summary) {
    this.failures.hidden = summary.failures.length === 0;
    fill(this.failures, summary.failures, () => [
      el("h3", {}, "Failures by reason"),
      el("ul", {}, summary.failures.map((group) => el("li", {}, el("button", { type: "button", class: "as-link", title: "Show them in the table", onclick: () => this.showFailed(group) }, `${group.count.toLocaleString("en")} ×`), el("span", {}, group.reason)))),
    ]);
  }

  showFailed(group) {
    this.search.value = group.items.length === 1 ? "" : group.search;
    this.filter = { phase: "failed", search: this.search.value };
    this.drawProgress(this.summary);
    this.table.restart();
    if (group.items.length === 1) this.table.choose(group.items[0]);
  }

  drawJobs(summary) {
    this.jobs.hidden = summary.jobs.length === 0;
    setText(this.jobsTitle, `Jobs: ${summary.jobs_text}`);
    fill(this.jobsBox, summary.jobs, () => {
      const columns = [["id", "job"], ["name", "name"], ["state", "state"], ["host", "node"], ["what", "runs"], ["reason", "reason"], ["remedy", "what to do"]].filter(([key]) => summary.jobs.some((job) => job[key]));
      return el("table", {}, el("thead", {}, el("tr", {}, columns.map(([, label]) => el("th", { scope: "col" }, label)))), el("tbody", {}, summary.jobs.map((job) => el("tr", {}, columns.map(([key]) => el("td", {}, job[key]))))));
    });
  }

  // ---------------------------------------------------------------- the table

  askRows(offset, count, sort) {
    this.request += 1;
    this.send({ type: "rows", request: this.request, offset, count, sort, ...this.filter });
    return this.request;
  }

  drawRows(page) {
    this.table.show(page);
    const what = `${this.summary && this.summary.kind === "task" ? "task" : "learner"}${page.total === 1 ? "" : "s"}`;
    setText(this.matching, page.matching === page.total ? `${page.total.toLocaleString("en")} ${what}` : `${page.matching.toLocaleString("en")} of ${page.total.toLocaleString("en")} ${what}`);
  }

  searchSoon() {
    clearTimeout(this.searching);
    this.searching = setTimeout(() => {
      this.filter.search = this.search.value;
      this.table.restart();
    }, 150);
  }

  choosePhase(phase) {
    this.filter.phase = this.filter.phase === phase ? "" : phase;
    this.drawProgress(this.summary);
    const chosen = this.phases.querySelector(`[data-phase="${phase}"]`);
    if (chosen) chosen.focus();
    this.table.restart();
  }

  // ----------------------------------------------------------------- one item

  open(item) {
    if (this.opened !== item) {
      this.plot.remove();
      setText(this.detailTitle, `${item} …`);
      [this.detailButtons, this.facts, ...Object.values(this.parts)].forEach((part) => fill(part, null, () => []));
    }
    this.opened = item;
    this.drawn = null;
    this.detail.hidden = false;
    this.askItem();
  }

  close() {
    this.opened = null;
    this.detail.hidden = true;
    this.plot.remove();
    this.table.opened = null;
    this.table.draw();
    const row = [...this.table.spacer.children].find((one) => one.tabIndex === 0);
    if (row) row.focus({ preventScroll: true });
    this.send({ type: "close" });
  }

  drawDetail(detail) {
    if (detail.item !== this.opened) return;
    this.drawn = detail.item;
    setText(this.detailTitle, detail.title);
    fill(this.detailButtons, detail.actions, () => detail.actions.map((action) => this.button(action, [detail.item])));
    fill(this.facts, detail.facts, () => detail.facts.flatMap(([label, value]) => [el("dt", {}, label), el("dd", {}, value)]));
    this.plot.show(this.root, detail.plot);
    fill(this.parts.traceback, detail.traceback, () => detail.traceback && [el("h4", {}, "Traceback"), el("pre", { tabindex: 0 }, detail.traceback)]);
    fill(this.parts.history, detail.history, () => detail.history.length && [el("h4", {}, "History"), el("ol", { class: "as-history" }, detail.history.map((one) => el("li", {}, el("time", {}, one.time), el("span", {}, one.text))))]);
    this.drawLog(detail.log);
  }

  // A log that is read at its end stays at its end.
  drawLog(log) {
    const old = this.parts.log.querySelector("pre");
    const atEnd = !old || old.scrollTop + old.clientHeight >= old.scrollHeight - 4;
    fill(this.parts.log, log, () => log && [el("h4", {}, "Log"), el("pre", { class: "as-log", tabindex: 0 }, log)]);
    const shown = this.parts.log.querySelector("pre");
    if (shown && atEnd) shown.scrollTop = shown.scrollHeight;
  }

  // ------------------------------------------------------------------ changes

  button(action, items) {
    return el("button", { type: "button", class: "as-action", "data-action": action.name, disabled: !this.host.mayChange, onclick: (event) => this.confirm(action, items, event.currentTarget) }, action.label);
  }

  confirm(action, items, from) {
    const number = action.needs === "number" ? el("input", { type: "number", min: 1, step: 1, value: action.number, "aria-label": action.label }) : null;
    const end = () => {
      this.question.hidden = true;
      this.question.replaceChildren();
      if (from.isConnected) from.focus();
    };
    const yes = () => {
      const value = number ? Number(number.value) : null;
      if (number && !(Number.isInteger(value) && value >= 1)) return number.focus();
      end();
      this.request += 1;
      this.doing = this.request;
      setText(this.result, `${action.label} …`);
      this.result.className = "as-result";
      if (this.send({ type: "do", request: this.request, action: action.name, items, number: value })) return null;
      return this.drawResult({ type: "error", request: this.request, text: "Not done: the notebook's kernel or the server does not answer." });
    };
    const text = el("p", { id: `${this.id}-question` }, action.confirm);
    const no = el("button", { type: "button", onclick: end }, "No");
    this.question.setAttribute("aria-labelledby", text.id);
    this.question.replaceChildren(...[text, number, el("button", { type: "button", class: "as-yes", onclick: yes }, "Yes"), no].filter(Boolean));
    this.question.onkeydown = (event) => {
      if (event.key === "Escape") end();
      if (event.key === "Enter" && event.target === number) yes();
    };
    this.question.hidden = false;
    (number || no).focus();
    this.question.scrollIntoView({ block: "nearest" });
  }

  drawResult(message) {
    if (message.request && message.request !== this.doing) return;
    setText(this.result, message.text);
    this.result.className = `as-result as-${message.type}`;
  }
}
