import assert from "node:assert/strict";
import { alice, bob, change, check, groupState, key, pause, rest } from "./harness.mjs";

check("a group is created with its creator as owner", async () => {
  const { data } = await alice.must(() => chat.createGroup({ type: "Public", name: "Team", groupID: "team", joinOption: "FreeAccess" }));
  assert.equal(data.group.groupID, "team");
  const state = await groupState("team");
  assert.equal(state.owner, "alice");
  assert.equal(state.type, "Public");
});
check("joining reaches the members as a tip, and the emulator", async () => {
  const { data } = await bob.must(() => chat.joinGroup({ groupID: "team" }));
  assert.equal(data.status, "JoinedSuccess");
  await alice.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "TIMGroupTipElem" && m.payload.operationType === 1 && m.payload.userIDList.includes("bob"))`);
  assert.deepEqual((await groupState("team")).members.map((m) => m.userId), ["alice", "bob"]);
});
check("a group text arrives once, with the same ID and sequence at both ends", async () => {
  const { data } = await alice.text("team", "hello team", { group: true });
  const got = await bob.received("hello team");
  assert.equal(got.ID, data.message.ID);
  assert.equal(got.sequence, data.message.sequence);
  await pause(300);
  assert.equal(await bob.count("MESSAGE_RECEIVED", `(list) => list.some((m) => m.payload?.text === "hello team")`), 1);
});
check("mentions arrive", async () => {
  await alice.must(() => chat.sendMessage(chat.createTextAtMessage({ to: "team", conversationType: "GROUP", payload: { text: "@bob look", atUserList: ["bob"] } })));
  assert.deepEqual((await groupState("team")).messages.at(-1).mentions, ["bob"]);
  const got = await bob.received("@bob look");
  assert.deepEqual(got.atUserList, ["bob"]);
  await bob.wait("CONVERSATION_LIST_UPDATED", `(list) => list.some((c) => c.conversationID === "GROUPteam" && c.groupAtInfoList.some((at) => at.from === "alice" && at.messageSequence === ${got.sequence}))`);
});
check("group history is the same for members and the emulator, by pages", async () => {
  for (let i = 0; i < 50; i++) {
    await rest("group_open_http_svc/send_group_msg", { GroupId: "team", From_Account: "alice", Random: 1000 + i, MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: `line ${i}` } }] });
    if (i % 30 === 29) await pause(1100);
  }
  await bob.received("line 49");
  await bob.login();
  const all = [];
  for (let next; ; ) {
    const { data } = await bob.history("GROUPteam", next ? { nextReqMessageID: next } : {});
    all.unshift(...data.messageList.filter((m) => m.type !== "TIMGroupTipElem" && m.payload.text?.startsWith("line ")).map((m) => m.payload.text));
    if (data.isCompleted || !data.nextReqMessageID) break;
    next = data.nextReqMessageID;
  }
  assert.deepEqual([...new Set(all)], Array.from({ length: 50 }, (_, i) => `line ${i}`));
});
check("the group's unread count is there at login and falls when read", async () => {
  const { data } = await bob.must(() => chat.getConversationProfile("GROUPteam"));
  const before = await groupState("team");
  const { readSeq } = before.members.find((m) => m.userId === "bob");
  assert.equal(data.conversation.unreadCount, before.messages.filter((m) => m.seq > readSeq && m.from !== "bob").length);
  assert.ok(data.conversation.unreadCount >= 50, `unread ${data.conversation.unreadCount}`);
  await bob.must(() => chat.setMessageRead({ conversationID: "GROUPteam" }));
  await pause(500);
  const state = await groupState("team");
  assert.equal(state.members.find((m) => m.userId === "bob").readSeq, state.messages.at(-1).seq);
});
check("members are listed with roles and names", async () => {
  await rest("profile/portrait_set", { From_Account: "alice", ProfileItem: [{ Tag: "Tag_Profile_IM_Nick", Value: "Alice" }] });
  const { data } = await bob.must(() => chat.getGroupMemberList({ groupID: "team", count: 30, offset: 0 }));
  assert.deepEqual(data.memberList.map((m) => [m.userID, m.role]), [["alice", "Owner"], ["bob", "Member"]]);
  assert.equal(data.memberList[0].nick, "Alice");
});
check("a profile change reaches the members", async () => {
  await alice.must(() => chat.updateGroupProfile({ groupID: "team", name: "Team 2", notification: "news" }));
  await bob.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "TIMGroupTipElem" && m.payload.newGroupProfile?.groupName === "Team 2")`);
  assert.equal((await groupState("team")).name, "Team 2");
});
check("an ordinary member may not change the profile", async () => {
  const out = await bob.do(() => chat.updateGroupProfile({ groupID: "team", name: "mine" }));
  assert.equal(out.failed, 10007);
  assert.equal((await groupState("team")).name, "Team 2");
});
check("an admin is appointed and told", async () => {
  await alice.must(() => chat.setGroupMemberRole({ groupID: "team", userID: "bob", role: "Admin" }));
  await bob.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "TIMGroupTipElem" && m.payload.operationType === 4)`);
  assert.equal((await groupState("team")).members.find((m) => m.userId === "bob").role, "Admin");
  await alice.must(() => chat.setGroupMemberRole({ groupID: "team", userID: "bob", role: "Member" }));
});
check("a muted member gets IM's code and is told", async () => {
  await bob.forget();
  await alice.must(() => chat.setGroupMemberMuteTime({ groupID: "team", userID: "bob", muteTime: 600 }));
  await bob.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "TIMGroupTipElem" && m.payload.operationType === 7)`);
  assert.equal((await bob.text("team", "psst", { group: true })).failed, 10017);
  await alice.must(() => chat.setGroupMemberMuteTime({ groupID: "team", userID: "bob", muteTime: 0 }));
  assert.ok(!(await bob.text("team", "I may again", { group: true })).failed);
});
check("mute-all holds members, not the owner", async () => {
  await alice.must(() => chat.updateGroupProfile({ groupID: "team", muteAllMembers: true }));
  assert.equal((await bob.text("team", "quiet", { group: true })).failed, 10017);
  assert.ok(!(await alice.text("team", "I lead", { group: true })).failed);
  await alice.must(() => chat.updateGroupProfile({ groupID: "team", muteAllMembers: false }));
});
check("a name card is set", async () => {
  await bob.must(() => chat.setGroupMemberNameCard({ groupID: "team", nameCard: "Bobby" }));
  assert.equal((await groupState("team")).members.find((m) => m.userId === "bob").nameCard, "Bobby");
});
check("a group recall reaches the members", async () => {
  const { data } = await alice.text("team", "wrong group", { group: true });
  await bob.received("wrong group");
  await alice.must((ID) => chat.revokeMessage(chat.findMessage(ID)), data.message.ID);
  await bob.wait("MESSAGE_REVOKED", `(list) => list.some((m) => m.conversationID === "GROUPteam")`);
});
check("the REST API's recall reaches the members", async () => {
  await bob.forget();
  const sent = await rest("group_open_http_svc/send_group_msg", { GroupId: "team", From_Account: "alice", Random: 5001, MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: "blocked picture" } }] });
  await bob.received("blocked picture");
  await rest("group_open_http_svc/group_msg_recall", { GroupId: "team", MsgSeqList: [{ MsgSeq: sent.MsgSeq }] });
  await bob.wait("MESSAGE_REVOKED");
});
check("attributes are written, merged, deleted and read by another member", async () => {
  await alice.must(() => chat.initGroupAttributes({ groupID: "team", groupAttributes: { a: "1", b: "2" } }));
  await alice.must(() => chat.setGroupAttributes({ groupID: "team", groupAttributes: { b: "3" } }));
  await alice.must(() => chat.deleteGroupAttributes({ groupID: "team", keyList: ["a"] }));
  assert.deepEqual((await groupState("team")).attributes, { b: "3" });
  const { data } = await bob.must(() => chat.getGroupAttributes({ groupID: "team", keyList: [] }));
  assert.deepEqual(data.groupAttributes, { b: "3" });
});
check("counters are counted", async () => {
  await alice.must(() => chat.setGroupCounters({ groupID: "team", counters: { likes: 2 } }));
  await alice.must(() => chat.increaseGroupCounter({ groupID: "team", key: "likes", value: 3 }));
  assert.deepEqual((await groupState("team")).counters, { likes: 5 });
  const { data } = await bob.must(() => chat.getGroupCounters({ groupID: "team", keyList: ["likes"] }));
  assert.equal(data.counters.likes, 5);
  await bob.wait("GROUP_COUNTER_UPDATED", (e) => e.groupID === "team" && e.key === "likes" && e.value === 5);
});
check("a member is removed and told", async () => {
  await bob.forget();
  await alice.must(() => chat.deleteGroupMember({ groupID: "team", userIDList: ["bob"], reason: "late" }));
  await bob.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "TIMGroupSystemNoticeElem" && m.payload.operationType === 4)`);
  assert.equal((await bob.text("team", "still here?", { group: true })).failed, 10007);
  assert.deepEqual((await groupState("team")).members.map((m) => m.userId), ["alice"]);
});
check("an application waits for the owner", async () => {
  await alice.must(() => chat.createGroup({ type: "Public", name: "Club", groupID: "club", joinOption: "NeedPermission" }));
  const { data } = await bob.must(() => chat.joinGroup({ groupID: "club" }));
  assert.equal(data.status, "WaitAdminApproval");
  await alice.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "TIMGroupSystemNoticeElem" && m.payload.operationType === 1)`);
});
check("members invite into a Work group", async () => {
  await alice.must(() => chat.createGroup({ type: "Private", name: "Work", groupID: "work" }));
  await alice.must(() => chat.addGroupMember({ groupID: "work", userIDList: ["bob"] }));
  assert.deepEqual((await groupState("work")).members.map((m) => m.userId), ["alice", "bob"]);
  await alice.text("work", "welcome", { group: true });
  await bob.received("welcome");
});
check("quitting reaches the members", async () => {
  await alice.forget();
  await bob.must(() => chat.quitGroup("work"));
  await alice.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "TIMGroupTipElem" && m.payload.operationType === 2)`);
  assert.deepEqual((await groupState("work")).members.map((m) => m.userId), ["alice"]);
});
check("the owner of a Public group cannot quit", async () => {
  const out = await alice.do(() => chat.quitGroup("team"));
  assert.equal(out.failed, 10009, JSON.stringify(out));
  assert.equal((await groupState("team")).owner, "alice");
});
check("ownership changes", async () => {
  await bob.must(() => chat.joinGroup({ groupID: "team" }));
  await alice.must(() => chat.changeGroupOwner({ groupID: "team", newOwnerID: "bob" }));
  assert.equal((await groupState("team")).owner, "bob");
});
check("a dismissed group tells its members", async () => {
  await alice.forget();
  await bob.must(() => chat.dismissGroup("team"));
  await alice.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "TIMGroupSystemNoticeElem" && m.payload.operationType === 5)`);
  assert.equal(await groupState("team"), undefined);
});
check("a group is found by its ID", async () => {
  const { data } = await bob.must(() => chat.searchGroupByID("club"));
  assert.equal(data.group.name, "Club");
  assert.equal((await bob.do(() => chat.searchGroupByID("no-such-group"))).failed, 10010);
});
