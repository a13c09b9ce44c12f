// Moderation: what users see, and what moderators decide about it.
import { button, call, clock, element, patch, set } from "../dom.js";
import { hub } from "../hub.js";
import { openReviews } from "../reviews.js";
import { counters } from "./counters.js";

export const moderation = {
  id: "moderation",
  title: "Moderation",
  about: "Every message gets a verdict before it is delivered. Some wait for a moderator; who breaks the rules is warned, muted and banned.",
  steps: ["Press a sentence and see its verdict.", "Approve or reject what waits.", "Give bob strikes until he is muted, then banned.", "Forgive him."],
  open(stage) {
    const group = stage.world.groups.team;
    for (const user of stage.world.users.slice(0, 2)) {
      stage.chat({ user, place: () => ({ groupId: group }), sayings: ["Hello everyone", "join my casino now", "buy followers", "add me on telegram", "what a bullshit"] });
    }
    const waiting = openReviews();
    const people = element("ul", { className: "people", "aria-label": "Users and their strikes" });
    const trail = element("ol", { className: "trail", "aria-label": "Trail" });
    const none = element("p", { className: "empty" }, "Nobody has decided anything yet.");
    stage.pane("Moderator", element("section", { className: "tool", "aria-label": "Moderator" },
      element("h2", {}, "Waiting"), waiting.node, element("h2", {}, "Strikes"), people, element("h2", {}, "Trail"), trail, none));

    let all = [];
    async function refresh() {
      const [, strikes, { entries }] = await Promise.all([
        waiting.refresh(),
        Promise.all(stage.world.users.map((u) => call("GET", `dev/moderation/strikes/${u}`))),
        call("GET", "dev/moderation/trail?limit=30"),
      ]);
      all = strikes;
      patch(people, strikes, (s) => s.userId, person, renew);
      patch(trail, entries, (e) => e.id, (e) => element("li", {},
        element("time", {}, clock(e.at)), " ", element("b", {}, e.what), e.userId ? ` · ${e.userId}` : "", ` · by ${e.by || "a rule"}`, e.note ? ` · ${e.note}` : ""));
      set(none, "hidden", entries.length > 0);
      // Whom a moderator forgave may log in again.
      for (const s of strikes) {
        if (s.suffers !== "banned" && hub.users.get(s.userId)?.presence === "banned") await hub.ask("login", s.userId);
      }
    }

    function person(s) {
      const at = `dev/moderation/strikes/${s.userId}`;
      const strike = (label, weight) => button(label, async () => {
        await call("POST", at, { weight, reason: "by a moderator on the page" }, { "Idempotency-Key": crypto.randomUUID() });
        await refresh();
      }, { "aria-label": `${label}, ${s.userId}` });
      const parts = {
        text: element("span", { className: "pill" }),
        forgive: button("Forgive", () => call("POST", `${at}/forgive`, { reason: "by a moderator on the page" }).then(refresh), { "aria-label": `Forgive ${s.userId}` }),
      };
      return Object.assign(element("li", { className: "card" }, element("b", {}, s.userId), " ", parts.text,
        element("p", { className: "acts" }, strike("Strike", 1), strike("3 strikes", 3), parts.forgive)), { parts });
    }

    function renew({ parts }, s) {
      const until = s.until ? ` until ${new Date(s.until).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" })}` : "";
      const suffers = s.suffers ? `, ${s.suffers}${until}` : "";
      set(parts.text, "textContent", `${s.points} ${s.points === 1 ? "point" : "points"}${suffers}`);
      parts.text.classList.toggle("bad", suffers !== "");
      set(parts.forgive, "disabled", !s.points && !suffers);
    }

    return {
      refresh,
      state: async () => [
        ...(await counters(group)),
        ...all.filter((s) => s.strikes?.length).map((s) => ({
          title: `Strikes of ${s.userId}`, figures: { points: s.points, suffers: s.suffers },
          rows: s.strikes.map((x) => ({ at: clock(x.at), points: x.points, by: x.by, reason: x.reason, forgiven: x.forgiven ? "yes" : "" })),
        })),
      ],
    };
  },
};
