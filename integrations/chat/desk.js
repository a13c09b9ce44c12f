// The tickets of a support desk, as far as the backend has them: a group that is
// a ticket's has its subject, its state, and what an agent may do with it. Who asks
// for help opens one and finds it again.
import { Refused } from "./transport.js";

const subjectLength = 80; // characters

export class Desk {
  #tickets = new Map(); // by GroupID; null for a group that is no ticket's
  off = false; // the backend knows no tickets

  constructor(backend, credentials) {
    Object.assign(this, { backend, credentials });
  }

  async #call(method, path, body, key) {
    const { userID, userSig } = await this.credentials();
    const headers = { Authorization: `UserSig ${userID}:${userSig}`, ...(body && { "Content-Type": "application/json" }), ...(key && { "Idempotency-Key": key }) };
    let answer;
    try {
      answer = await fetch(`${this.backend}${path}`, { method, headers, body: body && JSON.stringify(body) });
    } catch {
      throw new Refused("offline", "no connection");
    }
    const value = await answer.json().catch(() => ({}));
    if (!answer.ok) throw Object.assign(new Refused(value.error?.code ?? "failed", value.error?.message ?? `status ${answer.status}`), { status: answer.status, after: Number(answer.headers.get("Retry-After")) || 0 });
    return value;
  }

  // known is what was last heard of a group's ticket.
  known(groupID) {
    return this.#tickets.get(groupID);
  }

  // load reads the caller's tickets, for the subjects in the list of conversations. It
  // says whether it has read all of them.
  async load() {
    for (let after = ""; !this.off; ) {
      let page;
      try {
        page = await this.#call("GET", `/agents/tickets?limit=100${after && `&after=${encodeURIComponent(after)}`}`);
      } catch (e) {
        this.off = e.status !== undefined && e.status < 500 && e.status !== 429;
        return false;
      }
      for (const t of page.tickets ?? []) this.#tickets.set(t.groupId, t);
      if (!page.next) return true;
      after = page.next;
    }
    return false;
  }

  // ticket reads the ticket of a group, undefined if the group is no ticket's.
  async ticket(groupID) {
    if (this.off) return undefined;
    try {
      const t = await this.#call("GET", `/tickets/${encodeURIComponent(groupID)}`);
      this.#tickets.set(groupID, t);
      return t;
    } catch (e) {
      if (e.status === 404 || e.status === 403) this.#tickets.set(groupID, null);
      return this.#tickets.get(groupID) ?? undefined;
    }
  }

  // current is the group of the caller's newest ticket, undefined if he has none in
  // which he can still write.
  async current() {
    const { tickets = [] } = await this.#call("GET", "/tickets?limit=10");
    return tickets.find((t) => t.status !== "closed" && t.status !== "deleted")?.groupId;
  }

  // open returns the group of a ticket about a text: of the caller's open one, if he
  // has one. The same text within an hour is the same ticket.
  async open(text, { name, email } = {}) {
    const { groupId } = await this.#call("POST", "/createticket", {
      reuse: true, timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone ?? "",
      caseInfo: { subject: [...text.split("\n")[0]].slice(0, subjectLength).join(""), desc: text, ...(name && { name }), ...(email && { email }) },
    });
    return groupId;
  }

  async #act(groupID, what, body = {}, key) {
    const t = await this.#call("POST", `/tickets/${encodeURIComponent(groupID)}/${what}`, body, key);
    if (t.status) this.#tickets.set(groupID, t);
    return t;
  }

  transfer = (groupID, agentId) => this.#act(groupID, "transfer", { agentId });
  invite = (groupID, agentId) => this.#act(groupID, "agents", { agentId });
  solve = (groupID) => this.#act(groupID, "solve");
  reopen = (groupID) => this.#act(groupID, "reopen");
  note = (groupID, text, key) => this.#act(groupID, "notes", { text }, key);
}
