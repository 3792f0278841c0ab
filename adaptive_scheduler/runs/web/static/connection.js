// Says at the top of the page that the server is away, and why as far as a browser can tell.
const bar = document.getElementById("connection");
const index = new URL("../runs.json", import.meta.url);

export function found() {
  bar.hidden = true;
}

export async function lost(reason) {
  const text = reason ? `The server has closed the connection: ${reason}.` : await why();
  if (bar.textContent !== text) bar.textContent = text;
  bar.hidden = false;
}

async function why() {
  let answer;
  try {
    answer = await fetch(index);
  } catch {
    return "No connection: the server has ended, or the ssh tunnel is closed. What is shown is old. Trying again …";
  }
  if (answer.status === 403) return "The server was started again: open the link that it has printed. What is shown is old.";
  return "The connection was lost. Trying again …";
}
