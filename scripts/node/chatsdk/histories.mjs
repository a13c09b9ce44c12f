import assert from "node:assert/strict";
import { alice, base, check, sdkAppID, sig } from "./harness.mjs";

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
