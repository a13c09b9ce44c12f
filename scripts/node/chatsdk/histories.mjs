import assert from "node:assert/strict";
import { alice, base, bob, check, groupState, rest, sdkAppID, sig, User } from "./harness.mjs";

check("two browsers and the emulator's own client see the same history of a group", async () => {
  const login = await (await fetch(`${base}/client/login`, { method: "POST", body: JSON.stringify({ sdkAppId: sdkAppID, userId: "phone", userSig: sig("phone"), platform: "iOS" }) })).json();
  const headers = { Authorization: `Bearer ${login.token}` };
  const call = (path, body) => fetch(`${base}/client/${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  await alice.must(() => chat.createGroup({ type: "Community", name: "Town", groupID: "@TGS#_town" }));
  await bob.must(() => chat.joinGroup({ groupID: "@TGS#_town" }));
  await call("join", { groupId: "@TGS#_town" });
  const said = ["web 1", "phone 1", "web 2", "phone 2", "backend"];
  await alice.text("@TGS#_town", said[0], { group: true });
  await call("send", { groupId: "@TGS#_town", text: said[1] });
  await bob.text("@TGS#_town", said[2], { group: true });
  await call("send", { groupId: "@TGS#_town", text: said[3] });
  await rest("group_open_http_svc/send_group_msg", { GroupId: "@TGS#_town", From_Account: "alice", Random: 4711, MsgBody: [{ MsgType: "TIMTextElem", MsgContent: { Text: said[4] } }] });
  for (const user of [alice, bob]) await user.received("backend");
  const fresh = await User.login("bob"); // a second browser context, which has received nothing itself
  const inSDK = async (user) => (await user.history("GROUP@TGS#_town")).data.messageList.filter((m) => m.type === "TIMTextElem").map((m) => m.payload.text);
  const text = (m) => m.body[0].MsgContent.Text;
  const onPhone = (await (await fetch(`${base}/client/history?groupId=${encodeURIComponent("@TGS#_town")}`, { headers })).json()).messages.filter((m) => m.body[0].MsgType === "TIMTextElem").map(text).reverse();
  const inEmulator = (await groupState("@TGS#_town")).messages.filter((m) => m.body[0].MsgType === "TIMTextElem").map(text);
  for (const history of [await inSDK(alice), await inSDK(fresh), onPhone, inEmulator]) assert.deepEqual(history, said);
  await fresh.close();
  await bob.login();
});
