import assert from "node:assert/strict";
import { alice, bob, check, groupState, rest } from "./harness.mjs";

const topicID = "@TGS#_city@TOPIC#_news";
const state = async () => (await groupState("@TGS#_city")).topics?.find((t) => t.topicId === topicID);

check("a community with topics is created and joined", async () => {
  await alice.must(() => chat.createGroup({ type: "Community", name: "City", groupID: "@TGS#_city", isSupportTopic: true }));
  await bob.must(() => chat.joinGroup({ groupID: "@TGS#_city" }));
  assert.deepEqual((await groupState("@TGS#_city")).members.map((m) => m.userId), ["alice", "bob"]);
  const { data } = await bob.must(() => chat.getJoinedCommunityList());
  assert.deepEqual(data.groupList.map((g) => g.groupID), ["@TGS#_city"]);
});
check("a topic is created and renamed", async () => {
  await alice.must((topicID) => chat.createTopicInCommunity({ groupID: "@TGS#_city", topicName: "news", topicID }), topicID);
  await alice.must((topicID) => chat.updateTopicProfile({ groupID: "@TGS#_city", topicID, topicName: "News!", notification: "be kind" }), topicID);
  assert.equal((await state()).name, "News!");
});
check("the REST API's message in a topic arrives at the page that made it, and at one that has only listed it", async () => {
  await bob.must(() => chat.getTopicList({ groupID: "@TGS#_city" }));
  await rest("group_open_http_svc/send_group_msg", { GroupId: "@TGS#_city", TopicId: topicID, From_Account: "administrator", Random: 12, MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: "from the newsroom" } }] });
  for (const user of [alice, bob]) assert.equal((await user.received("from the newsroom")).conversationID, `GROUP${topicID}`);
});
check("members talk in a topic, whose history has it alone", async () => {
  await alice.login(); // who then sees the topic by writing in it
  await alice.text(topicID, "headline", { group: true });
  await bob.received("headline");
  await bob.text(topicID, "answer", { group: true });
  await alice.received("answer");
  const expected = ["from the newsroom", "headline", "answer"];
  assert.deepEqual((await state()).messages.map((m) => m.body[0].MsgContent.Text), expected);
  assert.deepEqual((await bob.history(`GROUP${topicID}`)).data.messageList.map((m) => m.payload.text), expected);
  assert.deepEqual((await groupState("@TGS#_city")).messages.map((m) => m.body[0].MsgContent.Text).filter(Boolean), []);
});
// The formats of docs/scenarios/community.md, as a front end built after the scenario guide reads them.
check("a channel's category, the group's fields and a message's reactions arrive as community-keeper writes them", async () => {
  const channel = JSON.stringify({ category: "game", type: "text", slowModeSeconds: 10 });
  const fields = { categories: JSON.stringify(["game", "off topic"]), pins: JSON.stringify({ news: [2, 1] }) };
  const onMessage = { reaction: { smile: ["alice", "bob"] }, isEdited: true, thread: { threadId: "t-09ab", count: 12, last: { from: "bob", text: "done", time: "2026-03-01T20:00:00Z" } } };
  await rest("million_group_open_http_svc/modify_topic", { GroupId: "@TGS#_city", TopicId: topicID, CustomString: channel });
  await rest("group_open_http_svc/modify_group_base_info", { GroupId: "@TGS#_city", AppDefinedData: Object.entries(fields).map(([Key, Value]) => ({ Key, Value })) });
  const MsgSeq = (await state()).messages.find((m) => m.body[0].MsgContent.Text === "headline").seq;
  await bob.forget();
  await rest("openim/modify_group_msg", { GroupId: "@TGS#_city", TopicId: topicID, MsgSeq, CloudCustomData: JSON.stringify(onMessage) });
  await bob.wait("MESSAGE_MODIFIED", (list) => list.some((m) => m.payload.text === "headline" && JSON.parse(m.cloudCustomData).reaction.smile.length === 2));
  const topics = (await alice.must(() => chat.getTopicList({ groupID: "@TGS#_city" }))).data.successTopicList;
  assert.equal(topics[0].customData, channel);
  const { group } = (await bob.must(() => chat.getGroupProfile({ groupID: "@TGS#_city", groupCustomFieldFilter: ["categories", "pins"] }))).data;
  assert.deepEqual(Object.fromEntries(group.groupCustomField.map((f) => [f.key, f.value])), fields);
  const shown = (await bob.history(`GROUP${topicID}`)).data.messageList.find((m) => m.payload.text === "headline");
  assert.deepEqual(JSON.parse(shown.cloudCustomData), onMessage);
});
check("a recall in a topic reaches the members", async () => {
  await bob.forget();
  const { data } = await alice.text(topicID, "hoax", { group: true });
  await bob.received("hoax");
  await alice.must((ID) => chat.revokeMessage(chat.findMessage(ID)), data.message.ID);
  assert.ok((await state()).messages.at(-1).recalled);
  await bob.wait("MESSAGE_REVOKED", `(list) => list.some((m) => m.ID === ${JSON.stringify(data.message.ID)})`);
});
check("topics are listed with their last message", async () => {
  const { data } = await bob.must(() => chat.getTopicList({ groupID: "@TGS#_city" }));
  assert.deepEqual(data.successTopicList.map((t) => [t.topicID, t.topicName, t.notification, t.lastMessage.isRevoked ? "" : t.lastMessage.payload.text]), [[topicID, "News!", "be kind", ""]]);
});
check("a topic counts what the user has not read, also at the next login", async () => {
  const topic = async (user) => (await user.must(() => chat.getTopicList({ groupID: "@TGS#_city" }))).data.successTopicList[0];
  await bob.must((topicID) => chat.setMessageRead({ conversationID: `GROUP${topicID}` }), topicID);
  for (const text of ["unread one", "unread two"]) await alice.text(topicID, text, { group: true });
  await bob.received("unread two");
  assert.equal((await topic(bob)).unreadCount, 2);
  await bob.login();
  assert.deepEqual([(await topic(bob)).unreadCount, (await topic(bob)).lastMessage.payload.text], [2, "unread two"]);
  await bob.must((topicID) => chat.setMessageRead({ conversationID: `GROUP${topicID}` }), topicID);
  assert.equal((await state()).read.bob, (await state()).messages.at(-1).seq);
  await bob.login();
  assert.equal((await topic(bob)).unreadCount, 0);
});
check("a muted topic takes no messages", async () => {
  await alice.must((topicID) => chat.updateTopicProfile({ groupID: "@TGS#_city", topicID, muteAllMembers: true }), topicID);
  assert.ok((await bob.text(topicID, "hush", { group: true })).failed);
  await bob.login();
  assert.equal((await bob.must(() => chat.getTopicList({ groupID: "@TGS#_city" }))).data.successTopicList[0].muteAllMembers, true);
  await alice.must((topicID) => chat.updateTopicProfile({ groupID: "@TGS#_city", topicID, muteAllMembers: false }), topicID);
});
check("an ordinary member creates no topic", async () => {
  const out = await bob.do(() => chat.createTopicInCommunity({ groupID: "@TGS#_city", topicName: "mine" }));
  assert.equal(out.failed, 10007);
  assert.equal((await groupState("@TGS#_city")).topics.length, 1);
});
check("a topic is deleted", async () => {
  const { data } = await alice.must((topicID) => chat.deleteTopicFromCommunity({ groupID: "@TGS#_city", topicIDList: [topicID] }), topicID);
  assert.deepEqual(data.successTopicList.map((t) => t.topicID), [topicID]);
  assert.equal(await state(), undefined);
});
check("applications are listed, refused and accepted", async () => {
  await alice.must(() => chat.createGroup({ type: "Public", name: "Board", groupID: "board", joinOption: "NeedPermission" }));
  await bob.must(() => chat.joinGroup({ groupID: "board" }));
  const answer = async (handleAction) => {
    const { data } = await alice.must(() => chat.getGroupApplicationList());
    const application = data.applicationList.find((a) => a.groupID === "board");
    assert.equal(application.applicant, "bob");
    return alice.must(({ handleAction, application }) => chat.handleGroupApplication({ handleAction, application, handleMessage: "" }), { handleAction, application });
  };
  await answer("Reject");
  await bob.wait("MESSAGE_RECEIVED", (list) => list.some((m) => m.type === "TIMGroupSystemNoticeElem" && m.payload.operationType === 3));
  assert.deepEqual((await groupState("board")).members.map((m) => m.userId), ["alice"]);
  await bob.must(() => chat.joinGroup({ groupID: "board" }));
  await answer("Agree");
  await bob.wait("MESSAGE_RECEIVED", (list) => list.some((m) => m.type === "TIMGroupSystemNoticeElem" && m.payload.operationType === 2));
  assert.deepEqual((await groupState("board")).members.map((m) => m.userId), ["alice", "bob"]);
});
