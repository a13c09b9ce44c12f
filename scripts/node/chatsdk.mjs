// The official web Chat SDK in a real browser, against the emulator's gate:
//
//	node chatsdk.mjs EMULATOR_URL SDKAPPID KEY
//
// Each check asserts what arrived at the other end, or in the emulator, not only
// that a promise resolved. No request leaves the machine: the run fails if one tries.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const { Api } = require("tls-sig-api-v2");
const [base, appID, key] = process.argv.slice(2);
const sdkAppID = Number(appID);
const signer = new Api(sdkAppID, key);
const sig = (user, seconds = 86400) => signer.genSig(user, seconds);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// rest calls the emulator's REST API as the admin.
async function rest(command, body) {
  const query = new URLSearchParams({ sdkappid: appID, identifier: "administrator", usersig: sig("administrator"), random: 1, contenttype: "json" });
  const answer = await (await fetch(`${base}/v4/${command}?${query}`, { method: "POST", body: JSON.stringify(body) })).json();
  assert.equal(answer.ErrorCode, 0, `${command}: ${JSON.stringify(answer)}`);
  return answer;
}
const control = async (path) => (await fetch(`${base}/emulator/apps/${appID}/${path}`)).json();
const groupState = async (id) => (await control("state")).groups.find((g) => g.groupId === id);

const sdk = await readFile(require.resolve("@tencentcloud/chat/index.js"), "utf8");
const site = createServer((request, response) => {
  const script = request.url === "/sdk.js";
  response.setHeader("Content-Type", script ? "text/javascript" : "text/html");
  response.end(script ? sdk : "<!doctype html><title>a front end</title><script src=/sdk.js></script>");
});
await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
const address = `http://127.0.0.1:${site.address().port}/`;
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
});
const strangers = []; // requests that tried to leave the machine

// User is one person's page with the SDK in it.
class User {
  static async open(id) {
    const user = new User();
    user.id = id;
    user.context = await browser.newContext();
    user.page = await user.context.newPage();
    user.errors = [];
    user.page.on("pageerror", (e) => user.errors.push(`${e.message} in "${current}"`));
    user.page.on("request", (r) => r.url().startsWith("http://127.0.0.1") || r.url().startsWith("blob:") || strangers.push(r.url()));
    await user.page.goto(address);
    await user.page.evaluate(
      ({ sdkAppID, proxyServer }) => {
        const sdk = window.TencentCloudChat;
        window.sdk = sdk;
        window.chat = sdk.create({ SDKAppID: sdkAppID, proxyServer });
        chat.setLogLevel(4);
        window.seen = [];
        for (const [name, event] of Object.entries(sdk.EVENT)) {
          chat.on(event, (e) => seen.push({ name, data: JSON.parse(JSON.stringify(e.data ?? null)) }));
        }
      },
      { sdkAppID, proxyServer: `${base.replace("http", "ws")}/ws` },
    );
    return user;
  }
  static async login(id) {
    const user = await User.open(id);
    const { code } = await user.do(({ userID, userSig }) => chat.login({ userID, userSig }), { userID: id, userSig: sig(id) });
    assert.equal(code, 0, `${id} logs in`);
    await user.wait("SDK_READY");
    return user;
  }
  // do runs a function in the page and returns what the SDK's promise resolves to, or {failed, message}.
  async do(f, argument) {
    return this.page.evaluate(
      async ({ f, argument }) => {
        try {
          return JSON.parse(JSON.stringify((await (0, eval)(`(${f})`)(argument)) ?? null));
        } catch (e) {
          return { failed: e.code ?? -1, message: e.message ?? String(e) };
        }
      },
      { f: f.toString(), argument },
    );
  }
  // must is do for what must work.
  async must(f, argument) {
    const out = await this.do(f, argument);
    assert.ok(!out?.failed, `${this.id}: ${f}: ${JSON.stringify(out)}`);
    return out;
  }
  // wait returns the data of the first event of a name that a predicate accepts.
  async wait(name, accepts = () => true, timeout = 15000) {
    const handle = await this.page.waitForFunction(
      ([name, accepts]) => {
        const f = (0, eval)(`(${accepts})`);
        const found = seen.find((e) => e.name === name && f(e.data));
        return found && { data: found.data };
      },
      [name, accepts.toString()],
      { timeout },
    ).catch(async () => {
      const last = await this.page.evaluate(() => seen.slice(-20).map((e) => [e.name, [e.data].flat().map((m) => m?.payload?.text ?? m?.payload?.operationType)]));
      throw new Error(`${this.id} was not told ${name} (${accepts}); the last were ${JSON.stringify(last)}`);
    });
    return (await handle.jsonValue()).data;
  }
  async count(name, accepts = () => true) {
    return this.page.evaluate(([name, accepts]) => seen.filter((e) => e.name === name && (0, eval)(`(${accepts})`)(e.data)).length, [name, accepts.toString()]);
  }
  forget() {
    return this.page.evaluate(() => void seen.splice(0));
  }
  text(to, text, more = {}) {
    return this.do(
      ({ to, text, more }) => {
        const conversationType = more.group ? "GROUP" : "C2C";
        return chat.sendMessage(chat.createTextMessage({ to, conversationType, priority: more.priority, cloudCustomData: more.custom, payload: { text } }), more.options);
      },
      { to, text, more },
    );
  }
  // received waits for a text message and returns it as the SDK shows it.
  async received(text, timeout) {
    const list = await this.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.payload?.text === ${JSON.stringify(text)})`, timeout);
    return list.find((m) => m.payload?.text === text);
  }
  history(conversationID, options = {}) {
    return this.must(({ conversationID, options }) => chat.getMessageList({ conversationID, ...options }), { conversationID, options });
  }
}

let current = "";
const checks = [];
const check = (name, run) => checks.push({ name, run });

let alice, bob;

// --- logins
check("login and SDK_READY", async () => {
  alice = await User.login("alice");
  bob = await User.login("bob");
});
check("a wrong UserSig is refused with IM's code", async () => {
  const mallory = await User.open("mallory");
  const out = await mallory.do(({ userID, userSig }) => chat.login({ userID, userSig }), { userID: "mallory", userSig: sig("alice") });
  assert.equal(out.failed, 70013);
  await mallory.context.close();
});
check("an expired UserSig is refused with IM's code", async () => {
  const late = await User.open("late");
  const out = await late.do(({ userID, userSig }) => chat.login({ userID, userSig }), { userID: "late", userSig: sig("late", -10) });
  assert.ok([70001, 70003].includes(out.failed), JSON.stringify(out));
  await late.context.close();
});
check("the emulator has the login's device", async () => {
  const { users } = await control("state");
  assert.deepEqual(users.find((u) => u.userId === "alice").platforms, ["Web"]);
});

// --- one-to-one
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
  const { users } = await control("state");
  assert.ok(users.length > 0);
  const { conversations } = await control("state");
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
  const dora = await User.login("bob"); // a fresh page, which kicks the first
  bob = dora;
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
  assert.ok(out.failed === 20016 || out.failed > 2000, JSON.stringify(out));
});
check("a modified message changes at the other end", async () => {
  const { data } = await alice.text("bob", "before");
  await bob.received("before");
  await alice.must((ID) => { const m = chat.findMessage(ID); m.payload.text = "after"; return chat.modifyMessage(m); }, data.message.ID);
  await bob.wait("MESSAGE_MODIFIED", `(list) => list.some((m) => m.payload?.text === "after")`);
});
check("the conversation list has the last message and nickname", async () => {
  await rest("profile/portrait_set", { From_Account: "alice", ProfileItem: [{ Tag: "Tag_Profile_IM_Nick", Value: "Alice A" }] });
  const again = await User.login("bob");
  bob = again;
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
  await fresh.context.close();
});
check("a message to nobody has IM's code", async () => {
  assert.equal((await alice.text("nobody-here", "x")).failed, 20003);
});

// --- groups
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
});
check("group history is the same for members and the emulator, by pages", async () => {
  for (let i = 0; i < 50; i++) {
    await rest("group_open_http_svc/send_group_msg", { GroupId: "team", From_Account: "alice", Random: 1000 + i, MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: `line ${i}` } }] });
    if (i % 30 === 29) await pause(1100);
  }
  await bob.received("line 49");
  const fresh = await User.login("bob");
  bob = fresh;
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
  assert.ok(data.conversation.unreadCount > 0, `unread ${data.conversation.unreadCount}`);
  await bob.must(() => chat.setMessageRead({ conversationID: "GROUPteam" }));
  await pause(500);
  const state = await groupState("team");
  assert.equal(state.members.find((m) => m.userId === "bob").readSeq, state.messages.at(-1).seq);
});
check("members are listed with roles and names", async () => {
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
});
check("a member is removed and told", async () => {
  await bob.forget();
  await alice.must(() => chat.deleteGroupMember({ groupID: "team", userIDList: ["bob"], reason: "late" }));
  await bob.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "TIMGroupSystemNoticeElem" && m.payload.operationType === 4)`);
  assert.equal((await bob.text("team", "still here?", { group: true })).failed > 0, true);
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
  assert.ok(out.failed > 0, JSON.stringify(out));
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
  assert.ok((await bob.do(() => chat.searchGroupByID("no-such-group"))).failed > 0);
});

// --- live rooms
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
  await fan.context.close();
});
check("a room mute has IM's code", async () => {
  await rest("group_open_http_svc/forbid_send_msg", { GroupId: "live", Members_Account: ["bob"], MuteTime: 60 });
  assert.equal((await bob.text("live", "muted", { group: true })).failed, 10017);
  await rest("group_open_http_svc/forbid_send_msg", { GroupId: "live", Members_Account: ["bob"], MuteTime: 0 });
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
  assert.ok(out.failed > 0, JSON.stringify(out));
  await rest("group_open_http_svc/unban_group_member", { GroupId: "live", Members_Account: ["bob"] });
});
check("a web page is in one room at a time", async () => {
  await alice.must(() => chat.createGroup({ type: "AVChatRoom", name: "Other", groupID: "other" }));
  await bob.must(() => chat.joinGroup({ groupID: "live" }));
  await bob.must(() => chat.joinGroup({ groupID: "other" }));
  assert.deepEqual((await groupState("live")).members.map((m) => m.userId), ["alice"]);
  assert.deepEqual((await groupState("other")).members.map((m) => m.userId), ["bob"]);
});

// --- a backend's verdicts
let verdict = {};
const callbacks = [];
const backend = createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = JSON.parse(Buffer.concat(chunks));
  callbacks.push({ command: body.CallbackCommand, platform: new URL(request.url, "http://x").searchParams.get("OptPlatform"), body });
  response.end(JSON.stringify({ ActionStatus: "OK", ErrorInfo: "", ErrorCode: 0, ...verdict[body.CallbackCommand] }));
});
const configure = async (settings) => assert.equal((await fetch(`${base}/emulator/apps/${appID}/console`, { method: "PATCH", body: JSON.stringify(settings) })).status, 200);
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
check("REST calls that fail and callbacks that come twice do not double a message", async () => {
  assert.equal((await fetch(`${base}/emulator/apps/${appID}/chaos`, { method: "PUT", body: JSON.stringify({ duplicate: 0.5, reorder: 0.3 }) })).status, 200);
  for (let i = 0; i < 10; i++) await alice.text("bob", `chaos ${i}`);
  await bob.received("chaos 9");
  const got = await bob.page.evaluate(() => seen.filter((e) => e.name === "MESSAGE_RECEIVED").flatMap((e) => e.data).map((m) => m.payload?.text).filter((t) => t?.startsWith("chaos ")));
  assert.deepEqual(got, Array.from({ length: 10 }, (_, i) => `chaos ${i}`));
  assert.equal((await fetch(`${base}/emulator/apps/${appID}/chaos`, { method: "PUT", body: "{}" })).status, 200);
});
check("a socket that breaks again and again loses and doubles nothing", async () => {
  const texts = [];
  const cut = async () => assert.ok((await (await fetch(`${base}/emulator/apps/${appID}/sockets/cut`, { method: "POST" })).json()).cut >= 2);
  for (let round = 0; round < 2; round++) {
    await cut();
    for (let i = 0; i < 5; i++) {
      texts.push(`cut ${round}.${i}`);
      const random = 70000 + 10 * round + i;
      await rest("openim/sendmsg", { From_Account: "alice", To_Account: "bob", MsgSeq: random, MsgRandom: random, MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: texts.at(-1) } }] });
    }
    await bob.received(texts.at(-1), 60000); // the SDK waits some 17 s after a second break
  }
  const got = await bob.page.evaluate(() => seen.filter((e) => e.name === "MESSAGE_RECEIVED").flatMap((e) => e.data).map((m) => m.payload?.text).filter((t) => t?.startsWith("cut ")));
  assert.deepEqual(got, texts);
  const { conversations } = await control("state");
  const stored = conversations.find((c) => c.users.join() === "alice,bob").messages.map((m) => m.body[0].MsgContent.Text).filter((t) => t?.startsWith("cut "));
  assert.deepEqual(stored, texts);
});
check("a page sends after its socket broke", async () => {
  await alice.text("bob", "on a new socket");
  await bob.received("on a new socket");
});
check("a live room goes on after the sockets broke", async () => {
  await alice.must(() => chat.joinGroup({ groupID: "other" }));
  await bob.text("other", "still live", { group: true });
  await alice.received("still live");
});

// --- ends of logins
check("a second page of a user kicks the first", async () => {
  const first = await User.login("twice");
  const second = await User.login("twice");
  assert.equal((await first.wait("KICKED_OUT")).type, "multipleAccount");
  await second.context.close();
  await first.context.close();
});
check("a kick by the REST API", async () => {
  const victim = await User.login("victim");
  await rest("im_open_login_svc/kick", { UserID: "victim" });
  assert.equal((await victim.wait("KICKED_OUT")).type, "REST_API_Kick");
  await victim.context.close();
});
check("a UserSig that expires in the middle of a session", async () => {
  const brief = await User.open("brief");
  await brief.must(({ userID, userSig }) => chat.login({ userID, userSig }), { userID: "brief", userSig: sig("brief", 3) });
  await brief.wait("SDK_READY");
  await pause(4500);
  await brief.text("bob", "too late");
  assert.equal((await brief.wait("KICKED_OUT")).type, "userSigExpired");
  await brief.context.close();
});
check("a logout ends the device", async () => {
  const guest = await User.login("guest");
  await guest.must(() => chat.logout());
  assert.equal((await control("state")).users.find((u) => u.userId === "guest").platforms, undefined);
  await guest.context.close();
});
check("a page that is offline for a while misses nothing", async () => {
  const rider = await User.login("rider");
  await rider.context.setOffline(true);
  await fetch(`${base}/emulator/apps/${appID}/sockets/cut`, { method: "POST" });
  await pause(500);
  await rest("openim/sendmsg", { From_Account: "alice", To_Account: "rider", MsgRandom: 5, MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: "in the tunnel" } }] });
  await rider.context.setOffline(false);
  await rider.received("in the tunnel");
  await rider.context.close();
});
check("the emulator's own client and the SDK share a room's history", async () => {
  const login = await (await fetch(`${base}/client/login`, { method: "POST", body: JSON.stringify({ sdkAppId: sdkAppID, userId: "phone", userSig: sig("phone"), platform: "iOS" }) })).json();
  const call = (path, body) => fetch(`${base}/client/${path}`, { method: "POST", headers: { Authorization: `Bearer ${login.token}` }, body: JSON.stringify(body) });
  await alice.must(() => chat.createGroup({ type: "Community", name: "Town", groupID: "@TGS#_town" }));
  await call("join", { groupId: "@TGS#_town" });
  await alice.text("@TGS#_town", "from the web", { group: true });
  await call("send", { groupId: "@TGS#_town", text: "from the phone" });
  await alice.received("from the phone");
  const page = await (await fetch(`${base}/client/history?groupId=${encodeURIComponent("@TGS#_town")}`, { headers: { Authorization: `Bearer ${login.token}` } })).json();
  const text = (m) => m.body[0].MsgContent.Text;
  assert.deepEqual(page.messages.filter((m) => m.body[0].MsgType === "TIMTextElem").map(text), ["from the phone", "from the web"]);
});
check("no page had an error", async () => {
  // The SDK leaves rejections of its own error type (a bare class name) unhandled.
  assert.deepEqual([...alice.errors, ...bob.errors].filter((e) => !/^\w{1,3} in /.test(e)), []);
});
check("no request left the machine", async () => {
  assert.deepEqual(strangers, []);
});

const only = process.env.ONLY && new RegExp(process.env.ONLY);
let failed = 0;
for (const { name, run } of checks) {
  if (only && !only.test(name) && !name.startsWith("login and")) continue;
  current = name;
  try {
    await run();
    console.log(`ok    ${name}`);
  } catch (e) {
    failed++;
    console.log(`FAIL  ${name}: ${e.message}`);
  }
}
console.log(`${checks.length - failed} of ${checks.length} checks`);
const { calls } = await control("calls");
const unknown = [...new Set(calls.filter((c) => c.command.startsWith("sdk:")).map((c) => c.command))];
if (unknown.length) console.log(`commands the gate does not know: ${unknown.join(" ")}`);
await browser.close();
site.close();
backend.close();
process.exit(failed ? 1 : 0);
