// A chat window: one user's client on one conversation.
import { button, complain, element, patch, set } from "./dom.js";
import { hub, placeKey } from "./hub.js";

const shown = 200; // messages in a window
const soon = 40; // pixels from the end that count as being there

// The windows, for whoever looks for a message.
const windows = new Set();

// reveal shows the bubble of a message, by its sender and random number, and
// says whether there is one.
export function reveal(messageID) {
  for (const w of windows) {
    const bubble = w.bubble(messageID);
    if (!bubble) continue;
    w.node.dispatchEvent(new CustomEvent("reveal", { bubbles: true }));
    bubble.scrollIntoView({ block: "center" });
    flash(bubble);
    return true;
  }
  return false;
}

// flash draws the eye to a node, and the focus.
export function flash(node) {
  node.classList.remove("flash");
  void node.offsetWidth; // the animation begins anew
  node.classList.add("flash");
  node.tabIndex = -1;
  node.focus({ preventScroll: true });
}

export class Chat {
  // options: user; others (who may be chosen in his stead); rooms to enter;
  // place(user), where he writes; sayings; badge(from), a node beside a name;
  // look(item), which returns a node for what is no plain message, or null to
  // show nothing of it; marks(item), a list of [key, make] of nodes under a message;
  // onCallback(messageID), to show its callback; onUser.
  constructor(options) {
    this.options = options;
    this.known = new Set(); // ids of messages that count as new no more
    this.presence = element("span", { className: "presence" });
    this.choice = element("select", { className: "user", "aria-label": "User" }, ...(options.others ?? [options.user]).map((u) => element("option", { value: u }, u)));
    this.choice.addEventListener("change", () => this.become(this.choice.value));
    this.toggle = button("Lose connection", () => hub.ask(hub.users.get(this.user)?.presence === "vanished" ? "comeBack" : "vanish", this.user), { className: "quiet" });
    this.away = element("div", { className: "away", hidden: true });
    this.awayText = element("p");
    this.again = button("Log in", () => (this.out ? hub.ask("enterAgain", this.user, this.place().groupId) : hub.ask("login", this.user)));
    this.away.append(this.awayText, this.again);
    this.letters = element("ul", { className: "letters", "aria-label": "From the administrator", hidden: true });
    this.read = new Set();
    this.log = element("div", { className: "messages", role: "log", tabIndex: 0 });
    this.log.addEventListener("scroll", () => this.atEnd() && this.caughtUp());
    this.empty = element("p", { className: "empty" }, options.empty ?? "Nothing was said yet. Press one of the sentences below, or write your own.");
    this.more = element("button", { type: "button", className: "more", hidden: true });
    this.more.addEventListener("click", () => this.toEnd());
    this.input = element("input", { autocomplete: "off", maxLength: 2000, "aria-label": "Message", placeholder: "Message" });
    this.form = element("form", { className: "composer" }, this.input, element("button", { className: "primary" }, "Send"));
    this.form.addEventListener("submit", (e) => {
      e.preventDefault();
      const text = this.input.value.trim();
      this.input.value = "";
      if (text) this.say({ text });
    });
    this.chips = element("div", { className: "chips", role: "group", "aria-label": "Ready-made messages" }, ...(options.sayings ?? []).map((text) => {
      const chip = element("button", { type: "button" }, text);
      chip.addEventListener("click", () => this.say({ text }));
      return chip;
    }));
    this.head = element("div", { className: "who" }, element("span", { className: "face", "aria-hidden": "true" }), this.choice, this.presence, this.toggle);
    this.node = element("article", { className: "window" }, this.head, options.top, this.away, this.letters,
      element("div", { className: "said" }, this.log, this.empty, this.more), this.chips, options.tools, this.form);
    this.onUser = ({ detail }) => detail.user === this.user && this.present();
    this.onItems = ({ detail }) => detail.user === this.user && this.later(detail);
    hub.addEventListener("user", this.onUser);
    hub.addEventListener("items", this.onItems);
    windows.add(this);
    this.become(options.user);
  }

  become(user) {
    const before = this.user;
    this.user = user;
    this.choice.value = user;
    this.node.setAttribute("aria-label", `${user}'s window`);
    this.log.setAttribute("aria-label", `What ${user} sees`);
    this.head.firstChild.textContent = user.replace(/[^a-z0-9]/gi, "").slice(0, 1).toUpperCase();
    this.head.firstChild.dataset.hue = [...user].reduce((n, c) => n + c.charCodeAt(0), 0) % 6;
    hub.ask("open", user, this.options.rooms ?? []);
    if (before && before !== user && ![...windows].some((w) => w.user === before)) hub.ask("release", before);
    this.options.onUser?.(user, before);
    this.open();
    this.moved();
  }

  // open shows the latest that the admin account wrote to the user.
  open() {
    const letters = hub.items(this.user, `@ ${this.options.admin}`).filter((i) => !i.mine && i.text && !this.read.has(i.id)).slice(-2);
    patch(this.letters, letters, (i) => i.id, (i) => element("li", {}, element("b", {}, i.from), ` ${i.text} `, button("Dismiss", () => {
      this.read.add(i.id);
      this.open();
    }, { className: "link" })));
    set(this.letters, "hidden", !letters.length);
  }

  place() {
    return this.options.place(this.user);
  }

  // moved shows another place.
  moved() {
    this.missed = 0;
    this.present();
    this.draw();
    this.toEnd();
  }

  present() {
    const { presence = "connecting", text = "connecting", left = [] } = hub.users.get(this.user) ?? {};
    const off = ["banned", "kicked", "refused"].includes(presence);
    this.out = !off && left.includes(this.place().groupId);
    this.node.dataset.presence = presence;
    set(this.presence, "textContent", off ? presence : text);
    set(this.toggle, "hidden", !["online", "vanished"].includes(presence));
    set(this.toggle.firstChild, "textContent", presence === "vanished" ? "Connect again" : "Lose connection");
    set(this.away, "hidden", !off && !this.out);
    set(this.again.firstChild, "textContent", this.out ? "Enter again" : presence === "kicked" ? "Log in here" : "Log in again");
    set(this.awayText, "textContent", this.out ? `${this.user} is no longer in this group.` : { banned: `${this.user} is banned: no UserSig, no login.`, kicked: `${this.user} was logged out: a session elsewhere took over.`, refused: text }[presence] ?? "");
    set(this.input, "disabled", off);
  }

  say(draft) {
    this.toEnd();
    return hub.ask("send", this.user, this.place(), draft).catch((e) => complain(this.form, e.message));
  }

  later(detail) {
    if (detail.place === placeKey(this.place())) {
      this.missed += detail.items.filter((i) => !i.mine && !i.note && !this.known.has(i.id)).length;
      for (const i of detail.items) this.known.add(i.id);
    }
    if (detail.place === `@ ${this.options.admin}`) this.open();
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      this.draw();
    });
  }

  atEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < soon;
  }

  toEnd() {
    this.log.scrollTop = this.log.scrollHeight;
    this.caughtUp();
  }

  caughtUp() {
    this.missed = 0;
    this.more.hidden = true;
  }

  draw() {
    const stay = this.atEnd();
    const items = hub.items(this.user, placeKey(this.place())).filter((i) => i.note || this.options.look?.(i) !== null).slice(-shown);
    patch(this.log, items, (i) => i.id, (i) => this.line(i), (node, i) => this.renew(node, i));
    set(this.empty, "hidden", items.length > 0);
    if (stay) return this.toEnd();
    if (this.missed) {
      set(this.more, "hidden", false);
      set(this.more, "textContent", `${this.missed} new ${this.missed === 1 ? "message" : "messages"}`);
    }
  }

  bubble(messageID) {
    return [...this.log.children].find((n) => n.dataset.message === messageID);
  }

  line(item) {
    if (item.note) return element("p", { className: "note" }, item.note);
    const parts = { text: element("span", { className: "text" }), state: element("small"), act: element("span", { className: "acts" }) };
    const name = element("b", {}, this.options.nameOf?.(item.from) ?? item.from);
    const node = element("p", {}, element("span", { className: "from" }, name), parts.text, parts.state, parts.act);
    Object.assign(node, { parts, name });
    node.dataset.message = `${item.from} ${item.random}`;
    return node;
  }

  renew(node, item) {
    if (item.note) return;
    if (this.options.marks) {
      if (!node.parts.marks) node.append((node.parts.marks = element("span", { className: "marks" })));
      patch(node.parts.marks, this.options.marks(item), ([key]) => key, ([, make]) => make());
    }
    const badge = this.options.badge?.(item.from) ?? "";
    if (node.item === item && node.badge === badge) return;
    node.item = item;
    const { label, kind } = stateOf(item);
    const { parts } = node;
    set(node, "className", [item.mine ? "mine" : "theirs", kind].filter(Boolean).join(" "));
    const look = this.options.look?.(item);
    if (look) {
      node.classList.toggle("event", look.classList.contains("told"));
      if (!parts.looked) parts.text.replaceChildren((parts.looked = look));
    } else if (parts.said !== textOf(item)) {
      parts.said = textOf(item);
      parts.text.replaceChildren(...linked(parts.said, !item.mine));
    }
    set(parts.state, "textContent", label);
    if (node.badge !== badge) {
      node.badge = badge;
      node.name.parentNode.querySelector(".level")?.remove();
      if (badge) node.name.before(element("span", { className: "level" }, badge));
    }
    const acts = [];
    if (kind === "unsent") acts.push(["Retry", () => hub.ask("resend", this.user, this.place(), item.id)]);
    if (item.why) acts.push(["Why?", () => this.node.dispatchEvent(new CustomEvent("callback", { bubbles: true, detail: node.dataset.message }))]);
    if (item.mine && item.state === "sent" && item.seq && !item.recalled && !look) acts.push(["Recall", () => hub.ask("recall", this.user, this.place(), item.id)]);
    patch(parts.act, acts, ([label]) => label, ([label, act]) => button(label, act, { className: label === "Recall" ? "link rare" : "link" }));
  }

  close() {
    windows.delete(this);
    hub.removeEventListener("user", this.onUser);
    hub.removeEventListener("items", this.onItems);
    cancelAnimationFrame(this.waiting);
    this.node.remove();
  }
}

const elements = { TIMImageElem: "picture", TIMSoundElem: "voice message", TIMVideoFileElem: "video", TIMFileElem: "file", TIMFaceElem: "sticker", TIMLocationElem: "location" };

// linked is a text with its addresses as links.
function linked(text, theirs) {
  if (!theirs) return [text];
  return text.split(/(https?:\/\/[^\s<>"]+)/).map((part, i) => (i % 2 ? element("a", { href: part, target: "_blank", rel: "noopener noreferrer" }, part) : part));
}

function textOf(item) {
  if (item.recalled) return "message recalled";
  return item.text || (item.body ?? []).map((e) => `[${elements[e.MsgType] ?? e.MsgType}]`).join(" ");
}

// stateOf is what became of a message, in words and as a class.
function stateOf(item) {
  if (item.recalled) return { label: "recalled", kind: "recalled" };
  if (item.writing) return { label: "writing …", kind: "writing" };
  if (!item.mine) return { label: item.why?.action === "mask" ? "masked" : "" };
  if (item.decided === "approved") return { label: "approved by a moderator", kind: "approved" };
  if (item.decided === "rejected") return { label: "rejected by a moderator", kind: "refused" };
  if (item.state === "sending") return { label: "sending" };
  if (item.state === "unsent") return { label: `not sent: ${item.error}`, kind: "unsent" };
  if (item.state === "refused" && item.why?.action === "review") return { label: "waits for a moderator", kind: "held" };
  if (item.state === "refused") return { label: `refused, error ${item.code}: ${item.error}`, kind: "refused" };
  if (item.verdict === "drop") return { label: `dropped: only ${item.from} sees it`, kind: "dropped" };
  if (item.verdict === "rewrite" && item.why?.action === "mask") return { label: "masked for the others", kind: "masked" };
  return { label: item.state === "sent" ? "sent" : "" };
}
