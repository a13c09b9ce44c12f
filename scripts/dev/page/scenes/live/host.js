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
  const [owner, ...others] = world.users;
  let now;
  const changed = () => document.dispatchEvent(new Event("changed"));

  const status = element("span", { className: "pill" });
  const moves = element("span", { className: "acts" });
  const notice = element("input", { maxLength: 300, autocomplete: "off" });
  const form = element("form", { className: "row" }, element("label", {}, "Notice", notice));
  const save = button("Save", async () => {
    await room.setNotice(owner, notice.value.trim(), now);
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

  return {
    nodes: [
      element("h2", {}, `${owner}'s room `, status), moves, form,
      element("h2", {}, "Viewers"), people,
    ],
    show(is, restrictions) {
      now = is;
      set(status, "textContent", is.status);
      patch(moves, ways[is.status] ?? [], ([label]) => label, ([label, to]) => button(label, async () => {
        await room.setStatus(owner, to, now.version);
        changed();
      }));
      if (!notice.dirty && document.activeElement !== notice) set(notice, "value", is.notice ?? "");
      patch(people, others, (u) => u, (u) => {
        const parts = { state: element("span", { className: "soft" }), acts: element("span", { className: "acts" }) };
        return Object.assign(element("li", { className: "line" }, element("b", {}, u), parts.state, parts.acts), { parts });
      }, ({ parts }, u) => {
        const has = (kind) => restrictions.some((r) => r.userId === u && r.kind === kind);
        set(parts.state, "textContent", has("kick") ? "kicked" : has("mute") ? "muted" : "");
        const acts = has("kick") ? [act("Let back", "unkick", { userId: u })] : [
          has("mute") ? act("Unmute", "unmute", { userId: u }) : act("Mute", "mute", { userId: u, seconds: muteSeconds, reason: "by the owner" }),
          act("Kick", "kick", { userId: u, seconds: 3600, reason: "by the owner" }),
        ];
        patch(parts.acts, acts, (a) => a.label, (a) => button(a.label, a.do, { "aria-label": `${a.label} ${u}` }));
      });
    },
  };
}
