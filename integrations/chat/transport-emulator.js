// The transport on the emulator's client API, for a machine without the Chat SDK.
// It has no uploads and no read receipts.
import config from "./config.js";
import { contactOf, customOf, fromCustom, fromData, isGroup, Listeners, peerOf, Refused, typingNotice } from "./transport.js";

const retryAfter = 1000; // milliseconds
const page = 20;

export async function open(sdkAppID) {
  return new EmulatorTransport(sdkAppID);
}

class EmulatorTransport extends Listeners {
  features = { files: false, read: false, typing: true, presence: true, list: true };
  #unread = new Map(); // by conversation
  #last = 0; // event of the stream

  constructor(sdkAppID) {
    super();
    this.sdkAppID = sdkAppID;
    this.base = config.emulator;
  }

  async #call(method, path, body) {
    let answer;
    try {
      answer = await fetch(`${this.base}${path}`, {
        method, body: body && JSON.stringify(body),
        headers: { "Content-Type": "application/json", ...(this.token && { Authorization: `Bearer ${this.token}` }) },
      });
    } catch {
      throw new Refused("offline", "the emulator does not answer");
    }
    const value = await answer.json();
    if (!answer.ok) throw new Refused(value.error.code, value.error.message);
    return value;
  }

  async connect({ userID, userSig }) {
    this.userID = userID;
    this.token = undefined;
    this.#last = 0;
    ({ token: this.token } = await this.#call("POST", "/client/login", { sdkAppId: this.sdkAppID, userId: userID, userSig, platform: "Web" }));
    await this.#follow();
  }

  // #follow streams what the user is told, from the event after the last on.
  #follow() {
    this.events?.close();
    const events = (this.events = new EventSource(`${this.base}/client/devices/events?device=${encodeURIComponent(`${this.token}:${this.#last}`)}`));
    events.onmessage = ({ data }) => {
      const { n, event, code } = JSON.parse(data);
      if (code) return this.events === events && this.#end("expired");
      this.#last = n;
      this.#heard(event);
    };
    return new Promise((resolve) => {
      events.onopen = () => {
        this.tell({ type: "state", state: "online" });
        resolve();
      };
      events.onerror = () => {
        events.close();
        if (this.events !== events) return;
        this.tell({ type: "state", state: "reconnecting" });
        setTimeout(() => this.events === events && this.#again(), retryAfter);
      };
    });
  }

  // #again reconnects, or learns that the login is over.
  async #again() {
    try {
      await this.#call("POST", "/client/heartbeat", {});
      this.#follow();
    } catch (e) {
      if (e.code === "offline") setTimeout(() => this.#again(), retryAfter);
      else this.#end("expired");
    }
  }

  #end(state) {
    this.events?.close();
    this.events = undefined;
    this.tell({ type: "state", state });
  }

  async close() {
    this.events?.close();
    this.events = undefined;
    await this.#call("POST", "/client/logout", {}).catch(() => {});
  }

  #to(conversation) {
    return isGroup(conversation) ? { groupId: peerOf(conversation) } : { userId: peerOf(conversation) };
  }

  async history(conversation, cursor) {
    const query = new URLSearchParams({ ...this.#to(conversation), count: page, ...(cursor && { before: cursor }) });
    const { messages } = await this.#call("GET", `/client/history?${query}`);
    const oldest = messages.at(-1);
    return {
      messages: messages.map((m) => this.#message(m)).filter(Boolean).reverse(),
      cursor: messages.length < page ? undefined : String(isGroup(conversation) ? oldest.seq : oldest.key),
    };
  }

  async send(conversation, draft) {
    if (draft.file) throw new Refused("unsupported", "the emulator's client API takes no files");
    const random = await numberOf(draft.key);
    const { seq, key, at, id } = await this.#call("POST", "/client/send", { ...this.#to(conversation), text: draft.text, custom: customOf(draft), random });
    const message = this.#message({ ...this.#to(conversation), to: peerOf(conversation), from: this.userID, seq, key, id, time: at, body: [{ MsgType: "TIMTextElem", MsgContent: { Text: draft.text } }], custom: customOf(draft) }, conversation);
    this.tell({ type: "message", message });
    return message;
  }

  async markRead(conversation) {
    this.#unread.delete(conversation);
    this.tell({ type: "seen", conversation });
    this.tell({ type: "list" });
  }

  async typing(conversation) {
    await this.#call("POST", "/client/send", { ...this.#to(conversation), onlineOnly: true, body: [{ MsgType: "TIMCustomElem", MsgContent: { Data: typingNotice, Desc: "", Ext: "" } }] });
  }

  // What a client is told of others comes from the emulator's state.
  #state() {
    return this.#call("GET", `/emulator/apps/${this.sdkAppID}/state`);
  }

  async profiles(userIDs) {
    const { users } = await this.#state();
    return userIDs.map((userID) => {
      const { Tag_Profile_IM_Nick: nick = "", Tag_Profile_IM_Image: avatar = "", Tag_Profile_IM_SelfSignature: signature } = users.find((u) => u.userId === userID)?.profile ?? {};
      return { userID, nick, avatar, contact: contactOf(signature) };
    });
  }

  async presence(userIDs) {
    const { users } = await this.#state();
    return Object.fromEntries(userIDs.map((id) => {
      const { platforms = [], silent = [] } = users.find((u) => u.userId === id) ?? {};
      return [id, platforms.length > silent.length ? "online" : "offline"];
    }));
  }

  async list() {
    const { users, groups, conversations } = await this.#state();
    const profile = (id) => users.find((u) => u.userId === id)?.profile ?? {};
    const mine = [
      ...conversations.filter((c) => c.users.includes(this.userID)).map((c) => {
        const peer = c.users.find((u) => u !== this.userID) ?? this.userID;
        const { Tag_Profile_IM_Nick: nick, Tag_Profile_IM_SelfSignature: signature } = profile(peer), contact = contactOf(signature);
        return { conversation: `C2C${peer}`, name: nick || contact || peer, contact, messages: c.messages };
      }),
      ...groups.filter((g) => g.type !== "AVChatRoom" && g.members.some((m) => m.userId === this.userID)).map((g) => ({ conversation: `GROUP${g.groupId}`, name: g.name || g.groupId, messages: g.messages ?? [] })),
    ];
    return mine.map(({ conversation, name, contact = "", messages }) => {
      const last = messages?.at(-1);
      return { conversation, name, contact, avatar: "", unread: this.#unread.get(conversation) ?? 0, at: last ? Date.parse(last.time) : 0, last: last && this.#message(last, conversation) };
    }).sort((a, b) => b.at - a.at);
  }

  async recall(message) {
    const of = isGroup(message.conversation) ? { groupId: peerOf(message.conversation), seq: message.seq } : { userId: peerOf(message.conversation), key: message.messageKey };
    await this.#call("POST", "/client/recall", of);
  }

  #heard({ kind, groupId, message: m }) {
    if (kind === "kickedOffline") return this.#end("kicked");
    if (kind === "left" || kind === "destroyed") {
      this.tell({ type: "gone", conversation: `GROUP${groupId}` });
      return this.tell({ type: "list" });
    }
    if (!m) return;
    const element = m.body[0];
    if (element?.MsgType === "TIMCustomElem") {
      const { typing } = fromData(element.MsgContent.Data, "");
      if (typing && m.from !== this.userID) this.tell({ type: "typing", conversation: this.#conversation(m), from: m.from });
      if (typing !== undefined) return;
    }
    const message = this.#message(m);
    if (!message) return;
    if (kind === "message" && !message.mine) this.#unread.set(message.conversation, (this.#unread.get(message.conversation) ?? 0) + 1);
    this.tell({ type: "message", message });
    this.tell({ type: "list" });
  }

  #conversation(m) {
    return m.groupId ? `GROUP${m.groupId}` : `C2C${m.from === this.userID ? m.to : m.from}`;
  }

  #message(m, conversation = this.#conversation(m)) {
    const { MsgType: type, MsgContent: c = {} } = m.body[0] ?? {};
    const content = contentOf(type, c);
    if (!content) return undefined;
    return {
      id: m.id || `${m.from}-${m.random ?? ""}-${m.seq}`, conversation, from: m.from, nick: m.from, avatar: "", mine: m.from === this.userID, at: Date.parse(m.time),
      group: isGroup(conversation), seq: m.seq, messageKey: m.key, recalled: m.recalled === true, ...fromCustom(m.custom), ...content,
    };
  }
}

function contentOf(type, c) {
  switch (type) {
    case "TIMTextElem":
      return { kind: "text", text: c.Text ?? "" };
    case "TIMImageElem": {
      const [full, , thumb = full] = c.ImageInfoArray ?? [];
      return { kind: "image", text: "", file: { name: "", size: full?.Size ?? 0, url: full?.URL ?? "", thumb: thumb?.URL ?? "", width: full?.Width, height: full?.Height } };
    }
    case "TIMFileElem":
      return { kind: "file", text: "", file: { name: c.FileName ?? "", size: c.FileSize ?? 0, url: c.Url ?? "" } };
    case "TIMCustomElem": {
      const { typing, text, writing } = fromData(c.Data, c.Desc);
      return typing !== undefined || !text ? undefined : { kind: "text", text, writing };
    }
    default:
      return type ? { kind: "other", text: "" } : undefined;
  }
}

// numberOf makes a random number of a draft's key, the same each time, by which
// the emulator knows a repeated send.
async function numberOf(key) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(key));
  return new DataView(digest).getUint32(0) || 1;
}
