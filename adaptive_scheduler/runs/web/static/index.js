// The index: all runs, asked for every two seconds while somebody looks.
import { lost, found } from "./connection.js";
import { betweenClicks } from "./dom.js";

const table = document.getElementById("table");
const address = new URL("../runs.json", import.meta.url);
const PAUSE = 2000;
const undisturbed = betweenClicks(table);

function element(tag, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function progress(run) {
  const cell = element("td", "", "progress");
  if (!run.total) return cell;
  const bar = element("progress");
  bar.max = Math.max(run.total, 1);
  bar.value = run.done;
  bar.setAttribute("aria-label", `${run.done} of ${run.total} done`);
  const many = `${run.done.toLocaleString("en")} of ${run.total.toLocaleString("en")} ${run.kind}${run.total === 1 ? "" : "s"}`;
  cell.append(bar, element("span", many));
  if (run.running) cell.append(element("span", `${run.running.toLocaleString("en")} running`));
  if (run.failed) cell.append(element("span", `${run.failed.toLocaleString("en")} failed`, "failed"));
  return cell;
}

function line(run) {
  const row = element("tr");
  const name = element("td", "", "name");
  const link = element("a", run.name);
  link.href = new URL(`../run/${run.key}`, import.meta.url);
  name.append(link);
  if (run.note) name.append(element("p", run.note, "note"));
  const state = element("td");
  state.append(element("span", run.state || "…", `state ${run.state.replaceAll(" ", "-")}`));
  row.append(name, state, progress(run), element("td", run.host), element("td", run.started, "age"), element("td", run.changed, "age"));
  return row;
}

function draw(runs) {
  if (!runs.length) {
    table.replaceChildren(element("p", "There is no run yet. It will be listed here a moment after it was started."));
    return;
  }
  const drawn = element("table");
  const head = element("tr");
  for (const label of ["Run", "State", "Done", "Manager", "Started", "Changed"]) {
    const cell = element("th", label);
    cell.scope = "col";
    head.append(cell);
  }
  const header = element("thead");
  const body = element("tbody");
  header.append(head);
  body.append(...runs.map(line));
  drawn.append(header, body);
  const focused = document.activeElement?.href;
  table.replaceChildren(drawn);
  if (focused) [...table.querySelectorAll("a")].find((link) => link.href === focused)?.focus();
}

let shown = "";

async function refresh() {
  if (document.hidden && shown) return;
  let answer;
  try {
    answer = await fetch(address);
  } catch {
    return lost("");
  }
  if (!answer.ok) return lost("");
  found();
  const text = await answer.text();
  if (text !== shown) undisturbed(() => draw(JSON.parse(text)));
  shown = text;
}

async function loop() {
  await refresh();
  setTimeout(loop, PAUSE);
}

document.addEventListener("visibilitychange", refresh);
loop();
