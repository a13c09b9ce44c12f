// The panel of callbacks, fed by the bundle's own observer.
import { byId, call, element, tell } from "./dom.js";

const shown = 200;
const list = byId("callbacks");
let newest = 0;

// watchCallbacks shows callbacks as they happen and calls changed after each.
export function watchCallbacks(changed) {
  const events = new EventSource("dev/callbacks");
  events.onopen = () => {
    newest = 0;
    list.replaceChildren();
    tell("live");
  };
  events.onerror = () => tell("lost the bundle, trying again");
  events.onmessage = (message) => {
    show(JSON.parse(message.data));
    changed();
  };
}

function show(entry) {
  if (entry.id <= newest) return;
  newest = entry.id;
  const refused = !["allow", "ok"].includes(entry.verdict);
  const replay = element("button", { type: "button", textContent: "Replay" });
  replay.setAttribute("aria-label", `Replay ${entry.command}`);
  replay.addEventListener("click", () => call("POST", `dev/callbacks/${entry.id}/replay`, {}).catch((e) => tell(e.message)));
  const details = element("details", {},
    element("summary", {},
      element("span", { className: "command", textContent: entry.command || "(none)" }),
      element("span", { className: refused ? "verdict refused" : "verdict", textContent: entry.verdict }),
      element("span", { className: "millis", textContent: `${entry.millis.toFixed(1)} ms` }),
      element("time", { className: "when", textContent: new Date(entry.at).toLocaleTimeString() })),
    element("h3", { textContent: "request" }),
    element("pre", { textContent: JSON.stringify(entry.request, null, 2) }),
    element("h3", { textContent: "answer" }),
    element("pre", { textContent: JSON.stringify(entry.response, null, 2) }),
    replay);
  list.prepend(element("li", {}, details));
  while (list.children.length > shown) list.lastChild.remove();
}
