import assert from "node:assert/strict";
import { alice, bob, check, control, pause, rest, User } from "./harness.mjs";

check("C2C text arrives once, with the same ID at both ends", async () => {
  const { data } = await alice.must(() => chat.sendMessage(chat.createTextMessage({ to: "bob", conversationType: "C2C", payload: { text: "hi bob" } })));
  const got = await bob.received("hi bob");
  assert.equal(got.ID, data.message.ID);
  assert.equal(got.from, "alice");
  await pause(300);
  assert.equal(await bob.count("MESSAGE_RECEIVED", `(list) => list.some((m) => m.payload?.text === "hi bob")`), 1);
  assert.equal(await alice.count("MESSAGE_RECEIVED", `(list) => list.some((m) => m.payload?.text === "hi bob")`), 0);
});
for (const [name, make, test] of [
  ["custom", () => chat.createCustomMessage({ to: "bob", conversationType: "C2C", payload: { data: "gift", description: "rose", extension: "x" } }), "(m) => m.payload?.data === 'gift' && m.payload.description === 'rose'"],
  ["face", () => chat.createFaceMessage({ to: "bob", conversationType: "C2C", payload: { index: 3, data: "tt03" } }), "(m) => m.type === 'TIMFaceElem' && m.payload.data === 'tt03'"],
  ["location", () => chat.createLocationMessage({ to: "bob", conversationType: "C2C", payload: { description: "here", longitude: 113.5, latitude: 22.5 } }), "(m) => m.type === 'TIMLocationElem' && m.payload.latitude === 22.5"],
]) {
  check(`C2C ${name} message keeps its content`, async () => {
    await alice.must(`() => chat.sendMessage((${make})())`);
    await bob.wait("MESSAGE_RECEIVED", `(list) => list.some(${test})`);
  });
}
check("cloudCustomData arrives", async () => {
  await alice.text("bob", "with data", { custom: "extra" });
  assert.equal((await bob.received("with data")).cloudCustomData, "extra");
});
check("an online-only message arrives and is not in the history", async () => {
  await alice.text("bob", "only now", { options: { onlineUserOnly: true } });
  await bob.received("only now");
  const { conversations } = await control("state");
  assert.ok(conversations.some((c) => c.users.join() === "alice,bob"));
  assert.ok(!JSON.stringify(conversations).includes("only now"));
});
check("the REST API's message arrives", async () => {
  await rest("openim/sendmsg", { From_Account: "alice", To_Account: "bob", MsgRandom: 77, MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: "from the backend" } }] });
  await bob.received("from the backend");
});
check("C2C history is the same at both ends and in the emulator", async () => {
  const texts = async (user, peer) => (await user.history(`C2C${peer}`)).data.messageList.filter((m) => m.payload.text).map((m) => m.payload.text);
  const expected = ["hi bob", "with data", "from the backend"];
  assert.deepEqual((await texts(bob, "alice")).filter((t) => expected.includes(t)), expected);
  assert.deepEqual((await texts(alice, "bob")).filter((t) => ["hi bob", "with data"].includes(t)), ["hi bob", "with data"]);
});
check("C2C history is paged", async () => {
  await rest("im_open_login_svc/account_import", { UserID: "carol-sender" });
  for (let i = 0; i < 40; i += 4) {
    await rest("openim/batchsendmsg", { From_Account: "carol-sender", To_Account: ["bob"], MsgRandom: 100 + i, MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: `page ${i}` } }] });
  }
  await bob.received("page 36");
  await bob.login();
  const first = (await bob.history("C2Ccarol-sender")).data;
  const all = first.messageList.map((m) => m.payload.text);
  let next = first.nextReqMessageID;
  while (next) {
    const page = (await bob.history("C2Ccarol-sender", { nextReqMessageID: next })).data;
    all.unshift(...page.messageList.map((m) => m.payload.text));
    next = page.isCompleted ? "" : page.nextReqMessageID;
  }
  assert.deepEqual([...new Set(all)], Array.from({ length: 10 }, (_, i) => `page ${4 * i}`));
});
check("a read receipt reaches the writer", async () => {
  await alice.text("bob", "read me");
  await bob.received("read me");
  await bob.must(() => chat.setMessageRead({ conversationID: "C2Calice" }));
  await alice.wait("MESSAGE_READ_BY_PEER", `(list) => list.some((m) => m.payload?.text === "read me")`);
});
check("the unread count falls to 0 when read, in the emulator too", async () => {
  const answer = await rest("openim/get_c2c_unread_msg_num", { To_Account: "bob", Peer_Account: ["alice"] });
  assert.equal(answer.C2CUnreadMsgNumList[0].C2CUnreadMsgNum, 0);
  const { data } = await bob.must(() => chat.getConversationProfile("C2Calice"));
  assert.equal(data.conversation.unreadCount, 0);
});
check("recall reaches the other end and the emulator", async () => {
  const { data } = await alice.text("bob", "oops");
  const got = await bob.received("oops");
  await alice.must((ID) => chat.revokeMessage(chat.findMessage(ID)), data.message.ID);
  const revoked = await bob.wait("MESSAGE_REVOKED");
  assert.equal(revoked[0].ID, got.ID);
  assert.ok((await control("state")).conversations.some((c) => c.messages.some((m) => m.recalled)));
});
check("a recall that is too late has IM's code", async () => {
  await rest("openim/importmsg", { SyncFromOldSystem: 2, From_Account: "alice", To_Account: "bob", MsgSeq: 4242, MsgRandom: 4242, MsgTimeStamp: Math.floor(Date.now() / 1000) - 3600, MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: "long ago" } }] });
  const list = (await alice.history("C2Cbob")).data.messageList;
  assert.ok(list.length > 0);
  const out = await alice.do(async () => {
    const { data } = await chat.getMessageListHopping({ conversationID: "C2Cbob", sequence: 0, time: Math.floor(Date.now() / 1000) - 3500, direction: 0 });
    const message = data.messageList.find((m) => m.payload.text === "long ago");
    return chat.revokeMessage(message);
  });
  assert.equal(out.failed, 20016, JSON.stringify(out));
  const { conversations } = await control("state");
  assert.ok(!conversations.flatMap((c) => c.messages).find((m) => m.body[0]?.MsgContent.Text === "long ago").recalled);
});
check("a modified message changes at the other end", async () => {
  const { data } = await alice.text("bob", "before");
  await bob.received("before");
  await alice.must((ID) => { const m = chat.findMessage(ID); m.payload.text = "after"; return chat.modifyMessage(m); }, data.message.ID);
  await bob.wait("MESSAGE_MODIFIED", `(list) => list.some((m) => m.payload?.text === "after")`);
});
check("the conversation list has the last message and nickname", async () => {
  await rest("profile/portrait_set", { From_Account: "alice", ProfileItem: [{ Tag: "Tag_Profile_IM_Nick", Value: "Alice A" }] });
  await bob.login();
  const { data } = await bob.must(() => chat.getConversationList());
  const c = data.conversationList.find((x) => x.conversationID === "C2Calice");
  assert.equal(c.lastMessage.payload.text, "after");
  assert.equal(c.userProfile.nick, "Alice A");
});
check("a deleted conversation leaves the list", async () => {
  await bob.must(() => chat.deleteConversation("C2Ccarol-sender"));
  const { data } = await bob.must(() => chat.getConversationList());
  assert.ok(!data.conversationList.some((x) => x.conversationID === "C2Ccarol-sender"));
});
check("a blocked sender gets IM's code", async () => {
  await bob.must(() => chat.addToBlacklist({ userIDList: ["alice"] }));
  assert.equal((await alice.text("bob", "blocked")).failed, 20007);
  await bob.must(() => chat.removeFromBlacklist({ userIDList: ["alice"] }));
  assert.ok(!(await alice.text("bob", "free again")).failed);
  await bob.received("free again");
});
check("a global mute has IM's code", async () => {
  await rest("openconfigsvr/setnospeaking", { Set_Account: "alice", C2CmsgNospeakingTime: 60 });
  assert.equal((await alice.text("bob", "muted")).failed, 20012);
  await rest("openconfigsvr/setnospeaking", { Set_Account: "alice", C2CmsgNospeakingTime: 0 });
});
check("a profile is set and shows to others", async () => {
  await alice.must(() => chat.updateMyProfile({ nick: "Alice", selfSignature: "hello", gender: "Gender_Type_Female" }));
  const fresh = await User.login("erin");
  const { data } = await fresh.must(() => chat.getUserProfile({ userIDList: ["alice"] }));
  assert.equal(data[0].nick, "Alice");
  assert.equal(data[0].selfSignature, "hello");
  assert.equal(data[0].gender, "Gender_Type_Female");
  await fresh.close();
});
check("a message to nobody has IM's code", async () => {
  assert.equal((await alice.text("nobody-here", "x")).failed, 20003);
});
