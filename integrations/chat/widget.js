// The chat of a shop: who opens it starts with an e-mail address, or goes on as
// the customer or the guest that the shop knows.
import { Conversation } from "./conversation.js";
import { element, icon, onClick, set, webURL } from "./dom.js";
import { Shopper } from "./identity.js";
import { directionOf, loadLanguage } from "./lang.js";
import { chatCSS, sheetOf, widgetCSS } from "./style.js";
import { shareTransport } from "./tabs.js";
import { Refused } from "./transport.js";
import { ChatView } from "./view.js";

const presenceEvery = 30_000; // milliseconds
const calm = 3000; // milliseconds after which what was missed is read again
const copied = 4000; // milliseconds until a copied conversation is read again
const phone = matchMedia("(max-width: 520px)");

// openWidget makes the widget of a launcher, closed.
export async function openWidget(face) {
  return new Widget(face, await loadLanguage(face.host.dataset.language || document.documentElement.lang));
}

class Widget {
  constructor(face, t) {
    const { dataset } = face.host;
    Object.assign(this, { face, t, preview: dataset.preview === "true", agent: dataset.agentUserId });
    this.sdkAppID = Number(dataset.sdkAppId);
    if (dataset.deskUrl) this.deskURL = dataset.deskUrl.replace(/\/+$/, ""); // the chat is a ticket's group, else with the one agent
    this.shopper = new Shopper({ url: dataset.usersigUrl, sdkAppID: this.sdkAppID, customer: dataset.customer ?? "", storage: storage() });
    face.root.adoptedStyleSheets = [...face.root.adoptedStyleSheets, sheetOf(chatCSS + widgetCSS)];
    this.#build(dataset);
    addEventListener("pageshow", (e) => e.persisted && this.#catchUp());
    addEventListener("online", () => this.#catchUp());
    document.addEventListener("visibilitychange", () => !document.hidden && this.#catchUp());
  }

  #build(dataset) {
    const { t } = this;
    const logo = webURL(dataset.logoUrl && new URL(dataset.logoUrl, location.href).href);
    this.agentLine = element("div", { className: "agent" });
    this.closing = element("button", { type: "button", className: "round", "aria-label": t("close"), title: t("close") }, icon("close"));
    this.closing.addEventListener("click", () => this.toggle(false));
    this.notices = element("div", { className: "notices", role: "status" });
    this.main = element("div", { className: "main" });
    const title = dataset.firstLine || t("greeting");
    this.panel = element("div", { className: `panel themed ${this.face.side}`, role: "dialog", "aria-label": title, hidden: true, dir: directionOf(document.documentElement), lang: t.language },
      element("div", { className: "top" },
        logo && element("img", { className: "logo", src: logo, alt: "", onerror: (e) => e.target.remove() }),
        element("div", { className: "words" }, element("h2", { dir: "auto" }, title), element("p", { className: "second", dir: "auto" }, dataset.secondLine || t("greetingMore")), this.agentLine),
        this.closing),
      this.notices, this.main);
    this.panel.addEventListener("keydown", (e) => this.#key(e));
    this.face.root.append(this.panel);
    const place = () => this.#place();
    phone.addEventListener("change", place);
    visualViewport?.addEventListener("resize", place);
    visualViewport?.addEventListener("scroll", place);
  }

  // #place puts the panel above the launcher, and on a phone over what the
  // keyboard leaves of the screen.
  #place() {
    const { panel, face } = this;
    const box = face.host.getBoundingClientRect();
    panel.style.setProperty("--lift", `${Math.round(innerHeight - box.top + 14)}px`);
    panel.style.setProperty("--x", `${Math.max(12, Math.round(face.side === "left" ? box.left : innerWidth - box.right))}px`);
    if (visualViewport) {
      panel.style.setProperty("--top", `${visualViewport.offsetTop}px`);
      panel.style.setProperty("--height", `${visualViewport.height}px`);
    }
    if (!panel.hidden) face.opened(true, phone.matches);
    if (phone.matches) panel.setAttribute("aria-modal", "true");
    else panel.removeAttribute("aria-modal");
  }

  toggle(open = this.panel.hidden) {
    if (open) this.#place();
    this.panel.hidden = !open;
    this.face.opened(open, phone.matches);
    if (!open) return this.face.button.focus();
    this.#place();
    if (!this.started) {
      this.started = true;
      this.#begin();
    }
    this.ask?.();
    if (this.view) {
      this.view.shown();
      this.view.focus();
    } else (this.panel.querySelector(".start input, .start textarea") ?? this.closing).focus();
  }

  #key(e) {
    e.stopPropagation(); // the page's own keys are not meant
    if (e.key === "Escape" && !e.isComposing) {
      this.toggle(false);
    } else if (e.key === "Tab" && phone.matches) {
      const stops = [...this.panel.querySelectorAll("button, a[href], input, textarea, [tabindex='0']")].filter((n) => !n.disabled && n.tabIndex >= 0 && n.checkVisibility());
      const at = stops.indexOf(this.face.root.activeElement);
      const next = e.shiftKey ? (at <= 0 ? stops.at(-1) : undefined) : at === stops.length - 1 ? stops[0] : undefined;
      if (!next) return;
      e.preventDefault();
      next.focus();
    }
  }

  // #begin shows the form, or connects whom the shop knows. The theme editor's
  // preview makes no guest.
  #begin() {
    if (this.preview || !this.shopper.known) return this.#form();
    return this.#connect();
  }

  // #form asks what it is about, and a guest who he is.
  #form(known = false) {
    const { t } = this;
    const wrong = element("p", { className: "wrong", role: "alert", id: "wrong" });
    const email = element("input", { type: "email", name: "email", autocomplete: "email", inputMode: "email", maxLength: 254, required: true, dir: "ltr", "aria-describedby": "why wrong" });
    const name = element("input", { name: "name", autocomplete: "name", maxLength: 100, dir: "auto" });
    const first = element("textarea", { name: "message", rows: 3, value: this.shopper.draft, dir: "auto", "aria-describedby": "wrong" });
    const go = element("button", { className: "go" }, t("start"));
    first.addEventListener("input", () => (this.shopper.draft = first.value));
    const form = element("form", { className: "start", noValidate: true },
      ...(known ? [] : [element("label", {}, t("email"), email, element("small", { id: "why" }, t("emailWhy"))), element("label", {}, t("name"), name)]), element("label", {}, t("first"), first), wrong, go);
    const refuse = (field, text) => {
      for (const f of [email, first]) f.setAttribute("aria-invalid", f === field);
      wrong.textContent = text;
      field?.focus();
    };
    form.addEventListener("submit", async (e) => {
      e.preventDefault();
      if (go.hasAttribute("aria-busy")) return;
      if (this.preview) return refuse(undefined, t("preview"));
      if (!known && (!email.checkValidity() || !/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(email.value.trim()))) return refuse(email, t("emailBad"));
      if (!first.value.trim()) return refuse(first, t("firstMissing"));
      refuse(undefined, "");
      go.setAttribute("aria-busy", "true");
      try {
        await this.#connect({ email: email.value.trim(), name: name.value.trim() }, first.value.trim());
      } catch (e) {
        const bad = e.code === "bad_request" || e.status === 400;
        refuse(!bad ? undefined : known ? first : email, bad && known ? t("textTooLong") : this.#reason(e));
      } finally {
        go.removeAttribute("aria-busy");
      }
    });
    if (this.preview) this.notices.replaceChildren(element("div", { className: "banner" }, t("preview")));
    this.main.replaceChildren(form);
    if (known && !this.panel.hidden) first.focus();
  }

  #reason(e) {
    const { t } = this;
    if (e.status === 429) return t("tooMany", Math.max(1, Math.ceil(e.after / 60)));
    if (e.status === 403) return t("banned");
    if (e.status === 400) return t("emailBad");
    return t("failedOpen");
  }

  // #connect logs in and shows the conversation; first is what the form asked for.
  // Without a form to return to, it shows why it failed.
  async #connect(details, first) {
    const { t } = this;
    if (!details) this.main.replaceChildren(element("p", { className: "wait", role: "status" }, t("connecting")));
    try {
      const credentials = await this.shopper.credentials(details);
      const place = await this.#whereTo(credentials, details, first);
      if (!place) return this.#form(true);
      this.transport = shareTransport(this.sdkAppID, credentials.userID, async () => {
        const next = await this.shopper.credentials();
        // Whoever was away for longer than a guest is remembered is somebody new.
        if (next.userID !== credentials.userID) throw new Refused("changed", "the guest is no longer known");
        return next;
      }, { groups: this.deskURL !== undefined });
      this.transport.listen((e) => this.#told(e));
      await this.transport.connect(credentials);
      this.conversation = new Conversation(this.transport, place);
      this.conversation.addEventListener("change", () => {
        this.face.unread(this.conversation.unread, t("unread", this.conversation.unread));
        if (this.conversation.gone) this.#notify();
      });
      this.conversation.addEventListener("arrived", ({ detail }) => !detail.mine && this.presence === "offline" && this.ask?.());
      if (credentials.copying) setTimeout(() => this.#catchUp(), copied);
    } catch (e) {
      this.transport?.close();
      this.transport = undefined;
      if (details) throw e;
      return this.#failed(e);
    }
    if (first) this.shopper.draft = ""; // it is sent
    if (this.deskURL !== undefined) this.conversation.unread = 1; // opening it reads what it holds
    this.#show();
    if (first) this.conversation.send({ text: first });
    await this.conversation.load().catch(() => {});
    this.view?.toEnd();
    if (this.deskURL === undefined) this.#who();
    else if (!first && !this.conversation?.loaded && this.state === "online") this.#anew(); // its group is gone
  }

  // #whereTo is the conversation to show: the one with the agent, or the group of the
  // shopper's ticket, which a first message opens. Without either there is none.
  async #whereTo(credentials, details, first) {
    if (this.deskURL === undefined) return `C2C${this.agent}`;
    const { Desk } = await import("./desk.js");
    const desk = new Desk(this.deskURL, () => credentials);
    const group = first ? await desk.open(first, details) : await desk.current();
    return group && `GROUP${group}`;
  }

  // #anew ends what is shown and asks for a new message, which opens another ticket.
  #anew() {
    this.#leave();
    this.noticed = undefined;
    this.#notify();
    this.#form(true);
  }

  #leave() {
    this.view?.close();
    this.conversation?.close();
    this.transport?.close();
    this.view = this.conversation = this.transport = undefined;
    this.face.unread(0, "");
  }

  #failed(e) {
    console.warn("backchannel chat:", e);
    const again = onClick(element("button", { type: "button", className: "link" }, this.t("again")), () => this.#connect());
    this.main.replaceChildren(element("div", { className: "wait", role: "alert" }, element("p", {}, this.#reason(e)), e.status === 403 ? null : again));
  }

  #show() {
    const { t } = this;
    this.view = new ChatView({
      t, conversation: this.conversation, nameOf: (m) => this.profile?.nick || (m.nick !== m.from && m.nick) || (this.deskURL === undefined ? this.agent : m.from),
      draft: this.shopper.draft, onDraft: (text) => (this.shopper.draft = text),
    });
    this.main.replaceChildren(this.view.node);
    this.view.shown();
    if (!this.panel.hidden) this.view.focus();
  }

  // #who shows who answers, and whether he is there.
  async #who() {
    this.ask = async () => {
      if (this.panel.hidden || document.hidden || !this.transport) return;
      const there = await this.transport.presence([this.agent]).catch(() => ({}));
      this.#present(there[this.agent]);
    };
    clearInterval(this.asking);
    this.asking = setInterval(this.ask, presenceEvery);
    [this.profile] = await this.transport.profiles([this.agent]).catch(() => []);
    this.#present(this.presence);
    await this.ask();
  }

  #present(presence) {
    const { t } = this;
    this.presence = presence;
    const name = this.profile?.nick;
    if (name || presence) {
      this.agentLine.replaceChildren(...(presence ? [element("i", { className: `dot ${presence}`, "aria-hidden": "true" })] : []), element("span", { dir: "auto" }, [name, presence && t(presence === "online" ? "online" : "away")].filter(Boolean).join(" · ")));
    }
    this.#notify();
  }

  #told(e) {
    if (e.type === "presence" && e.userID === this.agent) return this.#present(e.presence);
    if (e.type !== "state") return;
    const before = this.state;
    this.state = e.state;
    this.view?.setOff(e.state === "kicked");
    this.#notify();
    if (e.state === "online" && before && before !== "online") this.#catchUp(true);
    if (e.state === "expired") this.#renew();
  }

  async #renew() {
    try {
      await this.transport.connect();
    } catch (e) {
      this.#leave();
      this.#failed(e);
    }
  }

  #notify() {
    const { t } = this;
    let banner;
    if (this.state === "reconnecting") banner = [t("reconnecting")];
    else if (this.state === "kicked") banner = [t("kicked"), onClick(element("button", { type: "button", className: "link" }, t("useHere")), () => this.#renew())];
    else if (this.conversation?.gone) banner = [t("over"), onClick(element("button", { type: "button", className: "link" }, t("anew")), () => this.#anew())];
    else if (this.presence === "offline") banner = [t("awayNotice")];
    const text = banner?.[0] ?? "";
    if (this.noticed === text) return;
    this.noticed = text;
    this.notices.replaceChildren(...(banner ? [element("div", { className: "banner" }, ...banner)] : []));
  }

  // #catchUp reads what may have been missed while the page was frozen or offline.
  async #catchUp(now) {
    if (!this.conversation || (!now && Date.now() - (this.caughtUp ?? 0) < calm)) return;
    this.caughtUp = Date.now();
    await this.conversation.load().catch(() => {});
  }
}

// storage is the browser's, or undefined where it is refused.
function storage() {
  try {
    return localStorage;
  } catch {
    return undefined;
  }
}
