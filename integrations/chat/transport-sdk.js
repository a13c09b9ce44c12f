// The transport on Tencent's web Chat SDK, which scripts/build-widget.sh copies
// from npm beside this file.
import config from "./config.js";
import { contactOf, customOf, fromCustom, fromData, isGroup, Listeners, peerOf, Refused, typingNotice } from "./transport.js";

const kept = 500; // messages of the SDK that can still be recalled or sent again
const receiptsAtOnce = 30; // messages of one request
const readyWithin = 20_000; // milliseconds

// The agent's page has groups; a shopper writes to one agent, and does without the
// SDK's module for them.
export async function open(sdkAppID, { groups } = {}) {
  standIn("localStorage");
  standIn("sessionStorage");
  const { default: SDK } = await import("./sdk-chat.js");
  await import("./sdk-upload.js"); // makes TIMUploadPlugin
  const modules = groups ? { "group-module": (await import("./sdk-group.js")).default } : {};
  return new SDKTransport(SDK, { SDKAppID: sdkAppID, modules });
}

// standIn gives the page a storage in memory where the browser refuses its own: the
// SDK cannot do without.
function standIn(name) {
  try {
    if (globalThis[name]) return;
  } catch {
    // refused
  }
  const items = new Map();
  const value = {
    getItem: (key) => items.get(String(key)) ?? null, setItem: (key, text) => void items.set(String(key), String(text)), removeItem: (key) => void items.delete(String(key)),
    clear: () => items.clear(), key: (n) => [...items.keys()][n] ?? null, get length() { return items.size; },
  };
  Object.defineProperty(globalThis, name, { value, configurable: true });
}

class SDKTransport extends Listeners {
  features = { files: true, read: true, typing: true, presence: true, list: true };
  #ids = new Map(); // messages of the SDK by ID
  #sent = new Map(); // and by the key of their draft
  #watched = new Set(); // UserIDs whose presence is subscribed to
  #unconfirmed = new Map(); // messages whose senders want a read receipt, by conversation and ID
  #confirmed = new Map(); // those that got it

  constructor(SDK, options) {
    super();
    this.SDK = SDK;
    this.chat = SDK.create({ ...options, ...(config.proxyServer && { proxyServer: config.proxyServer }) });
    this.chat.setLogLevel(4);
    this.chat.registerPlugin({ "tim-upload-plugin": globalThis.TIMUploadPlugin });
    const { EVENT, TYPES } = SDK;
    this.on(EVENT.MESSAGE_RECEIVED, (list) => list.forEach((m) => this.#heard(m)));
    this.on(EVENT.MESSAGE_MODIFIED, (list) => list.forEach((m) => this.#heard(m)));
    this.on(EVENT.MESSAGE_REVOKED, (list) => list.forEach((m) => this.#heard({ ...m, isRevoked: true })));
    this.on(EVENT.MESSAGE_READ_BY_PEER, (list) => {
      const by = new Map();
      for (const m of list) by.set(m.conversationID, [...(by.get(m.conversationID) ?? []), m.ID]);
      for (const [conversation, ids] of by) this.tell({ type: "read", conversation, ids });
    });
    this.on(EVENT.MESSAGE_READ_RECEIPT_RECEIVED, (list) => {
      for (const { groupID, messageID, readCount } of list) if (groupID && readCount > 0) this.tell({ type: "read", conversation: `GROUP${groupID}`, ids: [messageID] });
    });
    this.on(EVENT.CONVERSATION_LIST_UPDATED, () => this.tell({ type: "list" }));
    this.on(EVENT.USER_STATUS_UPDATED, (list) => list?.forEach?.(({ userID, statusType }) => this.tell({ type: "presence", userID, presence: this.#presence(statusType) })));
    this.on(EVENT.NET_STATE_CHANGE, ({ state }) => {
      if (this.ready) this.tell({ type: "state", state: state === TYPES.NET_STATE_CONNECTED ? "online" : "reconnecting" });
    });
    this.on(EVENT.SDK_READY, () => {
      this.ready = true;
      this.tell({ type: "state", state: "online" });
    });
    this.on(EVENT.KICKED_OUT, ({ type }) => {
      this.ready = false;
      this.tell({ type: "state", state: type === TYPES.KICKED_OUT_USERSIG_EXPIRED ? "expired" : "kicked" });
    });
  }

  on(event, f) {
    this.chat.on(event, ({ data }) => f(data));
  }

  async connect({ userID, userSig }) {
    this.userID = userID;
    this.ready = false;
    await this.#call(() => this.chat.login({ userID, userSig }));
    if (this.ready) return;
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Refused("timeout", "the Chat SDK is not ready")), readyWithin);
      const end = this.listen((e) => {
        if (e.type !== "state" || e.state !== "online") return;
        clearTimeout(late);
        end();
        resolve();
      });
    });
  }

  async close() {
    this.ready = false;
    await this.chat.logout().catch(() => {});
    await this.chat.destroy?.().catch?.(() => {});
  }

  // #call gives an error of the SDK its code.
  async #call(f) {
    try {
      return (await f()).data;
    } catch (e) {
      throw new Refused(e.code ?? "failed", e.message || `error ${e.code}`);
    }
  }

  async history(conversation, cursor) {
    const { messageList, nextReqMessageID, isCompleted } = await this.#call(() => this.chat.getMessageList({ conversationID: conversation, nextReqMessageID: cursor }));
    const own = messageList.filter((m) => isGroup(conversation) && m.flow === "out" && m.needReadReceipt);
    for (let i = 0; i < own.length; i += receiptsAtOnce) await this.chat.getMessageReadReceiptList(own.slice(i, i + receiptsAtOnce)).catch(() => {}); // it fills readReceiptInfo
    return { messages: messageList.map((m) => this.#message(m)).filter(Boolean), cursor: isCompleted ? undefined : nextReqMessageID };
  }

  async send(conversation, draft) {
    const before = this.#sent.get(draft.key); // sent again, IM knows it by its random number
    const message = before ?? this.#make(conversation, draft);
    this.#keep(this.#sent, draft.key, message);
    const { message: sent } = await this.#call(() => (before ? this.chat.resendMessage(before) : this.chat.sendMessage(message)));
    const out = this.#message(sent);
    this.tell({ type: "message", message: out });
    return out;
  }

  #make(conversation, draft) {
    const to = { to: peerOf(conversation), conversationType: isGroup(conversation) ? this.SDK.TYPES.CONV_GROUP : this.SDK.TYPES.CONV_C2C, cloudCustomData: customOf(draft), needReadReceipt: isGroup(conversation) && Boolean(config.receipts) };
    if (!draft.file) return this.chat.createTextMessage({ ...to, payload: { text: draft.text } });
    const file = { ...to, payload: { file: draft.file }, onProgress: (share) => this.tell({ type: "progress", key: draft.key, share }) };
    return draft.kind === "image" ? this.chat.createImageMessage(file) : this.chat.createFileMessage(file);
  }

  // markRead is of what came before the call. What fails is confirmed by a later one.
  async markRead(conversation) {
    const waiting = this.#unconfirmed.get(conversation), unconfirmed = [...(waiting ?? [])];
    await this.#call(() => this.chat.setMessageRead({ conversationID: conversation }));
    this.tell({ type: "seen", conversation });
    for (let i = 0; i < unconfirmed.length; i += receiptsAtOnce) {
      const some = unconfirmed.slice(i, i + receiptsAtOnce);
      await this.#call(() => this.chat.sendMessageReadReceipt(some.map(([, m]) => m)));
      for (const [id] of some) {
        this.#keep(this.#confirmed, id, true);
        waiting.delete(id);
      }
    }
  }

  async typing(conversation) {
    const conversationType = isGroup(conversation) ? this.SDK.TYPES.CONV_GROUP : this.SDK.TYPES.CONV_C2C;
    const message = this.chat.createCustomMessage({ to: peerOf(conversation), conversationType, payload: { data: typingNotice, description: "", extension: "" } });
    await this.#call(() => this.chat.sendMessage(message, { onlineUserOnly: true, messageControlInfo: { excludedFromUnreadCount: true, excludedFromLastMessage: true } }));
  }

  async profiles(userIDs) {
    const list = await this.#call(() => this.chat.getUserProfile({ userIDList: userIDs }));
    return list.map(({ userID, nick, avatar, selfSignature }) => ({ userID, nick, avatar, contact: contactOf(selfSignature) }));
  }

  // presence also subscribes, where IM's console allows it; without, it is asked
  // for again by whoever shows it.
  async presence(userIDs) {
    const { successUserList = [] } = (await this.#call(() => this.chat.getUserStatus({ userIDList: userIDs }))) ?? {};
    const fresh = userIDs.filter((id) => !this.#watched.has(id));
    if (fresh.length) {
      for (const id of fresh) this.#watched.add(id);
      this.chat.subscribeUserStatus({ userIDList: fresh }).catch(() => {});
    }
    return Object.fromEntries(successUserList.map(({ userID, statusType }) => [userID, this.#presence(statusType)]).filter(([, p]) => p));
  }

  #presence(type) {
    const { USER_STATUS_ONLINE: online, USER_STATUS_UNKNOWN: unknown } = this.SDK.TYPES;
    return type === unknown || type === undefined ? undefined : type === online ? "online" : "offline";
  }

  async list() {
    const { conversationList } = await this.#call(() => this.chat.getConversationList());
    return conversationList.filter((c) => /^(C2C|GROUP)/.test(c.conversationID)).map((c) => ({
      conversation: c.conversationID,
      name: c.remark || c.userProfile?.nick || c.groupProfile?.name || contactOf(c.userProfile?.selfSignature) || peerOf(c.conversationID),
      contact: contactOf(c.userProfile?.selfSignature),
      avatar: c.userProfile?.avatar || c.groupProfile?.avatar || "",
      unread: c.unreadCount,
      at: (c.lastMessage?.lastTime ?? 0) * 1000,
      last: this.#last(c),
    })).sort((a, b) => b.at - a.at);
  }

  #last({ lastMessage: m }) {
    if (!m?.type) return undefined;
    return { mine: m.fromAccount === this.userID, recalled: m.isRevoked, ...this.#content(m) };
  }

  async recall({ id }) {
    const message = this.#ids.get(id);
    if (!message) throw new Refused("unknown", "the message is no longer known here");
    await this.#call(() => this.chat.revokeMessage(message));
    this.tell({ type: "message", message: this.#message({ ...message, isRevoked: true }) });
  }

  #keep(map, key, value) {
    map.delete(key);
    map.set(key, value);
    if (map.size > kept) map.delete(map.keys().next().value);
  }

  #heard(m) {
    if (m.type === "TIMGroupSystemNoticeElem") {
      if ([4, 5].includes(m.payload?.operationType)) this.tell({ type: "gone", conversation: `GROUP${m.payload.groupProfile?.groupID ?? m.payload.groupID ?? ""}` });
      return;
    }
    const { typing } = m.type === "TIMCustomElem" ? fromData(m.payload.data, "") : {};
    if (typing !== undefined) {
      if (typing && m.flow === "in") this.tell({ type: "typing", conversation: m.conversationID, from: m.from });
      return;
    }
    const message = this.#message(m);
    if (message) this.tell({ type: "message", message });
  }

  #message(m) {
    const content = this.#content(m);
    if (!content) return undefined;
    this.#keep(this.#ids, m.ID, m);
    const group = isGroup(m.conversationID);
    if (group && m.needReadReceipt && m.flow === "in" && !this.#confirmed.has(m.ID)) {
      if (!this.#unconfirmed.has(m.conversationID)) this.#unconfirmed.set(m.conversationID, new Map());
      this.#keep(this.#unconfirmed.get(m.conversationID), m.ID, m);
    }
    return {
      id: m.ID, conversation: m.conversationID, from: m.from, nick: m.nick || m.from, avatar: m.avatar ?? "", mine: m.flow === "out", at: m.time * 1000,
      group, read: group ? m.readReceiptInfo?.readCount > 0 : m.isPeerRead === true, recalled: m.isRevoked === true, ...fromCustom(m.cloudCustomData), ...content,
    };
  }

  // #content is undefined for what is not shown.
  #content({ type, payload: p = {} }) {
    switch (type) {
      case "TIMTextElem":
        return { kind: "text", text: p.text ?? "" };
      case "TIMImageElem": {
        const [full, , thumb = full] = p.imageInfoArray ?? [];
        return { kind: "image", text: "", file: { name: "", size: full?.size ?? 0, url: plain(full), thumb: plain(thumb), width: full?.width, height: full?.height } };
      }
      case "TIMFileElem":
        return { kind: "file", text: "", file: { name: p.fileName ?? "", size: p.fileSize ?? 0, url: p.fileUrl ?? "" } };
      case "TIMVideoFileElem":
        return { kind: "file", text: "", file: { name: "video", size: p.videoSize ?? 0, url: p.videoUrl ?? "" } };
      case "TIMCustomElem": {
        const { typing, text, writing } = fromData(p.data, p.description);
        return typing !== undefined || !text ? undefined : { kind: "text", text, writing };
      }
      case "TIMGroupTipElem":
        return undefined;
      default:
        return { kind: "other", text: "" };
    }
  }
}

// plain is the address as it was sent: the SDK turns imageUrl into https.
const plain = (image) => image?.url || image?.imageUrl || "";
