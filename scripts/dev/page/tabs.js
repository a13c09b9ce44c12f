// A list of tabs that works with a mouse, a finger and the arrow keys.
import { element, icon, set } from "./dom.js";

// openTabs fills list with tabs {id, label, panel, icon}, and calls choose(id)
// when one is chosen.
export function openTabs(list, tabs, choose) {
  const nodes = tabs.map(({ id, label, panel, icon: shape }) => {
    const node = element("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": panel, "aria-selected": "false", tabIndex: -1 });
    if (shape) node.append(icon(shape));
    node.append(element("span", {}, label));
    if (shape) node.append(element("span", { className: "badge", hidden: true }));
    node.addEventListener("click", () => select(id));
    node.addEventListener("keydown", (e) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
      if (!step) return;
      const shown = nodes.filter((n) => n.offsetParent);
      const next = shown[(shown.indexOf(node) + step + shown.length) % shown.length];
      next.focus();
      next.click();
    });
    return node;
  });
  list.append(...nodes);

  function select(id) {
    nodes.forEach((node, i) => {
      const selected = tabs[i].id === id;
      node.setAttribute("aria-selected", selected);
      node.tabIndex = selected ? 0 : -1;
      if (selected) node.scrollIntoView?.({ block: "nearest", inline: "nearest" });
    });
    choose(id);
  }

  return {
    choose: select,
    // badge shows a number at a tab; 0 none. about says what is counted.
    badge(id, number, about) {
      const badge = nodes[tabs.findIndex((t) => t.id === id)].querySelector(".badge");
      set(badge, "hidden", !number);
      set(badge, "textContent", number ? String(number) : "");
      set(badge, "title", number ? `${number} ${about}` : "");
    },
  };
}
