import assert from "node:assert/strict";
import { alice, bob, check, control, pause, rest, sig, User } from "./harness.mjs";

check("a wrong UserSig is refused with IM's code", async () => {
  const mallory = await User.open("mallory");
  const out = await mallory.do(({ userID, userSig }) => chat.login({ userID, userSig }), { userID: "mallory", userSig: sig("alice") });
  assert.equal(out.failed, 70013);
  await mallory.close();
});
check("an expired UserSig is refused with IM's code", async () => {
  const late = await User.open("late");
  const userSig = sig("late", 1);
  await pause(2100);
  const out = await late.do(({ userID, userSig }) => chat.login({ userID, userSig }), { userID: "late", userSig });
  assert.equal(out.failed, 70001, JSON.stringify(out));
  await late.close();
});
check("the emulator has the login's device", async () => {
  const { users } = await control("state");
  assert.deepEqual(users.find((u) => u.userId === "alice").platforms, ["Web"]);
});
check("a second page of a user kicks the first", async () => {
  const first = await User.login("twice");
  const second = await User.login("twice");
  assert.equal((await first.wait("KICKED_OUT")).type, "multipleAccount");
  await second.close();
  await first.close();
});
check("a kick by the REST API", async () => {
  const victim = await User.login("victim");
  await rest("im_open_login_svc/kick", { UserID: "victim" });
  assert.equal((await victim.wait("KICKED_OUT")).type, "REST_API_Kick");
  await victim.close();
});
check("a UserSig that expires in the middle of a session", async () => {
  const brief = await User.open("brief");
  await brief.must(({ userID, userSig }) => chat.login({ userID, userSig }), { userID: "brief", userSig: sig("brief", 3) });
  await brief.wait("SDK_READY");
  await pause(4500);
  await brief.text("bob", "too late");
  assert.equal((await brief.wait("KICKED_OUT")).type, "userSigExpired");
  await brief.close();
});
check("a logout ends the device", async () => {
  const guest = await User.login("guest");
  await guest.must(() => chat.logout());
  assert.equal((await control("state")).users.find((u) => u.userId === "guest").platforms, undefined);
  await guest.close();
});
