// What one conversation looks like: what was said, and where to write. The shop's
// widget and the agent's page both show it.
import { element, icon, initials, onClick, set, webURL } from "./dom.js";
import { dayOf, timeOf } from "./lang.js";
import { examine, sizeOf } from "./media.js";

const nearEnd = 48; // pixels that count as being at the end
const together = 5 * 60_000; // milliseconds within which messages of one sender are a group
const typingEvery = 4000; // milliseconds
const typingShown = 6000;
const longest = 9000; // bytes of a text
const recallable = 120_000; // milliseconds, IM's default

export class ChatView {
  #rows = new Map(); // by key of the message
  #ends = [];
  #typed = 0;
  #ended = true; // the reader is at the end, wherever that has moved since

  // options: t; conversation; nameOf(message); draft, onDraft(text); empty, a
  // text; tools, nodes beside the composer's buttons.
  constructor(options) {
    Object.assign(this, options);
    const { t } = this;
    this.older = onClick(element("button", { type: "button", className: "older link", hidden: true }, t("older")), () => this.#more());
    this.list = element("div", { className: "list" });
    this.emptyNote = element("p", { className: "empty", hidden: true }, this.empty ?? t("empty"));
    this.log = element("div", { className: "log", role: "log", "aria-label": t("conversation"), tabIndex: 0 }, this.older, this.emptyNote, this.list);
    this.log.addEventListener("scroll", () => {
      this.#ended = this.atEnd;
      if (this.#ended) this.#seen();
      if (this.log.scrollTop < nearEnd && this.older.hidden === false) this.#more();
    }, { passive: true });
    this.latest = element("button", { type: "button", className: "latest", hidden: true }, icon("down"), t("latest"));
    this.latest.addEventListener("click", () => this.toEnd());
    this.writes = element("p", { className: "typing", role: "status" });
    this.notice = element("p", { className: "notice", role: "alert" });
    this.composer = this.#makeComposer();
    this.node = element("div", { className: "chat" }, element("div", { className: "said" }, this.log, this.latest), this.writes, this.notice, this.composer);
    this.#dropping();
    // A keyboard, a quotation or a long draft takes room away, a tab that is chosen gives it.
    const resized = new ResizeObserver(() => this.#ended && this.toEnd());
    resized.observe(this.log);
    this.#ends.push(() => resized.disconnect());
    const { conversation: c } = this;
    this.#on(c, "change", () => this.#draw());
    this.#on(c, "typing", ({ detail }) => this.#peerWrites(detail));
    this.#on(c, "arrived", ({ detail }) => !detail.mine && this.#stopWriting());
    this.#on(document, "visibilitychange", () => this.atEnd && this.#seen());
    this.#draw();
  }

  #on(target, type, f) {
    target.addEventListener(type, f);
    this.#ends.push(() => target.removeEventListener(type, f));
  }

  close() {
    for (const end of this.#ends) end();
    clearTimeout(this.writing);
    for (const row of this.#rows.values()) row.preview && URL.revokeObjectURL(row.preview);
  }

  focus() {
    this.input.focus();
  }

  // --- writing

  #makeComposer() {
    const { t } = this;
    this.input = element("textarea", { rows: 1, value: this.draft ?? "", placeholder: t("placeholder"), "aria-label": t("message"), enterKeyHint: "send", dir: "auto" });
    this.input.addEventListener("input", () => this.#wrote());
    this.input.addEventListener("keydown", (e) => {
      if (e.key !== "Enter" || e.shiftKey || e.isComposing || e.keyCode === 229) return;
      e.preventDefault();
      this.#submit();
    });
    this.input.addEventListener("paste", (e) => {
      if (!e.clipboardData?.files.length || !this.takesFiles) return;
      e.preventDefault();
      this.sendFiles(e.clipboardData.files);
    });
    this.picker = element("input", { type: "file", multiple: true, hidden: true, tabIndex: -1, "aria-label": t("attach") });
    this.picker.addEventListener("change", () => {
      this.sendFiles(this.picker.files);
      this.picker.value = "";
    });
    this.attach = element("button", { type: "button", className: "round", "aria-label": t("attach"), title: t("attach") }, icon("attach"));
    this.attach.addEventListener("click", () => this.picker.click());
    this.submit = element("button", { className: "round primary", "aria-label": t("send"), title: t("send") }, icon("send"));
    this.quoted = element("div", { className: "quoted", hidden: true });
    const form = element("form", { className: "composer" }, this.quoted, element("div", { className: "line" }, this.attach, this.picker, ...(this.tools ?? []), this.input, this.submit));
    form.addEventListener("submit", (e) => {
      e.preventDefault();
      this.#submit();
    });
    queueMicrotask(() => this.#wrote(true));
    return form;
  }

  get takesFiles() {
    return this.conversation.transport.features?.files !== false;
  }

  #wrote(silently) {
    this.input.style.height = "auto";
    if (this.input.scrollHeight) this.input.style.height = `${Math.min(this.input.scrollHeight, 140)}px`;
    this.submit.disabled = !this.input.value.trim();
    if (silently) return;
    this.complain("");
    this.onDraft?.(this.input.value);
    if (this.input.value && Date.now() - this.#typed > typingEvery) {
      this.#typed = Date.now();
      this.conversation.transport.typing(this.conversation.id).catch(() => {});
    }
  }

  // write puts a text into the composer, to be sent or changed.
  write(text) {
    this.input.value = text;
    this.#wrote();
    this.focus();
  }

  #submit() {
    const text = this.input.value.trim();
    if (!text || this.off) return;
    if (this.conversation.gone) return this.complain(this.t("gone"));
    if (new TextEncoder().encode(text).length > longest) return this.complain(this.t("textTooLong"));
    this.input.value = "";
    this.#typed = 0;
    this.#wrote();
    this.#send({ text });
    this.focus();
  }

  #send(draft) {
    this.conversation.send({ ...draft, quote: this.quote });
    this.#quoteOff();
    this.toEnd();
  }

  async sendFiles(files) {
    this.complain("");
    for (const chosen of files) {
      try {
        const { kind, file } = await examine(chosen);
        this.#send({ kind, upload: file, file: { name: file.name, size: file.size, type: file.type, url: "" } });
      } catch (e) {
        if (!e.key) throw e;
        this.complain(`${chosen.name.slice(0, 60)}: ${this.t(e.key)}`);
      }
    }
  }

  #dropping() {
    const over = (on) => (e) => {
      if (!e.dataTransfer?.types.includes("Files") || !this.takesFiles) return;
      e.preventDefault();
      this.node.classList.toggle("dropping", on);
      if (e.type === "drop") this.sendFiles(e.dataTransfer.files);
    };
    this.node.dataset.drop = this.t("drop");
    for (const [type, on] of [["dragenter", true], ["dragover", true], ["dragleave", false], ["drop", false]]) this.node.addEventListener(type, over(on));
  }

  complain(text) {
    this.notice.classList.remove("good");
    set(this.notice, "textContent", text);
  }

  // say is complain for what went well.
  say(text) {
    this.complain(text);
    this.notice.classList.add("good");
  }

  // --- quoting

  quoteOf(message) {
    const { kind, text, file, id } = message;
    return { id, from: this.nameOf(message), text: kind === "text" ? text.slice(0, 200) : file?.name || this.t(kind === "image" ? "image" : "file") };
  }

  reply(message) {
    this.quote = this.quoteOf(message);
    const off = element("button", { type: "button", className: "round small", "aria-label": this.t("noReply"), title: this.t("noReply") }, icon("close"));
    off.addEventListener("click", () => {
      this.#quoteOff();
      this.focus();
    });
    this.quoted.replaceChildren(element("div", {}, element("b", {}, this.t("replyTo", this.quote.from)), element("span", { dir: "auto" }, this.quote.text)), off);
    this.quoted.hidden = false;
    this.focus();
  }

  #quoteOff() {
    this.quote = undefined;
    this.quoted.hidden = true;
    this.quoted.replaceChildren();
  }

  // --- what was said

  get atEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < nearEnd;
  }

  toEnd() {
    this.#ended = true;
    this.log.scrollTop = this.log.scrollHeight;
    this.#seen();
  }

  // shown is called when the view becomes visible.
  shown() {
    this.#wrote(true);
    this.toEnd();
  }

  #seen() {
    set(this.latest, "hidden", true);
    if (!document.hidden && this.log.clientHeight > 0) this.conversation.markRead();
  }

  async #more() {
    if (this.conversation.paging) return;
    const height = this.log.scrollHeight - this.log.scrollTop;
    await this.conversation.loadOlder().catch(() => {});
    this.log.scrollTop = this.log.scrollHeight - height; // what was in sight stays there
  }

  #peerWrites(from) {
    clearTimeout(this.writing);
    const last = this.conversation.messages.findLast((m) => m.from === from);
    set(this.writes, "textContent", this.t("typing", this.nameOf(last ?? { from, nick: "" })));
    this.writing = setTimeout(() => this.#stopWriting(), typingShown);
  }

  #stopWriting() {
    clearTimeout(this.writing);
    set(this.writes, "textContent", "");
  }

  // setOff is for a conversation in which nothing can be sent now.
  setOff(off) {
    this.off = off;
    this.input.readOnly = off;
    set(this.attach, "disabled", off);
  }

  #draw() {
    const { messages, unread } = this.conversation;
    const following = this.atEnd;
    set(this.attach, "hidden", !this.takesFiles);
    set(this.older, "hidden", !this.conversation.loaded || this.conversation.complete);
    set(this.emptyNote, "hidden", !this.conversation.loaded || messages.length > 0);
    if (this.conversation.gone) this.complain(this.t("gone"));
    const wanted = new Set(messages.map(keyOf));
    for (const [key, row] of this.#rows) {
      if (wanted.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    let next = this.list.firstChild, before;
    for (const m of messages) {
      let row = this.#rows.get(keyOf(m));
      if (!row) this.#rows.set(keyOf(m), (row = this.#makeRow()));
      this.#renew(row, m, before);
      if (row === next) next = next.nextSibling;
      else this.list.insertBefore(row, next);
      before = m;
    }
    if (following) this.toEnd();
    else set(this.latest, "hidden", !unread);
  }

  #makeRow() {
    const parts = {
      day: element("p", { className: "day", hidden: true }), face: element("span", { className: "face", "aria-hidden": "true" }), who: element("b", { className: "from" }),
      bubble: element("div", { className: "bubble" }), meta: element("span", { className: "meta" }), acts: element("span", { className: "acts" }), trouble: element("div", { className: "trouble", hidden: true }),
    };
    return Object.assign(element("div", { className: "row" }, parts.day, parts.who, element("div", { className: "side" }, parts.face, parts.bubble, parts.acts), parts.trouble, parts.meta), { parts });
  }

  #renew(row, m, before) {
    const { parts } = row, { t } = this;
    const newDay = !before || new Date(before.at).toDateString() !== new Date(m.at).toDateString();
    const first = newDay || before.from !== m.from || before.mine !== m.mine || m.at - before.at > together;
    set(row, "className", `row ${m.mine ? "mine" : "theirs"} is-${m.kind} ${first ? "first" : ""} ${m.state ?? ""} ${m.recalled ? "recalled" : ""}`);
    set(parts.day, "hidden", !newDay);
    if (newDay) set(parts.day, "textContent", dayOf(m.at, t));
    const name = m.mine ? t("you") : this.nameOf(m);
    set(parts.who, "textContent", name);
    parts.who.classList.toggle("spoken", m.mine || !first || !m.group);
    set(parts.face, "hidden", m.mine);
    if (!m.mine) set(parts.face, "textContent", initials(name));
    const content = JSON.stringify([m.kind, m.text, m.file, m.quote, m.recalled, m.writing]);
    if (row.content !== content) {
      row.content = content;
      parts.bubble.replaceChildren(...this.#content(row, m, name));
    }
    this.#renewMeta(row, m);
  }

  #renewMeta(row, m) {
    const { parts } = row, { t } = this;
    const share = m.share === undefined ? undefined : Math.round(m.share * 100);
    const state = !m.mine || m.recalled ? "" : m.state === "sending" ? (share === undefined ? t("sending") : t("uploading", share)) : m.state === "failed" ? "" : m.read ? t("read") : t("sent");
    const meta = `${m.state} ${m.read} ${share} ${m.at} ${m.recalled}`;
    if (row.metaOf !== meta) {
      row.metaOf = meta;
      const mark = m.state === "sending" ? "wait" : m.read ? "double" : "single";
      parts.meta.replaceChildren(element("time", { dateTime: new Date(m.at).toISOString() }, timeOf(m.at, t.language)), ...(state ? [icon(mark), element("span", { className: share === undefined ? "spoken" : "" }, state)] : []));
      parts.acts.replaceChildren(...this.#acts(m));
    }
    const trouble = m.state === "failed" ? `${m.code} ${m.error}` : "";
    if (row.trouble === trouble) return;
    row.trouble = trouble;
    parts.trouble.hidden = !trouble;
    parts.trouble.replaceChildren(...(trouble ? [
      icon("warn"), element("span", { role: "alert" }, typeof m.code === "number" && m.code >= 100_000 && m.error ? t("refused", m.error) : t("failed")),
      element("button", { type: "button", className: "link", onclick: () => this.conversation.retry(m) }, t("retry")),
      element("button", { type: "button", className: "link", onclick: () => this.conversation.discard(m) }, t("discard")),
    ] : []));
  }

  #acts(m) {
    if (m.state !== "sent" || m.recalled || m.kind === "other") return [];
    const act = (name, shape, f) => element("button", { type: "button", className: "round small", "aria-label": this.t(name), title: this.t(name), onclick: f }, icon(shape));
    const acts = [act("reply", "quote", () => this.reply(m))];
    if (m.mine && Date.now() - m.at < recallable) acts.push(act("recall", "recall", () => this.conversation.recall(m).catch((e) => this.complain(e.message))));
    return acts;
  }

  #content(row, m, name) {
    const { t } = this;
    if (m.recalled) return [element("p", { className: "text" }, t("recalled"))];
    const nodes = [];
    if (m.quote) nodes.push(element("blockquote", {}, element("b", { dir: "auto" }, this.conversation.messages.find((q) => q.id === m.quote.id)?.mine ? t("you") : m.quote.from), element("span", { dir: "auto" }, m.quote.text)));
    switch (m.kind) {
      case "image":
        nodes.push(this.#image(row, m, name));
        break;
      case "file":
        nodes.push(this.#file(m));
        break;
      case "text":
        nodes.push(element("p", { className: m.writing ? "text writing" : "text", dir: "auto" }, ...linked(m.text)));
        break;
      default:
        nodes.push(element("p", { className: "text" }, t("other")));
    }
    return nodes;
  }

  #image(row, m, name) {
    if (m.upload && !row.preview) row.preview = URL.createObjectURL(m.upload);
    const url = webURL(m.file.url), shown = row.preview ?? webURL(m.file.thumb || m.file.url);
    if (!shown) return element("p", { className: "text" }, this.t("other"));
    const picture = element("img", { src: shown, alt: m.mine ? this.t("image") : this.t("imageFrom", name), decoding: "async", width: m.file.width || undefined, height: m.file.height || undefined });
    const link = url ? element("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, picture) : element("span", {}, picture);
    picture.addEventListener("load", () => this.following && this.toEnd());
    this.following = this.atEnd;
    picture.addEventListener("error", () => link.replaceWith(this.#file({ ...m, file: { ...m.file, name: m.file.name || this.t("image") } })));
    return link;
  }

  // #file is only ever a download: what it holds is never shown in the page.
  #file(m) {
    const { t } = this;
    const { name, size, url } = m.file;
    const inside = [icon("file"), element("span", {}, element("b", { dir: "auto" }, name || t("file")), size ? element("small", {}, sizeOf(size, t.language)) : null)];
    const href = webURL(url);
    return href ? element("a", { className: "attachment", href, target: "_blank", rel: "noopener noreferrer", download: name || "", "aria-label": t("download", name || t("file")) }, ...inside) : element("span", { className: "attachment" }, ...inside);
  }
}

// A message keeps its place while it becomes one that was sent.
const keyOf = (m) => (m.mine && m.key) || m.id;

// linked makes addresses in a text into links.
function linked(text) {
  return text.split(/(https?:\/\/[^\s<>"'、。)）]+)/).map((part, i) => {
    const url = i % 2 ? webURL(part) : "";
    return url ? element("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, part) : part;
  });
}
