// The page of scripts/dev in a real browser.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let scratch, dev, url, browser;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "page-"));
  const program = join(scratch, "dev");
  await run("go", ["build", "-o", program, "./scripts/dev"]);
  dev = spawn(program, ["-addr", "127.0.0.1:0", "-emulator-addr", "127.0.0.1:0", "-state", join(scratch, "state")], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  url = await new Promise((resolve, reject) => {
    let text = "";
    dev.stdout.on("data", (chunk) => {
      text += chunk;
      const found = /^ready .*?(http:\/\/[^/\s]+)/m.exec(text);
      if (found) resolve(found[1]);
    });
    dev.on("exit", (code) => reject(new Error(`dev ended with ${code}: ${text}`)));
  });
  browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});

after(async () => {
  await browser?.close();
  if (dev?.exitCode === null) {
    const ended = new Promise((resolve) => dev.on("exit", resolve));
    dev.kill("SIGTERM");
    assert.equal(await ended, 0, "dev stops cleanly while a page is open");
  }
  if (scratch) await rm(scratch, { recursive: true, force: true });
});

function run(command, args) {
  return new Promise((resolve, reject) => {
    spawn(command, args, { cwd: root, stdio: "inherit" }).on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}`))));
  });
}

// open gives a page of one width and colour scheme, which fails on any error
// in the browser's console.
async function open(options) {
  const page = await browser.newPage(options);
  const errors = [];
  page.on("pageerror", (e) => errors.push(e.message));
  // IM refusing a message is no fault of the page, though the browser notes it.
  page.on("console", (m) => m.type() === "error" && !m.text().includes("status of 422") && errors.push(m.text()));
  await page.goto(url);
  await page.getByText("live", { exact: true }).waitFor();
  return { page, errors };
}

// shot keeps a picture for whoever wants to look, outside the repository.
async function shot(page, name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`), fullPage: true });
}

// windowOf is one user's chat window.
const windowOf = (page, user) => page.getByRole("article", { name: `${user}'s window` });
const callbacks = (page, command) => page.locator("#callbacks summary", { hasText: command });

async function ready(page) {
  for (const user of ["alice", "bob"]) await windowOf(page, user).getByText("online", { exact: true }).waitFor();
}

// counted waits until the counters show this many messages.
async function counted(page, messages) {
  await page.locator("#counters dd").first().filter({ hasText: new RegExp(`^${messages}$`) }).waitFor();
}

test("in two clicks from a fresh start: a message is rejected, and here is its callback", async () => {
  const { page, errors } = await open({ viewport: { width: 1280, height: 900 } });
  await ready(page);
  await windowOf(page, "alice").getByRole("button", { name: "join my casino now" }).click();
  await windowOf(page, "alice").getByText("refused, error 10016").waitFor();
  await page.locator("#callbacks summary", { hasText: "reject" }).click();
  assert.match(await page.locator("#callbacks details[open]").innerText(), /casino[\s\S]*"ErrorCode": 1/);
  assert.equal(await windowOf(page, "bob").getByText("casino").filter({ visible: true }).count(), 1, "bob has the button and no message");
  await shot(page, "story");
  assert.deepEqual(errors, []);
  await page.close();
});

test("two users talk; a message counts once, also when its callback is replayed or sent twice", async () => {
  const { page, errors } = await open({ viewport: { width: 1280, height: 900 } });
  await ready(page);
  await windowOf(page, "alice").getByRole("button", { name: "Hello everyone" }).click();
  await windowOf(page, "bob").getByRole("log").getByText("Hello everyone").waitFor();
  await windowOf(page, "bob").getByRole("textbox", { name: "Message" }).fill("Hello alice");
  await page.keyboard.press("Enter");
  await windowOf(page, "alice").getByRole("log").getByText("Hello alice").waitFor();
  await counted(page, 2);

  const told = callbacks(page, "Group.CallbackAfterSendMsg");
  const before = await told.count();
  await told.first().click();
  await page.getByRole("button", { name: "Replay Group.CallbackAfterSendMsg" }).first().click();
  await told.nth(before).waitFor();

  await page.getByLabel("Send after-callbacks twice").check();
  await windowOf(page, "alice").getByRole("button", { name: "Hello everyone" }).click();
  await told.nth(before + 2).waitFor();
  await counted(page, 3);
  await page.getByLabel("Send after-callbacks twice").uncheck();
  assert.deepEqual(errors, []);
  await page.close();
});

test("a message that is dropped looks sent to its sender, and nobody sees it", async () => {
  const { page } = await open({});
  await ready(page);
  await page.getByRole("tab", { name: "Team" }).click();
  await windowOf(page, "alice").getByRole("button", { name: "buy followers" }).click();
  await windowOf(page, "alice").getByText("sent", { exact: true }).waitFor();
  await windowOf(page, "alice").getByRole("button", { name: "Hello everyone" }).click();
  await windowOf(page, "bob").getByRole("log").getByText("Hello everyone").waitFor();
  assert.doesNotMatch(await windowOf(page, "bob").getByRole("log").innerText(), /followers/);
  await page.close();
});

test("community topics and one-to-one chats are kept apart", async () => {
  const { page } = await open({});
  await ready(page);
  const say = (user) => windowOf(page, user).getByRole("button", { name: "Hello everyone" }).click();
  const log = (user) => windowOf(page, user).getByRole("log");
  await page.getByRole("tab", { name: "Community" }).click();
  await say("alice");
  await log("bob").getByText("Hello everyone").waitFor();
  await page.getByRole("combobox", { name: "Topic" }).selectOption("help");
  assert.equal(await log("bob").innerText(), "");
  await page.getByRole("tab", { name: "One to one" }).click();
  await say("bob");
  await log("alice").getByText("Hello everyone").waitFor();
  await page.getByRole("tab", { name: "Live room" }).click();
  assert.doesNotMatch(await log("alice").innerText(), /Hello/);
  await page.close();
});

test("a chatbot answers each in a conversation of his own, and remembers it until told to forget", async () => {
  const { page } = await open({});
  await ready(page);
  await page.getByRole("tab", { name: "Chatbot" }).click();
  const say = async (user, text) => {
    const box = windowOf(page, user).getByRole("textbox");
    await box.fill(text);
    await box.press("Enter");
  };
  const log = (user) => windowOf(page, user).getByRole("log");
  await say("alice", "good morning");
  await log("alice").getByText("You said: good morning").waitFor();
  await say("bob", "what do you remember?");
  await log("bob").getByText("We have not talked before.").waitFor();
  await say("alice", "what do you remember?");
  await log("alice").getByText("You said “good morning”.").waitFor();
  await say("alice", "/forget");
  await log("alice").getByText("I have forgotten what we talked about.").waitFor();
  await say("alice", "now fail");
  await log("alice").getByText("Sorry, I cannot answer at the moment.").waitFor();
  const text = await log("alice").innerText();
  assert.equal(text.split("You said: good morning").length, 2);
  assert.doesNotMatch(text, /think/);
  await page.close();
});

test("a held message waits for a moderator; approved by a double click it is sent once, and rejected never", async () => {
  const { page } = await open({});
  await ready(page);
  await page.getByRole("tab", { name: "Team" }).click();
  const log = (user) => windowOf(page, user).getByRole("log");
  const chip = windowOf(page, "alice").getByRole("button", { name: "add me on telegram" });
  await chip.click();
  await log("alice").getByText("waits for a moderator").waitFor();
  await page.getByRole("button", { name: "Approve what alice wrote" }).dblclick();
  await log("bob").getByText("add me on telegram").waitFor();
  await page.getByText("Nothing waits.").waitFor();
  await windowOf(page, "bob").getByRole("button", { name: "add me on telegram" }).click();
  await page.getByRole("button", { name: "Reject what bob wrote" }).click();
  await page.getByText("Nothing waits.").waitFor();
  await windowOf(page, "bob").getByRole("button", { name: "Hello everyone" }).click();
  await log("alice").getByText("Hello everyone").waitFor();
  assert.equal((await log("bob").innerText()).split("add me on telegram").length - 1, 2);
  await page.close();
});

test("a ticket has its group; agents come, are relieved, and leave with it", async () => {
  const { page, errors } = await open({});
  await ready(page);
  await page.getByRole("button", { name: "Ask for help as alice" }).click();
  const ticket = page.locator("#tickets li").first();
  const within = (members) => ticket.filter({ hasText: `in its group: ${members}` }).waitFor();
  await ticket.filter({ hasText: "printer offline" }).waitFor();
  await within("alice ");
  await ticket.getByRole("button", { name: "Assign 701" }).click();
  await within("alice, 701");
  await ticket.getByRole("button", { name: "Assign 702" }).click();
  await within("alice, 702");
  await ticket.getByRole("button", { name: "Close" }).click();
  await within("nobody");
  await shot(page, "ticket");
  assert.deepEqual(errors, []);
  await page.close();
});

test("a team fills and its match starts, once; who leaves before opens it again", async () => {
  const { page, errors } = await open({});
  await ready(page);
  await page.getByRole("button", { name: "Make a team as alice" }).click();
  const team = page.locator("#teams li").first();
  const shows = (text) => team.filter({ hasText: text }).waitFor();
  const click = (name) => team.getByRole("button", { name }).click();
  await shows("open, 1 of 3: alice ");
  await click("bob joins");
  await shows("open, 2 of 3: alice, bob ");
  await click("bob leaves");
  await shows("open, 1 of 3: alice ");
  await click("dave joins");
  await shows("open, 2 of 3: alice, dave ");
  await click("carol joins");
  await shows(/started, 3 of 3: alice, (carol, dave|dave, carol); match started with alice, (carol, dave|dave, carol) /);
  assert.equal((await team.innerText()).split("match started").length - 1, 1);
  await callbacks(page, "Group.CallbackAfterGroupFull").first().waitFor();
  await shot(page, "team");
  await click("dave leaves");
  await shows("started, 2 of 3: alice, carol; match started with");
  await page.reload();
  await shows("started, 2 of 3: alice, carol; match started with");
  await click("Dissolve");
  await shows("ended");
  assert.deepEqual(errors, []);
  await page.close();
});

test("a lost connection is one, and comes back", async () => {
  const { page } = await open({});
  await ready(page);
  const bob = windowOf(page, "bob");
  await bob.getByRole("button", { name: "Lose connection" }).click();
  await bob.getByText("connection lost").waitFor();
  await windowOf(page, "alice").getByRole("button", { name: "Hello everyone" }).click();
  await windowOf(page, "alice").getByText("sent", { exact: true }).waitFor();
  assert.doesNotMatch(await bob.getByRole("log").innerText(), /Hello/);
  await bob.getByRole("button", { name: "Connect again" }).click();
  await bob.getByText("online", { exact: true }).waitFor();
  await windowOf(page, "alice").getByRole("button", { name: "Hello everyone" }).click();
  await bob.getByRole("log").getByText("Hello everyone").waitFor();
  await page.close();
});

test("the tabs work from the keyboard", async () => {
  const { page } = await open({});
  await ready(page);
  await page.getByRole("tab", { name: "Live room" }).focus();
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.getByRole("tab", { name: "Team" }).getAttribute("aria-selected"), "true");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("ArrowLeft");
  assert.equal(await page.getByRole("tab", { name: "One to one" }).getAttribute("aria-selected"), "true");
  await page.close();
});

test("what people write is shown, never run", async () => {
  const { page, errors } = await open({});
  await ready(page);
  await windowOf(page, "alice").getByRole("textbox", { name: "Message" }).fill("<img src=x onerror=alert(1)><script>alert(2)</script>");
  await page.keyboard.press("Enter");
  await windowOf(page, "bob").getByRole("log").getByText("onerror=alert(1)").waitFor();
  await page.locator("#callbacks summary").first().click();
  await page.locator("#callbacks details[open]").getByText("onerror=alert(1)").first().waitFor();
  assert.equal(await page.locator("main img, main script").count(), 0);
  assert.deepEqual(errors, []);
  await page.close();
});

for (const scheme of ["light", "dark"]) {
  for (const [name, width] of [["phone", 390], ["desktop", 1280]]) {
    test(`${name}, ${scheme}: fits and is accessible`, async () => {
      const { page } = await open({ viewport: { width, height: 844 }, colorScheme: scheme, bypassCSP: true });
      await ready(page);
      await page.getByRole("button", { name: "Another user" }).click();
      await windowOf(page, "carol").getByText("online", { exact: true }).waitFor();
      for (const [user, text] of [["alice", "Hello everyone"], ["bob", "join my casino now"]]) {
        await windowOf(page, user).getByRole("button", { name: text }).click();
      }
      await windowOf(page, "bob").getByText("refused, error 10016").waitFor();
      await page.locator("#callbacks summary").first().click();
      const wide = await page.evaluate(() => [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth && !e.closest("pre")).map((e) => e.outerHTML.slice(0, 80)));
      assert.deepEqual(wide, [], "it scrolls sideways");
      await page.addScriptTag({ content: axe });
      const found = await page.evaluate(() => axe.run());
      assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`), []);
      await shot(page, `${name}-${scheme}`);
      await page.close();
    });
  }
}
