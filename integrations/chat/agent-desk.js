// The tickets of a support desk, as far as the backend has them: a group that is
// a ticket's has its subject, its state, and what an agent may do with it.
import { Refused } from "./transport.js";

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
    if (!answer.ok) throw Object.assign(new Refused(value.error?.code ?? "failed", value.error?.message ?? `status ${answer.status}`), { status: answer.status });
    return value;
  }

  // known is what was last heard of a group's ticket.
  known(groupID) {
    return this.#tickets.get(groupID);
  }

  // load reads the caller's tickets, for the subjects in the list of conversations.
  async load() {
    for (let after = ""; !this.off; ) {
      let page;
      try {
        page = await this.#call("GET", `/agents/tickets?limit=100${after && `&after=${encodeURIComponent(after)}`}`);
      } catch (e) {
        this.off = e.status !== undefined && e.status < 500 && e.status !== 429;
        return;
      }
      for (const t of page.tickets ?? []) this.#tickets.set(t.groupId, t);
      if (!page.next) return;
      after = page.next;
    }
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
