// The page of one run: carries the messages of the view over a websocket, which is made anew when it breaks.
import { mount } from "./view.js";
import { lost, found } from "./connection.js";

const view = document.getElementById("view");
const address = new URL(`../socket/${view.dataset.key}`, import.meta.url);
address.protocol = "ws:";

const listeners = [];
// What a new view on the server must be told to show what this page shows: the last message of each kind.
const asked = new Map();
let waiting = [];
let socket = null;
let pause = 500;

function connect() {
  socket = new WebSocket(address);
  socket.onopen = () => {
    pause = 500;
    found();
    for (const message of [...asked.values(), ...waiting]) socket.send(JSON.stringify(message));
    waiting = [];
  };
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    for (const listener of listeners) listener(message);
  };
  socket.onclose = async (event) => {
    await lost(event.reason);
    setTimeout(connect, pause);
    pause = Math.min(pause * 2, 5000);
  };
}

function send(message) {
  if (message.type === "close") asked.delete("open");
  else if (message.type !== "do") asked.set(message.type, message);
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  else if (message.type === "do") fail(message);
}

// A change is not sent later: who has clicked would not expect it any more.
function fail(message) {
  const text = "Not done: there is no connection to the server.";
  for (const listener of listeners) listener({ type: "error", request: message.request, text });
}

connect();
mount(view, {
  send,
  onMessage: (listener) => listeners.push(listener),
  isLive: true,
  mayChange: view.dataset.mayChange === "true",
});
