const list = document.getElementById("list");
const empty = document.getElementById("empty");
const state = document.getElementById("state");
const room = document.getElementById("room");
const shown = 200;
let newest = 0;

function element(tag, text, name) {
  const e = document.createElement(tag);
  e.textContent = text;
  if (name) e.className = name;
  return e;
}

function show(entry) {
  if (entry.id <= newest) return;
  newest = entry.id;
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const refused = !["allow", "ok"].includes(entry.verdict);
  summary.append(
    element("span", entry.command || "(none)", "command"),
    element("span", entry.verdict, refused ? "verdict refused" : "verdict"),
    element("span", `${entry.millis.toFixed(1)} ms`, "millis"),
    element("time", new Date(entry.at).toLocaleTimeString(), "when"),
  );
  details.append(
    summary,
    element("h3", "request"), element("pre", JSON.stringify(entry.request, null, 2)),
    element("h3", "answer"), element("pre", JSON.stringify(entry.response, null, 2)),
  );
  const item = document.createElement("li");
  item.append(details);
  list.prepend(item);
  while (list.children.length > shown) list.lastChild.remove();
  empty.hidden = true;
  refreshRoom();
}

let refreshing;
function refreshRoom() {
  clearTimeout(refreshing);
  refreshing = setTimeout(async () => {
    const answer = await fetch("dev/rooms/lobby/stats");
    room.textContent = JSON.stringify(await answer.json(), null, 2);
  }, 100);
}

function post(path, body) {
  return fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

for (const button of document.querySelectorAll("[data-send]")) {
  button.addEventListener("click", () => post("dev/trigger", { text: button.dataset.send }));
}
document.querySelector("[data-deliver]").addEventListener("click", () => post("dev/trigger", { delivered: true }));

const events = new EventSource("dev/callbacks");
events.onopen = () => { newest = 0; list.replaceChildren(); state.textContent = "live"; };
events.onerror = () => { state.textContent = "lost the bundle, trying again"; };
events.onmessage = (message) => show(JSON.parse(message.data));
refreshRoom();
