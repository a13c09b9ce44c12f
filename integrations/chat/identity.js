// Who somebody is, proved to Backchannel, which answers with a UserSig.
import { identityOf, Refused } from "./transport.js";

const replayed = 1500; // milliseconds: two tabs in one second send the same signed query

async function post(url, body) {
  let answer;
  try {
    answer = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), credentials: "same-origin" });
  } catch {
    throw new Refused("offline", "no connection");
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Refused(value.error?.code ?? String(answer.status), value.error?.message ?? `status ${answer.status}`), { status: answer.status, after: Number(answer.headers.get("Retry-After")) || 0 });
  return value;
}

// Shopper is the visitor of a shop: a customer whom the shop's proxy vouches for,
// or a guest, whom a token remembers. What is remembered lies in the browser's
// storage, or in memory where there is none.
export class Shopper {
  #memory = {};

  constructor({ url, sdkAppID, customer, storage }) {
    Object.assign(this, { url, customer, storage });
    this.key = `backchannel-chat-${sdkAppID}`;
    this.absolute = /^https?:/i.test(url);
  }

  get #kept() {
    try {
      return JSON.parse(this.storage.getItem(this.key)) ?? {};
    } catch {
      return this.#memory;
    }
  }

  set #kept(value) {
    this.#memory = value;
    try {
      this.storage.setItem(this.key, JSON.stringify(value));
    } catch {
      // storage is full, or refused
    }
  }

  // known tells whether this visitor can go on without starting anew.
  get known() {
    return Boolean(this.customer || this.#kept.guestToken);
  }

  // draft is what the visitor wrote and did not send.
  get draft() {
    const { draft, of } = this.#kept;
    return of === (this.customer || "guest") ? (draft ?? "") : "";
  }

  set draft(text) {
    if (text !== this.draft) this.#kept = { ...this.#kept, draft: text || undefined, of: this.customer || "guest" };
  }

  // credentials returns {userID, userSig}; details are a guest's {email, name}.
  async credentials(details = {}) {
    const { guestToken } = this.#kept;
    const body = { ...(guestToken && { guestToken }), ...(details.email && { email: details.email }), ...(details.name && { name: details.name }) };
    if (this.absolute && details.email) body.userID = details.email; // the guide's form
    const answer = await this.#ask(body);
    if (!answer.userID || !answer.userSig) throw new Refused("answer", "the answer has no UserSig");
    const next = { ...this.#kept, guestToken: answer.guest === false ? undefined : answer.guestToken };
    this.#kept = next;
    return { userID: answer.userID, userSig: answer.userSig, copying: answer.copied?.done === false };
  }

  async #ask(body) {
    try {
      return await post(this.url, body);
    } catch (e) {
      if (e.status !== 401 || this.absolute) throw e;
      await new Promise((resolve) => setTimeout(resolve, replayed));
      return post(this.url, body);
    }
  }
}

// agent turns the token of an agent's page into {userID, userSig, sdkAppID}. It is a
// JWT of the desk, or a UserSig that the desk's server got.
export async function agent(token, backend) {
  const userSig = token.split(".").length === 3 ? (await post(`${backend}/agents/usersig`, { token })).userSig : token;
  const { userID, sdkAppID, ends } = await identityOf(userSig);
  if (!userID || !sdkAppID) throw new Refused("token", "the token names no user");
  return { userID, userSig, sdkAppID, ends };
}
