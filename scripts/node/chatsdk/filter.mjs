// Our own filter and room manager behind the emulator, as scripts/dev runs them: the environment has BUNDLE,
// their address, and API_KEY.
import assert from "node:assert/strict";
import { alice, bob, check, control, pause } from "./harness.mjs";

const bundle = async (method, path, body, headers = {}) => {
  const answer = await fetch(process.env.BUNDLE + path, { method, headers: { Authorization: `Bearer ${process.env.API_KEY}`, "Content-Type": "application/json", ...headers }, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : {};
};
const stored = async (text) => {
  const { conversations, groups } = await control("state");
  return [...(conversations ?? []), ...groups].flatMap((c) => c.messages).filter((m) => m.body[0]?.MsgContent?.Text === text).length;
};
const never = async (user, text) => assert.equal(await user.count("MESSAGE_RECEIVED", `(list) => list.some((m) => m.payload?.text === ${JSON.stringify(text)})`), 0);

check("our filter's refusal reaches sendMessage with its code and text, one-to-one and in a group", async () => {
  await alice.must(() => chat.createGroup({ type: "Public", name: "Filtered", groupID: "filtered", joinOption: "FreeAccess" }));
  await bob.must(() => chat.joinGroup({ groupID: "filtered" }));
  for (const [to, options, code] of [["bob", {}, 20006], ["filtered", { group: true }, 10016]]) {
    const out = await alice.text(to, "join my casino now", options);
    assert.equal(out.failed, code, JSON.stringify(out));
    assert.match(out.message, /This message was not sent/);
  }
  assert.equal(await stored("join my casino now"), 0);
  await never(bob, "join my casino now");
});
check("our filter's mask is what the receiver and the history have", async () => {
  const sent = await alice.text("filtered", "what a bullshit", { group: true });
  assert.ok(!sent.failed, JSON.stringify(sent));
  const list = await bob.wait("MESSAGE_RECEIVED", (list) => list.some((m) => m.payload?.text?.startsWith("what a *")));
  assert.equal(list[0].payload.text, "what a ********");
  assert.equal(await stored("what a ********"), 1);
  assert.equal(await stored("what a bullshit"), 0);
  const { data } = await bob.history("GROUPfiltered");
  assert.ok(data.messageList.some((m) => m.payload.text === "what a ********"));
});
check("our filter's drop looks sent and arrives nowhere", async () => {
  const sent = await alice.text("filtered", "buy followers", { group: true });
  assert.ok(!sent.failed, JSON.stringify(sent));
  await alice.text("filtered", "after the drop", { group: true });
  await bob.received("after the drop");
  await never(bob, "buy followers");
  assert.equal(await stored("buy followers"), 0);
});
check("a message that our filter holds arrives once a moderator approves it", async () => {
  const out = await alice.text("filtered", "add me on telegram", { group: true });
  assert.match(out.message, /waits for a moderator/);
  let reviews = [];
  for (let i = 0; !reviews.length && i < 100; i++, await pause(100)) ({ reviews } = await bundle("GET", "/moderation/reviews"));
  await never(bob, "add me on telegram");
  await bundle("POST", `/moderation/reviews/${reviews[0].id}/approve`, {});
  assert.equal((await bob.received("add me on telegram")).from, "alice");
  await alice.text("filtered", "after the review", { group: true });
  await bob.received("after the review");
  assert.equal(await bob.count("MESSAGE_RECEIVED", `(list) => list.some((m) => m.payload?.text === "add me on telegram")`), 1);
});
check("our room manager's mute and its end are what a viewer meets", async () => {
  for (const user of [alice, bob]) await user.must(() => chat.joinGroup({ groupID: "lobby" }));
  await bundle("POST", "/rooms/lobby/mute", { userId: "bob", seconds: 600, reason: "a test" });
  const muted = async () => (await bob.text("lobby", "let me speak", { group: true })).failed ?? 0;
  let code = 0;
  // Not faster: the flood guard refuses a viewer who says the same too often.
  for (let i = 0; (code = await muted()) !== 10017 && i < 50; i++) await pause(300);
  assert.equal(code, 10017);
  await bundle("POST", "/rooms/lobby/unmute", { userId: "bob" });
  for (let i = 0; (code = await muted()) && i < 50; i++) await pause(300);
  assert.equal(code, 0);
  await alice.received("let me speak");
});
check("our room manager's kick takes a viewer out and keeps the viewer out", async () => {
  await bob.forget();
  await bundle("POST", "/rooms/lobby/kick", { userId: "bob", seconds: 600, reason: "a test" });
  await bob.wait("MESSAGE_RECEIVED", (list) => list.some((m) => m.type === "TIMGroupSystemNoticeElem" && m.payload.groupProfile?.groupID === "lobby"));
  const { groups } = await control("state");
  assert.ok(!groups.find((g) => g.groupId === "lobby").members.some((m) => m.userId === "bob"));
  const out = await bob.do(() => chat.joinGroup({ groupID: "lobby" }));
  assert.ok(out.failed === 10007 || out.failed === 10016, JSON.stringify(out));
  await bundle("POST", "/rooms/lobby/unkick", { userId: "bob" });
});
check("strikes mute a user in our filter's name, and forgiving ends it", async () => {
  await bundle("POST", "/moderation/strikes/bob", { weight: 3, reason: "a test" }, { "Idempotency-Key": "strikes-of-the-sdk" });
  const code = async () => (await bob.text("alice", "am I muted?")).failed ?? 0;
  let got = 0;
  for (let i = 0; !(got = await code()) && i < 50; i++) await pause(100);
  assert.equal(got, 20012);
  await bundle("POST", "/moderation/strikes/bob/forgive", { reason: "a test" });
  for (let i = 0; (got = await code()) && i < 50; i++) await pause(100);
  assert.equal(got, 0);
});
