import assert from "node:assert/strict";
import { alice, bob, check, groupState, old, pause, rest, User } from "./harness.mjs";

check("a live room is joined by both, and the emulator has them", async () => {
  await alice.must(() => chat.createGroup({ type: "AVChatRoom", name: "Live", groupID: "live" }));
  for (const user of [alice, bob]) {
    const { data } = await user.must(() => chat.joinGroup({ groupID: "live" }));
    assert.equal(data.status, "JoinedSuccess");
  }
  assert.deepEqual((await groupState("live")).members.map((m) => m.userId).sort(), ["alice", "bob"]);
});
check("a live text arrives once by the long poll", async () => {
  const { data } = await bob.text("live", "first!", { group: true, priority: "High" });
  const got = await alice.received("first!");
  assert.equal(got.ID, data.message.ID);
  await pause(500);
  assert.equal(await alice.count("MESSAGE_RECEIVED", `(list) => list.some((m) => m.payload?.text === "first!")`), 1);
  assert.equal((await groupState("live")).messages.at(-1).priority, "High");
});
check("thirty live texts arrive in order", async () => {
  for (let i = 0; i < 30; i++) await bob.text("live", `wave ${i}`, { group: true });
  await alice.received("wave 29");
  const order = await alice.page.evaluate(() => seen.filter((e) => e.name === "MESSAGE_RECEIVED").flatMap((e) => e.data).map((m) => m.payload?.text).filter((t) => t?.startsWith("wave ")));
  assert.deepEqual(order, Array.from({ length: 30 }, (_, i) => `wave ${i}`));
});
check("a gift from the backend arrives in the room", async () => {
  await pause(1100);
  await rest("group_open_http_svc/send_group_msg", { GroupId: "live", From_Account: "alice", Random: 9001, MsgPriority: "High", MsgBody: [{ MsgType: "TIMCustomElem", MsgContent: { Data: '{"type":"gift"}', Desc: "", Ext: "" } }] });
  await bob.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.payload?.data === '{"type":"gift"}')`);
});
check("the online count is the emulator's", async () => {
  const { data } = await alice.must(() => chat.getGroupOnlineMemberCount("live"));
  assert.equal(data?.memberCount ?? data, 2);
});
check("room attributes are shared", async () => {
  await alice.must(() => chat.initGroupAttributes({ groupID: "live", groupAttributes: { status: "on" } }));
  const { data } = await bob.must(() => chat.getGroupAttributes({ groupID: "live", keyList: ["status"] }));
  assert.deepEqual(data.groupAttributes, { status: "on" });
});
check("somebody who joins is seen by the others", async () => {
  const fan = await User.login("fan");
  await fan.must(() => chat.joinGroup({ groupID: "live" }));
  await alice.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "TIMGroupTipElem" && m.payload.operationType === 1 && m.payload.userIDList.includes("fan"))`);
  await fan.must(() => chat.quitGroup("live"));
  await alice.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "TIMGroupTipElem" && m.payload.operationType === 2 && m.payload.userIDList.includes("fan"))`);
  await fan.close();
});
check("a room mute has IM's code", async () => {
  await rest("group_open_http_svc/forbid_send_msg", { GroupId: "live", Members_Account: ["bob"], MuteTime: 60 });
  assert.equal((await bob.text("live", "muted", { group: true })).failed, 10017);
  await rest("group_open_http_svc/forbid_send_msg", { GroupId: "live", Members_Account: ["bob"], MuteTime: 0 });
});
// Older SDKs do not know the event by which a long poll tells of a recall.
check("a recall in a live room reaches the viewers", async () => {
  const { data } = await alice.text("live", "never mind", { group: true });
  const { ID } = await bob.received("never mind");
  assert.equal(ID, data.message.ID);
  await alice.must((message) => chat.revokeMessage(message), data.message);
  const list = await bob.wait("MESSAGE_REVOKED", `(list) => list.some((m) => m.ID === ${JSON.stringify(ID)})`);
  assert.equal(list[0].conversationID, "GROUPlive");
  assert.ok((await groupState("live")).messages.find((m) => m.body[0].MsgContent.Text === "never mind").recalled);
}, { lacking: [old.chat31, old.tim] });
check("a message that the backend takes back disappears from the live room", async () => {
  await bob.forget();
  const sent = await rest("group_open_http_svc/send_group_msg", { GroupId: "live", From_Account: "alice", Random: 9100, MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: "spam" } }] });
  const { ID } = await bob.received("spam");
  await rest("group_open_http_svc/group_msg_recall", { GroupId: "live", MsgSeqList: [{ MsgSeq: sent.MsgSeq }] });
  await bob.wait("MESSAGE_REVOKED", `(list) => list.some((m) => m.ID === ${JSON.stringify(ID)})`);
}, { lacking: [old.chat31, old.tim] });
check("marked viewers are listed by their mark", async () => {
  await alice.must(() => chat.markGroupMemberList({ groupID: "live", userIDList: ["bob"], markType: 1000, enableMark: true }));
  assert.deepEqual((await groupState("live")).members.find((m) => m.userId === "bob").marks, [1000]);
  const listed = async () => (await alice.must(() => chat.getGroupMemberList({ groupID: "live", filter: 1000 }))).data.memberList.map((m) => m.userID);
  assert.deepEqual(await listed(), ["bob"]);
  await pause(3100); // older SDKs ask once in three seconds at most
  await alice.must(() => chat.markGroupMemberList({ groupID: "live", userIDList: ["bob"], markType: 1000, enableMark: false }));
  assert.deepEqual(await listed(), []);
});
check("a broadcast to all rooms arrives", async () => {
  await rest("group_open_http_svc/send_broadcast_msg", { From_Account: "alice", Random: 31337, MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: "to all rooms" } }] });
  await bob.received("to all rooms");
});
check("a banned user leaves the room and cannot return", async () => {
  await bob.forget();
  await rest("group_open_http_svc/ban_group_member", { GroupId: "live", Members_Account: ["bob"], Duration: 60 });
  await bob.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "TIMGroupSystemNoticeElem")`);
  const out = await bob.do(() => chat.joinGroup({ groupID: "live" }));
  assert.equal(out.failed, 10007, JSON.stringify(out));
  assert.ok(!(await groupState("live")).members.some((m) => m.userId === "bob"));
  await rest("group_open_http_svc/unban_group_member", { GroupId: "live", Members_Account: ["bob"] });
});
check("a web page is in one room at a time", async () => {
  await alice.must(() => chat.createGroup({ type: "AVChatRoom", name: "Other", groupID: "other" }));
  await bob.must(() => chat.joinGroup({ groupID: "live" }));
  await bob.must(() => chat.joinGroup({ groupID: "other" }));
  assert.deepEqual((await groupState("live")).members.map((m) => m.userId), ["alice"]);
  assert.deepEqual((await groupState("other")).members.map((m) => m.userId), ["bob"]);
});
