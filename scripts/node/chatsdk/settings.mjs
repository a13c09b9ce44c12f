import assert from "node:assert/strict";
import { alice, bob, check, control, groupState, rest, User } from "./harness.mjs";

const userState = async (id) => (await control("state")).users.find((u) => u.userId === id);
const conversation = async (user, id) => (await user.must((id) => chat.getConversationProfile(id), id)).data.conversation;

check("messages of an earlier login that nobody has read are unread at the next", async () => {
  for (let i = 0; i < 3; i++) await alice.text("bob", `unread ${i}`);
  await bob.received("unread 2");
  await bob.login();
  await alice.text("bob", "unread 3");
  await bob.received("unread 3");
  assert.equal((await conversation(bob, "C2Calice")).unreadCount, 4);
  await bob.must(() => chat.setMessageRead({ conversationID: "C2Calice" }));
  await bob.login();
  assert.equal((await conversation(bob, "C2Calice")).unreadCount, 0);
});
check("messages of a group that came while the user was away count once", async () => {
  await alice.must(() => chat.createGroup({ type: "Public", name: "Desk", groupID: "desk", joinOption: "FreeAccess" }));
  await bob.must(() => chat.joinGroup({ groupID: "desk" }));
  await bob.must(() => chat.setMessageRead({ conversationID: "GROUPdesk" }));
  await bob.must(() => chat.logout());
  await alice.text("desk", "one", { group: true });
  await alice.text("desk", "two", { group: true });
  await bob.login();
  await bob.wait("CONVERSATION_LIST_UPDATED", (list) => list.some((c) => c.conversationID === "GROUPdesk" && c.unreadCount === 2));
  assert.equal((await conversation(bob, "GROUPdesk")).unreadCount, 2);
});
check("a pinned conversation stays pinned, also at the next login", async () => {
  await bob.must(() => chat.pinConversation({ conversationID: "C2Calice", isPinned: true }));
  assert.ok((await userState("bob")).settings.C2Calice.pinned);
  await bob.login();
  assert.equal((await conversation(bob, "C2Calice")).isPinned, true);
  await bob.must(() => chat.pinConversation({ conversationID: "C2Calice", isPinned: false }));
  await bob.login();
  assert.equal((await conversation(bob, "C2Calice")).isPinned, false);
});
check("the remind type of a user is kept", async () => {
  await bob.must(() => chat.setMessageRemindType({ userIDList: ["alice"], messageRemindType: "AcceptNotNotify" }));
  assert.equal((await userState("bob")).settings.C2Calice.flag, "AcceptNotNotify");
  await bob.login();
  await bob.text("alice", "hello"); // the SDK asks when the conversation is used
  await bob.wait("CONVERSATION_LIST_UPDATED", (list) => list.some((c) => c.conversationID === "C2Calice" && c.messageRemindType === "AcceptNotNotify"));
  await bob.must(() => chat.setMessageRemindType({ userIDList: ["alice"], messageRemindType: "AcceptAndNotify" }));
  assert.equal((await userState("bob")).settings, undefined);
});
check("the remind type of a group is kept", async () => {
  await bob.must(() => chat.setMessageRemindType({ groupID: "desk", messageRemindType: "Discard" }));
  await bob.login();
  const { data } = await bob.must(() => chat.getGroupProfile({ groupID: "desk" }));
  assert.equal(data.group.selfInfo.messageRemindType, "Discard");
});
check("conversation marks and custom data are kept", async () => {
  await bob.must(() => chat.markConversation({ conversationIDList: ["C2Calice"], markType: 1, enableMark: true }));
  await bob.must(() => chat.setConversationCustomData({ conversationIDList: ["C2Calice"], customData: "vip" }));
  assert.deepEqual((await userState("bob")).settings.C2Calice, { marks: [0], custom: "vip" });
  await bob.login();
  const kept = await conversation(bob, "C2Calice");
  assert.equal(kept.customData, "vip");
  assert.deepEqual(kept.markList, [1]);
});
check("a user's status and text reach who watches, and who asks", async () => {
  await bob.must(() => chat.subscribeUserStatus({ userIDList: ["alice"] }));
  await alice.must(() => chat.setSelfStatus({ customStatus: "in a call" }));
  await bob.wait("USER_STATUS_UPDATED", (list) => list.some((u) => u.userID === "alice" && u.statusType === 1 && u.customStatus === "in a call"));
  assert.equal((await userState("alice")).status, "in a call");
  const guest = await User.login("guest");
  await bob.must(() => chat.subscribeUserStatus({ userIDList: ["guest"] }));
  await guest.must(() => chat.logout());
  await bob.wait("USER_STATUS_UPDATED", (list) => list.some((u) => u.userID === "guest" && u.statusType !== 1));
  await guest.close();
  const { data } = await bob.must(() => chat.getUserStatus({ userIDList: ["alice", "guest", "nobody"] }));
  assert.deepEqual(data.successUserList.map((u) => [u.userID, u.statusType]), [["alice", 1], ["guest", 3]]);
  assert.equal(data.successUserList[0].customStatus, "in a call");
  assert.deepEqual(data.failureUserList.map((u) => u.userID), ["nobody"]);
});
check("a group message's read receipt reaches its writer, with who has read it", async () => {
  await alice.must(() => chat.sendMessage(chat.createTextMessage({ to: "desk", conversationType: "GROUP", needReadReceipt: true, payload: { text: "please confirm" } })));
  await bob.received("please confirm");
  await bob.must(async () => {
    const { data } = await chat.getMessageList({ conversationID: "GROUPdesk" });
    return chat.sendMessageReadReceipt(data.messageList.filter((m) => m.payload.text === "please confirm"));
  });
  await alice.wait("MESSAGE_READ_RECEIPT_RECEIVED", (list) => list.some((r) => r.groupID === "desk" && r.readCount === 1 && r.unreadCount === 0));
  const who = await alice.must(async () => {
    const { data } = await chat.getMessageList({ conversationID: "GROUPdesk" });
    return chat.getGroupMessageReadMemberList({ message: data.messageList.find((m) => m.payload.text === "please confirm"), filter: 0, cursor: "", count: 15 });
  });
  assert.deepEqual(who.data.readUserIDList, ["bob"]);
  const { seq } = (await groupState("desk")).messages.at(-1);
  const { GroupMsgReceiptList } = await rest("group_open_http_svc/get_group_msg_receipt", { GroupId: "desk", MsgSeqList: [{ MsgSeq: seq }] });
  assert.deepEqual(GroupMsgReceiptList, [{ MsgSeq: seq, Code: 0, ReadNum: 1, UnreadNum: 0 }]);
});
check("a one-to-one message's read receipt reaches its writer and the emulator", async () => {
  await alice.must(() => chat.sendMessage(chat.createTextMessage({ to: "bob", conversationType: "C2C", needReadReceipt: true, payload: { text: "confirm" } })));
  await bob.received("confirm");
  await bob.must(async () => {
    const { data } = await chat.getMessageList({ conversationID: "C2Calice" });
    return chat.sendMessageReadReceipt(data.messageList.filter((m) => m.payload.text === "confirm"));
  });
  await alice.wait("MESSAGE_READ_RECEIPT_RECEIVED", (list) => list.some((r) => r.userID === "bob" && r.isPeerRead));
  const { conversations } = await control("state");
  assert.ok(conversations.flatMap((c) => c.messages).find((m) => m.body[0]?.MsgContent.Text === "confirm").peerRead);
});
check("a message at the top of a group is there for all members", async () => {
  await alice.must(async () => {
    const { data } = await chat.getMessageList({ conversationID: "GROUPdesk" });
    return chat.pinGroupMessage({ groupID: "desk", message: data.messageList.find((m) => m.payload.text === "please confirm"), isPinned: true });
  });
  const { data } = await bob.must(() => chat.getPinnedGroupMessageList("desk"));
  assert.deepEqual(data.messageList.map((m) => m.payload.text), ["please confirm"]);
  assert.equal((await groupState("desk")).pinned.length, 1);
  const refused = await bob.do(async () => {
    const { data } = await chat.getMessageList({ conversationID: "GROUPdesk" });
    return chat.pinGroupMessage({ groupID: "desk", message: data.messageList.find((m) => m.payload.text === "two"), isPinned: true });
  });
  assert.equal(refused.failed, 10007);
  await alice.must(async () => {
    const { data } = await chat.getPinnedGroupMessageList("desk");
    return chat.pinGroupMessage({ groupID: "desk", message: data.messageList[0], isPinned: false });
  });
  assert.equal((await groupState("desk")).pinned, undefined);
}, { needs: ["pinGroupMessage"] });
check("a deleted message is gone for one user and stays for the other", async () => {
  for (const [conversationID, to, options] of [["C2Cbob", "bob", {}], ["GROUPdesk", "desk", { group: true }]]) {
    await alice.text(to, "delete me", options);
    await alice.must(async (conversationID) => {
      const { data } = await chat.getMessageList({ conversationID });
      return chat.deleteMessage(data.messageList.filter((m) => m.payload.text === "delete me"));
    }, conversationID);
  }
  await alice.login();
  const texts = async (user, id) => (await user.history(id)).data.messageList.map((m) => m.payload.text);
  assert.ok(!(await texts(alice, "C2Cbob")).includes("delete me"));
  assert.ok(!(await texts(alice, "GROUPdesk")).includes("delete me"));
  assert.ok((await texts(bob, "C2Calice")).includes("delete me"));
  assert.ok((await texts(bob, "GROUPdesk")).includes("delete me"));
});
check("a cleared history is gone for one user and stays for the other", async () => {
  await bob.must(() => chat.clearHistoryMessage("C2Calice"));
  await bob.must(() => chat.clearHistoryMessage("GROUPdesk"));
  await bob.login();
  assert.deepEqual((await bob.history("C2Calice")).data.messageList, []);
  assert.deepEqual((await bob.history("GROUPdesk")).data.messageList.filter((m) => m.type === "TIMTextElem"), []);
  assert.ok((await alice.history("C2Cbob")).data.messageList.length > 0);
});
check("hours without notifications are kept", async () => {
  await bob.must(() => chat.setAllReceiveMessageOpt({ messageRemindType: "AcceptNotNotify", startHour: 1, startMinute: 2, startSecond: 3, duration: 100 }));
  await bob.login();
  const { data } = await bob.must(() => chat.getAllReceiveMessageOpt());
  assert.equal(data.messageRemindType, "AcceptNotNotify");
  assert.equal(data.isRepeated, true);
}, { needs: ["setAllReceiveMessageOpt"] });
