// A live room: what viewers see, and the owner's tools.
import { element, set } from "../dom.js";
import { hub, placeKey } from "../hub.js";
import { counters } from "./counters.js";
import { openBoard } from "./live/board.js";
import { openGifts, shapeOf } from "./live/gifts.js";
import { openHost } from "./live/host.js";
import { openLottery } from "./live/lottery.js";
import { openAnchor, openMore } from "./live/more.js";
import { Player } from "./live/player.js";
import { openRoom } from "./live/room.js";
import { read, sentence } from "./live/wire.js";

export const live = {
  id: "live",
  title: "Live room",
  about: "A live room (AVChatRoom): anybody may enter, nothing is stored, and above 40 messages a second IM drops the least important ones.",
  steps: ["Press join my casino now: it is refused.", "Go live.", "As bob, like, and give roses in a row.", "Switch on Chaos: all still counts once."],
  open(stage) {
    const room = openRoom(stage.world.groups.live);
    const levels = new Map(); // by user
    const host = openHost(stage.world, room), board = openBoard(), lottery = openLottery(stage.world, room), more = openMore(room);
    const told = ({ event, data }) => event === "lottery" && lottery.heard(data);
    const viewers = stage.world.users.slice(0, 2).map((user) => openViewer(stage, user, room, levels, told));
    stage.pane("Host", element("section", { className: "tool", "aria-label": "Host" }, host.nodes, board.nodes, lottery.nodes, more.nodes));

    async function refresh() {
      const stats = await room.stats();
      for (const u of stats.users) levels.set(u.userID, u.level);
      board.show(stats);
      more.show(stats);
      const [is, { restrictions }, { members }] = await Promise.all([room.get(), room.restrictions(), room.members()]);
      host.show(is, restrictions, members);
      for (const v of viewers) v.show(is, stats);
      await Promise.all([lottery.refresh(), more.refresh(), ...viewers.map((v) => v.refresh())]);
    }
    return {
      refresh,
      close: () => viewers.forEach((v) => v.close()),
      state: async () => {
        const counted = await counters(room.id);
        const [is, { restrictions }] = await Promise.all([room.get(), room.restrictions()]).catch(() => [undefined, {}]);
        if (!is) return counted;
        return [
          ...counted,
          { title: `Room ${is.roomId}`, figures: { status: is.status, version: is.version, owner: is.owner, notice: is.notice } },
          ...(restrictions.length ? [{ title: "Restrictions", rows: restrictions.map((r) => ({ user: r.userId ?? "everybody", kind: r.kind, until: r.until, by: r.by })) }] : []),
        ];
      },
    };
  },
};

// openViewer opens a window with a player. told hears what the room is told.
function openViewer(stage, first, room, levels, told) {
  const place = { groupId: room.id };
  const player = new Player();
  const notice = element("p", { className: "notice", hidden: true });
  let chat;
  const gifts = openGifts(room, player, () => chat?.user ?? first, (draft) => chat.say(draft));
  const anchor = openAnchor(room, stage.world.users[0], () => chat?.user ?? first);
  chat = stage.chat({
    user: first,
    rooms: [room.id],
    place: () => place,
    top: element("div", {}, player.node, notice, anchor.node),
    tools: gifts.node,
    badge: (user) => (levels.get(user) ? `Lv ${levels.get(user)}` : ""),
    look,
  });

  // What comes in flies over the player, once.
  const flown = new Set(hub.items(first, placeKey(place)).map((i) => i.id));
  const onItems = ({ detail }) => {
    if (detail.user !== chat.user || detail.place !== placeKey(place)) return;
    for (const item of detail.items) {
      if (item.note || flown.has(item.id) || ["sending", "refused", "unsent"].includes(item.state)) continue;
      flown.add(item.id);
      const what = read(item);
      if (!what && item.text) player.fly(item.text, item.mine);
      if (what?.kind === "like" && !item.mine) player.like(what.count);
      if (what?.kind === "gift" && !what.orders.every((o) => gifts.gave(o))) {
        player.gift({ key: `${item.from} ${what.combo ?? what.name}`, from: item.from, shape: shapeOf(what.name), ...what });
      }
      if (what?.kind === "event") told(what);
    }
  };
  hub.addEventListener("items", onItems);
  return {
    show(is, stats) {
      player.figures({ status: is.status, online: stats.online, likes: stats.likes });
      set(notice, "textContent", is.notice ?? "");
      set(notice, "hidden", !is.notice);
      chat.draw();
    },
    refresh: () => Promise.all([gifts.refresh(), anchor.refresh()]),
    close: () => hub.removeEventListener("items", onItems),
  };
}

// look says what the chat shows of a message that is no text: a node, null for
// nothing, and undefined for a text.
function look(item) {
  const what = read(item);
  if (!what) return undefined;
  if (what.kind === "like") return ["refused", "unsent"].includes(item.state) ? element("span", {}, "a like") : null;
  if (what.kind === "gift") return element("span", { className: "gave" }, `sent ${what.name} ×${what.count}`);
  const text = sentence(what);
  return text ? element("span", { className: "told" }, text) : null;
}
