// Draws one run. What is shown is decided in Python; this file only lays it out.
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// host: {send(message), onMessage(listener), isLive, mayChange}; returns a function that removes the view.
export function mount(element, host) {
  const sentence = el("p", { class: "as-sentence", role: "status", "aria-live": "polite" }, "Loading…");
  const phases = el("ul", { class: "as-phases" });
  const root = el("section", { class: "adaptive-scheduler", "aria-label": "Run" }, sentence, phases);
  element.append(root);
  host.onMessage((message) => {
    if (message.type !== "summary") return;
    sentence.textContent = message.sentence;
    phases.replaceChildren(...message.phases.map((one) => el("li", {}, `${one.count} ${one.label}`)));
  });
  host.send({ type: "hello" });
  return () => root.remove();
}
