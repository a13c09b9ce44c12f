// The page of scripts/dev as a whole: its first steps, the inspector, tabs, and what it does when things go wrong.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { browser, callbacks, close, freePort, log, messages, online, open, playLottery, press, root, server, shot, show, start, stop, story, windowOf, write } from "./harness.mjs";

const { Api } = createRequire(import.meta.url)("tls-sig-api-v2");
const developmentSecret = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e"; // public, of the UserSig library's examples

story("in two clicks from a fresh start: a message is refused, and here is its callback with the reason", async () => {
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
  // Below many callbacks the reason is scrolled to, and stands in view as a whole.
  await row.locator("summary").click();
  for (let i = 0; i < 8; i++) await press(page, "bob", "Hello everyone");
  await page.waitForFunction(() => document.querySelectorAll("#callbacks details").length > 16);
  await log(page, "alice").getByRole("button", { name: "Why?" }).click();
  await page.waitForFunction(() => [...document.querySelectorAll("#callbacks details[open] dl, #callbacks details[open] dd")].some((e) => e.textContent.includes("casino"))
    && [...document.querySelectorAll("#callbacks details[open] dd")].every((e) => e.getBoundingClientRect().bottom < innerHeight));
  await close(page);
});

story("everything is above the fold, and the inspector folds away", async () => {
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

story("callbacks are filtered, and copied as a script that sends them again", async () => {
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

story("a second tab logs nobody out, and the eighth works like the first", async () => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const tabs = [];
  for (let i = 0; i < 8; i++) tabs.push(await open({ context }, "team"));
  for (const tab of tabs) await online(tab, "alice", "bob");
  await write(tabs[7], "alice", "from the eighth tab");
  for (const tab of tabs) await log(tab, "bob").getByText("from the eighth tab").waitFor();
  for (const tab of tabs) await close(tab);
  await context.close();
});

story("after a restart of the servers all are online again by themselves", async () => {
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

story("a command that the emulator does not know is named on the page", async () => {
  const page = await open();
  await show(page, "Chaos");
  await page.locator("#chaos").waitFor();
  assert.equal(await page.locator("#unknown").isVisible(), false);
  const { emulator, sdkAppId } = await page.evaluate(async () => (await fetch("dev/scene")).json());
  const query = new URLSearchParams({ sdkappid: sdkAppId, identifier: "administrator", usersig: new Api(sdkAppId, developmentSecret).genSig("administrator", 600), random: 1, contenttype: "json" });
  const { ErrorCode } = await (await fetch(`${emulator}/v4/follow/follow_add?${query}`, { method: "POST", body: "{}" })).json();
  assert.equal(ErrorCode, 60009);
  await page.locator("#unknown").getByText("follow/follow_add").waitFor();
  await shot(page, "unknown");
  await close(page);
});

story("chaos that is on is shown as on, also after a reload", async () => {
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

story("a list that changes keeps the focus where it is", async () => {
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

story("an error is said beside what was clicked, and goes away", async () => {
  const opened = await fetch(`${server.url}/dev/tickets`, { method: "POST", headers: { "Content-Type": "application/json" }, body: `{"userId":"alice"}` });
  assert.equal(opened.status, 200);
  const page = await open({}, "desk");
  await page.clock.install();
  await page.route("**/dev/tickets/*/assign", (route) => route.fulfill({ status: 503, json: { error: { message: "the desk is away" } } }));
  const help = page.getByRole("button", { name: "Assign 701" }).first();
  await help.click();
  const alert = page.getByRole("alert");
  await alert.getByText("the desk is away").waitFor();
  assert.equal(await help.evaluate((b) => b.nextElementSibling.getAttribute("role")), "alert");
  await page.clock.runFor(10_000);
  await alert.waitFor({ state: "detached" });
  await close(page);
});

story("each message of a flood is drawn once, and a reader is not scrolled away", async () => {
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

story("the controls that READMEs name are on the page", async () => {
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

story("the tabs work from the keyboard", async () => {
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

story("what people write is shown, never run", async () => {
  const page = await open();
  await online(page, "alice", "bob");
  await write(page, "alice", "<img src=x onerror=alert(1)><script>alert(2)</script>");
  await log(page, "bob").getByText("onerror=alert(1)").waitFor();
  await page.locator("#callbacks summary").first().click();
  await page.locator("#callbacks details[open]").getByText("onerror=alert(1)").first().waitFor();
  assert.equal(await page.locator("main img, main script").count(), 0);
  await close(page);
});
