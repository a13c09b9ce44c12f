// The custom messages of a live room: likes and gifts in the plug-in's format,
// and what the backend tells the room.

const plugin = "flutter_live_kit";

// read returns {kind: "like", count}, {kind: "gift", ...}, {kind: "event", event,
// data}, or undefined for what is neither.
export function read(item) {
  const custom = item.body?.find((e) => e.MsgType === "TIMCustomElem");
  if (!custom) return undefined;
  let content;
  try {
    content = JSON.parse(custom.MsgContent.Data);
  } catch {
    return undefined;
  }
  if (content.businessID === "backchannel") return { kind: "event", event: content.event, data: content.data ?? {} };
  if (content.businessID !== plugin) return undefined;
  const { cmd, cmdInfo: info = {} } = content.data ?? {};
  if (cmd === "thumbs_up") return { kind: "like", count: Math.min(Math.max(info.count ?? 1, 1), 20) };
  if (cmd === "send_gift_message") {
    const { orders = [], combo, total } = markOf(item);
    return { kind: "gift", name: info.giftName ?? "gift", count: info.giftCount ?? 1, orders, combo, total };
  }
  return undefined;
}

// markOf is what the backend writes beside its own gift messages: the orders that
// a message shows, and the combo that it is part of.
function markOf({ custom, byRest }) {
  if (!custom || !byRest) return {};
  try {
    return JSON.parse(custom).backchannel ?? {};
  } catch {
    return {};
  }
}

// like is the body of a like, of several at once.
export const like = (count) => [{
  MsgType: "TIMCustomElem",
  MsgContent: { Data: JSON.stringify({ version: 1.0, businessID: plugin, data: { cmd: "thumbs_up", cmdInfo: { count } } }), Desc: "", Ext: "" },
}];

const whom = (d) => (d.userIds ?? [d.userId]).filter(Boolean).join(", ");

const sentences = {
  status: (d) => `the room is ${d.status} now`,
  notice: () => "the notice was changed",
  mute: (d) => (whom(d) ? `${whom(d)}: muted` : "the room is muted"),
  unmute: (d) => (whom(d) ? `${whom(d)}: may write again` : "the room may write again"),
  kick: (d) => `${whom(d)}: removed from the room`,
  unkick: (d) => `${whom(d)}: may come back`,
  lottery: (d) => (d.state === "drawn" ? `lottery: ${(d.winners ?? []).join(", ") || "nobody"} won` : d.keyword ? `lottery: write “${d.keyword}” to take part` : ""),
  level: (d) => (d.users ?? []).map((u) => `${u.userId} reached level ${u.level}`).join(", "),
  gift_refund: (d) => `a gift of ${whom(d)} was refunded`,
};

// sentence says in words what the room was told, or "" for what is not said.
export const sentence = ({ event, data }) => sentences[event]?.(data) ?? "";
