// The transport over the Chat SDK, on an SDK of this test: which read receipts it sends.
import assert from "node:assert/strict";
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const source = join(dirname(fileURLToPath(import.meta.url)), "../../../integrations/chat");
const folder = await mkdtemp(join(tmpdir(), "transport-"));
after(() => rm(folder, { recursive: true, force: true }));
for (const file of ["config.js", "transport.js", "transport-sdk.js"]) await copyFile(join(source, file), join(folder, file));
await writeFile(join(folder, "package.json"), `{"type": "module"}`);
await writeFile(join(folder, "sdk-upload.js"), "");
await writeFile(join(folder, "sdk-group.js"), "export default {};");
await writeFile(join(folder, "sdk-chat.js"), `
const chat = {
  heard: {}, receipts: [], setLogLevel() {}, registerPlugin() {},
  on(event, f) { this.heard[event] = f; },
  async setMessageRead() { return {}; },
  async sendMessageReadReceipt(list) { return this.answer(list.map((m) => m.ID)); },
};
globalThis.fakeSDK = chat;
export default { create: () => chat, EVENT: new Proxy({}, { get: (_, name) => name }), TYPES: new Proxy({}, { get: (_, name) => name }) };`);
const { open } = await import(join(folder, "transport-sdk.js"));

test("a message is confirmed once, by a later mark if one fails, and by no mark that began before it came", async () => {
  const transport = await open(1400000000, { groups: true }), sdk = globalThis.fakeSDK;
  const came = (...ids) => sdk.heard.MESSAGE_RECEIVED({ data: ids.map((ID) => ({ ID, conversationID: "GROUPt1", type: "TIMTextElem", payload: { text: ID }, flow: "in", from: "ann", time: 1, needReadReceipt: true })) });
  const confirmed = [];
  sdk.answer = async () => {
    throw Object.assign(new Error("no answer"), { code: 2800 });
  };
  came("a", "b");
  await assert.rejects(transport.markRead("GROUPt1"), { code: 2800 });
  sdk.answer = async (ids) => {
    confirmed.push(...ids);
    return {};
  };
  const mark = transport.markRead("GROUPt1");
  came("c"); // perhaps out of sight
  await mark;
  assert.deepEqual(confirmed, ["a", "b"]);
  came("a");
  await transport.markRead("GROUPt1");
  await transport.markRead("GROUPt1");
  assert.deepEqual(confirmed, ["a", "b", "c"]);
});
