// The routes of one community, as the page calls them.
import { call } from "../../dom.js";
import { hub } from "../../hub.js";

// openServer returns what is known of a community and can be asked of it.
export function openServer({ groupId, name }) {
  const at = `communities/${encodeURIComponent(groupId)}`;

  // as speaks for a user, with the UserSig that his client logged in with.
  async function as(user, method, path, body, headers = {}) {
    const sig = hub.users.get(user)?.sig;
    if (!sig) throw new Error(`${user} is not logged in`);
    return call(method, path, body, { ...headers, Authorization: `UserSig ${user}:${sig}` });
  }
  const once = () => ({ "Idempotency-Key": crypto.randomUUID() });
  const of = (ch) => `${at}/channels/${encodeURIComponent(ch.channelId)}`;
  const speak = (ch) => `${at}/voice/${encodeURIComponent(ch.channelId)}/me`;
  const flat = (is) => is.categories.flatMap((c) => c.channels.map((ch) => ({ ...ch, category: c.name })));
  const pinned = new Map(); // by channelId

  return {
    id: groupId,
    name,
    short: name.slice(0, 2),
    members: [],
    is: undefined,
    channels() {
      return flat(this.is);
    },
    // refresh reads what everybody may know, as a server of the app.
    async refresh() {
      const [is, { members }] = await Promise.all([call("GET", `dev/${at}`), call("GET", `dev/${at}/members?limit=100`)]);
      Object.assign(this, { is, members });
      await Promise.all(flat(is).filter((ch) => ch.kind === "text").map(async (ch) => {
        const { pins } = await call("GET", `dev/${of(ch)}/pins`);
        pinned.set(ch.channelId, pins.map((p) => p.msgSeq));
      }));
    },
    // of is what a user sees of it.
    async of(user) {
      const [is, totals, { channels }] = await Promise.all([as(user, "GET", at), as(user, "GET", `${at}/totals`), as(user, "GET", `${at}/voice`)]);
      return {
        channels: flat(is),
        unread: totals.unread,
        counts: new Map(totals.channels.map((c) => [c.channelId, c])),
        voice: new Map(channels.map((c) => [c.channelId, c.members])),
      };
    },
    leads(user) {
      return this.is?.owner === user;
    },
    pins: (ch) => pinned.get(ch?.channelId) ?? [],
    pinned: (ch, seq) => pinned.get(ch.channelId)?.includes(seq) ?? false,
    async pin(user, ch, seq, on) {
      const { pins } = await as(user, on ? "PUT" : "DELETE", `${of(ch)}/messages/${seq}/pin`);
      pinned.set(ch.channelId, pins.map((p) => p.msgSeq));
    },
    react: (user, ch, seq, emoji, on) => as(user, on ? "PUT" : "DELETE", `${of(ch)}/messages/${seq}/reactions/${encodeURIComponent(emoji)}`),
    read: (user, ch, msgSeq) => as(user, "POST", `${of(ch)}/read`, { msgSeq }),
    thread: (user, id) => as(user, "GET", `${at}/threads/${encodeURIComponent(id)}`),
    makeThread: (user, ch, item) => as(user, "POST", `${at}/threads`, { name: item.text.slice(0, 10) || "Thread", channelId: ch.channelId, msgSeq: item.seq }, once()),
    voice: (user, ch, on) => (on ? as(user, "PUT", speak(ch), {}) : as(user, "DELETE", speak(ch))),
    beat: (user, ch, sign) => as(user, "POST", `${speak(ch)}/heartbeat`, sign),
  };
}
