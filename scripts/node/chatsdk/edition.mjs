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
