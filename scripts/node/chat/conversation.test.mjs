// The modules of the chat that need no browser: a conversation on a transport of
// this test, and a shopper's identity on a server of this test.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const folder = join(dirname(fileURLToPath(import.meta.url)), "../../../integrations/chat");
const { Conversation } = await import(join(folder, "conversation.js"));
const { Shopper } = await import(join(folder, "identity.js"));
const { customOf, fromCustom, fromData, identityOf, Listeners, Refused, typingNotice } = await import(join(folder, "transport.js"));
const { Api } = createRequire(import.meta.url)("tls-sig-api-v2");

// Fake is a server with one conversation, in pages of three.
class Fake extends Listeners {
  all = [];
  sends = 0;
  add(text, { mine = false, key, at = 1000 * this.all.length } = {}) {
    const m = { id: `m${this.all.length}`, conversation: "C2Cbob", from: mine ? "me" : "bob", mine, key, at, kind: "text", text };
    this.all.push(m);
    return m;
  }
  async history(_, cursor = this.all.length) {
    const from = Math.max(0, cursor - 3);
    return { messages: this.all.slice(from, cursor), cursor: from || undefined };
  }
  async send(_, { key, text }) {
    this.sends++;
    if (this.fails === "before") throw new Refused("lost", "no answer");
    const m = this.all.find((m) => m.key === key) ?? this.add(text, { mine: true, key });
    if (this.fails === "after") throw new Refused("lost", "no answer");
    return m;
  }
  async markRead() {
    this.read = (this.read ?? 0) + 1;
    if (this.fails === "read") throw new Refused("lost", "no answer");
  }
}
const texts = (c) => c.messages.map((m) => m.text).join(" ");
const settled = () => new Promise((resolve) => setImmediate(resolve));

test("history comes by pages, in order, and each message once", async () => {
  const fake = new Fake();
  for (let i = 0; i < 8; i++) fake.add(String(i), { at: 1000 }); // all within one second
  const c = new Conversation(fake, "C2Cbob");
  await c.load();
  assert.equal(texts(c), "5 6 7");
  await Promise.all([c.loadOlder(), c.loadOlder()]);
  assert.equal(texts(c), "2 3 4 5 6 7");
  await c.loadOlder();
  assert.equal(texts(c), "0 1 2 3 4 5 6 7");
  assert.ok(c.complete);
  await c.loadOlder();
  fake.tell({ type: "message", message: fake.all[4] });
  assert.equal(texts(c), "0 1 2 3 4 5 6 7");
  fake.tell({ type: "message", message: { ...fake.add("elsewhere"), conversation: "C2Ccarol" } });
  assert.ok(!texts(c).includes("elsewhere"));
});

test("what was missed is read again, over several pages, with nothing twice", async () => {
  const fake = new Fake();
  fake.add("a");
  const c = new Conversation(fake, "C2Cbob");
  await c.load();
  for (const text of ["b", "c", "d", "e", "f"]) fake.add(text);
  fake.tell({ type: "message", message: fake.all[5] }); // the last one came by push
  await c.load();
  assert.equal(texts(c), "a b c d e f");
  for (const text of ["g", "h", "i", "j", "k"]) fake.add(text, { at: 6000 }); // all within one second, on two pages
  await c.load();
  assert.equal(texts(c), "a b c d e f g h i j k");
});

test("a send whose answer is lost is found in the history, and never sent twice", async () => {
  const fake = new Fake();
  const c = new Conversation(fake, "C2Cbob");
  await c.load();
  fake.fails = "after";
  c.send({ text: "hello" });
  await settled();
  assert.deepEqual(c.messages.map((m) => [m.text, m.state]), [["hello", "failed"]]);
  await c.load();
  assert.deepEqual(c.messages.map((m) => [m.text, m.state]), [["hello", "sent"]]);
  fake.fails = "before";
  const pending = c.send({ text: "again" });
  await settled();
  assert.equal(pending.state, "failed");
  fake.fails = "";
  c.retry(pending);
  await settled();
  assert.equal(texts(c), "hello again");
  assert.equal(fake.all.length, 2);
  fake.fails = "before";
  const dropped = c.send({ text: "never mind" });
  await settled();
  c.discard(dropped);
  assert.equal(texts(c), "hello again");
});

test("sends keep their order, and unread counts end where they are read", async () => {
  const fake = new Fake();
  const c = new Conversation(fake, "C2Cbob");
  await c.load();
  for (const text of ["1", "2", "3"]) c.send({ text });
  await settled();
  await settled();
  assert.equal(texts(c), "1 2 3");
  fake.tell({ type: "message", message: fake.add("hi") });
  fake.tell({ type: "message", message: fake.add("there") });
  fake.tell({ type: "message", message: fake.all.at(-1) });
  assert.equal(c.unread, 2);
  c.markRead();
  c.markRead();
  assert.deepEqual([c.unread, fake.read], [0, 1]);
  fake.tell({ type: "message", message: fake.add("more") });
  fake.tell({ type: "seen", conversation: "C2Cbob" }); // in another tab
  assert.equal(c.unread, 0);
  fake.tell({ type: "read", conversation: "C2Cbob", ids: [fake.all[0].id] });
  assert.deepEqual(c.messages.filter((m) => m.read).map((m) => m.text), ["1"]);
  fake.tell({ type: "message", message: { ...fake.all[0], recalled: true } });
  assert.ok(c.messages[0].recalled && c.messages[0].read);
  fake.tell({ type: "gone", conversation: "C2Cbob" });
  assert.ok(c.gone);
  c.close();
  fake.tell({ type: "message", message: fake.add("late") });
  assert.ok(!texts(c).includes("late"));
});

test("what came with the history is confirmed too, and what was missed counts as unread", async () => {
  const fake = new Fake();
  fake.add("before I came");
  const c = new Conversation(fake, "C2Cbob");
  c.unread = 1; // a view that opens reads what it holds, and does so before there is any
  c.markRead();
  await c.load();
  assert.equal(c.unread, 0);
  c.markRead();
  c.markRead();
  assert.equal(fake.read, 2);
  fake.add("mine", { mine: true });
  await c.load();
  c.markRead();
  assert.equal(fake.read, 2);
  fake.add("missed");
  await c.load();
  fake.tell({ type: "message", message: fake.all.at(-1) }); // the push comes after the history
  assert.equal(c.unread, 1);
  c.markRead();
  assert.deepEqual([c.unread, fake.read], [0, 3]);
});

test("a mark that fails is made again", async () => {
  const fake = new Fake();
  const c = new Conversation(fake, "C2Cbob");
  await c.load();
  fake.fails = "read";
  fake.tell({ type: "message", message: fake.add("hi") });
  c.markRead();
  await settled();
  fake.fails = "";
  c.markRead();
  c.markRead();
  assert.deepEqual([c.unread, fake.read], [0, 2]);
});

test("a mark of another tab does not stand for what this one has not shown", async () => {
  const fake = new Fake();
  const c = new Conversation(fake, "C2Cbob");
  await c.load();
  fake.tell({ type: "message", message: fake.add("after that mark began") });
  fake.tell({ type: "seen", conversation: "C2Cbob" });
  c.markRead(); // its end comes into sight
  assert.equal(fake.read, 1);
});

test("a message is read also where that is told before its send is answered", async () => {
  const fake = new Fake();
  const c = new Conversation(fake, "C2Cbob");
  await c.load();
  const send = fake.send;
  fake.send = async (...args) => {
    const m = await send.apply(fake, args);
    fake.tell({ type: "read", conversation: "C2Cbob", ids: [m.id] });
    return m;
  };
  c.send({ text: "hello" });
  await settled();
  assert.deepEqual(c.messages.map((m) => [m.text, m.state, m.read]), [["hello", "sent", true]]);
});

test("what strangers write into a message's data is read with care", () => {
  for (const bad of ["", "{", "null", "7", '"x"', "[]", '{"messageReply":7}', '{"backchannel":{"key":7}}', '{"backchannel":null}']) assert.equal(fromCustom(bad).key, undefined, bad);
  assert.deepEqual(fromCustom(customOf({ key: "k", quote: { id: "1", from: "bob", text: "hi" } })), { key: "k", quote: { id: "1", from: "bob", text: "hi" } });
  assert.deepEqual(fromCustom('{"messageReply":{"messageAbstract":{"x":1}}}').quote, { id: "", from: "", text: "[object Object]" });
  assert.deepEqual(fromData(typingNotice, ""), { typing: true });
  assert.deepEqual(fromData('{"chatbotPlugin":2,"chunks":["a","b"],"isFinished":0}', ""), { text: "ab", writing: true });
  assert.deepEqual(fromData("no JSON", "described"), { text: "described" });
});

test("a UserSig says whose it is", async () => {
  const sig = new Api(1400000000, "key").genSig("agent-7", 3600);
  const { userID, sdkAppID, ends } = await identityOf(sig);
  assert.deepEqual([userID, sdkAppID], ["agent-7", 1400000000]);
  assert.ok(Math.abs(ends - Date.now() - 3_600_000) < 5000);
  for (const bad of ["", "x", "!!!", "AAAA"]) await assert.rejects(identityOf(bad), bad);
});

test("a guest is remembered by his token, a customer is not, and drafts are each one's own", async () => {
  const items = new Map();
  const storage = { getItem: (k) => items.get(k) ?? null, setItem: (k, v) => void items.set(k, v) };
  const asked = [];
  let answers = [];
  globalThis.fetch = async (url, { body }) => {
    asked.push(JSON.parse(body));
    const { status = 200, ...value } = answers.shift();
    return new Response(JSON.stringify(value), { status, headers: { "Retry-After": "120" } });
  };
  const shopper = (customer = "", at = storage) => new Shopper({ url: "/apps/im", sdkAppID: 1, customer, storage: at });
  assert.equal(shopper().known, false);
  answers = [{ userID: "g_1", userSig: "s", guest: true, guestToken: "one" }];
  assert.equal((await shopper().credentials({ email: "ann@example.com", name: "" })).userID, "g_1");
  assert.deepEqual(asked.at(-1), { email: "ann@example.com" });
  assert.equal(shopper().known, true);
  answers = [{ userID: "g_1", userSig: "s", guest: true, guestToken: "two" }];
  await shopper().credentials();
  assert.deepEqual(asked.at(-1), { guestToken: "one" });
  shopper().draft = "mine";
  assert.deepEqual([shopper().draft, shopper("7").draft], ["mine", ""]);

  answers = [{ status: 401, error: { code: "unauthenticated", message: "no" } }, { userID: "shp_7", userSig: "s", guest: false, copied: { from: "g_1", messages: 2, done: false } }];
  assert.equal((await shopper("7").credentials()).copying, true); // two tabs in one second: the second try is another query
  assert.deepEqual(asked.at(-1), { guestToken: "two" });
  assert.equal(shopper().known, false, "the guest's token is used up");

  const broken = { getItem() { throw new Error("refused"); }, setItem() { throw new Error("refused"); } };
  const one = shopper("", broken);
  answers = [{ userID: "g_2", userSig: "s", guest: true, guestToken: "three" }];
  await one.credentials();
  one.draft = "kept in memory";
  assert.deepEqual([one.known, one.draft, shopper("", undefined).known], [true, "kept in memory", false]);
  answers = [{ status: 429, error: { code: "rate_limited", message: "too many" } }];
  await assert.rejects(one.credentials(), (e) => e.status === 429 && e.after === 120);
  answers = [{ userID: "x" }];
  await assert.rejects(one.credentials(), /no UserSig/);
});
