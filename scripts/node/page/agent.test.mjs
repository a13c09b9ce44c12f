// The agent's page, which support desks embed.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { root, server, shot, story } from "./harness.mjs";
import { agent, agentPage, begin, box, call, choose, leave, said, visitor, write } from "./visitor.mjs";

story("the agent's page: another conversation by its address, another agent, a token that is none", async () => {
  const page = await visitor("/shop/"), other = await visitor("/shop/");
  const first = await begin(page), second = await begin(other);
  const desk = await agent();
  await choose(desk, first);
  await said(desk, first).waitFor();
  const address = new URL(desk.url());
  assert.match(address.hash, /conversation=C2Cg_/);
  await choose(desk, second);
  await said(desk, second).waitFor();
  assert.equal(await said(desk, first).count(), 0);
  await desk.evaluate((hash) => (location.hash = hash), address.hash);
  await said(desk, first).waitFor();
  await desk.evaluate((hash) => (location.hash = hash), new URL(`${server.url}${await agentPage("701")}`).hash);
  await desk.getByText("Choose a conversation to answer.").waitFor();
  assert.equal(await desk.getByText(first).count() + (await desk.getByText(second).count()), 0, "nothing of the agent before");
  await desk.evaluate(() => (location.hash = "#token=a.b.c"));
  await desk.getByText("Your login has ended").waitFor();
  await desk.evaluate(() => (location.hash = ""));
  await desk.getByText("its address has no identity token").waitFor();
  await leave(page, other, desk);
});

story("without the Chat SDK, on the emulator's client API", async () => {
  const scene = await call("GET", "dev/scene");
  const route = (page) => page.route("**/chat/config.js", (r) => r.fulfill({ contentType: "text/javascript", body: `export default ${JSON.stringify({ backend: "", emulator: scene.emulator, answers: [], agents: [] })};` }));
  const page = await visitor("/shop/", { route });
  const desk = await visitor(await agentPage(), { route });
  await desk.getByRole("heading", { name: "Conversations" }).waitFor();
  const first = await begin(page);
  await choose(desk, first);
  await box(desk).pressSequentially("by the emulator");
  await page.getByText("is writing").waitFor();
  await box(desk).press("Enter");
  await said(page, "by the emulator").waitFor();
  assert.deepEqual([...page.asked, ...desk.asked].filter((u) => u.includes("sdk-")), []);
  await leave(page, desk);
});

story("a ticket: its subject, an internal note, a ready-made answer, close, reopen, hand over", async () => {
  const { ticketId, groupId } = await call("POST", "dev/tickets", { userId: "alice" });
  await call("POST", `dev/tickets/${ticketId}/assign`, { agent: "701" });
  const desk = await visitor(`${await agentPage("701")}&conversation=${encodeURIComponent(`GROUP${groupId}`)}`);
  await desk.getByRole("heading", { name: "printer offline" }).waitFor();
  const tool = (name) => desk.getByRole("button", { name, exact: true });
  await tool("Ready-made answers").click();
  await desk.getByRole("button", { name: "Hello, how can I help you?" }).click();
  assert.equal(await box(desk).inputValue(), "Hello, how can I help you?");
  await box(desk).press("Enter");
  await said(desk, "how can I help you").waitFor();
  await desk.locator(".row.mine.sent").waitFor();
  await tool("Internal note").click();
  await desk.getByRole("textbox", { name: "Internal note" }).fill("She has the old model.");
  await shot(desk, "agent-ticket");
  await tool("Save note").click();
  await desk.getByText("The note is in the ticket.").waitFor();
  const { tickets } = await call("GET", "dev/tickets");
  assert.match(JSON.stringify(tickets.find((t) => t.id === ticketId)), /old model/, "the desk has the note");
  assert.equal(await desk.locator(".log").getByText("old model").count(), 0, "the chat has it not");
  await tool("Close ticket").click();
  await desk.getByText("The ticket was closed.").waitFor();
  await tool("Reopen ticket").click();
  await desk.getByText("The ticket is open again.").waitFor();
  await tool("Hand over").click();
  await tool("Hand over to Agent 702").click();
  await desk.getByText("This conversation has ended").waitFor();
  assert.equal(await tool("Hand over").count(), 0);
  const next = await visitor(await agentPage("702"));
  await choose(next, "printer offline");
  await next.getByRole("heading", { name: "printer offline" }).waitFor();
  await leave(desk, next);
});

// framed is a page around the agent's page; told is what that tells it.
async function framed(address) {
  const desk = await visitor("/");
  await desk.evaluate((src) => {
    window.told = [];
    addEventListener("message", ({ data }) => data?.backchannel && told.push(data));
    document.body.append(Object.assign(document.createElement("iframe"), { src, title: "Chat", width: 360, height: 600 }));
  }, address);
  return { desk, told: (what) => desk.waitForFunction((what) => told.findLast((m) => m.backchannel === what), what).then((h) => h.jsonValue()) };
}

story("a page around the agent's page is told of each assignment", async () => {
  const open = async (userId) => {
    const { ticketId, groupId } = await call("POST", "dev/tickets", { userId });
    return { conversation: `GROUP${groupId}`, assign: () => call("POST", `dev/tickets/${ticketId}/assign`, { agent: "702" }) };
  };
  const before = await open("bob"), after = await open("carol");
  await before.assign();
  const joined = async () => (await call("GET", "dev/tickets")).tickets.some((t) => `GROUP${t.group}` === before.conversation && t.members.includes("702"));
  while (!(await joined())) await setTimeout(50);
  const { desk, told } = await framed(`${await agentPage("702")}&conversation=${encodeURIComponent(before.conversation)}`);
  await desk.frameLocator("iframe[title=Chat]").getByRole("heading", { name: "printer offline" }).waitFor();
  await told("ready");
  await after.assign();
  assert.deepEqual(await told("assigned"), { backchannel: "assigned", conversation: after.conversation });
  assert.equal((await desk.evaluate(() => told.filter((m) => m.backchannel === "assigned"))).length, 1, "the chats it began with are no news");
  await leave(desk);
});

story("what the page tells the desk around it, and that it holds no text", async () => {
  const shop = await visitor("/shop/");
  const first = await begin(shop);
  const address = await agentPage();
  const { desk, told } = await framed(address);
  const frame = desk.frameLocator("iframe[title=Chat]");
  assert.deepEqual(await told("ready"), { backchannel: "ready", userID: "shop-agent" });
  await frame.getByRole("button", { name: first }).click();
  const { conversation } = await told("open");
  assert.match(conversation, /^C2Cg_/);
  await frame.getByRole("button", { name: "All conversations" }).click(); // it is narrow
  await shop.locator(".row.mine .meta .double").waitFor(); // it was read
  await desk.evaluate(() => void told.splice(0));
  await write(shop, "are you there?");
  await desk.waitForFunction((c) => told.some((m) => m.backchannel === "unread" && m.count > 0 && m.conversation === c), conversation);
  await desk.evaluate((src) => (document.querySelector("iframe[title=Chat]").src = src), `${address.split("#")[0]}#token=a.b.c`);
  await told("token");
  assert.ok(!JSON.stringify(await desk.evaluate(() => told)).includes("there"));
  await leave(shop, desk);
});

// framework stands in for Zendesk's: what it answers, and what the app asked it to do.
function framework({ ticket, locale }) {
  window.asked = [];
  window.ZAFClient = {
    init: () => ({
      metadata: async () => ({ settings: { group_field: "360000000001" } }),
      get: async (paths) => Object.fromEntries([paths].flat().map((p) => [p, p === "currentUser" ? { locale } : ticket[p]])),
      invoke: async (...args) => void asked.push(args),
    }),
  };
}

// sidebar opens a frame of the Zendesk app as Zendesk does, with the framework's stand-in.
async function sidebar(location, agent, given, { framework: there = true, context } = {}) {
  const token = (await call("POST", "dev/agents/token", { userId: agent })).token;
  const route = async (page) => {
    for (const [name, type] of [["zendesk.html", "text/html"], ["zendesk.js", "text/javascript"], ["zendesk.css", "text/css"]]) {
      const body = await readFile(join(root, "integrations/zendesk/page", name), "utf8");
      await page.route(`**/chat/${name}*`, (r) => r.fulfill({ contentType: type, body, headers: { "Content-Security-Policy": "default-src 'none'; script-src 'self' https://static.zdassets.com; style-src 'self'; frame-src 'self'" } }));
    }
    await page.route("https://static.zdassets.com/**", (r) => (there ? r.fulfill({ contentType: "text/javascript", body: `(${framework})(${JSON.stringify(given)})` }) : r.abort()));
  };
  return visitor(`/chat/zendesk.html?location=${location}#token=${token}`, { route, context });
}

story("Zendesk's sidebar shows the chat of its ticket, in the agent's language; the background tells of new messages", async () => {
  const shopper = await visitor("/shop/?desk=1");
  const subject = await begin(shopper);
  const { id: ticketId, group: groupId } = (await call("GET", "dev/tickets")).tickets.find((t) => t.subject === subject);
  await call("POST", `dev/tickets/${ticketId}/assign`, { agent: "701" });
  const field = "ticket.customField:custom_field_360000000001";
  const chat = (page) => page.frameLocator("#chat");
  for (const [locale, send, none] of [["en-US", "Send", "This ticket has no chat."], ["ja", "送信", "このチケットにはチャットがありません。"], ["zh-CN", "发送", "此工单没有聊天。"]]) {
    const page = await sidebar("ticket_sidebar", "701", { locale, ticket: { [field]: groupId, "ticket.id": Number(ticketId), "ticket.tags": ["im_chat"] } });
    await chat(page).getByRole("heading", { name: subject }).waitFor();
    await chat(page).getByRole("button", { name: send, exact: true }).waitFor();
    assert.deepEqual(await page.evaluate(() => asked), [["resize", { width: "100%", height: "560px" }]]);
    await leave(page);
    const other = await sidebar("ticket_sidebar", "701", { locale, ticket: { [field]: null, "ticket.id": 1, "ticket.tags": [] } });
    await other.getByText(none).waitFor();
    assert.equal(await other.locator("#chat").isVisible(), false);
    await leave(other);
  }
  const early = await sidebar("ticket_sidebar", "701", { locale: "en", ticket: { [field]: "", "ticket.id": Number(ticketId), "ticket.tags": ["im_chat"] } }); // before its field is set
  await chat(early).getByRole("heading", { name: subject }).waitFor();
  await shot(early, "zendesk-sidebar");
  await leave(early);

  const background = await sidebar("background", "701", { locale: "ja", ticket: {} });
  await chat(background).getByText(subject).first().waitFor({ state: "attached" });
  const before = await background.evaluate(() => asked.length);
  await write(shopper, "are you there?");
  await background.waitForFunction((n) => asked.length > n, before);
  assert.deepEqual(await background.evaluate((n) => asked.slice(n), before), [["notify", "新しいチャットメッセージ"]]);
  // All frames of the agent's browser share one login: tickets are opened and closed, and
  // none ends another's.
  const beside = () => sidebar("ticket_sidebar", "701", { locale: "en", ticket: { [field]: groupId } }, { context: background.context() });
  const first = await beside();
  await write(chat(first), "by the first");
  await said(shopper, "by the first").waitFor();
  const second = await beside();
  await said(chat(second), "by the first").waitFor();
  await first.close();
  await second.reload();
  await write(chat(second), "by the second");
  await said(shopper, "by the second").waitFor();
  await chat(background).getByText("by the second").first().waitFor({ state: "attached" });
  for (const page of [background, second]) assert.equal(await chat(page).getByText("opened somewhere else").count(), 0);
  assert.deepEqual(second.errors, []);
  await leave(background);

  const without = await sidebar("ticket_sidebar", "701", { locale: "en", ticket: {} }, { framework: false });
  await without.getByText("The chat cannot be shown").waitFor();
  await leave(without, shopper);
});
