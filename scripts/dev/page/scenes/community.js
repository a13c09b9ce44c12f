// Communities: servers with channels, sub-channels beside the conversation,
// reactions, pins, members by role, and voice channels.
import { button, element, patch, set } from "../dom.js";
import { hub, placeKey } from "../hub.js";
import { openServer } from "./community/server.js";

const emojis = ["👍", "🎉", "❓"];

export const community = {
  id: "community",
  title: "Community",
  about: "Servers with channels, as Discord has them: each is a Community of IM, its channels are topics, and everything beside the messages is kept by the bundle.",
  steps: ["As alice, press Hello everyone: bob's badge counts.", "Go to #general as bob, and react.", "Press Thread under a message, and answer there.", "Join the Lobby as alice and as bob."],
  open(stage) {
    const servers = stage.world.community.servers.map((s) => openServer(s));
    const windows = stage.world.users.slice(0, 2).map((user) => openWindow(stage, user, servers));
    async function refresh() {
      await Promise.all(servers.map((s) => s.refresh()));
      await Promise.all(windows.map((w) => w.refresh()));
    }
    return {
      refresh,
      close: () => windows.forEach((w) => w.close()),
      state: async () => {
        await Promise.all(servers.map((s) => s.refresh()));
        return servers.flatMap((s) => s.is ? [
          { title: s.is.communityId, figures: { name: s.is.name, owner: s.is.owner, version: s.is.version, members: s.members.length } },
          { title: "Channels", rows: s.channels().map((ch) => ({ channel: ch.name, kind: ch.kind, category: ch.category, slow: ch.slowModeSeconds || null })) },
        ] : []);
      },
    };
  },
};

// openWindow opens a user's window on the servers.
function openWindow(stage, first, servers) {
  const at = { server: servers[0], channel: undefined, thread: undefined };
  const rail = element("div", { className: "rail", role: "group", "aria-label": "Servers" });
  const list = element("div", { className: "channels", role: "group", "aria-label": "Channels" });
  const people = element("div", { className: "people", role: "group", "aria-label": "Members by role" });
  const pins = element("div", { className: "pins", role: "group", "aria-label": "Pinned messages", hidden: true });
  const top = element("div", { className: "server" }, rail, element("div", { className: "tree" }, list, people));
  let chat;
  const user = () => chat?.user ?? first;
  const place = () => at.channel ? { groupId: at.channel.groupId, topicId: at.channel.topicId } : { groupId: at.server.id, topicId: "" };
  chat = stage.chat({
    user: first, place, top: element("div", {}, top, pins), onUser: () => chat && refresh(),
    marks: (item) => marks(item),
    look: (item) => (isEvent(item) ? null : undefined), // what only has the list read anew
  });

  // The sub-channel stands beside what was said in the channel.
  const said = chat.node.querySelector(".said");
  const log = element("div", { className: "messages", role: "log", tabIndex: 0 });
  const answer = element("input", { autocomplete: "off", maxLength: 2000, "aria-label": "Answer", placeholder: "Answer" });
  const form = element("form", { className: "composer" }, answer, element("button", {}, "Answer"));
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    const text = answer.value.trim();
    answer.value = "";
    if (text) hub.ask("send", user(), threadPlace(), { text });
  });
  const title = element("h3", {});
  const aside = element("div", { className: "thread", role: "group", "aria-label": "Thread", hidden: true },
    element("div", { className: "line" }, title, button("Close thread", () => show(undefined), { className: "quiet" })), log, form);
  const beside = element("div", { className: "beside" });
  said.replaceWith(beside);
  beside.append(said, aside);
  const threadPlace = () => ({ groupId: at.thread.groupId, topicId: at.thread.topicId });

  function show(thread) {
    at.thread = thread;
    set(aside, "hidden", !thread);
    if (thread) set(title, "textContent", thread.name);
    draw();
  }

  function draw() {
    if (!at.thread) return;
    const items = hub.items(user(), placeKey(threadPlace())).filter((i) => !i.note && i.text);
    patch(log, items, (i) => i.id, (i) => element("p", { className: i.mine ? "mine" : "theirs" }, element("span", { className: "from" }, element("b", {}, i.from)), element("span", { className: "text" }, i.text)));
    log.scrollTop = log.scrollHeight;
  }
  const onItems = ({ detail }) => detail.user === user() && at.thread && detail.place === placeKey(threadPlace()) && draw();
  hub.addEventListener("items", onItems);

  async function changed(doing) {
    await doing;
    await refresh();
  }

  // marks is what stands under a message: reactions, the thread, and what can be done.
  function marks(item) {
    if (!item.seq || item.recalled || !at.channel || at.channel.kind === "private") return [];
    const { reaction = {}, thread, isEdited } = fieldOf(item.custom);
    const { server, channel } = at;
    const react = (emoji) => changed(server.react(user(), channel, item.seq, emoji, !reaction[emoji]?.includes(user())));
    const made = [];
    if (isEdited) made.push(["edited", () => element("span", { className: "soft" }, "edited")]);
    for (const emoji of new Set([...Object.keys(reaction), ...emojis])) {
      const count = reaction[emoji]?.length ?? 0;
      made.push([`${emoji} ${count} ${reaction[emoji]?.includes(user())}`, () => button(count ? `${emoji} ${count}` : emoji, () => react(emoji), {
        className: count ? "reaction" : "link rare", "aria-pressed": String(Boolean(reaction[emoji]?.includes(user()))), "aria-label": `React with ${emoji}${count ? `, ${count}` : ""}`,
      })]);
    }
    made.push([`thread ${thread?.count}`, () => button(thread ? `${thread.count} ${thread.count === 1 ? "reply" : "replies"}` : "Thread", async () => {
      show(thread ? await server.thread(user(), thread.threadId) : await server.makeThread(user(), channel, item));
    }, { className: "link" })]);
    if (server.leads(user())) made.push(["pin", () => button(server.pinned(channel, item.seq) ? "Unpin" : "Pin", () => changed(server.pin(user(), channel, item.seq, !server.pinned(channel, item.seq))), { className: "link rare" })]);
    return made;
  }

  function go(server, channel) {
    if (at.server !== server || at.channel?.channelId !== channel?.channelId) show(undefined);
    Object.assign(at, { server, channel });
    chat.moved();
    return refresh();
  }

  async function refresh() {
    const { server } = at;
    if (!server.is || !hub.users.get(user())?.sig) return;
    const all = await Promise.all(servers.map((s) => s.of(user()).catch(() => undefined)));
    const mine = all[servers.indexOf(server)];
    if (!mine) return;
    at.channel = mine.channels.find((ch) => ch.channelId === at.channel?.channelId) ?? mine.channels.find((ch) => ch.kind !== "voice");
    patch(rail, servers.map((s, i) => ({ s, unread: all[i]?.unread ?? 0 })), ({ s }) => s.id, ({ s }) => button("", () => go(s, undefined), { className: "server-button" }), (node, { s, unread }) => {
      set(node, "textContent", unread ? `${s.short} ${unread}` : s.short);
      node.setAttribute("aria-pressed", String(s === server));
      node.setAttribute("aria-label", unread ? `${s.name}, ${unread} unread` : s.name);
    });
    const rows = mine.channels.flatMap((ch, i) => (mine.channels[i - 1]?.category === ch.category ? [ch] : [{ heading: ch.category }, ch]));
    patch(list, rows, (r) => r.heading ?? r.channelId, (r) => r.heading ? element("h3", {}, r.heading) : r.kind === "voice" ? voiceRow(r) : channelRow(r), (node, r) => node.show?.(r, mine));
    patch(people, roles(server), ([role]) => role, ([role]) => element("p", {}, element("b", {}, role), element("span")), (node, [, users]) => set(node.lastChild, "textContent", ` ${users.join(", ")}`));
    const kept = server.pins(at.channel);
    set(pins, "hidden", !kept.length);
    patch(pins, kept, (seq) => `${at.channel.channelId} ${seq}`, (seq) => element("span", { className: "pill" }, `pinned: ${textOf(hub.items(user(), placeKey(place())), seq)}`));
    chat.draw();
    draw();
    // What the window shows is read.
    const unread = mine.counts.get(at.channel.channelId);
    if (unread?.unread && !document.hidden) await server.read(user(), at.channel, unread.lastMsgSeq);
  }

  function channelRow(ch) {
    const node = button("", () => go(at.server, ch), { className: "channel" });
    node.show = (is, mine) => {
      const unread = mine.counts.get(is.channelId)?.unread ?? 0;
      const name = `${is.kind === "private" ? "🔒" : "#"} ${is.name}`;
      set(node, "textContent", unread && is.channelId !== at.channel.channelId ? `${name} ${unread}` : name);
      node.setAttribute("aria-pressed", String(is.channelId === at.channel.channelId));
    };
    return node;
  }

  // voiceRow is a voice channel with who is in it.
  function voiceRow(ch) {
    const who = element("span", { className: "soft" });
    const act = button("Join", () => changed(at.server.voice(user(), ch, act.textContent === "Join")), { "aria-label": `Join ${ch.name}` });
    const mute = button("Mute", () => changed(at.server.beat(user(), ch, { muted: mute.textContent === "Mute" })), { className: "quiet" });
    const node = element("div", { className: "line voice" }, element("span", {}, `♪ ${ch.name}`), who, act, mute);
    node.show = (is, mine) => {
      const present = mine.voice.get(is.channelId) ?? [];
      const me = present.find((m) => m.userId === user());
      set(who, "textContent", present.map((m) => (m.muted ? `${m.userId} (muted)` : m.userId)).join(", "));
      set(act, "textContent", me ? "Leave" : "Join");
      act.setAttribute("aria-label", `${me ? "Leave" : "Join"} ${is.name}`);
      set(mute, "hidden", !me);
      set(mute, "textContent", me?.muted ? "Unmute" : "Mute");
      if (me) at.server.beat(user(), ch, {}).catch(() => {});
    };
    return node;
  }

  return { refresh, close: () => hub.removeEventListener("items", onItems) };
}

// isEvent tells what the bundle says to pages from what is shown.
function isEvent({ body }) {
  return body?.length === 1 && body[0].MsgType === "TIMCustomElem" && body[0].MsgContent.Data.includes('"businessID":"backchannel"');
}

// fieldOf reads what is put on a message.
function fieldOf(custom) {
  try {
    return JSON.parse(custom) ?? {};
  } catch {
    return {};
  }
}

function textOf(items, seq) {
  return items.find((i) => i.seq === seq)?.text || "an earlier message";
}

// roles are the members of a server by role, the owner first.
function roles(server) {
  const by = new Map([["owner", [server.is.owner]]]);
  for (const m of server.members) {
    if (m.userId === server.is.owner) continue;
    const role = m.role ?? "member";
    by.set(role, [...(by.get(role) ?? []), m.userId]);
  }
  return [...by];
}

