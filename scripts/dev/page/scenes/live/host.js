// The owner's tools: status, notice, and who may write or stay.
import { button, element, patch, set } from "../../dom.js";

const muteSeconds = 120;

// Where a room can go from each status.
const ways = {
  waiting: [["Go live", "live"]],
  live: [["Pause", "paused"], ["End", "ended"]],
  paused: [["Go live", "live"], ["End", "ended"]],
  ended: [["Replay", "replay"]],
  replay: [["End replay", "ended"]],
};

// openHost returns {nodes, show(room, restrictions)}: what the owner of a room
// does, in his own name.
export function openHost(world, room) {
  const [owner] = world.users;
  const viewers = new Set(); // who is or was in the room
  const paying = new Set(); // who is a paid member
  let now;
  const changed = () => document.dispatchEvent(new Event("changed"));

  const status = element("span", { className: "pill" });
  const moves = element("span", { className: "acts" });
  const notice = element("input", { maxLength: 300, autocomplete: "off" });
  const form = element("form", { className: "row" }, element("label", {}, "Notice", notice));
  const save = button("Save", async () => {
    await room.setNotice(owner, notice.value.trim(), now ?? (await room.get()));
    notice.dirty = false;
    changed();
  }, { "aria-label": "Save the notice" });
  form.append(save);
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    save.click();
  });
  notice.addEventListener("input", () => (notice.dirty = true));

  const people = element("ul", { className: "people", "aria-label": "Viewers" });
  const act = (label, what, body) => ({ label, do: () => room.restrict(owner, what, body).then(changed) });

  const nobody = element("p", { className: "empty" }, "Whoever enters the room appears here.");
  // A server of the app says who has paid; it counts for the level.
  async function enroll(user) {
    const level = paying.has(user) ? 0 : 1;
    await room.member(user, level);
    if (level) paying.add(user);
    else paying.delete(user);
    changed();
  }

  return {
    nodes: [
      element("h2", {}, `${owner}'s room `, status), moves, form,
      element("h2", {}, "Viewers"), people, nobody,
    ],
    show(is, restrictions, members) {
      now = is;
      const online = new Set(members.map((m) => m.userId));
      for (const user of [...online, ...restrictions.map((r) => r.userId)]) if (user && user !== owner) viewers.add(user);
      set(status, "textContent", is.status);
      patch(moves, ways[is.status] ?? [], ([label]) => label, ([label, to]) => button(label, async () => {
        await room.setStatus(owner, to, now.version);
        changed();
      }));
      if (!notice.dirty && document.activeElement !== notice) set(notice, "value", is.notice ?? "");
      set(nobody, "hidden", viewers.size > 0);
      patch(people, [...viewers].sort(), (u) => u, (u) => {
        const parts = { state: element("span", { className: "soft" }), acts: element("span", { className: "acts" }) };
        return Object.assign(element("li", { className: "line" }, element("b", {}, u), parts.state, parts.acts), { parts });
      }, ({ parts }, u) => {
        const has = (kind) => restrictions.some((r) => r.userId === u && r.kind === kind);
        const states = [has("kick") ? "kicked" : !online.has(u) && "away", has("mute") && "muted", paying.has(u) && "member"];
        set(parts.state, "textContent", states.filter(Boolean).join(", "));
        const acts = has("kick") ? [act("Let back", "unkick", { userId: u })] : [
          has("mute") ? act("Unmute", "unmute", { userId: u }) : act("Mute", "mute", { userId: u, seconds: muteSeconds, reason: "by the owner" }),
          act("Kick", "kick", { userId: u, seconds: 3600, reason: "by the owner" }),
          { label: paying.has(u) ? "End membership of" : "Make member", short: paying.has(u) ? "End membership" : "Member", do: () => enroll(u) },
        ];
        patch(parts.acts, acts, (a) => a.label, (a) => button(a.short ?? a.label, a.do, { "aria-label": `${a.label} ${u}` }));
      });
    },
  };
}
