// What the bundle has counted in a group, as sections of the inspector's state.
import { call } from "../dom.js";

const names = {
  messages: "messages", texts: "texts", gifts: "gifts", giftPieces: "gift pieces", likes: "likes", online: "online",
  peakOnline: "most online", dropped: "dropped by IM", popularity: "popularity",
};

export async function counters(groupId) {
  const stats = await call("GET", `dev/rooms/${encodeURIComponent(groupId)}/stats`);
  return [{
    title: `Counted in ${groupId}`,
    figures: Object.fromEntries(Object.entries(names).map(([field, label]) => [label, stats[field]])),
    rows: stats.users.slice(0, 10).map((u) => ({ user: u.userID, level: u.level, messages: u.messages, gifts: u.gifts, likes: u.likes, online: u.onlineSeconds == null ? null : `${u.onlineSeconds} s` })),
  }];
}
