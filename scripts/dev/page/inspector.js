// The inspector: what the backend makes of what happens on the stage.
import { byId, element } from "./dom.js";
import { openTabs } from "./tabs.js";
import { callbacks } from "./inspector/callbacks.js";
import { chaos } from "./inspector/chaos.js";
import { jobs } from "./inspector/jobs.js";
import { reviews } from "./inspector/reviews.js";
import { state } from "./inspector/state.js";

const views = [callbacks, state, jobs, reviews, chaos];

// openInspector fills the inspector. Each view has a panel, may show a number at
// its tab, and is read again while it is seen, for its number always.
export function openInspector(world) {
  let scene, chosen;
  const tools = { world, scene: () => scene, badge: (id, n, about) => tabs.badge(id, n, about) };
  const tabs = openTabs(byId("views"), [{ id: "stage", label: "Stage", panel: "stage", icon: "stage" }, ...views.map((v) => ({ id: v.id, label: v.title, panel: `panel-${v.id}`, icon: v.id }))], (id) => {
    document.body.dataset.view = id === "stage" ? "stage" : "inspector";
    if (id === "stage") return;
    chosen = id;
    for (const p of panels) p.node.hidden = p.id !== id;
    panels.find((p) => p.id === id).refresh?.();
  });
  const panels = views.map((v) => {
    const node = element("section", { role: "tabpanel", id: `panel-${v.id}`, "aria-labelledby": `tab-${v.id}`, className: "panel", hidden: true });
    return { id: v.id, node, ...v.open(node, tools) };
  });
  byId("inspector").append(...panels.map((p) => p.node));
  tabs.choose(callbacks.id);
  if (matchMedia("(max-width: 59.99rem)").matches) tabs.choose("stage");
  byId("panes").addEventListener("callback", (e) => {
    tabs.choose(callbacks.id);
    panels[0].reveal(e.detail);
  });
  byId("inspector").addEventListener("stage", () => matchMedia("(max-width: 59.99rem)").matches && tabs.choose("stage"));
  return {
    shows(running) {
      scene = running;
    },
    refresh: () => Promise.allSettled(panels.map((p) => p.refresh?.(p.id === chosen))),
  };
}
