// The agent's page: who waits, and the conversation with each. A support desk
// embeds it. Its address takes an identity token, a conversation and the agent's
// language, all in the fragment, which no server sees, and nothing else:
//
//   agent.html#token=TOKEN&conversation=GROUPid&language=ja
//
// It tells the page around it what has happened, and listens to no message.
import config from "./config.js";
import { Conversation } from "./conversation.js";
import { Desk } from "./desk.js";
import { element, icon, initials, onClick, set } from "./dom.js";
import { agent } from "./identity.js";
import { dayOf, directionOf, loadLanguage, timeOf } from "./lang.js";
import { agentCSS, chatCSS, sheetOf } from "./style.js";
import { shareTransport } from "./tabs.js";
import { isGroup } from "./transport.js";
import { ChatView } from "./view.js";

const calm = 150; // milliseconds that the list waits for more changes

const { backend = "", answers = [], agents = [] } = config;
const t = await loadLanguage(new URLSearchParams(location.hash.slice(1)).get("language") || navigator.language);
document.adoptedStyleSheets = [sheetOf(chatCSS + agentCSS)];
document.documentElement.lang = t.language;

const tell = (what, more = {}) => parent !== window && parent.postMessage({ backchannel: what, ...more }, "*"); // a count and ids, no text

// address reads what the page was asked for.
function address() {
  const query = new URLSearchParams(location.hash.slice(1));
  const conversation = query.get("conversation") ?? "";
  return { token: query.get("token") ?? "", conversation: /^(C2C|GROUP)./.test(conversation) ? conversation : "" };
}

const notices = element("div", { className: "notices", role: "status" });
const page = element("main", { className: "page themed", dir: directionOf(document.documentElement) }, notices);
document.body.append(page);

let login; // of the agent who is logged in
let busy = Promise.resolve();

function notify(text, ...more) {
  notices.replaceChildren(...(text ? [element("div", { className: "banner" }, text, ...more)] : []));
}

async function stop(text) {
  const before = login;
  login = undefined;
  await before?.close();
  page.querySelector(".desk, .message")?.remove();
  page.append(element("p", { className: "message", role: "alert" }, text));
}

// follow does what the address says, one change after the other.
function follow() {
  busy = busy.then(async () => {
    const { token, conversation } = address();
    if (!token) return void (await stop(t("noToken")));
    if (login?.token !== token) {
      let who;
      try {
        who = await agent(token, backend);
      } catch (e) {
        console.warn("backchannel chat:", e);
        if (e.code !== "offline") tell("token");
        return void (await stop(t(e.code === "offline" ? "failedOpen" : "token")));
      }
      if (login && login.userID === who.userID) await login.renew(token, who);
      else if (!(await enter(token, who))) return;
    }
    if (conversation !== login.shown) login.show(conversation);
  });
}

// enter logs an agent in; of one before him nothing stays.
async function enter(token, who) {
  const before = login;
  login = undefined;
  page.querySelector(".desk, .message")?.remove();
  notify(t("connecting"));
  await before?.close(); // the SDK has one login at a time
  const next = new Login(token, who);
  try {
    await next.transport.connect(who);
  } catch (e) {
    console.warn("backchannel chat:", e);
    await next.close();
    notify("");
    await stop(t("failedOpen"));
    return false;
  }
  login = next;
  notify("");
  page.append(next.node);
  await next.refresh();
  tell("ready", { userID: who.userID });
  return true;
}

class Login {
  shown = ""; // the conversation
  asked = new Set(); // conversations whose tickets were asked for
  #list = [];
  #rows = new Map();

  constructor(token, who) {
    Object.assign(this, { token, who, userID: who.userID });
    this.transport = shareTransport(who.sdkAppID, who.userID, () => agent(this.token, backend), { groups: true });
    this.transport.listen((e) => this.#told(e));
    this.desk = new Desk(backend, () => this.#credentials());
    this.had = this.desk.load(); // whether the tickets at the login were read
    this.search = element("input", { type: "search", placeholder: t("search"), "aria-label": t("search"), dir: "auto" });
    this.search.addEventListener("input", () => this.#draw());
    this.people = element("ul", {});
    this.nobody = element("p", { className: "nobody", hidden: true }, t("noConversations"));
    this.talk = element("section", { className: "talk", "aria-label": t("conversation") }, element("p", { className: "empty" }, t("pick")));
    this.node = element("div", { className: "desk" },
      element("nav", { className: "people", "aria-label": t("conversations") }, element("header", {}, element("h1", {}, t("conversations")), this.search), element("div", {}, this.nobody, this.people)), this.talk);
    this.onSight = () => !document.hidden && this.conversation?.load().catch(() => {});
    document.addEventListener("visibilitychange", this.onSight);
    addEventListener("online", this.onSight);
  }

  close() {
    document.removeEventListener("visibilitychange", this.onSight);
    removeEventListener("online", this.onSight);
    clearTimeout(this.waiting);
    this.#leave();
    return this.transport.close();
  }

  // #credentials are the agent's, renewed before they end.
  async #credentials() {
    if (this.who.ends - Date.now() < 60_000) this.who = await agent(this.token, backend);
    return this.who;
  }

  // renew goes on with a fresh token of the same agent.
  async renew(token, who) {
    Object.assign(this, { token, who });
    if (this.state && this.state !== "online") await this.transport.connect(who).catch(() => {});
  }

  #told(e) {
    if (e.type === "gone" && e.conversation === this.shown) this.talk.querySelector(".tools")?.replaceChildren();
    if (e.type === "list" || e.type === "message" || e.type === "seen") return this.#later();
    if (e.type !== "state") return;
    const before = this.state;
    this.state = e.state;
    this.view?.setOff(e.state === "kicked");
    switch (e.state) {
      case "online":
        notify("");
        if (before && before !== "online") {
          this.conversation?.load().catch(() => {});
          this.#later();
        }
        return;
      case "reconnecting":
        return notify(t("reconnecting"));
      case "kicked":
        return notify(t("kicked"), onClick(element("button", { type: "button", className: "link" }, t("useHere")), () => this.transport.connect().catch(() => this.#ended())));
      case "expired":
        return void this.transport.connect().catch(() => this.#ended());
    }
  }

  #ended() {
    notify(t("token"));
    tell("token");
  }

  #later() {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.refresh(), calm);
  }

  async refresh() {
    try {
      this.#list = await this.transport.list();
    } catch {
      return; // the next change asks again
    }
    const fresh = this.#list.map((c) => c.conversation).filter((id) => isGroup(id) && this.desk.known(id.slice(5)) === undefined && !this.asked.has(id));
    if (fresh.length) {
      for (const id of fresh) this.asked.add(id); // one that is no ticket's is asked for once
      this.#meet(fresh);
    }
    this.#draw();
    const count = this.#list.reduce((n, c) => n + (c.conversation === this.shown && !document.hidden ? 0 : c.unread), 0);
    if (count === this.counted) return;
    this.counted = count;
    document.title = count ? `(${count}) ${t("conversations")}` : t("conversations");
    tell("unread", { count, conversation: this.#list.find((c) => c.unread)?.conversation ?? "" });
  }

  // #meet reads the tickets of groups that are new in the list. Those that the agent had
  // at the login, whose groups the SDK may list late, are no assignments.
  async #meet(groups) {
    const known = (id) => this.desk.known(id.slice(5));
    const before = await this.had;
    const fresh = groups.filter((id) => known(id) === undefined);
    if (fresh.length && (await this.desk.load())) {
      this.had = true;
      for (const conversation of fresh) if (before && known(conversation)) tell("assigned", { conversation });
    }
    this.#draw();
  }

  #draw() {
    const wanted = this.search.value.trim().toLowerCase();
    const list = this.#list.filter((c) => this.#nameOf(c.conversation).toLowerCase().includes(wanted) || c.conversation.toLowerCase().includes(wanted));
    set(this.nobody, "hidden", list.length > 0);
    const keys = new Set(list.map((c) => c.conversation));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    let next = this.people.firstChild;
    for (const c of list) {
      let row = this.#rows.get(c.conversation);
      if (!row) this.#rows.set(c.conversation, (row = this.#row(c)));
      this.#renew(row, c);
      if (row === next) next = next.nextSibling;
      else this.people.insertBefore(row, next);
    }
    this.#entitle();
  }

  // #entitle says whom one talks to: a name, and how to reach him otherwise. The
  // title of a ticket is written with its tools.
  #entitle() {
    if (!this.title || (isGroup(this.shown) && this.desk.known(this.shown.slice(5)))) return;
    const name = this.#nameOf(this.shown), contact = this.#list.find((c) => c.conversation === this.shown)?.contact ?? "";
    if (this.titled === `${name} ${contact}`) return;
    this.titled = `${name} ${contact}`;
    this.title.replaceChildren(name, ...(contact && contact !== name ? [element("small", {}, contact)] : []));
  }

  #row({ conversation }) {
    const parts = { face: element("span", { className: "face", "aria-hidden": "true" }), name: element("b", { dir: "auto" }), at: element("time"), last: element("span", { className: "last", dir: "auto" }), count: element("span", { className: "count" }) };
    const button = element("button", { type: "button", className: "person" }, parts.face, parts.name, parts.at, parts.last, parts.count);
    button.addEventListener("click", () => {
      this.show(conversation, true);
      tell("open", { conversation });
    });
    return Object.assign(element("li", {}, button), { parts, button });
  }

  #renew({ parts, button }, c) {
    const name = this.#nameOf(c.conversation);
    set(parts.face, "textContent", initials(name));
    set(parts.name, "textContent", name);
    const today = new Date(c.at).toDateString() === new Date().toDateString();
    set(parts.at, "textContent", c.at ? (today ? timeOf(c.at, t.language) : dayOf(c.at, t)) : "");
    set(parts.last, "textContent", lastOf(c.last));
    const unread = c.conversation === this.shown && !document.hidden ? 0 : c.unread;
    set(parts.count, "hidden", !unread);
    set(parts.count, "textContent", unread > 99 ? "99+" : String(unread));
    parts.count.setAttribute("aria-label", t("unread", unread));
    set(button, "className", unread ? "person fresh" : "person");
    button.setAttribute("aria-current", String(c.conversation === this.shown));
  }

  #nameOf(conversation) {
    const { subject } = (isGroup(conversation) && this.desk.known(conversation.slice(5))) || {};
    return subject || this.#list.find((c) => c.conversation === conversation)?.name || conversation.replace(/^(C2C|GROUP)/, "");
  }

  #leave() {
    this.view?.close();
    this.conversation?.close();
    this.view = this.conversation = this.title = this.titled = undefined;
  }

  // show shows a conversation, or none; the address keeps which.
  show(conversation, here) {
    this.#leave();
    this.shown = conversation;
    if (here) {
      const query = new URLSearchParams({ token: this.token, ...(conversation && { conversation }) });
      history.replaceState(null, "", `#${query}`);
    }
    this.node.classList.toggle("one", Boolean(conversation));
    if (!conversation) {
      this.talk.replaceChildren(element("p", { className: "empty" }, t("pick")));
      this.#draw();
      return;
    }
    const talk = (this.conversation = new Conversation(this.transport, conversation));
    talk.unread = 1; // it may hold some from before: opening it reads them
    this.view = new ChatView({ t, conversation: talk, nameOf: (m) => (m.nick !== m.from && m.nick) || (isGroup(conversation) && m.from) || this.#nameOf(conversation), tools: this.#answers() });
    const back = element("button", { type: "button", className: "round back", "aria-label": t("back"), title: t("back") }, icon("back"));
    back.addEventListener("click", () => {
      this.show("", true);
      this.#rows.get(conversation)?.button.focus();
    });
    this.title = element("h2", { dir: "auto" }, this.#nameOf(conversation));
    const tools = element("div", { className: "tools" });
    this.talk.replaceChildren(element("header", {}, back, this.title, tools), this.view.node);
    this.view.shown();
    if (here) this.view.focus();
    this.#draw();
    this.#deskTools(conversation, tools);
    talk.load().then(() => this.view?.toEnd(), (e) => {
      console.warn("backchannel chat:", e);
      this.view?.complain(t("failedOpen"));
    });
  }

  // #answers is a menu of ready-made answers, which are sent only after a look.
  #answers() {
    if (!answers.length) return [];
    return [menu("answers", t("answers"), answers.map((text) => ({ text, act: () => this.view.write(this.view.input.value ? `${this.view.input.value} ${text}` : text) })), "round")];
  }

  // #deskTools fills the tools of a ticket: hand over, an internal note, solve.
  async #deskTools(conversation, tools) {
    if (!isGroup(conversation)) return;
    const group = conversation.slice(5);
    const draw = (ticket) => {
      if (this.shown !== conversation || !ticket || this.conversation.gone) return;
      set(this.title, "textContent", this.#nameOf(conversation));
      this.title.append(element("small", {}, `${ticket.ticketId} · ${t(`status_${ticket.status}`)}`));
      const act = (f, said) => async () => {
        try {
          const after = await f();
          if (!this.conversation.gone) this.view?.say(said); // that it has ended may be told first, and stays
          draw(after.status ? after : this.desk.known(group));
        } catch (e) {
          this.view?.complain(e.message);
        }
      };
      const done = ticket.status === "solved" || ticket.status === "closed";
      const others = agents.filter((a) => a.id !== this.userID);
      tools.replaceChildren(
        others.length && !done ? menu("hand", t("transfer"), others.map(({ id, name }) => ({ text: t("transferTo", name), act: act(() => this.desk.transfer(group, id), t("transferred", name)) }))) : "",
        this.#noteTool(group),
        onClick(element("button", { type: "button", className: "tool", title: t(done ? "reopen" : "solve") }, icon("done"), element("span", {}, t(done ? "reopen" : "solve"))),
          act(() => (done ? this.desk.reopen(group) : this.desk.solve(group)), t(done ? "reopened" : "solved"))));
    };
    draw(await this.desk.ticket(group));
  }

  // #noteTool writes an internal note, which the customer never sees.
  #noteTool(group) {
    const text = element("textarea", { rows: 3, "aria-label": t("note"), placeholder: t("notePlaceholder"), maxLength: 4000, dir: "auto" });
    let key = crypto.randomUUID(); // of this note, however often it is sent
    const save = onClick(element("button", { type: "button", className: "tool" }, t("noteSave")), async () => {
      if (!text.value.trim()) return text.focus();
      try {
        await this.desk.note(group, text.value.trim(), key);
        key = crypto.randomUUID();
        text.value = "";
        node.turn(false);
        this.view?.say(t("noteSaved"));
      } catch (e) {
        this.view?.complain(e.message);
      }
    });
    const node = popup("note", t("note"), element("div", { className: "memo" }, text, save));
    return node;
  }
}

function lastOf(last) {
  if (!last) return "";
  const text = last.recalled ? t("takenBack") : last.kind === "text" ? last.text : last.kind === "image" ? t("image") : last.kind === "file" ? last.file?.name || t("file") : "";
  return last.mine ? `${t("you")}: ${text}` : text;
}

// menu is a button with choices below or above it.
function menu(shape, label, choices, look) {
  const node = popup(shape, label, element("div", {}, ...choices.map(({ text, act }) => onClick(element("button", { type: "button", dir: "auto" }, text), async () => {
    node.turn(false);
    await act();
  }))), look);
  return node;
}

// popup is a button that shows something; Escape and leaving it close it.
function popup(shape, label, inside, look = "tool") {
  const button = element("button", { type: "button", className: look, "aria-expanded": "false", title: label, "aria-label": look === "tool" ? undefined : label }, icon(shape), look === "tool" && element("span", {}, label));
  const panel = element("div", { className: "menu", hidden: true, role: "group", "aria-label": label }, inside);
  const node = element("div", { className: "pop" }, button, panel);
  node.turn = (open) => {
    if (!open && panel.contains(document.activeElement)) button.focus();
    panel.hidden = !open;
    button.setAttribute("aria-expanded", open);
  };
  button.addEventListener("click", () => {
    node.turn(panel.hidden);
    if (!panel.hidden) panel.querySelector("button, textarea")?.focus();
  });
  node.addEventListener("keydown", (e) => {
    if (e.key !== "Escape" || panel.hidden) return;
    e.stopPropagation();
    node.turn(false);
  });
  node.addEventListener("focusout", (e) => e.relatedTarget && !node.contains(e.relatedTarget) && node.turn(false));
  document.addEventListener("pointerdown", (e) => node.isConnected && !panel.hidden && !node.contains(e.target) && node.turn(false));
  return node;
}

addEventListener("hashchange", follow);
follow();
