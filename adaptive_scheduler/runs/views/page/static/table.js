// A table of which only the visible rows exist; others are asked for when they are scrolled to.
import { el, setText } from "./dom.js";

const ROW = 30; // pixels; view.css has the same
const AHEAD = 20; // rows beyond what is visible
// The least width of a column in pixels, by its kind or key; those that are left out first where there is no room.
const LEAST = { id: 40, name: 130, phase: 98, number: 62, text: 88 };
const LEFT_OUT = ["tries", "worked", "rate", "tag", "loss", "job", "points", "reason"];
const GAP = 14; // pixels, as in view.css
const TALLEST = 8e6; // pixels: browsers draw no taller elements

export class RowTable {
  // ask(offset, count, sort): sends a request, returns its number; open(item): a row was chosen.
  constructor(label, ask, open) {
    this.ask = ask;
    this.open = open;
    this.sort = "";
    this.page = null;
    this.request = -1;
    this.active = 0;
    this.opened = null;
    this.header = el("div", { class: "as-tr as-head", role: "row", "aria-rowindex": 1 });
    this.spacer = el("div", { class: "as-spacer", role: "rowgroup" });
    this.body = el("div", { class: "as-body", role: "presentation" }, this.spacer);
    this.grid = el("div", { class: "as-grid", role: "grid", "aria-label": label, "aria-readonly": "true" }, el("div", { role: "rowgroup" }, this.header), this.body);
    this.empty = el("p", { class: "as-empty" });
    this.element = el("div", { class: "as-table" }, this.grid, this.empty);
    this.body.addEventListener("scroll", () => this.onScroll());
    this.body.addEventListener("keydown", (event) => this.onKey(event));
    this.spacer.addEventListener("focusin", (event) => this.onFocus(event.target));
    this.observer = new ResizeObserver(() => {
      if (this.page) this.drawHeader();
      this.onScroll();
    });
    this.observer.observe(this.body);
  }

  remove() {
    this.observer.disconnect();
  }

  // From the top: after another search, phase or order.
  restart() {
    this.body.scrollTop = 0;
    this.active = 0;
    this.wanted = null;
    this.load();
  }

  get height() {
    return Math.min(TALLEST, (this.page ? this.page.matching : 0) * ROW);
  }

  get visible() {
    return Math.max(1, Math.ceil(this.body.clientHeight / ROW));
  }

  get first() {
    if (!this.page) return 0;
    const rest = this.height - this.body.clientHeight;
    if (rest <= 0) return 0;
    const most = this.page.matching - this.body.clientHeight / ROW;
    return Math.max(0, Math.floor((Math.min(rest, this.body.scrollTop) / rest) * most));
  }

  onScroll() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
      this.load();
    });
  }

  load() {
    const from = Math.max(0, this.first - AHEAD);
    const count = this.visible + 2 * AHEAD;
    const key = `${from} ${count} ${this.sort}`;
    if (key === this.wanted) return;
    this.wanted = key;
    this.askedAt = performance.now();
    this.request = this.ask(from, count, this.sort);
  }

  loadAgain() {
    this.wanted = null;
    this.load();
  }

  // Whether the rows that were asked for should have come long ago.
  isLate(now) {
    return this.request !== this.shown && now - this.askedAt > 15000;
  }

  show(page) {
    if (page.request !== this.request) return;
    this.page = page;
    this.shown = page.request;
    this.drawHeader();
    this.active = Math.min(this.active, Math.max(0, page.matching - 1));
    this.grid.setAttribute("aria-rowcount", page.matching + 1);
    this.spacer.style.height = `${this.height}px`;
    setText(this.empty, page.matching ? "" : page.total ? "None matches." : "There is none yet.");
    this.draw();
  }

  // The places of those columns for which there is room, the most important ones.
  fitting(columns) {
    const least = (column) => LEAST[column.key] || LEAST[column.kind];
    const room = this.body.clientWidth - 20;
    const chosen = columns.map((_, place) => place);
    const width = () => chosen.reduce((sum, place) => sum + least(columns[place]) + GAP, 0);
    for (const key of LEFT_OUT) {
      const place = chosen.findIndex((one) => columns[one].key === key);
      if (width() > room && place >= 0) chosen.splice(place, 1);
    }
    return chosen;
  }

  drawHeader() {
    const { columns } = this.page;
    const chosen = this.fitting(columns);
    const key = JSON.stringify([columns, chosen]);
    if (key === this.headerKey) return;
    this.headerKey = key;
    this.chosen = chosen;
    const grow = { id: 0.3, name: 3, phase: 1, number: 1, text: 2 };
    const widths = chosen.map((place) => columns[place]).map(({ key: name, kind }) => `minmax(${LEAST[name] || LEAST[kind]}px, ${grow[name] || grow[kind]}fr)`);
    this.grid.style.setProperty("--as-columns", widths.join(" "));
    this.header.replaceChildren(...chosen.map((place) => {
      const column = columns[place];
      const button = el("button", { type: "button", onclick: () => this.orderBy(column.key) }, column.label || "#");
      return el("div", { role: "columnheader", class: `as-td as-${column.kind}`, "data-key": column.key, "aria-sort": "none" }, button);
    }));
    this.drawOrder();
  }

  orderBy(key) {
    this.sort = this.sort === key ? `-${key}` : this.sort === `-${key}` ? "" : key;
    this.drawOrder();
    this.restart();
  }

  drawOrder() {
    for (const cell of this.header.children) {
      const { key } = cell.dataset;
      cell.setAttribute("aria-sort", this.sort === key ? "ascending" : this.sort === `-${key}` ? "descending" : "none");
    }
  }

  draw() {
    const { page } = this;
    if (!page) return;
    const hadFocus = this.spacer.contains(document.activeElement) || (this.element.getRootNode().activeElement && this.spacer.contains(this.element.getRootNode().activeElement));
    const first = this.first;
    const rest = this.height - this.body.clientHeight;
    const shift = this.height < TALLEST || rest <= 0 ? first * ROW : Math.min(this.body.scrollTop, rest - (this.visible - this.body.clientHeight / ROW) * ROW);
    const rows = [];
    for (let n = first; n < Math.min(page.matching, first + this.visible + 1); n += 1) {
      rows.push(this.row(n, page.rows[n - page.offset], shift + (n - first) * ROW));
    }
    this.spacer.replaceChildren(...rows);
    const focused = rows.find((row) => row.tabIndex === 0);
    if (!focused && rows.length) rows[0].tabIndex = 0;
    if (hadFocus) (focused || rows[0]).focus({ preventScroll: true });
  }

  row(n, cells, top) {
    const isOpen = cells && cells[0] === this.opened;
    const node = el("div", { class: `as-tr${isOpen ? " as-open" : ""}`, role: "row", "aria-rowindex": n + 2, "aria-selected": isOpen ? "true" : "false", tabindex: n === this.active ? 0 : -1 });
    node.style.top = `${top}px`;
    if (!cells) {
      node.append(el("div", { class: "as-td", role: "gridcell" }, "…"));
      return node;
    }
    this.chosen.forEach((place) => {
      const column = this.page.columns[place];
      const value = cells[place] === null ? "" : String(cells[place]);
      const inner = column.kind === "phase" ? el("span", { class: `as-pill as-phase-${value}` }, value) : value;
      node.append(el("div", { class: `as-td as-${column.kind}`, role: "gridcell", title: value }, inner));
    });
    node.addEventListener("click", () => {
      this.active = n;
      this.choose(cells[0]);
    });
    return node;
  }

  choose(item) {
    this.opened = item;
    this.open(item);
    this.draw();
  }

  // The row that has the focus is the one that keys are for, however the focus came there.
  onFocus(target) {
    const row = target.closest(".as-tr");
    if (row) this.active = Number(row.getAttribute("aria-rowindex")) - 2;
  }

  onKey(event) {
    if (!this.page) return;
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: this.visible - 1, PageUp: 1 - this.visible, Home: -Infinity, End: Infinity };
    if (event.key in moves) {
      event.preventDefault();
      event.stopPropagation();
      this.active = Math.max(0, Math.min(this.page.matching - 1, this.active + moves[event.key]));
      this.reveal();
    } else if (event.key === "Enter" || event.key === " ") {
      const cells = this.page.rows[this.active - this.page.offset];
      event.preventDefault();
      event.stopPropagation();
      if (cells) this.choose(cells[0]);
    }
  }

  // Scrolls so that the active row is visible, and puts the focus there.
  reveal() {
    const scale = this.height / (this.page.matching * ROW);
    const top = this.active * ROW * scale;
    const room = this.body.clientHeight - ROW;
    if (top < this.body.scrollTop) this.body.scrollTop = top;
    else if (top > this.body.scrollTop + room) this.body.scrollTop = top - room;
    this.draw();
    this.load();
    const row = [...this.spacer.children].find((one) => one.tabIndex === 0);
    if (row) row.focus({ preventScroll: true });
  }
}
