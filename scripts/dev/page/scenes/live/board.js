// The leaderboard of a room: its most active users.
import { element, patch, set } from "../../dom.js";

export function openBoard() {
  const list = element("ol", { className: "board", "aria-label": "Most active users" });
  const none = element("p", { className: "empty" }, "Whoever writes, likes or gives appears here.");
  return {
    nodes: [element("h2", {}, "Leaderboard"), list, none],
    show(stats) {
      patch(list, stats.users.slice(0, 5), (u) => u.userID, (u) => {
        const parts = { level: element("span", { className: "level" }), score: element("span", { className: "score" }) };
        return Object.assign(element("li", {}, parts.level, element("b", {}, u.userID), parts.score), { parts });
      }, ({ parts }, u) => {
        set(parts.level, "hidden", !u.level);
        set(parts.level, "textContent", `Lv ${u.level}`);
        const figures = [[u.messages, "message"], [u.gifts, "gift"], [u.likes, "like"]].filter(([n]) => n);
        set(parts.score, "textContent", figures.map(([n, what]) => `${n} ${what}${n === 1 ? "" : "s"}`).join(" · "));
      });
      set(none, "hidden", stats.users.length > 0);
    },
  };
}
