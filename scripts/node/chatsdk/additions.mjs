// What people put on messages, conversation groups, search, merged messages and
// invitations.
import assert from "node:assert/strict";
import { alice, bob, check, control, groupState, old, pause, rest } from "./harness.mjs";

const stored = async (text) => {
  const { conversations, groups } = await control("state");
  return [...(conversations ?? []), ...(groups ?? [])].flatMap((c) => c.messages).find((m) => m.body[0]?.MsgContent?.Text === text);
};
const userState = async (id) => (await control("state")).users.find((u) => u.userId === id);
// on runs a function in a page with the message of a text that the page has.
const on = (user, conversationID, text, f) =>
  user.must(`async () => {
    const { data } = await chat.getMessageList({ conversationID: ${JSON.stringify(conversationID)} });
    return (${f})(data.messageList.find((m) => m.payload.text === ${JSON.stringify(text)}));
  }`);

check("reactions to a one-to-one message show at both ends, and go again", async () => {
  await alice.text("bob", "shall we?");
  const { ID } = await bob.received("shall we?");
  await on(bob, "C2Calice", "shall we?", (m) => chat.addMessageReaction(m, "thumbs-up"));
  const told = await alice.wait("MESSAGE_REACTIONS_UPDATED", `(e) => e.messageID === ${JSON.stringify(ID)}`);
  assert.deepEqual(told.reactionList.map((r) => [r.reactionID, r.totalUserCount, r.partialUserList.map((u) => u.userID)]), [["thumbs-up", 1, ["bob"]]]);
  assert.deepEqual((await stored("shall we?")).reactions, [{ id: "thumbs-up", users: ["bob"] }]);
  const { data } = await on(bob, "C2Calice", "shall we?", (m) => chat.getMessageReactions({ messageList: [m], maxUserCountPerReaction: 5 }));
  assert.deepEqual(data.resultList[0].reactionList.map((r) => [r.reactionID, r.reactedByMyself]), [["thumbs-up", true]]);
  await alice.forget();
  await on(bob, "C2Calice", "shall we?", (m) => chat.removeMessageReaction(m, "thumbs-up"));
  await alice.wait("MESSAGE_REACTIONS_UPDATED", (e) => e.reactionList[0].totalUserCount === 0);
  assert.equal((await stored("shall we?")).reactions, undefined);
}, { needs: ["addMessageReaction"] });
check("members see who reacted to a message of a group", async () => {
  await alice.must(() => chat.createGroup({ type: "Public", name: "Fair", groupID: "fair", joinOption: "FreeAccess" }));
  await bob.must(() => chat.joinGroup({ groupID: "fair" }));
  await alice.text("fair", "who comes?", { group: true });
  await bob.received("who comes?");
}, {});
check("two members' reactions are counted and listed", async () => {
  await on(bob, "GROUPfair", "who comes?", (m) => chat.addMessageReaction(m, "me"));
  await on(alice, "GROUPfair", "who comes?", (m) => chat.addMessageReaction(m, "me"));
  await bob.wait("MESSAGE_REACTIONS_UPDATED", (e) => e.reactionList[0].reactionID === "me" && e.reactionList[0].totalUserCount === 2);
  const { data } = await on(alice, "GROUPfair", "who comes?", (m) => chat.getAllUserListOfMessageReaction({ message: m, reactionID: "me", nextSeq: 0, count: 20 }));
  assert.deepEqual(data.userList.map((u) => u.userID), ["bob", "alice"]);
  assert.deepEqual((await stored("who comes?")).reactions, [{ id: "me", users: ["bob", "alice"] }]);
}, { needs: ["addMessageReaction"] });
check("extensions of a message are set, told, read, and deleted", async () => {
  await alice.must(() => chat.sendMessage(chat.createTextMessage({ to: "fair", conversationType: "GROUP", isSupportExtension: true, payload: { text: "tea or coffee?" } })));
  await bob.received("tea or coffee?");
  await on(bob, "GROUPfair", "tea or coffee?", (m) => chat.setMessageExtensions(m, [{ key: "bob", value: "tea" }]));
  const told = await alice.wait("MESSAGE_EXTENSIONS_UPDATED");
  assert.deepEqual(told.extensions, [{ key: "bob", value: "tea" }]);
  assert.deepEqual((await stored("tea or coffee?")).extensions, { bob: "tea" });
  const { data } = await on(alice, "GROUPfair", "tea or coffee?", (m) => chat.getMessageExtensions(m));
  assert.deepEqual(data.extensions, [{ key: "bob", value: "tea" }]);
  await on(bob, "GROUPfair", "tea or coffee?", (m) => chat.deleteMessageExtensions(m, ["bob"]));
  assert.deepEqual((await alice.wait("MESSAGE_EXTENSIONS_DELETED")).keyList, ["bob"]);
  assert.ok(!(await stored("tea or coffee?")).extensions?.bob);
}, { needs: ["setMessageExtensions"] });
check("an extension that somebody else wrote first has IM's code", async () => {
  const { seq } = await stored("tea or coffee?");
  await rest("openim_msg_ext_http_svc/group_set_key_values", { GroupId: "fair", MsgSeq: seq, OperateType: 1, ExtensionList: [{ Key: "seat", Value: "1", Seq: 0 }] });
  await bob.login(); // on a page that has not been told of it
  const { data } = await on(bob, "GROUPfair", "tea or coffee?", (m) => chat.setMessageExtensions(m, [{ key: "seat", value: "2" }]));
  assert.deepEqual(data.extensions.map((e) => e.code), [23001]);
  assert.equal((await stored("tea or coffee?")).extensions.seat, "1");
}, { needs: ["setMessageExtensions"] });
check("conversation groups are kept", async () => {
  await alice.text("bob", "for a group of conversations"); // an SDK groups the conversations that it has
  await bob.received("for a group of conversations");
  await bob.must(() => chat.createConversationGroup({ conversationIDList: ["C2Calice"], groupName: "friends" }));
  await bob.must(() => chat.addConversationsToGroup({ conversationIDList: ["GROUPfair"], groupName: "friends" }));
  await bob.must(() => chat.renameConversationGroup({ oldName: "friends", newName: "dear" }));
  const { settings } = await userState("bob");
  assert.deepEqual([settings.C2Calice.groups, settings.GROUPfair.groups], [["dear"], ["dear"]]);
  await bob.login();
  await bob.wait("CONVERSATION_LIST_UPDATED", (list) => list.some((c) => c.conversationID === "GROUPfair" && c.conversationGroupList.includes("dear")));
  assert.deepEqual((await bob.must(() => chat.getConversationGroupList())).data.groupNameList ?? (await bob.must(() => chat.getConversationGroupList())).data, ["dear"]);
  await bob.must(() => chat.deleteConversationsFromGroup({ conversationIDList: ["GROUPfair"], groupName: "dear" }));
  assert.equal((await userState("bob")).settings.GROUPfair, undefined);
  await bob.must(() => chat.deleteConversationGroup("dear"));
  assert.equal((await userState("bob")).settings, undefined);
// 3.1.1 sends the creation as recentcontact.update_contact_group, and throws at any answer but that of a creation.
}, { needs: ["createConversationGroup"], lacking: [old.chat31] });
check("search by the server finds messages of the user's own conversations alone", async () => {
  await alice.text("bob", "the blue lamp is here");
  await alice.text("fair", "a lamp for the fair", { group: true });
  await rest("openim/sendmsg", { From_Account: "administrator", To_Account: "bob", MsgRandom: 4, MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: "your lamp, bob" } }] });
  const all = (await alice.must(() => chat.searchCloudMessages({ keywordList: ["LAMP"] }))).data;
  assert.deepEqual(all.searchResultList.map((c) => [c.conversationID, c.messageCount]).sort(), [["C2Cbob", 1], ["GROUPfair", 1]]);
  const one = (await alice.must(() => chat.searchCloudMessages({ keywordList: ["lamp", "blue"], keywordListMatchType: "and", conversationID: "C2Cbob" }))).data;
  assert.deepEqual(one.searchResultList[0].messageList.map((m) => m.payload.text), ["the blue lamp is here"]);
  await pause(1100); // older SDKs search twice a second at most
  assert.deepEqual((await alice.must(() => chat.searchCloudMessages({ keywordList: ["no such word"] }))).data.searchResultList, []);
}, { needs: ["searchCloudMessages"] });
check("search by the server finds users and groups", async () => {
  const users = (await alice.must(() => chat.searchCloudUsers({ keywordList: ["bob"] }))).data;
  assert.deepEqual(users.searchResultList.map((u) => u.userID), ["bob"]);
  const groups = (await alice.must(() => chat.searchCloudGroups({ keywordList: ["fair"] }))).data;
  assert.deepEqual(groups.searchResultList.map((g) => g.groupID), ["fair"]);
  const members = (await alice.must(() => chat.searchCloudGroupMembers({ keywordList: ["bob"] }))).data;
  assert.deepEqual(members.searchResultList.map((g) => [g.groupInfo.groupID, g.memberList.map((m) => m.userID)]), [["fair", ["bob"]]]);
}, { needs: ["searchCloudUsers"] });
check("a merged message arrives, also one that is too long to be sent whole", async () => {
  for (const [title, size] of [["short", 5], ["long", 2500]]) {
    await alice.must(async ({ title, size }) => {
      const messages = [];
      for (let i = 0; i < 5; i++) messages.push((await chat.sendMessage(chat.createTextMessage({ to: "bob", conversationType: "C2C", payload: { text: `${title} ${i} ${"x".repeat(size)}` } }))).data.message);
      return chat.sendMessage(chat.createMergerMessage({ to: "bob", conversationType: "C2C", payload: { messageList: messages, title, abstractList: ["a", "b"], compatibleText: "merged" } }));
    }, { title, size });
    await bob.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "TIMRelayElem" && m.payload.title === "${title}")`);
    const texts = await bob.must(async (title) => {
      const { data } = await chat.getMessageList({ conversationID: "C2Calice" });
      let m = data.messageList.find((m) => m.type === "TIMRelayElem" && m.payload.title === title);
      if (m.payload.downloadKey) m = await chat.downloadMergerMessage(m);
      return m.payload.messageList.map((x) => x.messageBody[0].payload.text);
    }, title);
    assert.deepEqual(texts, Array.from({ length: 5 }, (_, i) => `${title} ${i} ${"x".repeat(size)}`));
  }
});
check("an invitation is signalled, accepted, and told to who invited", async () => {
  for (const user of [alice, bob]) {
    await user.must(() => {
      window.signals = [];
      for (const [name, event] of Object.entries(sdk.TSignaling)) if (typeof event === "string") chat.addSignalingListener(event, (e) => signals.push({ name, data: e.data }));
    });
  }
  const { inviteID } = await alice.must(() => chat.invite({ userID: "bob", data: "join my call", timeout: 30 }));
  await bob.page.waitForFunction(() => signals.some((s) => s.name === "NEW_INVITATION_RECEIVED" && s.data.data === "join my call"));
  await bob.must((inviteID) => chat.accept({ inviteID, data: "coming" }), inviteID);
  await alice.page.waitForFunction(() => signals.some((s) => s.name === "INVITEE_ACCEPTED" && s.data.data === "coming"));
}, { needs: ["addSignalingListener"] });
check("a modified message of a group changes at the other end", async () => {
  await alice.text("fair", "at nine", { group: true });
  await bob.received("at nine");
  await on(alice, "GROUPfair", "at nine", (m) => { m.payload.text = "at ten"; return chat.modifyMessage(m); });
  await bob.wait("MESSAGE_MODIFIED", (list) => list.some((m) => m.payload?.text === "at ten"));
  assert.equal((await stored("at ten")).version, 1);
});
check("everything is marked as read at once", async () => {
  await alice.text("bob", "unread one");
  await alice.text("fair", "unread two", { group: true });
  await bob.received("unread two");
  await bob.must(() => chat.setAllMessageRead({ scope: sdk.TYPES.READ_ALL_MSG }));
  const answer = await rest("openim/get_c2c_unread_msg_num", { To_Account: "bob", Peer_Account: ["alice"] });
  assert.equal(answer.C2CUnreadMsgNumList[0].C2CUnreadMsgNum, 0);
  const fair = await groupState("fair");
  assert.equal(fair.members.find((m) => m.userId === "bob").readSeq, fair.messages.at(-1).seq);
});
