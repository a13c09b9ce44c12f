// One conversation as it is shown: what was said, what is on its way, and what is
// unread. It outlives connections: after each one it reads again what it missed.
const fresh = 5; // pages at most that are read again after a connection was lost

// Conversation dispatches "change" when what it shows changed, "typing" with the UserID
// of who writes, and "arrived" with a message that is new.
export class Conversation extends EventTarget {
  messages = []; // oldest first; those on their way come last
  unread = 0;
  gone = false; // dissolved
  #byID = new Map();
  #solid = new Set(); // ids of messages that the history has shown
  #pending = []; // drafts that are not known to have arrived, oldest first
  #readEarly = new Set(); // ids that a peer has read before the answer of their send came
  #unconfirmed = false; // whether it shows or showed messages of others that IM does not know as read
  #older; // cursor
  #line = Promise.resolve(); // sends, one after the other

  constructor(transport, id) {
    super();
    this.transport = transport;
    this.id = id;
    this.end = transport.listen((e) => this.#told(e));
  }

  close() {
    this.end();
  }

  get complete() {
    return this.loaded && !this.#older;
  }

  #changed() {
    const sent = [...this.#byID.values()].sort((a, b) => a.at - b.at || a.order - b.order);
    this.messages = [...sent, ...this.#pending];
    this.dispatchEvent(new Event("change"));
  }

  // #put takes a message that came, or came again. It says whether it is new.
  #put(message, order) {
    const known = this.#byID.get(message.id);
    const read = message.read || known?.read || this.#readEarly.delete(message.id);
    this.#byID.set(message.id, { ...message, read, recalled: message.recalled || known?.recalled, order: known?.order ?? order, state: "sent" });
    if (message.mine && message.key) this.#pending = this.#pending.filter((p) => p.key !== message.key); // it did arrive
    if (!known && theirs(message)) this.#unconfirmed = true;
    return !known;
  }

  #orders = { first: 0, last: 0 }; // of messages within one second: as they came

  // load reads the latest, and on a further call whatever was missed since.
  async load() {
    const before = this.loaded;
    let cursor, found = []; // oldest first
    for (let page = 0; page < (before ? fresh : 1); page++) {
      const { messages, cursor: older } = await this.transport.history(this.id, cursor);
      found = [...messages, ...found];
      cursor = older;
      // A message that was pushed says nothing of those before it; one that came
      // with the history does.
      if (!older || messages.some((m) => this.#solid.has(m.id))) break;
    }
    for (const m of found) {
      if (this.#put(m, this.#orders.last++) && before && theirs(m)) this.unread++; // it was missed
      this.#solid.add(m.id);
    }
    if (!before) this.#older = cursor;
    this.loaded = true;
    this.#changed();
  }

  // loadOlder reads the page before the oldest message that is shown.
  async loadOlder() {
    if (!this.#older || this.paging) return;
    this.paging = true;
    try {
      const { messages, cursor } = await this.transport.history(this.id, this.#older);
      this.#older = cursor;
      this.#orders.first -= messages.length;
      for (const [i, m] of messages.entries()) this.#put(m, this.#orders.first + i);
    } finally {
      this.paging = false;
      this.#changed();
    }
  }

  // send shows a draft at once, {text} or {file, kind, preview}, with a quote.
  send(draft) {
    const pending = { id: `draft ${crypto.randomUUID()}`, key: crypto.randomUUID(), conversation: this.id, mine: true, at: Date.now(), state: "sending", text: "", ...draft, kind: draft.kind ?? "text" };
    this.#pending.push(pending);
    this.#changed();
    this.#transmit(pending);
    return pending;
  }

  // retry resends a message that failed.
  retry(pending) {
    Object.assign(pending, { state: "sending", error: undefined, share: undefined });
    this.#changed();
    this.#transmit(pending);
  }

  // discard forgets what failed.
  discard(pending) {
    this.#pending = this.#pending.filter((p) => p !== pending);
    this.#changed();
  }

  #transmit(pending) {
    this.#line = this.#line.then(async () => {
      try {
        const { key, text, kind, quote } = pending;
        this.#put(await this.transport.send(this.id, { key, text, kind, quote, file: pending.upload }), this.#orders.last++);
      } catch (e) {
        Object.assign(pending, { state: "failed", code: e.code, error: e.message });
      }
      this.#changed();
    });
    return this.#line;
  }

  async recall(message) {
    await this.transport.recall(message);
    this.#put({ ...message, recalled: true });
    this.#changed();
  }

  // markRead is called whenever the end of the conversation is in sight. It tells IM
  // only of messages that came since, by push or with the history.
  markRead() {
    if (!this.unread && !this.#unconfirmed) return;
    const counted = this.unread > 0;
    this.unread = 0;
    this.#unconfirmed = false;
    if (counted) this.#changed();
    this.transport.markRead(this.id).catch(() => (this.#unconfirmed = true)); // the next call retries
  }

  #told(e) {
    if (e.type === "progress") {
      const pending = this.#pending.find((p) => p.key === e.key);
      if (pending) {
        pending.share = e.share;
        this.#changed();
      }
      return;
    }
    if ((e.message?.conversation ?? e.conversation) !== this.id) return;
    switch (e.type) {
      case "message": {
        const isNew = this.#put(e.message, this.#orders.last++);
        if (isNew && theirs(e.message)) {
          this.unread++;
          this.typing = false;
        }
        this.#changed();
        if (isNew) this.dispatchEvent(new CustomEvent("arrived", { detail: e.message }));
        return;
      }
      case "read":
        for (const id of e.ids) {
          if (this.#byID.has(id)) this.#byID.get(id).read = true;
          else this.#readEarly.add(id);
        }
        return this.#changed();
      case "seen":
        this.unread = 0;
        return this.#changed();
      case "typing":
        return this.dispatchEvent(new CustomEvent("typing", { detail: e.from }));
      case "gone":
        this.gone = true;
        return this.#changed();
    }
  }
}

const theirs = (message) => !message.mine && !message.recalled;
