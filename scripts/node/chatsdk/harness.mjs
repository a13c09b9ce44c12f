// What the checks of the official web Chat SDK share: users with a page each, the
// emulator's REST API and controls, and the list of checks. See ../chatsdk.mjs.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const { Api } = require("tls-sig-api-v2");
export const [base, appID, key, version = "@tencentcloud/chat"] = process.argv.slice(2);
export const sdkAppID = Number(appID);
const signer = new Api(sdkAppID, key);
export const sig = (user, seconds = 86400) => signer.genSig(user, seconds);
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// rest calls the emulator's REST API as the admin.
export async function rest(command, body) {
  const query = new URLSearchParams({ sdkappid: appID, identifier: "administrator", usersig: sig("administrator"), random: 1, contenttype: "json" });
  const answer = await (await fetch(`${base}/v4/${command}?${query}`, { method: "POST", body: JSON.stringify(body) })).json();
  assert.equal(answer.ErrorCode, 0, `${command}: ${JSON.stringify(answer)}`);
  return answer;
}
const app = `${base}/emulator/apps/${appID}`;
export const control = async (path) => (await fetch(`${app}/${path}`)).json();
export const groupState = async (id) => (await control("state")).groups.find((g) => g.groupId === id);

// change steers the emulator: a PUT, PATCH or POST to one of its controls.
export async function change(method, path, body = {}) {
  const answer = await fetch(`${app}/${path}`, { method, body: JSON.stringify(body) });
  assert.equal(answer.status, 200, `${method} ${path}: ${await answer.clone().text()}`);
  return answer.json();
}

const scripts = {
  "/sdk.js": await readFile(require.resolve(version === "tim-js-sdk" ? "tim-js-sdk/tim-js-friendship.js" : `${version}/index.js`), "utf8"),
  "/upload.js": await readFile(require.resolve("tim-upload-plugin"), "utf8"),
};
const site = createServer((request, response) => {
  const script = scripts[request.url];
  response.setHeader("Content-Type", script ? "text/javascript" : "text/html");
  response.end(script ?? "<!doctype html><title>a front end</title><script src=/sdk.js></script><script src=/upload.js></script>");
});
await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
const address = `http://127.0.0.1:${site.address().port}/`;
export const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
});
export const strangers = []; // requests that tried to leave the machine, which no name resolves for
export const answered = []; // those of them that somebody answered
const foreign = (url) => !/^(http:\/\/127\.0\.0\.1[:/]|blob:|data:)/.test(url);
// Older SDKs send statistics to Tencent while their socket is down, proxyServer or not: _sendLogViaHTTP in their code,
// which 3.6.6 leaves out with proxyServer.
export const statistics = (url) => version !== "@tencentcloud/chat" && url.startsWith("https://events.im.qcloud.com/v4/imopenstat/tim_web_report_v2?");

// User is one person's page with the SDK in it.
export class User {
  constructor(id) {
    this.id = id;
    this.errors = [];
  }
  // open opens a page of the user's, in place of the one there is, with an SDK that has not logged in.
  async open(options = {}) {
    this.context = await browser.newContext();
    this.page = await this.context.newPage();
    this.page.on("pageerror", (e) => this.errors.push(`${e.message} in "${running.name}" of ${this.id}`));
    this.page.on("request", (r) => foreign(r.url()) && strangers.push(r.url()));
    this.page.on("response", (r) => foreign(r.url()) && answered.push(r.url()));
    await this.page.goto(address);
    await this.page.evaluate(
      (options) => {
        const sdk = window.TencentCloudChat ?? window.TIM;
        window.sdk = sdk;
        window.chat = sdk.create(options);
        chat.setLogLevel(4);
        chat.registerPlugin({ "tim-upload-plugin": window.TIMUploadPlugin });
        window.seen = [];
        for (const [name, event] of Object.entries(sdk.EVENT)) {
          chat.on(event, (e) => seen.push({ name, data: JSON.parse(JSON.stringify(e.data ?? null)) }));
        }
      },
      { SDKAppID: sdkAppID, proxyServer: `${base.replace("http", "ws")}/ws`, ...options },
    );
    return this;
  }
  // login logs the user in on a fresh page. The emulator then kicks the page before, which is closed.
  async login(options) {
    const before = this.context;
    await this.open(options);
    const { code, failed, message } = await this.do(({ userID, userSig }) => chat.login({ userID, userSig }), { userID: this.id, userSig: sig(this.id) });
    assert.equal(code, 0, `${this.id} logs in: ${failed} ${message}`);
    await this.wait("SDK_READY");
    await before?.close();
    return this;
  }
  static open = (id, options) => new User(id).open(options);
  static login = (id, options) => new User(id).login(options);
  close() {
    return this.context.close();
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


export const running = { name: "" };
export const checks = [];
// check adds a check. One that an older SDK cannot do names the versions that lack the call, or the calls it needs:
// with such a version it is not run, and is listed at the end.
export const check = (name, run, { lacking = [], needs = [] } = {}) => checks.push({ name, run, needs, lacks: lacking.includes(version) });
export const old = { chat31: "chat-3.1.1", tim: "tim-js-sdk" };

export const alice = new User("alice");
export const bob = new User("bob");

export function stop() {
  site.close();
  return browser.close();
}
