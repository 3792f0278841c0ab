// Makes elements. No inline styles as text: a strict Content-Security-Policy refuses these.
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

// Replaces the children only if what they show has changed: focus and text selections stay.
export function fill(node, key, make) {
  const text = JSON.stringify(key);
  if (node.shownKey === text) return;
  node.shownKey = text;
  node.replaceChildren(...[make()].flat().filter(Boolean));
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Whether the mouse is on the scrollbar of what it is over.
function isOnScrollbar({ target, offsetX, offsetY }) {
  const scrolls = target.scrollHeight > target.clientHeight || target.scrollWidth > target.clientWidth;
  return scrolls && target.clientWidth > 0 && (offsetX >= target.clientWidth || offsetY >= target.clientHeight);
}

// Returns a function that acts at once, or, while the mouse is pressed in the element, right after the click: what is
// replaced between press and release gets none. A release that nobody sees is waited for no longer than half a minute.
export function betweenClicks(element) {
  let waiting = null;
  let timer = 0;
  const act = () => {
    const acts = waiting || [];
    waiting = null;
    for (const one of acts) queueMicrotask(one); // whatever is wrong with one, the others act
  };
  const actIn = (pause) => {
    clearTimeout(timer);
    timer = setTimeout(act, pause);
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return; // a menu may open, and take the release
    if (isOnScrollbar(event)) return; // what is scrolled to is to be seen meanwhile
    waiting = waiting || [];
    for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, () => actIn(0), { once: true, capture: true });
    actIn(30000);
  });
  return (one) => { if (waiting) waiting.push(one); else one(); };
}

// "light" or "dark": as JupyterLab says, else as the system does; calls `changed` when it changes.
export function watchTheme(changed) {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const theme = () => {
    const jupyter = document.body.dataset.jpThemeLight;
    if (jupyter !== undefined) return jupyter === "false" ? "dark" : "light";
    const code = document.body.dataset.vscodeThemeKind || "";
    if (code) return code.includes("dark") || code === "vscode-high-contrast" ? "dark" : "light";
    return system.matches ? "dark" : "light";
  };
  const tell = () => changed(theme());
  const observer = new MutationObserver(tell);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-vscode-theme-kind"] });
  system.addEventListener("change", tell);
  tell();
  return () => {
    observer.disconnect();
    system.removeEventListener("change", tell);
  };
}

export function cssColor(node, name) {
  return getComputedStyle(node).getPropertyValue(name).trim();
}
