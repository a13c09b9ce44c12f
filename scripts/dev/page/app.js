// The page of scripts/dev: a stage with what end users see of one scenario, and
// an inspector beside it with what the backend makes of it.
import { byId, call, set } from "./dom.js";
import { hub } from "./hub.js";
import { openInspector } from "./inspector.js";
import { openStage } from "./stage.js";
import { openTabs } from "./tabs.js";
import { community } from "./scenes/community.js";
import { desk } from "./scenes/desk.js";
import { direct } from "./scenes/direct.js";
import { game } from "./scenes/game.js";
import { live } from "./scenes/live.js";
import { moderation } from "./scenes/moderation.js";
import { shop } from "./scenes/shop.js";
import { team } from "./scenes/team.js";

const scenes = [live, team, game, community, direct, desk, moderation, shop];
const calm = 150; // milliseconds after a callback, when what follows from it has settled
const often = 4000; // milliseconds

const world = await call("GET", "dev/scene");
const stage = openStage(world);
const inspector = openInspector(world);

let current;
const tabs = openTabs(byId("scenes"), scenes.map((s) => ({ id: s.id, label: s.title, panel: "stage" })), (id) => {
  history.replaceState(null, "", `#${id}`);
  current = stage.show(scenes.find((s) => s.id === id));
  inspector.shows(current);
  refresh();
});

// refresh reads again what the stage and the inspector show, one time after the
// other. A hidden page asks for nothing.
let waiting, running;
function refresh() {
  clearTimeout(waiting);
  waiting = setTimeout(async () => {
    if (running) return refresh();
    running = true;
    if (!document.hidden && hub.backend === "live") await Promise.allSettled([current.refresh?.(), inspector.refresh()]);
    running = false;
  }, calm);
}
hub.addEventListener("callbacks", refresh);
setInterval(refresh, often);
document.addEventListener("visibilitychange", refresh);
document.addEventListener("changed", refresh); // by something that was done here

const said = { live: "live", lost: "lost the bundle, trying again", connecting: "connecting" };
const tell = () => {
  set(byId("backend"), "textContent", said[hub.backend]);
  byId("backend").dataset.is = hub.backend;
  refresh();
};
hub.addEventListener("backend", tell);
tell();

const fold = byId("fold");
fold.addEventListener("click", () => {
  const open = fold.getAttribute("aria-expanded") !== "true";
  fold.setAttribute("aria-expanded", open);
  document.body.classList.toggle("folded", !open);
});

tabs.choose(scenes.some((s) => s.id === location.hash.slice(1)) ? location.hash.slice(1) : live.id);
