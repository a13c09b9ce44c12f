// What the tests of the shop's widget and of the agent's page share: visitors with
// browsers of their own, on the demo shop of scripts/dev.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { browser, root, server } from "./harness.mjs";

execFileSync(join(root, "scripts/build-widget.sh"), { stdio: "ignore" }); // before scripts/dev is built

export const desktop = { viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" }, phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, reducedMotion: "reduce" };
const noted = /status of (4\d\d|502|503)|net::ERR_|tim-upload-plugin/;

// visitor opens a browser of its own on a page, which remembers its errors, what
// its policy forbade and what it asked for.
export async function visitor(path, { context, options = desktop, init, route } = {}) {
  context ??= await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(Number(process.env.WAIT ?? 20_000));
  Object.assign(page, { errors: [], asked: [] });
  page.on("pageerror", (e) => page.errors.push(e.message));
  page.on("console", (m) => m.type() === "error" && !noted.test(m.text()) && page.errors.push(m.text()));
  page.on("request", (r) => page.asked.push(r.url()));
  await page.addInitScript(() => {
    window.forbidden = [];
    addEventListener("securitypolicyviolation", (e) => forbidden.push(`${e.violatedDirective} ${e.blockedURI}`));
    window.shifts = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((e) => (shifts += e.value))).observe({ type: "layout-shift", buffered: true });
    window.long = [];
    new PerformanceObserver((list) => long.push(...list.getEntries().map((e) => e.duration))).observe({ type: "longtask" });
  });
  if (init) await page.addInitScript(init);
  await route?.(page);
  await page.goto(`${server.url}${path}`);
  return page;
}

export async function leave(...pages) {
  for (const page of pages) {
    assert.deepEqual(page.errors, []);
    assert.deepEqual(await page.evaluate(() => window.forbidden), [], "the page's policy");
    await page.context().close();
  }
}

export const call = async (method, path, body) => {
  const answer = await fetch(`${server.url}/${path}`, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
};
export const emulator = async (path, method = "GET", body) => {
  const scene = await call("GET", "dev/scene");
  return (await fetch(`${scene.emulator}/emulator/apps/${scene.sdkAppId}/${path}`, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) })).json();
};
export const settings = (values) => call("PUT", "dev/shop", { values });
export const agentPage = async (userId = "shop-agent", more = "") => `/chat/agent.html#${new URLSearchParams({ token: (await call("POST", "dev/agents/token", { userId })).token })}${more}`;
export const agent = async (more) => {
  const page = await visitor(await agentPage("shop-agent", more));
  await page.getByRole("heading", { name: "Conversations" }).waitFor();
  return page;
};
export const launcher = (page) => page.getByRole("button", { name: /^(Chat with us|チャットで|在线咨询)/ });
export const said = (page, text) => page.getByRole("log").locator("p.text").filter({ hasText: text });
export const box = (page) => page.getByRole("textbox", { name: "Message" });
export const write = async (page, text) => {
  await box(page).fill(text);
  await box(page).press("Enter");
};
let guests = 0;
// begin opens the chat and starts it as a new guest, with a first message of its own.
export async function begin(page, text) {
  await launcher(page).click();
  return start(page, text);
}
export async function start(page, text = `Hello, I am number ${++guests}`) {
  await page.getByLabel("Your e-mail").fill("ann@example.com");
  await page.getByLabel("How can we help?").fill(text);
  await page.getByRole("button", { name: "Start chat" }).click();
  await said(page, text).waitFor();
  await page.locator(".row.mine.sent").first().waitFor();
  return text;
}
export const choose = (page, text) => page.getByRole("button", { name: text }).click();
export const picture = (page, width = 320, height = 200) => page.evaluate(([width, height]) => {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "teal";
  pen.fillRect(0, 0, width, height);
  return canvas.toDataURL("image/png").split(",")[1];
}, [width, height]).then((b) => Buffer.from(b, "base64"));
export const attach = (page, name, mimeType, buffer) => page.locator("input[type=file]").setInputFiles({ name, mimeType, buffer });
