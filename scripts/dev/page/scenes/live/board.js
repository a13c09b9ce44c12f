// The leaderboard of a room: its most active users.
import { element, patch, set } from "../../dom.js";

export function openBoard(stage) {
  const totals = element("p", { className: "soft" });
  const list = element("ol", { className: "board", "aria-label": "Most active users" });
  const none = element("p", { className: "empty" }, "Whoever writes, likes or gives appears here.");
  stage.pane("Board", element("section", { className: "tool", "aria-label": "Leaderboard" }, element("h2", {}, "Leaderboard"), totals, list, none));
  return {
    show(stats) {
      set(totals, "textContent", `${stats.messages} messages counted`);
      patch(list, stats.users.slice(0, 10), (u) => u.userID, (u) => {
        const parts = { level: element("span", { className: "level" }), score: element("span", { className: "score" }) };
        return Object.assign(element("li", {}, parts.level, element("b", {}, u.userID), parts.score), { parts });
      }, ({ parts }, u) => {
        set(parts.level, "hidden", u.level == null);
        set(parts.level, "textContent", `Lv ${u.level}`);
        set(parts.score, "textContent", [[u.messages, "messages"], [u.gifts, "gifts"], [u.likes, "likes"]].filter(([n]) => n).map(([n, what]) => `${n} ${what}`).join(" · "));
      });
      set(none, "hidden", stats.users.length > 0);
    },
  };
}
