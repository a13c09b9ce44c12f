import assert from "node:assert/strict";
import { alice, base, bob, check, control, old, sdkAppID, sig, User } from "./harness.mjs";

// The emulator of this file sells nothing, allows three web logins and one kind of device; see sdk_test.go.
check("a small edition makes groups", async () => {
  await alice.must(() => chat.createGroup({ type: "Public", name: "Small", groupID: "small", joinOption: "FreeAccess" }));
  assert.equal((await control("state")).groups.find((g) => g.groupId === "small").owner, "alice");
});
check("what a small edition lacks is refused by the SDK", async () => {
  const out = await alice.do(() => chat.setGroupCounters({ groupID: "small", counters: { likes: 1 } }));
  assert.equal(out.failed, 3122, JSON.stringify(out));
  const { groups } = await control("state");
  assert.equal(groups.find((g) => g.groupId === "small").counters, undefined);
// Older SDKs ask the server.
}, { lacking: [old.chat31, old.tim] });
check("a small edition chats all the same", async () => {
  await bob.must(() => chat.joinGroup({ groupID: "small" }));
  await alice.text("small", "still talking", { group: true });
  await bob.received("still talking");
});
check("what is read on one page is read on the user's other pages", async () => {
  const other = await User.login("bob");
  await alice.text("bob", "on both pages");
  await alice.text("small", "in the group, on both pages", { group: true });
  for (const page of [bob, other]) for (const text of ["on both pages", "in the group, on both pages"]) await page.received(text);
  const unread = async (page) => Promise.all(["C2Calice", "GROUPsmall"].map(async (id) => (await page.must((id) => chat.getConversationProfile(id), id)).data.conversation.unreadCount > 0));
  assert.deepEqual(await unread(other), [true, true]);
  await other.forget();
  for (const conversationID of ["C2Calice", "GROUPsmall"]) await bob.must((conversationID) => chat.setMessageRead({ conversationID }), conversationID);
  await other.wait("CONVERSATION_LIST_UPDATED", (list) => ["C2Calice", "GROUPsmall"].every((id) => list.find((c) => c.conversationID === id)?.unreadCount === 0));
  assert.deepEqual(await unread(other), [false, false]);
  await other.close();
});
check("several pages of one user stay, and all see what comes and what the user writes", async () => {
  const pages = [];
  for (let i = 0; i < 2; i++) pages.push(await User.login("alice"));
  assert.equal((await control("state")).users.find((u) => u.userId === "alice").platforms.length, 3);
  await bob.text("alice", "to all your pages");
  await pages[0].text("bob", "from one page");
  await bob.received("from one page");
  for (const page of [alice, ...pages]) {
    await page.received("to all your pages");
    if (page !== pages[0]) await page.received("from one page");
    assert.equal(await page.count("KICKED_OUT"), 0);
  }
  const fourth = await User.login("alice");
  assert.equal((await alice.wait("KICKED_OUT")).type, "multipleAccount");
  await Promise.all([fourth, ...pages].map((p) => p.close()));
});
check("a login on another kind of device kicks the page", async () => {
  const page = await User.login("dora");
  const login = await fetch(`${base}/client/login`, { method: "POST", body: JSON.stringify({ sdkAppId: sdkAppID, userId: "dora", userSig: sig("dora"), platform: "iOS" }) });
  assert.equal(login.status, 200);
  assert.equal((await page.wait("KICKED_OUT")).type, "multipleDevice");
  assert.deepEqual((await control("state")).users.find((u) => u.userId === "dora").platforms, ["iOS"]);
  await page.close();
});
