// A live room: what viewers see, and the owner's tools.
import { call, element, onClick, set } from "../dom.js";
import { hub, placeKey } from "../hub.js";
import { counters } from "./counters.js";
import { openBoard } from "./live/board.js";
import { Player } from "./live/player.js";
import { like, read, sentence } from "./live/wire.js";
import { icon } from "../dom.js";

export const live = {
  id: "live",
  title: "Live room",
  about: "A live room (AVChatRoom): anybody may enter, nothing is stored, and above 40 messages a second IM drops the least important ones.",
  steps: ["Press join my casino now in alice's window: it is refused.", "On the right, see the callback and why.", "Send likes, and say hello as bob.", "Switch on Chaos: everything still counts once."],
  open(stage) {
    const groupId = stage.world.groups.live;
    const place = { groupId };
    const levels = new Map();
    const windows = [];
    for (const user of stage.world.users.slice(0, 2)) windows.push(openViewer(stage, user, { place, levels }));
    const board = openBoard(stage);

    async function refresh() {
      const stats = await call("GET", `dev/rooms/${encodeURIComponent(groupId)}/stats`);
      for (const u of stats.users) if (u.level != null) levels.set(u.userID, u.level);
      for (const w of windows) w.player.figures(stats);
      board.show(stats);
      for (const w of windows) w.chat.draw();
    }
    return { refresh, state: () => counters(groupId), close: () => windows.forEach((w) => w.close()) };
  },
};

function openViewer(stage, first, { place, levels }) {
  const player = new Player();
  const heart = element("button", { type: "button", className: "like" }, icon("heart"), "Like");
  const tools = element("div", { className: "giftbar" }, heart);
  const chat = stage.chat({
    user: first,
    rooms: [place.groupId],
    place: () => place,
    top: player.node,
    tools,
    badge: (user) => (levels.get(user) == null ? "" : `Lv ${levels.get(user)}`),
    look,
  });

  // Likes in a row are one message.
  let taps = 0, sending;
  heart.addEventListener("click", () => {
    taps++;
    player.like(1);
    sending ??= setTimeout(() => {
      chat.say({ body: like(Math.min(taps, 20)), priority: "Low" });
      taps = 0;
      sending = undefined;
    }, 400);
  });

  // What comes in flies over the player, once.
  const flown = new Set(hub.items(first, placeKey(place)).map((i) => i.id));
  const onItems = ({ detail }) => {
    if (detail.user !== chat.user || detail.place !== placeKey(place)) return;
    for (const item of detail.items) {
      if (item.note || flown.has(item.id) || item.state === "sending" || ["refused", "unsent"].includes(item.state)) continue;
      flown.add(item.id);
      const what = read(item);
      if (!what && item.text) player.fly(item.text, item.mine);
      if (what?.kind === "like" && !item.mine) player.like(what.count);
      if (what?.kind === "gift") player.gift({ from: item.from, shape: "gift", ...what });
    }
  };
  hub.addEventListener("items", onItems);
  return { chat, player, close: () => hub.removeEventListener("items", onItems) };
}

// look says what the chat shows of a message that is no text.
function look(item) {
  const what = read(item);
  if (!what) return undefined;
  if (what.kind === "like") return item.state === "refused" || item.state === "unsent" ? element("span", {}, "a like") : null;
  if (what.kind === "gift") return element("span", { className: "gave" }, `sent ${what.name} ×${what.count}`);
  const text = sentence(what);
  return text ? element("span", { className: "told" }, text) : null;
}
