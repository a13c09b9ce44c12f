// The room's routes, as the page calls them.
import { call } from "../../dom.js";
import { hub } from "../../hub.js";

// openRoom returns what can be asked of a room and its gifts.
export function openRoom(roomId) {
  const at = `rooms/${encodeURIComponent(roomId)}`;

  // as speaks for a user, with the UserSig that his client logged in with.
  async function as(user, method, path, body, headers = {}) {
    const sig = hub.users.get(user)?.sig;
    if (!sig) throw new Error(`${user} is not logged in`);
    return call(method, path, body, { ...headers, Authorization: `UserSig ${user}:${sig}` });
  }
  const once = () => ({ "Idempotency-Key": crypto.randomUUID() });

  return {
    id: roomId,
    get: () => call("GET", `dev/${at}`),
    stats: () => call("GET", `dev/${at}/stats`),
    restrictions: () => call("GET", `dev/${at}/restrictions`),
    members: () => call("GET", `dev/${at}/members?kind=online&limit=100`),
    member: (user, level) => call("PUT", `dev/${at}/memberships/${encodeURIComponent(user)}`, { level }),
    history: (limit) => call("GET", `dev/${at}/history?limit=${limit}`),
    anchor: (user) => as(user, "GET", `${at}/anchor`),
    subscribe: (user, on) => as(user, on ? "PUT" : "DELETE", `${at}/subscription`),
    broadcast: (text) => call("POST", "dev/broadcast", { msgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: text } }] }, once()),
    broadcastOf: (id) => call("GET", `dev/broadcasts/${encodeURIComponent(id)}`),
    setStatus: (user, status, version) => as(user, "PUT", `${at}/status`, { status, version }),
    setNotice: (user, notice, { introduction, version }) => as(user, "PUT", `${at}/notice`, { notice, introduction, version }),
    restrict: (user, what, body) => as(user, "POST", `${at}/${what}`, body),
    gifts: () => call("GET", "gifts"),
    give: (user, gift, count) => as(user, "POST", `${at}/gifts`, { giftId: gift.giftId, count, price: gift.price }, once()),
    purse: (user) => call("GET", `dev/wallets/${encodeURIComponent(user)}`),
    topUp: (user, amount) => call("POST", `dev/wallets/${encodeURIComponent(user)}/topup`, { amount }, once()),
    startLottery: (user, body) => as(user, "POST", `${at}/lotteries`, body, once()),
    lottery: (id) => call("GET", `dev/${at}/lotteries/${encodeURIComponent(id)}`),
    draw: (user, id) => as(user, "POST", `${at}/lotteries/${encodeURIComponent(id)}/draw`, {}),
  };
}
