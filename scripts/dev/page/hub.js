// A tab's side of the hub: a copy of what the hub holds, with an event for each
// change, and the things that can be asked of the hub.
import { Hub } from "./hubcore.js";

export { placeKey } from "./hubcore.js";

// Where there is no SharedWorker, the tab has a hub of its own.
function connect() {
  if (typeof SharedWorker === "function") return new SharedWorker("hub-worker.js", { type: "module", name: "hub" }).port;
  const { port1, port2 } = new MessageChannel();
  new Hub().accept(port1);
  return port2;
}

// Store dispatches "user", "items", "callbacks" and "backend", the first two with
// the user in their detail.
class Store extends EventTarget {
  users = new Map();
  callbacks = [];
  backend = "connecting";
  #seen = new Map(); // items by user and place
  #asked = new Map();
  #last = 0;
  #port = connect();

  constructor() {
    super();
    this.#port.onmessage = ({ data }) => this.#take(data);
    addEventListener("pagehide", () => this.#port.postMessage({ method: "bye", args: [] }));
    addEventListener("pageshow", (e) => e.persisted && location.reload()); // the hub has said goodbye to it
  }

  #take(data) {
    switch (data.kind) {
      case "user":
        this.users.set(data.user, data);
        return this.#tell("user", data.user);
      case "items": {
        const items = this.items(data.user, data.place);
        for (const item of data.items) {
          const at = items.findIndex((i) => i.id === item.id);
          if (at >= 0) items[at] = item;
          else items.push(item);
        }
        if (items.length > 300) items.splice(0, items.length - 300);
        return this.#tell("items", data.user, data);
      }
      case "callbacks":
        this.callbacks = data.entries;
        return this.#tell("callbacks");
      case "callback":
        this.callbacks.push(data.entry);
        if (this.callbacks.length > 200) this.callbacks.shift();
        return this.#tell("callbacks");
      case "backend":
        this.backend = data.backend;
        return this.#tell("backend");
      default: {
        const { resolve, reject } = this.#asked.get(data.id);
        this.#asked.delete(data.id);
        if (data.error) reject(Object.assign(new Error(data.error), { code: data.code }));
        else resolve(data.value);
      }
    }
  }

  #tell(kind, user, more) {
    this.dispatchEvent(new CustomEvent(kind, { detail: { user, ...more } }));
  }

  // items is what a user has seen in a place, by placeKey.
  items(user, place) {
    const key = `${user}\n${place}`;
    if (!this.#seen.has(key)) this.#seen.set(key, []);
    return this.#seen.get(key);
  }

  ask(method, ...args) {
    const id = ++this.#last;
    this.#port.postMessage({ id, method, args });
    return new Promise((resolve, reject) => this.#asked.set(id, { resolve, reject }));
  }
}

export const hub = new Store();
