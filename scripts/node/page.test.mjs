// The page of scripts/dev in a real browser.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let scratch, program, dev, url, browser;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "page-"));
  program = join(scratch, "dev");
  await run("go", ["build", "-o", program, "./scripts/dev"]);
  ({ dev, url } = await start("state", 0, 0));
  browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});

after(async () => {
  await browser?.close();
  if (dev?.exitCode === null) await stop(dev);
  if (scratch) await rm(scratch, { recursive: true, force: true });
});

function run(command, args) {
  return new Promise((resolve, reject) => {
    spawn(command, args, { cwd: root, stdio: "inherit" }).on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}`))));
  });
}

// start runs dev with its state in a folder of the scratch, until it is ready.
async function start(state, port, emulatorPort) {
  const dev = spawn(program, ["-addr", `127.0.0.1:${port}`, "-emulator-addr", `127.0.0.1:${emulatorPort}`, "-state", join(scratch, state)], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise((resolve, reject) => {
    let text = "";
    dev.stdout.on("data", (chunk) => {
      text += chunk;
      const found = /^ready .*?(http:\/\/[^/\s]+)/m.exec(text);
      if (found) resolve(found[1]);
    });
    dev.on("exit", (code) => reject(new Error(`dev ended with ${code}: ${text}`)));
  });
  return { dev, url };
}

async function stop(dev) {
  const ended = new Promise((resolve) => dev.on("exit", resolve));
  dev.kill("SIGTERM");
  assert.equal(await ended, 0, "dev stops cleanly while a page is open");
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// What a browser notes in its console and is no fault of the page: that IM or
// the bundle refuses something, or is away.
const noted = /status of (4\d\d|502|503)|net::ERR_|EventSource/;

// open gives a page of one width and colour scheme on a scene, which remembers
// any error of its own.
async function open(options = {}, scene = "live", at = url) {
  const page = await (options.context ?? browser).newPage(options.context ? undefined : { viewport: { width: 1440, height: 900 }, ...options });
  page.setDefaultTimeout(15_000);
  page.errors = [];
  page.on("pageerror", (e) => page.errors.push(e.message));
  page.on("console", (m) => m.type() === "error" && !noted.test(m.text()) && page.errors.push(m.text()));
  await page.goto(`${at}/#${scene}`);
  await page.getByRole("status").filter({ hasText: /^live$/ }).waitFor();
  return page;
}

async function close(page) {
  assert.deepEqual(page.errors, []);
  await page.close();
}

// shot keeps a picture for whoever wants to look, outside the repository.
async function shot(page, name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`) });
}

// windowOf is one user's chat window.
const windowOf = (page, user) => page.getByRole("article", { name: `${user}'s window` });
const log = (page, user) => windowOf(page, user).getByRole("log");
const press = (page, user, name) => windowOf(page, user).getByRole("button", { name, exact: true }).click();
const online = (page, ...users) => Promise.all(users.map((u) => windowOf(page, u).getByText("online", { exact: true }).waitFor()));
const callbacks = (page, text) => page.locator("#callbacks > li", { hasText: text });
const show = (page, view) => page.getByRole("tab", { name: new RegExp(`^${view}`) }).click();

async function write(page, user, text) {
  const box = windowOf(page, user).getByRole("textbox", { name: "Message" });
  await box.fill(text);
  await box.press("Enter");
}

async function messages(page, group) {
  return page.evaluate(async (id) => (await (await fetch(`dev/rooms/${id}/stats`)).json()).messages, group);
}

// counted waits until the bundle has counted this many messages in a group, and
// the inspector shows them.
async function counted(page, want) {
  await page.locator("#panel-state dd").first().filter({ hasText: new RegExp(`^${want}$`) }).waitFor();
}

test("in two clicks from a fresh start: a message is refused, and here is its callback with the reason", async () => {
  const page = await open();
  await online(page, "alice", "bob");
  await press(page, "alice", "join my casino now");
  await log(page, "alice").getByText("refused, error 10016").waitFor();
  const row = callbacks(page, "casino");
  assert.match((await row.innerText()).replaceAll(/\s+/g, " "), /^alice → lobby “join my casino now” reject · gambling\/casino · \d+\.\d ms/);
  await log(page, "alice").getByRole("button", { name: "Why?" }).click();
  await page.locator("#callbacks details[open]").getByText("severity").first().waitFor();
  assert.match(await page.locator("#callbacks details[open]").innerText(), /rule\s+casino\s+category\s+gambling\s+severity\s+2[\s\S]*"ErrorCode": 1/);
  assert.equal(await log(page, "bob").getByText("casino").count(), 0, "bob got the message");
  await row.getByRole("button", { name: "Bubble" }).click();
  await page.locator(".messages .refused:focus").waitFor();
  await shot(page, "story");
  await close(page);
});

test("everything is above the fold, and the inspector folds away", async () => {
  const page = await open();
  for (const scene of await page.locator("#scenes").getByRole("tab").all()) {
    await scene.click();
    await page.waitForFunction(() => document.querySelectorAll(".pane").length > 0);
    const below = await page.evaluate(() => [...document.querySelectorAll(".pane, #inspector, .composer")].filter((e) => e.getBoundingClientRect().bottom > innerHeight).map((e) => e.className));
    assert.deepEqual(below, [], `below the fold: ${await scene.innerText()}`);
  }
  assert.equal(await page.evaluate(() => document.documentElement.scrollHeight > innerHeight), false, "the page scrolls");
  const narrow = (await page.locator("#stage").boundingBox()).width;
  await page.getByRole("button", { name: "Inspector" }).click();
  await page.locator("#inspector").waitFor({ state: "hidden" });
  assert.ok((await page.locator("#stage").boundingBox()).width > narrow + 300, "the stage did not grow");
  await close(page);
});

test("the live room: the owner goes live, and likes and gifts fly, count and show in order", async () => {
  const page = await open();
  await online(page, "alice", "bob");
  const host = page.getByRole("region", { name: "Host" });
  await host.getByRole("button", { name: "Go live" }).click();
  for (const user of ["alice", "bob"]) await windowOf(page, user).locator(".status").getByText("LIVE", { exact: true }).waitFor();
  await write(page, "bob", "what a show");
  await windowOf(page, "alice").locator(".danmaku").getByText("what a show").waitFor();
  const rose = windowOf(page, "bob").getByRole("button", { name: "Give Rose, 1 coins" });
  for (let i = 0; i < 5; i++) await rose.click();
  for (let i = 0; i < 3; i++) await press(page, "bob", "Like");
  for (const user of ["alice", "bob"]) {
    await windowOf(page, user).locator(".gift", { hasText: "bob sent Rose" }).getByText("×5", { exact: true }).waitFor();
    await windowOf(page, user).locator(".figures").getByText("3", { exact: true }).waitFor();
  }
  await log(page, "alice").getByText("sent Rose ×5").waitFor();
  await windowOf(page, "bob").getByText("95 coins").waitFor();
  const bob = host.getByRole("list", { name: "Most active users" }).locator("li", { hasText: "bob" });
  await bob.getByText(/5 gifts · 3 likes/).waitFor();
  await bob.getByText(/^Lv \d/).waitFor();
  await log(page, "alice").locator("p", { hasText: "what a show" }).getByText(/^Lv \d/).waitFor();
  await shot(page, "live");

  for (let i = 0; i < 5; i++) await windowOf(page, "bob").getByRole("button", { name: "Give Rocket, 20 coins" }).click();
  await windowOf(page, "bob").getByText("not enough coins: top up first").waitFor();
  await windowOf(page, "bob").getByRole("button", { name: "Top up the coins" }).click();
  await windowOf(page, "bob").getByText("115 coins").waitFor();
  await close(page);
});

test("the live room: the owner changes the notice, mutes a viewer and removes him, who comes back", async () => {
  const page = await open();
  await online(page, "alice", "bob");
  const host = page.getByRole("region", { name: "Host" });
  await host.getByRole("textbox", { name: "Notice" }).fill("No spoilers, please");
  await host.getByRole("button", { name: "Save the notice" }).click();
  await windowOf(page, "bob").locator(".notice").getByText("No spoilers, please").waitFor();
  await host.getByRole("button", { name: "Mute bob" }).click();
  await log(page, "bob").getByText(/^muted until/).waitFor();
  await write(page, "bob", "can you hear me?");
  await log(page, "bob").locator("p.refused", { hasText: "can you hear me?" }).waitFor();
  await host.getByRole("button", { name: "Unmute bob" }).click();
  await log(page, "bob").getByText("no longer muted").waitFor();
  await host.getByRole("button", { name: "Kick bob" }).click();
  await windowOf(page, "bob").getByText("bob is no longer in this group.").waitFor();
  await windowOf(page, "bob").getByRole("button", { name: "Enter again" }).click();
  await windowOf(page, "bob").getByRole("alert").waitFor();
  await host.getByRole("button", { name: "Let back bob" }).click();
  await host.getByRole("button", { name: "Kick bob" }).waitFor();
  await windowOf(page, "bob").getByRole("button", { name: "Enter again" }).click();
  await windowOf(page, "bob").getByText("bob is no longer in this group.").waitFor({ state: "hidden" });
  await write(page, "bob", "I am back");
  await log(page, "alice").getByText("I am back").waitFor();
  await close(page);
});

// playLottery starts a lottery in the live room, has bob take part, and draws.
async function playLottery(page) {
  await online(page, "alice", "bob");
  const host = page.getByRole("region", { name: "Host" });
  await host.getByRole("textbox", { name: "Keyword" }).fill("lucky me");
  await host.getByRole("button", { name: "Start a lottery" }).click();
  await host.getByText("write “lucky me” to take part").waitFor();
  await write(page, "bob", "lucky me");
  await log(page, "alice").getByText("lucky me", { exact: true }).waitFor();
  await host.getByRole("button", { name: "Draw", exact: true }).click();
  await host.getByRole("button", { name: "Verify" }).waitFor();
  return host;
}

test("the live room: a lottery is drawn, and verified from what is public", async () => {
  const page = await open();
  const host = await playLottery(page);
  await host.getByText("bob won a mug, of 1 who took part.").waitFor();
  await host.getByRole("button", { name: "Verify" }).click();
  await host.getByText("Verified: seed, order and winners are right.").waitFor();
  const forged = await page.evaluate(async () => {
    const { verify } = await import("./scenes/live/lottery.js");
    const seed = "00", hash = async (t) => [...new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(t)))].map((b) => b.toString(16).padStart(2, "0")).join("");
    const commitment = await hash(seed);
    const keyed = await Promise.all(["alice", "bob", "carol"].map(async (u) => [await hash(`${seed}:${u}`), u]));
    const entries = keyed.sort().map(([, u]) => u);
    const draw = { seed, entries, winners: [entries[0]], winnersWanted: 1 };
    return Promise.all([verify(commitment, draw), verify(commitment, { ...draw, seed: "01" }), verify(commitment, { ...draw, entries: entries.toReversed() }), verify(commitment, { ...draw, winners: [entries[1]] })].map(async (w) => (await w).length));
  });
  assert.equal(forged[0], 0, "an honest draw");
  assert.ok(forged.slice(1).every((n) => n > 0), `forged draws pass: ${forged}`);
  await close(page);
});

test("two users talk; a message counts once, also when its callback is replayed or sent twice", async () => {
  const page = await open();
  await online(page, "alice", "bob");
  const before = await messages(page, "lobby");
  await press(page, "alice", "Hello everyone");
  await log(page, "bob").getByText("Hello everyone").waitFor();
  await write(page, "bob", "Hello alice");
  await log(page, "alice").getByText("Hello alice").waitFor();
  const told = callbacks(page, "Hello alice").filter({ hasNotText: "before" });
  await told.getByRole("button", { name: "Replay Group.CallbackAfterSendMsg" }).click();
  await told.nth(1).waitFor();
  await show(page, "State");
  await counted(page, before + 2);
  await show(page, "Chaos");
  await page.getByLabel("Send after-callbacks twice").check();
  await write(page, "alice", "twice told");
  await show(page, "Callbacks");
  await callbacks(page, "twice told").nth(2).waitFor();
  await show(page, "State");
  await counted(page, before + 3);
  await show(page, "Chaos");
  await page.getByLabel("Send after-callbacks twice").uncheck();
  await close(page);
});

test("callbacks are filtered, and copied as a script that sends them again", async () => {
  const page = await open({ permissions: ["clipboard-read", "clipboard-write"] }, "team");
  await online(page, "alice", "bob");
  await write(page, "alice", "it's a casino");
  await callbacks(page, "a casino").waitFor();
  await page.getByRole("radio", { name: "refused" }).check();
  assert.deepEqual([...new Set(await page.locator("#callbacks .verdict").allInnerTexts())].filter((v) => v === "ok" || v === "allow"), []);
  await page.getByRole("radio", { name: "all" }).check();
  await callbacks(page, "bob joined").or(callbacks(page, "bob login")).first().waitFor();
  await callbacks(page, "a casino").getByRole("button", { name: /as curl$/ }).click();
  const script = await page.evaluate(() => navigator.clipboard.readText());
  const answer = await new Promise((resolve) => {
    let out = "";
    const sh = spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
    sh.stdout.on("data", (b) => (out += b));
    sh.on("exit", () => resolve(out));
  });
  assert.match(answer, /"ErrorCode":1/);
  await callbacks(page, "a casino").nth(1).waitFor();
  await close(page);
});

test("the states of a message: dropped for the others, masked, and recalled", async () => {
  const page = await open({}, "moderation");
  await online(page, "alice", "bob");
  await press(page, "alice", "buy followers");
  await log(page, "alice").getByText("dropped: only alice sees it").waitFor();
  await press(page, "alice", "what a bullshit");
  await log(page, "alice").getByText("masked for the others").waitFor();
  await log(page, "bob").getByText("what a ********").waitFor();
  assert.doesNotMatch(await log(page, "bob").innerText(), /followers|bullshit/);
  await write(page, "alice", "sent too early");
  await log(page, "bob").getByText("sent too early").waitFor();
  await log(page, "alice").locator("p", { hasText: "sent too early" }).getByRole("button", { name: "Recall" }).click();
  await log(page, "bob").getByText("message recalled").waitFor();
  await log(page, "alice").getByText("message recalled").waitFor();
  assert.doesNotMatch(await log(page, "bob").innerText(), /too early/);
  await close(page);
});

test("a held message waits for a moderator; approved by a double click it is sent once and its bubble says so, rejected never", async () => {
  const page = await open({}, "moderation");
  await online(page, "alice", "bob");
  await press(page, "alice", "add me on telegram");
  await log(page, "alice").getByText("waits for a moderator").waitFor();
  const moderator = page.getByRole("region", { name: "Moderator" });
  await moderator.getByRole("button", { name: "Approve what alice wrote" }).dblclick();
  await log(page, "bob").getByText("add me on telegram").waitFor();
  await log(page, "alice").getByText("approved by a moderator").waitFor();
  assert.equal(await log(page, "alice").getByText("add me on telegram").count(), 1);
  await press(page, "bob", "add me on telegram");
  await moderator.getByRole("button", { name: "Reject what bob wrote" }).click();
  await log(page, "bob").getByText("rejected by a moderator").waitFor();
  await windowOf(page, "bob").getByText("administrator A message of yours was not accepted").waitFor();
  await moderator.locator(".trail").getByText("message rejected").waitFor();
  assert.equal(await log(page, "alice").getByText("add me on telegram").count(), 1);
  await moderator.getByRole("button", { name: "Forgive bob" }).click();
  await close(page);
});

test("strikes mute and ban; a banned user's window says so, and lives again once he is forgiven", async () => {
  const page = await open({}, "moderation");
  await online(page, "alice", "bob");
  const moderator = page.getByRole("region", { name: "Moderator" });
  await moderator.getByRole("button", { name: "3 strikes, bob" }).click();
  await moderator.getByText("3 points, muted until").waitFor();
  await windowOf(page, "bob").getByText("You cannot write for a while").waitFor();
  await moderator.getByRole("button", { name: "3 strikes, bob" }).click();
  await windowOf(page, "bob").getByText("bob is banned").waitFor();
  await moderator.locator(".trail").getByText("user banned").first().waitFor();
  await shot(page, "banned");
  await moderator.getByRole("button", { name: "Forgive bob" }).click();
  await online(page, "bob");
  await write(page, "bob", "I am back");
  await log(page, "alice").getByText("I am back").waitFor();
  await close(page);
});

test("community topics are kept apart, and users come and go", async () => {
  const page = await open({}, "community");
  await online(page, "alice", "bob");
  await press(page, "alice", "Hello everyone");
  await log(page, "bob").getByText("Hello everyone").waitFor();
  await windowOf(page, "bob").getByRole("combobox", { name: "Topic" }).selectOption("help");
  assert.equal(await log(page, "bob").innerText(), "");
  await page.getByRole("button", { name: "Another user" }).click();
  await online(page, "carol");
  await page.getByRole("button", { name: "Close carol's window" }).click();
  await windowOf(page, "carol").waitFor({ state: "detached" });
  await close(page);
});

test("one to one: the message of a third user arrives, in his own conversation", async () => {
  const page = await open({}, "direct");
  await online(page, "alice", "bob");
  await page.getByRole("button", { name: "Another user" }).click();
  await online(page, "carol");
  await windowOf(page, "carol").getByRole("button", { name: "bob", exact: true }).click();
  await write(page, "carol", "it is me, carol");
  await windowOf(page, "bob").getByRole("button", { name: "carol 1" }).or(windowOf(page, "bob").getByRole("button", { name: "carol1" })).click();
  await log(page, "bob").getByText("it is me, carol").waitFor();
  await write(page, "bob", "I see you");
  await log(page, "carol").getByText("I see you").waitFor();
  assert.doesNotMatch(await log(page, "alice").innerText(), /carol|see you/);
  await close(page);
});

test("a chatbot answers each in a conversation of his own, and remembers it until told to forget", async () => {
  const page = await open({}, "direct");
  await online(page, "alice", "bob");
  for (const user of ["alice", "bob"]) await press(page, user, "Robo");
  await write(page, "alice", "good morning");
  await log(page, "alice").getByText("You said: good morning").waitFor();
  await write(page, "bob", "what do you remember?");
  await log(page, "bob").getByText("We have not talked before.").waitFor();
  await write(page, "alice", "what do you remember?");
  await log(page, "alice").getByText("You said “good morning”.").waitFor();
  await press(page, "alice", "/forget");
  await log(page, "alice").getByText("I have forgotten what we talked about.").waitFor();
  await write(page, "alice", "now fail");
  await log(page, "alice").getByText("Sorry, I cannot answer at the moment.").waitFor();
  const text = await log(page, "alice").innerText();
  assert.equal(text.split("You said: good morning").length, 2);
  assert.doesNotMatch(text, /think/);
  await close(page);
});

test("a double click opens one ticket, with its group; agents come, are relieved, and leave with it", async () => {
  const page = await open({}, "desk");
  await online(page, "alice");
  await page.getByRole("button", { name: "Ask for help as alice" }).dblclick();
  const ticket = page.locator("#tickets li").first();
  const within = (members) => ticket.filter({ hasText: `in its group: ${members}` }).waitFor();
  await ticket.filter({ hasText: "printer offline" }).waitFor();
  await within("alice");
  assert.equal(await page.locator("#tickets li").count(), 1);
  await ticket.getByRole("button", { name: "Assign 701" }).click();
  await within("alice, 701");
  await press(page, "alice", "Hello, my printer is offline");
  await log(page, "701").getByText("my printer is offline").waitFor();
  await press(page, "701", "How can I help?");
  await log(page, "alice").getByText("How can I help?").waitFor();
  await ticket.getByRole("button", { name: "Assign 702" }).click();
  await within("alice, 702");
  await shot(page, "ticket");
  await ticket.getByRole("button", { name: "Close, ticket" }).click();
  await within("nobody");
  await close(page);
});

test("a team fills and its match starts, once; a started team offers no joins", async () => {
  const page = await open({}, "team");
  await online(page, "alice");
  await page.getByRole("button", { name: "Make a team as alice" }).click();
  const team = page.locator("#teams li").first();
  const shows = (text) => team.filter({ hasText: text }).waitFor();
  const click = (name) => team.getByRole("button", { name }).click();
  await shows(/open\s*1 of 3: alice/);
  await click("bob joins");
  await shows("2 of 3: alice, bob");
  await click("bob leaves");
  await shows("1 of 3: alice");
  await click("dave joins");
  await shows("2 of 3: alice, dave");
  await click("carol joins");
  await shows(/3 of 3: alice, (carol, dave|dave, carol); match started with alice, (carol, dave|dave, carol)/);
  assert.equal((await team.innerText()).split("match started").length - 1, 1);
  await page.getByRole("radio", { name: "all" }).check();
  await callbacks(page, "after group full").first().waitFor();
  await shot(page, "team");
  await click("dave leaves");
  await shows(/started\s*2 of 3: alice, carol/);
  assert.equal(await team.getByRole("button", { name: "joins" }).count(), 0);
  await page.reload();
  await shows(/started\s*2 of 3: alice, carol; match started with/);
  await click("Dissolve");
  await shows("ended");
  await close(page);
});

test("what is said without a connection is not sent, until it is back", async () => {
  const page = await open({}, "team");
  await online(page, "alice", "bob");
  await press(page, "bob", "Lose connection");
  await windowOf(page, "bob").getByText("no connection", { exact: true }).waitFor();
  await write(page, "bob", "from the tunnel");
  await log(page, "bob").getByText("not sent: no connection").waitFor();
  await write(page, "alice", "where is bob?");
  await log(page, "alice").locator("p", { hasText: /where is bob\?\s*sent/ }).waitFor();
  assert.doesNotMatch(await log(page, "bob").innerText(), /where is bob/);
  assert.doesNotMatch(await log(page, "alice").innerText(), /tunnel/);
  await press(page, "bob", "Connect again");
  await online(page, "bob");
  await log(page, "bob").getByText("where is bob?").waitFor();
  await log(page, "bob").getByRole("button", { name: "Retry" }).click();
  await log(page, "alice").getByText("from the tunnel").waitFor();
  await close(page);
});

test("a second tab logs nobody out, and the eighth works like the first", async () => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const tabs = [];
  for (let i = 0; i < 8; i++) tabs.push(await open({ context }, "team"));
  for (const tab of tabs) await online(tab, "alice", "bob");
  await write(tabs[7], "alice", "from the eighth tab");
  for (const tab of tabs) await log(tab, "bob").getByText("from the eighth tab").waitFor();
  for (const tab of tabs) await close(tab);
  await context.close();
});

test("after a restart of the servers all are online again by themselves", async () => {
  const [port, emulatorPort] = [await freePort(), await freePort()];
  let second = await start("restarted", port, emulatorPort);
  const page = await open({}, "team", second.url);
  await online(page, "alice", "bob");
  await stop(second.dev);
  await page.getByRole("status").filter({ hasText: "lost the bundle" }).waitFor();
  await windowOf(page, "alice").getByText("connection lost, trying again").waitFor();
  second = await start("restarted", port, emulatorPort);
  await page.getByRole("status").filter({ hasText: /^live$/ }).waitFor();
  await online(page, "alice", "bob");
  await write(page, "alice", "after the restart");
  await log(page, "bob").getByText("after the restart").waitFor();
  await close(page);
  await stop(second.dev);
});

test("chaos that is on is shown as on, also after a reload", async () => {
  const page = await open({}, "team");
  await show(page, "Chaos");
  await page.getByLabel("Lose one in five").check();
  await page.getByRole("tab", { name: "Chaos 1" }).or(page.getByRole("tab", { name: "Chaos1" })).waitFor();
  await page.reload();
  await show(page, "Chaos");
  await page.locator("#chaos label", { hasText: "Lose one in five" }).locator("input:checked").waitFor();
  await page.getByLabel("Lose one in five").uncheck();
  await close(page);
});

test("a list that changes keeps the focus where it is", async () => {
  const page = await open({}, "team");
  await online(page, "alice", "bob");
  await page.getByRole("button", { name: "Make a team as alice" }).click();
  const join = page.locator("#teams li").first().getByRole("button", { name: "bob joins" });
  await join.focus();
  const row = await page.locator("#teams li").first().elementHandle();
  for (const text of ["one", "two", "three"]) {
    await write(page, "bob", text);
    await log(page, "alice").getByText(text, { exact: true }).waitFor();
    await join.focus();
    await callbacks(page, `“${text}”`).or(callbacks(page, text)).nth(1).waitFor();
  }
  assert.equal(await page.evaluate((r) => r.isConnected && r.contains(document.activeElement), row), true);
  await page.locator("#teams li").first().getByRole("button", { name: "Dissolve" }).click();
  await close(page);
});

test("an error is said beside what was clicked, and goes away", async () => {
  const page = await open({}, "desk");
  await page.clock.install();
  await page.route("**/dev/tickets", (route) => (route.request().method() === "POST" ? route.fulfill({ status: 503, json: { error: { message: "the desk is away" } } }) : route.continue()));
  const help = page.getByRole("button", { name: "Ask for help as alice" });
  await help.click();
  const alert = page.getByRole("alert");
  await alert.getByText("the desk is away").waitFor();
  assert.equal(await help.evaluate((b) => b.nextElementSibling.getAttribute("role")), "alert");
  await page.clock.runFor(10_000);
  await alert.waitFor({ state: "detached" });
  await close(page);
});

test("each message of a flood is drawn once, and a reader is not scrolled away", async () => {
  const page = await open({}, "direct"); // in a group, IM would drop some of them
  await online(page, "alice", "bob");
  await write(page, "alice", "the first of many");
  await log(page, "bob").getByText("the first of many").waitFor();
  await page.evaluate(async () => {
    window.drawn = 0;
    new MutationObserver((list) => list.forEach((m) => (window.drawn += m.addedNodes.length))).observe(document.querySelectorAll(".messages")[1], { childList: true });
    const { hub } = await import("./hub.js");
    for (let i = 0; i < 200; i += 20) {
      await Promise.all(Array.from({ length: 20 }, (_, n) => hub.ask("send", "alice", { peer: "bob" }, { text: `line ${i + n}.` })));
    }
  });
  await page.waitForFunction(() => window.drawn >= 200);
  assert.equal(await page.evaluate(() => window.drawn), 200, "bubbles drawn for 200 messages");
  const bobs = log(page, "bob");
  await bobs.evaluate((l) => (l.scrollTop = 100));
  await write(page, "alice", "far below");
  await windowOf(page, "bob").getByRole("button", { name: "1 new message" }).waitFor();
  assert.ok(await bobs.evaluate((l) => l.scrollHeight - l.scrollTop - l.clientHeight) > 1000, "the reader was scrolled to the end");
  await press(page, "bob", "1 new message");
  await page.waitForFunction((l) => l.scrollHeight - l.scrollTop - l.clientHeight < 40, await bobs.elementHandle());
  await close(page);
});

// namedControls are the controls that a page of the documentation names in italics
// where it sends its reader to scripts/dev.
function namedControls(text) {
  return text.split("```").flatMap((part, i, parts) => {
    if (i % 2 || !parts[i - 1]?.includes("go run ./scripts/dev")) return [];
    return [...part.split(/^#/m)[0].matchAll(/(?<!\*)\*([^*\n]+)\*(?!\*)/g)].map((m) => m[1]);
  });
}

test("the controls that READMEs name are on the page", async () => {
  const page = await open();
  const names = new Set();
  const collect = async () => {
    const found = await page.evaluate(() => [...document.querySelectorAll("button, option, input[type=radio], #chaos label")].filter((e) => !e.closest("#callbacks > li:nth-child(n + 3)"))
      .flatMap((e) => [e.innerText ?? "", e.getAttribute("aria-label") ?? "", e.value ?? ""]));
    for (const name of found) names.add(name.replaceAll(/\s+/g, " ").trim());
  };
  for (const scene of await page.locator("#scenes").getByRole("tab").all()) {
    await scene.click();
    if ((await scene.innerText()) === "Live room") {
      const host = await playLottery(page);
      if (await host.getByRole("button", { name: "Pause" }).count()) await host.getByRole("button", { name: "Pause" }).click();
      await host.getByRole("button", { name: "Go live" }).waitFor();
    }
    if ((await scene.innerText()) === "Moderation") await page.getByRole("button", { name: "Strike, bob" }).waitFor();
    await collect();
  }
  const missing = [];
  const pages = (await Promise.all([".", "functions", "docs"].map((dir) => readdir(join(root, dir), { recursive: dir !== "." }).then((names) => names.map((n) => join(dir, n)))))).flat();
  for (const file of pages.filter((name) => name.endsWith(".md"))) {
    for (const name of namedControls(await readFile(join(root, file), "utf8"))) {
      if (![...names].some((n) => n === name || n.startsWith(`${name} `))) missing.push(`${file}: ${name}`);
    }
  }
  assert.deepEqual(missing, []);
  assert.ok(namedControls(await readFile(join(root, "README.md"), "utf8")).length > 10, "the README names the page's controls");
  await close(page);
});

test("the tabs work from the keyboard", async () => {
  const page = await open();
  const scenes = page.getByRole("tablist", { name: "Scenario" }).getByRole("tab");
  await scenes.first().focus();
  await page.keyboard.press("ArrowRight");
  assert.equal(await scenes.nth(1).getAttribute("aria-selected"), "true");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  assert.equal(await scenes.last().getAttribute("aria-selected"), "true");
  await close(page);
});

test("what people write is shown, never run", async () => {
  const page = await open();
  await online(page, "alice", "bob");
  await write(page, "alice", "<img src=x onerror=alert(1)><script>alert(2)</script>");
  await log(page, "bob").getByText("onerror=alert(1)").waitFor();
  await page.locator("#callbacks summary").first().click();
  await page.locator("#callbacks details[open]").getByText("onerror=alert(1)").first().waitFor();
  assert.equal(await page.locator("main img, main script").count(), 0);
  await close(page);
});

for (const colorScheme of ["light", "dark"]) {
  for (const [name, options] of [["phone", { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }], ["desktop", { viewport: { width: 1440, height: 900 } }]]) {
    test(`${name}, ${colorScheme}: each scene and view fits and is accessible`, async () => {
      const page = await open({ ...options, colorScheme, bypassCSP: true, reducedMotion: "reduce" });
      await online(page, "alice");
      await press(page, "alice", "Hello everyone");
      await press(page, "alice", "join my casino now");
      await log(page, "alice").getByText("refused, error 10016").waitFor();
      await page.addScriptTag({ content: axe });
      const check = async (what) => {
        const wide = await page.evaluate(() => [...document.querySelectorAll("body *")].filter((e) => {
          if (e.closest("pre, #scenes, #panes, #cast, .chips, .giftbar, .spoken, svg")) return false;
          return e.getBoundingClientRect().right > innerWidth + 0.5;
        }).map((e) => e.outerHTML.slice(0, 80)));
        assert.deepEqual(wide, [], `${what} scrolls sideways`);
        if (name === "phone") {
          const small = await page.evaluate(() => [...document.querySelectorAll("button, select, input:not([type=checkbox], [type=radio]), #chaos label, .filter label")]
            .filter((e) => e.checkVisibility() && !e.closest(".messages, .letters")).map((e) => [e, e.getBoundingClientRect()])
            .filter(([, r]) => r.width > 0 && (r.height < 43.5 || r.width < 43.5)).map(([e, r]) => `${e.textContent.slice(0, 30)} ${Math.round(r.width)}x${Math.round(r.height)}`));
          assert.deepEqual(small, [], `${what}: targets under 44 px`);
          assert.equal(await page.locator(".pane:visible").count() <= 1, true, "one user at a time");
        }
        // In the dark, colours are what can be wrong alone.
        const rules = colorScheme === "dark" ? { runOnly: ["color-contrast"] } : {};
        const found = await page.evaluate((rules) => axe.run({ exclude: ["#callbacks > li:nth-child(n + 5)", ".messages > :nth-last-child(n + 8)"] }, { resultTypes: ["violations"], ...rules }), rules);
        assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`), [], what);
        await shot(page, `${name}-${colorScheme}-${what}`);
      };
      for (const scene of await page.locator("#scenes").getByRole("tab").all()) {
        await scene.click();
        await page.locator(".pane").first().waitFor();
        await check(await scene.innerText());
      }
      await page.locator("#scenes").getByRole("tab").first().click();
      for (const view of ["Callbacks", "State", "Jobs", "Reviews", "Chaos"]) {
        await show(page, view);
        if (view === "Callbacks") await page.locator("#callbacks summary").first().click();
        await check(view);
      }
      await page.close();
    });
  }
}
