// One login for all tabs of a browser. IM allows a user one web login by default,
// and a second would end the first; so one tab leads and holds the transport, and
// the others ask it. The lead is a Web Lock: it passes on when its tab closes,
// however that happens, and a browser does not freeze a tab that holds one.
import { Listeners, openTransport, Refused } from "./transport.js";

const calls = ["history", "send", "markRead", "typing", "profiles", "presence", "list", "recall"];
const answerWithin = 30_000; // milliseconds, for what a leading tab is asked

// shareTransport returns a transport for this tab. renew returns fresh
// credentials; the tab that takes the lead needs some of its own.
export function shareTransport(sdkAppID, userID, renew, options) {
  if (!globalThis.navigator?.locks || !globalThis.BroadcastChannel) return new Alone(sdkAppID, renew, options);
  return new Shared(sdkAppID, userID, renew, options);
}

// Alone is a tab in a browser that cannot share.
class Alone extends Listeners {
  constructor(sdkAppID, renew, options) {
    super();
    Object.assign(this, { sdkAppID, renew, options });
    for (const name of calls) this[name] = (...args) => this.real[name](...args);
  }
  async connect(credentials) {
    if (!this.real) {
      this.real = await openTransport(this.sdkAppID, this.options);
      this.features = this.real.features;
      this.real.listen((e) => this.tell(e));
    }
    await this.real.connect(credentials ?? (await this.renew()));
  }
  async close() {
    await this.real?.close();
  }
}

class Shared extends Listeners {
  #asked = new Map(); // calls that wait for the leading tab, by id
  #me = crypto.randomUUID();
  waiting = new AbortController(); // for the lock

  constructor(sdkAppID, userID, renew, options) {
    super();
    Object.assign(this, { sdkAppID, renew, options });
    this.name = `backchannel ${sdkAppID} ${userID}`;
    this.channel = new BroadcastChannel(this.name);
    this.channel.onmessage = ({ data }) => this.#take(data);
    for (const name of calls) this[name] = (...args) => (this.real ? this.real[name](...args) : this.#ask(name, args));
  }

  // connect resolves when this tab leads, or has found the one that does. Called
  // again it logs in anew, wherever the lead is.
  async connect(credentials) {
    if (this.real) return this.real.connect(credentials ?? (await this.renew()));
    if (this.features) return this.#ask("connect", [credentials ?? (await this.renew())]);
    this.credentials = credentials;
    await new Promise((resolve, reject) => {
      this.found = resolve;
      navigator.locks.request(this.name, { signal: this.waiting.signal }, async () => {
        await this.#lead().then(resolve, (e) => {
          reject(e);
          if (!this.features || this.closed) return;
          this.features = undefined; // it followed another tab, and cannot take over as it is
          this.tell({ type: "state", state: "expired" });
        });
        if (this.real) await new Promise((end) => (this.release = end));
      }).catch(reject);
      this.#post({ kind: "hello" });
    });
  }

  // #lead runs when the lock has come to this tab.
  async #lead() {
    if (this.closed) return;
    const real = await openTransport(this.sdkAppID, this.options);
    real.listen((e) => {
      this.tell(e);
      this.#post({ kind: "event", event: e });
      if (e.type === "state") this.state = e.state;
    });
    await real.connect(this.credentials ?? (await this.renew()));
    this.credentials = undefined;
    this.real = real;
    this.features = real.features;
    if (this.closed) {
      await real.close();
      this.real = undefined;
      return;
    }
    this.state = "online";
    // Whoever led before took these along. A draft keeps its key, so that what did
    // arrive is found in the history.
    this.#fail();
    this.tell({ type: "state", state: "online" });
    this.#post({ kind: "lead", features: this.features, state: this.state });
  }

  #fail() {
    for (const { reject } of this.#asked.values()) reject(new Refused("lost", "the tab that was connected has closed"));
    this.#asked.clear();
  }

  async close() {
    this.closed = true;
    await this.real?.close();
    this.real = undefined;
    this.release?.();
    this.waiting.abort();
    this.channel.close();
    this.#fail();
  }

  #post(message) {
    if (!this.closed) this.channel.postMessage({ ...message, from: this.#me });
  }

  #ask(method, args) {
    const id = crypto.randomUUID();
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      setTimeout(() => {
        if (this.#asked.delete(id)) reject(new Refused("lost", "the tab that is connected does not answer"));
      }, answerWithin);
      this.#post({ kind: "call", id, method, args });
    });
  }

  async #take({ kind, from, to, id, method, args, value, error, event, features, state }) {
    switch (kind) {
      case "hello":
        if (this.real) this.#post({ kind: "here", to: from, features: this.features, state: this.state });
        return;
      case "here":
        if (to === this.#me) this.#follow(features, state);
        return;
      case "lead":
        this.#fail();
        return this.#follow(features, state);
      case "event":
        if (!this.real && this.features) this.tell(event);
        return;
      case "call": {
        if (!this.real) return;
        let answer;
        try {
          answer = { value: await this.real[method](...args) };
        } catch (e) {
          answer = { error: { code: e.code, message: e.message } };
        }
        return this.#post({ kind: "answer", to: from, id, ...answer });
      }
      case "answer": {
        const asked = to === this.#me && this.#asked.get(id);
        if (!asked) return;
        this.#asked.delete(id);
        if (error) asked.reject(new Refused(error.code, error.message));
        else asked.resolve(value);
      }
    }
  }

  #follow(features, state) {
    if (this.real) return;
    this.features = features;
    this.credentials = undefined;
    this.found?.();
    this.tell({ type: "state", state: state ?? "online" });
  }
}
