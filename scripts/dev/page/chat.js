// The chat windows: each is one user's client, on the conversation that the
// tabs choose.
import { byId, element } from "./dom.js";
import { Device } from "./im.js";

const room = byId("windows");
const template = byId("window");
const topics = byId("topics");
const another = byId("another");
const windows = new Set();

let scene;
let conversation;
let chosen = () => {};

// openChat shows the tabs and two windows, and calls onChoose with each
// conversation that is chosen.
export function openChat(from, onChoose) {
  scene = from;
  chosen = onChoose;
  const tabs = scene.conversations.map((c) => {
    const tab = element("button", { type: "button", role: "tab", id: `tab-${c.id}`, textContent: c.title });
    tab.setAttribute("aria-controls", "conversation");
    tab.addEventListener("click", () => choose(c));
    tab.addEventListener("keydown", (e) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
      if (!step) return;
      const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
    });
    return tab;
  });
  byId("tabs").append(...tabs);
  topics.querySelector("select").addEventListener("change", redraw);
  another.addEventListener("click", () => open(scene.users.find((u) => ![...windows].some((w) => w.user === u))));
  choose(scene.conversations[0]);
  for (const user of scene.users.slice(0, 2)) open(user);
}

function choose(c) {
  conversation = c;
  for (const tab of byId("tabs").children) {
    const selected = tab.id === `tab-${c.id}`;
    tab.setAttribute("aria-selected", selected);
    tab.tabIndex = selected ? 0 : -1;
  }
  byId("conversation").setAttribute("aria-labelledby", `tab-${c.id}`);
  byId("about").textContent = c.about;
  topics.hidden = !c.topics;
  topics.querySelector("select").replaceChildren(...(c.topics ?? []).map((t) => element("option", { value: t.id, textContent: t.name })));
  redraw();
  chosen(c);
}

// place is where a window's user writes now: a group, a topic of one, or a
// person.
function place(user) {
  if (conversation.groupId) {
    return { groupId: conversation.groupId, topicId: conversation.topics ? topics.querySelector("select").value : "" };
  }
  return { peer: conversation.peer ?? scene.users.slice(0, 2).find((u) => u !== user) };
}

const keyOf = ({ groupId, topicId, peer }) => (groupId ? `${groupId} ${topicId ?? ""}` : `@ ${peer}`);

function redraw() {
  for (const w of windows) w.draw();
}

function open(user) {
  const w = new Window(user);
  windows.add(w);
  room.append(w.node);
  limit();
}

function limit() {
  another.hidden = windows.size >= scene.users.length;
  for (const w of windows) w.part(".close").hidden = windows.size < 2;
}

class Window {
  constructor(user) {
    this.node = template.content.firstElementChild.cloneNode(true);
    this.transcripts = new Map(); // by keyOf
    const select = this.part(".user");
    select.append(...scene.users.map((u) => element("option", { value: u, textContent: u })));
    select.addEventListener("change", () => this.become(select.value));
    this.part(".vanish").addEventListener("click", () => this.toggle());
    this.part(".close").addEventListener("click", () => this.close());
    this.part(".chips").append(...scene.sayings.map((text) => {
      const chip = element("button", { type: "button", textContent: text });
      chip.addEventListener("click", () => this.say(text));
      return chip;
    }));
    this.part("form").addEventListener("submit", (e) => {
      e.preventDefault();
      const input = this.part("input");
      if (input.value.trim()) this.say(input.value);
      input.value = "";
    });
    this.become(user);
  }

  part(selector) {
    return this.node.querySelector(selector);
  }

  async become(user) {
    this.device?.logout().catch(() => {});
    this.user = user;
    this.transcripts.clear();
    this.part(".user").value = user;
    this.node.setAttribute("aria-label", `${user}'s window`);
    this.draw();
    try {
      this.device = await Device.login(scene, user, (e) => this.take(e));
      for (const c of scene.conversations) {
        if (c.joins) await this.device.join(c.groupId);
      }
      this.present("online");
    } catch (e) {
      this.present(e.message);
    }
  }

  // toggle loses the connection without a word, or finds it again.
  async toggle() {
    if (!this.dark) {
      await this.device.vanish();
      this.present("connection lost");
      return;
    }
    try {
      await this.device.comeBack();
      this.present("online");
    } catch {
      await this.become(this.user);
    }
  }

  present(text) {
    this.dark = text !== "online";
    const presence = this.part(".presence");
    presence.textContent = text;
    presence.className = this.dark ? "presence off" : "presence";
    this.part(".vanish").textContent = this.dark ? "Connect again" : "Lose connection";
  }

  close() {
    this.device?.logout().catch(() => {});
    windows.delete(this);
    this.node.remove();
    limit();
    another.focus();
  }

  transcript(key) {
    if (!this.transcripts.has(key)) this.transcripts.set(key, []);
    return this.transcripts.get(key);
  }

  take(event) {
    switch (event.kind) {
      case "message":
        if (event.from === this.user && !event.byREST) break; // shown when it was said
        this.add(event.place, { from: event.from, text: event.text });
        break;
      case "kickedOffline":
        this.present("logged in elsewhere");
        break;
      default:
        this.add(event.place ?? place(this.user), { note: event.text ?? event.kind });
    }
  }

  async say(text) {
    const at = place(this.user);
    const mine = { from: this.user, text, state: "sending" };
    this.add(at, mine);
    try {
      await this.device.send(at, text);
      mine.state = "sent";
    } catch (e) {
      mine.state = e.code ? `refused, error ${e.code}: ${e.message}` : e.message;
      mine.refused = true;
    }
    this.draw();
  }

  add(at, item) {
    this.transcript(keyOf(at)).push(item);
    this.draw();
  }

  draw() {
    const log = this.part(".messages");
    log.setAttribute("aria-label", `What ${this.user} sees`);
    log.replaceChildren(...this.transcript(keyOf(place(this.user))).map((m) => {
      if (m.note) return element("p", { className: "note", textContent: m.note });
      const line = element("p", { className: m.refused ? "refused" : m.from === this.user ? "mine" : "" },
        element("b", { textContent: m.from }), ` ${m.text} `);
      if (m.state) line.append(element("small", { textContent: m.state }));
      return line;
    }));
    log.scrollTop = log.scrollHeight;
  }
}
