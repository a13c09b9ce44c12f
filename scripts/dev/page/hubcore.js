// The hub holds what the tabs of one browser share: a client on the emulator of
// IM for each user, all on one event stream, what each user has seen, and the
// stream of callbacks. A tab talks to it through a MessagePort, so that any
// number of tabs cost two connections and none logs another's users out.
import { Client, Refused } from "./im.js";

const keptItems = 300; // of one user in one place
const keptCallbacks = 200;
const retryAfter = 1000; // milliseconds
const voided = 70052; // a UserSig that IM made void by a kick, perhaps within the same second

export const placeKey = ({ groupId, topicId, peer }) => (groupId ? `${groupId} ${topicId ?? ""}` : `@ ${peer}`);

export class Hub {
  ports = new Map(); // with the users that each shows
  users = new Map(); // by UserID
  callbacks = [];
  backend = "connecting";
  said = new Map(); // by "from random": what was written here, for the verdict on it

  accept(port) {
    const shown = new Set(); // users that the tab shows
    this.ports.set(port, shown);
    port.onmessage = async ({ data: { id, method, args } }) => {
      try {
        port.postMessage({ id, value: await this[method](...args, port) });
      } catch (e) {
        port.postMessage({ id, error: e.message, code: e.code });
      }
    };
    for (const user of this.users.values()) {
      port.postMessage({ kind: "user", ...this.seenAs(user) });
      for (const [place, items] of user.places) port.postMessage({ kind: "items", user: user.id, place, items });
    }
    port.postMessage({ kind: "backend", backend: this.backend });
    port.postMessage({ kind: "callbacks", entries: this.callbacks });
    if (!this.feed) this.watch();
  }

  // bye is the last that a tab says.
  bye(port) {
    const shown = this.ports.get(port);
    this.ports.delete(port);
    for (const user of shown) this.logout(user);
  }

  tell(message) {
    for (const port of this.ports.keys()) port.postMessage(message);
  }

  // watch follows the bundle's callbacks, and finds the bundle again after it
  // was away.
  watch() {
    const feed = (this.feed = new EventSource("dev/callbacks"));
    feed.onopen = () => {
      this.callbacks = []; // those remembered come first
      this.backend = "live";
      this.tell({ kind: "callbacks", entries: [] });
      this.tell({ kind: "backend", backend: "live" });
    };
    feed.onmessage = ({ data }) => this.heard(JSON.parse(data));
    feed.onerror = () => {
      feed.close();
      this.backend = "lost";
      this.tell({ kind: "backend", backend: "lost" });
      setTimeout(() => this.watch(), retryAfter);
    };
  }

  heard(entry) {
    if (this.callbacks.some((e) => e.id === entry.id)) return;
    this.callbacks.push(entry);
    if (this.callbacks.length > keptCallbacks) this.callbacks.shift();
    this.tell({ kind: "callback", entry });
    const { From_Account: from, Random, MsgRandom } = entry.request ?? {};
    const mine = this.said.get(`${from} ${Random ?? MsgRandom}`);
    if (mine && entry.command.includes("CallbackBeforeSendMsg")) {
      Object.assign(mine.item, { verdict: entry.verdict, why: entry.why, rule: entry.rule });
      this.tell({ kind: "items", user: mine.user, place: mine.place, items: [mine.item] });
    }
  }

  seenAs({ id, presence, text, sig, left }) {
    return { user: id, presence, text, sig, left: [...left] };
  }

  present(user, presence, text = presence) {
    Object.assign(user, { presence, text });
    this.tell({ kind: "user", ...this.seenAs(user) });
  }

  // open has a user logged in and in these rooms, for a tab that shows him.
  async open(userID, rooms, port) {
    this.ports.get(port).add(userID);
    let user = this.users.get(userID);
    if (!user) this.users.set(userID, (user = { id: userID, places: new Map(), rooms: new Set(), left: new Set(), last: 0 }));
    const fresh = rooms.filter((r) => !user.rooms.has(r));
    for (const r of fresh) user.rooms.add(r);
    if (user.presence === "online") await this.enter(user, fresh);
    else if (!["connecting", "vanished", "lost"].includes(user.presence)) await this.login(userID);
  }

  // release is for a tab that shows the user no more.
  release(userID, port) {
    this.ports.get(port).delete(userID);
    this.logout(userID);
  }

  // logout logs a user out whom no tab shows.
  logout(userID) {
    const user = this.users.get(userID);
    if (!user || [...this.ports.values()].some((shown) => shown.has(userID))) return;
    this.users.delete(userID);
    user.client?.logout().catch(() => {});
    this.tell({ kind: "user", user: userID, presence: "offline", text: "offline", left: [] });
    this.restream();
  }

  async enter(user, rooms) {
    for (const room of rooms) {
      try {
        await user.client.join(room);
      } catch (e) {
        if (e.code !== 10013) this.note(user, { groupId: room }, `cannot enter: ${e.message}`);
      }
    }
  }

  leave(user, groupId) {
    user.left.add(groupId);
    this.tell({ kind: "user", ...this.seenAs(user) });
  }

  // enterAgain brings a user back into a group that he was taken out of.
  async enterAgain(userID, groupId) {
    const user = this.users.get(userID);
    await user.client.join(groupId);
    user.left.delete(groupId);
    this.tell({ kind: "user", ...this.seenAs(user) });
  }

  // login logs in as an app does: with a UserSig from the bundle.
  async login(userID) {
    const user = this.users.get(userID);
    user.client = undefined;
    this.present(user, "connecting");
    try {
      if (!(await this.authorize(user))) return;
      const scene = await (await fetch("dev/scene")).json();
      this.emulator = scene.emulator;
      user.client = await Client.login(scene, userID, user.sig);
      user.last = 0;
      await this.enter(user, user.rooms);
    } catch (e) {
      if (e instanceof Refused && e.code !== voided) return this.present(user, "refused", e.message);
      this.lose(user);
      setTimeout(() => this.users.get(userID) === user && user.presence === "lost" && this.login(userID), retryAfter);
      return;
    }
    this.present(user, "online");
    this.restream();
  }

  // authorize gets the user a UserSig, or shows why there is none.
  async authorize(user) {
    // Agents get theirs by a route of their own, which a server calls.
    const { agents } = await (await fetch("dev/scene")).json();
    const issued = await fetch(agents.includes(user.id) ? "dev/agents/usersig" : "usersig", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ userID: user.id }),
    });
    const answer = await issued.json();
    if (!issued.ok) {
      this.present(user, issued.status === 403 ? "banned" : "refused", answer.error.message);
      return false;
    }
    user.sig = answer.userSig;
    return true;
  }

  lose(user) {
    this.present(user, "lost", "connection lost, trying again");
  }

  // vanish loses the connection without a word, as a phone in a tunnel does.
  async vanish(userID) {
    const user = this.users.get(userID);
    await user.client.vanish();
    this.present(user, "vanished", "no connection");
  }

  // comeBack ends that, and brings what waited, unless IM has given the user up.
  async comeBack(userID) {
    const user = this.users.get(userID);
    try {
      await user.client.comeBack();
      this.present(user, "online");
    } catch {
      await this.login(userID);
    }
  }

  // send sends a message: {text} or {body}, with a priority. What the user sees
  // of it is shown at once.
  async send(userID, place, draft) {
    const user = this.users.get(userID);
    const random = crypto.getRandomValues(new Uint32Array(1))[0] || 1;
    const item = { id: `${userID} ${random}`, from: userID, mine: true, random, text: draft.text ?? "", body: draft.body, at: Date.now(), state: "sending" };
    this.said.set(item.id, { user: userID, place: placeKey(place), item });
    this.put(user, placeKey(place), item);
    await this.transmit(user, place, draft, item);
  }

  // resend sends again what did not leave.
  async resend(userID, place, id) {
    const user = this.users.get(userID);
    const item = user.places.get(placeKey(place)).find((i) => i.id === id);
    item.state = "sending";
    await this.transmit(user, place, item.body ? { body: item.body } : { text: item.text }, item);
  }

  async transmit(user, place, draft, item) {
    if (user.presence !== "online") {
      Object.assign(item, { state: "unsent", error: "no connection" });
    } else {
      try {
        const { seq, key } = await user.client.send(place, { ...draft, random: item.random });
        Object.assign(item, { state: "sent", seq, key });
      } catch (e) {
        Object.assign(item, e.code ? { state: "refused", code: e.code, error: e.message } : { state: "unsent", error: "no connection" });
      }
    }
    this.put(user, placeKey(place), item);
  }

  // recall takes a message back for everybody.
  async recall(userID, place, id) {
    const user = this.users.get(userID);
    await user.client.recall(place, user.places.get(placeKey(place)).find((i) => i.id === id));
  }

  // decided tells what became of a message that a moderator looked at.
  decided(userID, place, id, state) {
    const user = this.users.get(userID);
    const item = user?.places.get(place)?.find((i) => i.id === id);
    if (item) this.put(user, place, Object.assign(item, { decided: state }));
  }

  // put adds an item to what a user sees in a place, or changes it.
  put(user, place, item) {
    let items = user.places.get(place);
    if (!items) user.places.set(place, (items = []));
    const at = items.findIndex((i) => i.id === item.id);
    if (at >= 0) items[at] = item;
    else items.push(item);
    if (items.length > keptItems) items.shift();
    this.tell({ kind: "items", user: user.id, place, items: [item] });
  }

  note(user, place, text) {
    this.put(user, placeKey(place), { id: `note ${crypto.randomUUID()}`, note: text, at: Date.now() });
  }

  // restream opens the stream of all who are logged in. The one before it ends
  // afterwards, so that nobody seems to be away.
  restream() {
    clearTimeout(this.restreaming);
    this.restreaming = setTimeout(() => {
      const clients = [...this.users.values()].filter((u) => u.client);
      const before = this.events;
      if (!clients.length) {
        before?.close();
        return;
      }
      const query = clients.map((u) => `device=${encodeURIComponent(`${u.client.token}:${u.last}`)}`).join("&");
      const events = (this.events = new EventSource(`${this.emulator}/client/devices/events?${query}`));
      events.onopen = () => {
        before?.close();
        for (const u of clients) if (u.presence === "lost") this.present(u, "online");
      };
      events.onmessage = ({ data }) => this.told(JSON.parse(data));
      events.onerror = () => {
        events.close();
        if (this.events !== events) return;
        for (const u of clients) if (u.presence === "online") this.present(u, "lost", "connection lost, trying again");
        setTimeout(() => this.events === events && this.restream(), retryAfter);
      };
    }, 20);
  }

  told({ token, n, event, code }) {
    const user = [...this.users.values()].find((u) => u.client?.token === token);
    if (!user) return;
    if (code) { // IM has given the user up, or forgotten him in a restart
      if (user.presence !== "kicked") this.login(user.id);
    } else if (n > user.last) {
      user.last = n;
      this.take(user, event);
    }
  }

  async take(user, { kind, groupId, topicId, message, notice, until }) {
    const place = groupId ? { groupId, topicId: message?.topicId ?? topicId } : message && { peer: message.from === user.id ? message.to : message.from };
    switch (kind) {
      case "message":
      case "broadcast":
        return this.receive(user, placeKey(place), message);
      case "modified":
      case "recalled": {
        const items = user.places.get(placeKey(place)) ?? [];
        const item = items.find((i) => (message.key ? i.key === message.key : i.seq === message.seq));
        if (item) this.put(user, placeKey(place), Object.assign(item, contentOf(message), { recalled: kind === "recalled" }));
        return;
      }
      case "kickedOffline":
        this.present(user, "kicked", "logged in elsewhere");
        await this.authorize(user); // or is he banned?
        return;
      case "muted":
        return this.note(user, place, `muted until ${new Date(until).toLocaleTimeString([], { hourCycle: "h23" })}`);
      case "unmuted":
        return this.note(user, place, "no longer muted");
      case "left":
        this.leave(user, groupId);
        return this.note(user, place, "taken out of the group");
      case "destroyed":
        this.leave(user, groupId);
        return this.note(user, place, "the group was dissolved");
      case "notification":
        if (notice) this.note(user, place, notice);
    }
  }

  receive(user, place, message) {
    const { from, random, seq, key, byRest } = message;
    const content = contentOf(message);
    const items = user.places.get(place) ?? [];
    const same = items.find((i) => i.random === random && i.from === from);
    const held = from === user.id && byRest && items.find((i) => i.why?.action === "review" && !i.seq && i.text === content.text);
    if (same) this.put(user, place, Object.assign(same, { seq, key }));
    else if (held) this.put(user, place, Object.assign(held, content, { state: "sent", decided: "approved", seq, key }));
    else {
      this.put(user, place, { id: message.id || `${from} ${random}`, from, random, seq, key, byRest, at: Date.parse(message.time), mine: from === user.id, ...content });
    }
  }
}

// contentOf is what a window shows of a message. writing: a robot has not finished
// it.
function contentOf({ body, custom }) {
  const stream = streamOf(body);
  const texts = body.filter((e) => e.MsgType === "TIMTextElem" || e.MsgContent?.Text).map((e) => e.MsgContent.Text);
  return { body, custom, text: stream ? stream.chunks.join("") : texts.join(" "), writing: stream?.isFinished === 0 };
}

// streamOf is the answer of a robot in a custom element, as the UI kit reads it.
function streamOf(body) {
  if (body.length !== 1 || body[0].MsgType !== "TIMCustomElem") return undefined;
  try {
    const data = JSON.parse(body[0].MsgContent.Data);
    return data?.chatbotPlugin && Array.isArray(data.chunks) ? data : undefined;
  } catch {
    return undefined;
  }
}
