// What the backend keeps about the scene.
import { element, patch, set } from "../dom.js";

export const state = {
  id: "state",
  title: "State",
  open(panel, { scene }) {
    const sections = element("div", { className: "sections" });
    const empty = element("p", { className: "empty" }, "Nothing is kept about this scene yet.");
    panel.append(sections, empty);
    return {
      async refresh(seen = true) {
        if (!seen) return;
        const list = (await scene()?.state?.()) ?? [];
        patch(sections, list, (s) => `${scene().id} ${s.title}`, section, (node, s) => node.renew(s));
        set(empty, "hidden", list.length > 0);
      },
    };
  },
};

// A section has figures ({name: value}) and a table ([{name: value}]), or text.
function section({ title }) {
  const figures = element("dl"), head = element("thead"), body = element("tbody"), text = element("p");
  const table = element("table", {}, head, body);
  const node = element("section", { "aria-label": title }, element("h2", {}, title), figures, table, text);
  node.renew = ({ figures: f = {}, rows = [], text: t = "" }) => {
    const cells = Object.entries(f).filter(([, v]) => v !== null && v !== undefined && v !== "").flatMap(([k, v]) => [["dt", k, k], ["dd", k, v]]);
    patch(figures, cells, ([tag, k]) => `${tag} ${k}`, ([tag]) => element(tag), (n, [, , v]) => set(n, "textContent", String(v)));
    const columns = Object.keys(rows[0] ?? {}).filter((c) => rows.some((r) => r[c] !== null && r[c] !== undefined));
    patch(head, columns.length ? [columns] : [], (c) => c.join("\n"), (c) => element("tr", {}, ...c.map((name) => element("th", { scope: "col" }, name))));
    patch(body, rows, (r) => `${r[columns[0]]}\n${columns}`, () => element("tr", {}, ...columns.map((_, i) => element(i ? "td" : "th", i ? {} : { scope: "row" }))),
      (n, r) => columns.forEach((c, i) => set(n.children[i], "textContent", String(r[c] ?? ""))));
    set(table, "hidden", !rows.length);
    set(text, "textContent", t);
    set(text, "hidden", !t);
  };
  return node;
}
