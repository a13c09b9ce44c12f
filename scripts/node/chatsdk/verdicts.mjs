import assert from "node:assert/strict";
import { createServer } from "node:http";
import { alice, bob, change, check, pause, rest } from "./harness.mjs";

let verdict = {};
const callbacks = [];
const backend = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = JSON.parse(Buffer.concat(chunks));
  callbacks.push({ command: body.CallbackCommand, platform: new URL(request.url, "http://x").searchParams.get("OptPlatform"), body });
  response.end(JSON.stringify({ ActionStatus: "OK", ErrorInfo: "", ErrorCode: 0, ...verdict[body.CallbackCommand] }));
});
const configure = (settings) => change("PATCH", "console", settings);
const told = async (command, accepts = () => true) => {
  for (let i = 0; i < 100; i++, await pause(50)) {
    const found = callbacks.find((c) => c.command === command && accepts(c));
    if (found) return found;
  }
  throw new Error(`the backend was not told ${command}: ${callbacks.map((c) => c.command)}`);
};
check("a backend hears of a page's message, by its platform", async () => {
  await new Promise((resolve) => backend.listen(0, "127.0.0.1", resolve));
  await configure({ callbackUrl: `http://127.0.0.1:${backend.address().port}/im` });
  await alice.text("bob", "to be judged");
  await bob.received("to be judged");
  const before = await told("C2C.CallbackBeforeSendMsg");
  assert.equal(before.platform, "Web");
  assert.equal(before.body.MsgBody[0].MsgContent.Text, "to be judged");
  await told("C2C.CallbackAfterSendMsg");
});
check("a refusal reaches sendMessage with the backend's code and text", async () => {
  verdict = { "C2C.CallbackBeforeSendMsg": { ErrorCode: 120001, ErrorInfo: "mind your words" } };
  const out = await alice.text("bob", "rude");
  assert.equal(out.failed, 120001);
  assert.match(out.message, /mind your words/);
});
check("a refusal without a code of its own is IM's", async () => {
  verdict = { "C2C.CallbackBeforeSendMsg": { ErrorCode: 1 } };
  assert.equal((await alice.text("bob", "refused")).failed, 20006);
});
check("a silent drop looks sent and arrives nowhere", async () => {
  verdict = { "C2C.CallbackBeforeSendMsg": { ErrorCode: 2 } };
  assert.ok(!(await alice.text("bob", "dropped")).failed);
  verdict = {};
  await alice.text("bob", "after the drop");
  await bob.received("after the drop");
  assert.equal(await bob.count("MESSAGE_RECEIVED", `(list) => list.some((m) => m.payload?.text === "dropped")`), 0);
});
check("a mask is what the receiver sees", async () => {
  verdict = { "C2C.CallbackBeforeSendMsg": { MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: "you ***" } }] } };
  await alice.text("bob", "you fool");
  await bob.received("you ***");
  verdict = {};
});
check("a group refusal reaches sendMessage with the backend's code and text", async () => {
  verdict = { "Group.CallbackBeforeSendMsg": { ErrorCode: 10101, ErrorInfo: "not in this room" } };
  const out = await bob.text("other", "rude", { group: true });
  assert.equal(out.failed, 10101);
  assert.match(out.message, /not in this room/);
  verdict = {};
});
check("a backend that refuses a join", async () => {
  await bob.must(() => chat.quitGroup("other"));
  verdict = { "Group.CallbackBeforeApplyJoinGroup": { ErrorCode: 10102, ErrorInfo: "full house" } };
  assert.equal((await bob.do(() => chat.joinGroup({ groupID: "other" }))).failed, 10102);
  verdict = {};
  await bob.must(() => chat.joinGroup({ groupID: "other" }));
  await told("Group.CallbackOnMemberStateChange", (c) => c.body.EventCause === "Join");
});
check("a profile set on a page is called back as the user's own", async () => {
  await bob.must(() => chat.updateMyProfile({ nick: "Bob" }));
  const c = await told("Profile.CallbackPortraitSet");
  assert.equal(c.body.Operator_Account, "bob");
  assert.equal(c.platform, "Web");
});
check("a robot's answer streams as modifications", async () => {
  await rest("openim_robot_http_svc/create_robot", { UserID: "@RBT#001", Nick: "Robot" });
  await alice.text("@RBT#001", "hello robot");
  await told("Bot.OnC2CMessage", (c) => c.body.From_Account === "alice");
  const first = await rest("openim_robot_http_svc/send_stream_msg", { From_Account: "@RBT#001", To_Account: "alice", Chunk: "Hel" });
  await alice.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.from === "@RBT#001" && m.payload?.data?.includes("Hel"))`);
  await rest("openim_robot_http_svc/send_stream_msg", { From_Account: "@RBT#001", To_Account: "alice", MsgKey: first.MsgKey, Chunk: "lo.", Finish: 1 });
  await alice.wait("MESSAGE_MODIFIED", `(list) => list.some((m) => m.payload?.data?.includes("lo."))`);
});
