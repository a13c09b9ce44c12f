// What the tests of the page of scripts/dev share: one server and one browser a
// file, and words for what a user does. A file of tests is one scene, or one
// concern of the whole page.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
export const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

// browser is Chromium; server is the scripts/dev of this file: { dev, url, log }.
export let browser, server;
let scratch, program;
const opened = new Set();

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "page-"));
  program = process.env.BACKCHANNEL_DEV ?? join(scratch, "dev"); // the suites build it once for all files
  if (!process.env.BACKCHANNEL_DEV) await run("go", ["build", "-o", program, "./scripts/dev"]);
  server = await start("state", 0, 0);
  browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
});

after(async () => {
  await browser?.close();
  if (server?.dev.exitCode === null) await stop(server.dev);
  if (scratch) await rm(scratch, { recursive: true, force: true });
});

// story is a test that plays a user's story. Stories of a file follow each other
// on one server. One that fails is told again, once, on a fresh server with a
// state of its own: the machine may have been too busy for a browser. The runner
// of the suites names each story that was told twice.
let tries = 0;
export function story(name, body) {
  test(name, async (t) => {
    try {
      await body();
    } catch (first) {
      t.diagnostic(`tried twice: ${name}: ${brief(first)}`);
      await leave();
      await stop(server.dev);
      server = await start(`again-${++tries}`, 0, 0);
      try {
        await body();
      } catch (second) {
        const said = await readFile(server.log, "utf8");
        second.message += `\nThe server said last:\n${said.split("\n").slice(-25).join("\n")}`;
        await leave();
        throw second;
      }
    }
  });
}

// brief is an error in one line, with what the story waited for.
const brief = ({ message }) => String(message).replaceAll(/\u001b\[\d+m/g, "").split("\n").filter((line, i) => i === 0 || line.includes("waiting for")).map((line) => line.trim()).join(" ");

async function leave() {
  for (const page of opened) await page.close().catch(() => {});
  opened.clear();
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    spawn(command, args, { cwd: root, stdio: "inherit" }).on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`${command} ended with ${code}`))));
  });
}

// start runs dev with its state in a folder of the scratch, until it is ready.
export async function start(state, port, emulatorPort, ...flags) {
  const dev = spawn(program, ["-addr", `127.0.0.1:${port}`, "-emulator-addr", `127.0.0.1:${emulatorPort}`, "-state", join(scratch, state), ...flags], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const log = join(scratch, `${state}.log`);
  dev.stderr.pipe(createWriteStream(log, { flags: "a" }));
  const url = await new Promise((resolve, reject) => {
    let text = "";
    dev.stdout.on("data", (chunk) => {
      text += chunk;
      const found = /^ready .*?(http:\/\/[^/\s]+)/m.exec(text);
      if (found) resolve(found[1]);
    });
    dev.on("exit", async (code) => reject(new Error(`dev ended with ${code}: ${text}${await readFile(log, "utf8")}`)));
  });
  return { dev, url, log };
}

export async function stop(dev) {
  const ended = new Promise((resolve) => dev.on("exit", resolve));
  dev.kill("SIGTERM");
  assert.equal(await ended, 0, "dev stops cleanly while a page is open");
}

export function freePort() {
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
export async function open(options = {}, scene = "live", at = server.url) {
  const page = await (options.context ?? browser).newPage(options.context ? undefined : { viewport: { width: 1440, height: 900 }, ...options });
  opened.add(page);
  page.setDefaultTimeout(30_000);
  page.errors = [];
  page.on("pageerror", (e) => page.errors.push(e.message));
  page.on("console", (m) => m.type() === "error" && !noted.test(m.text()) && page.errors.push(m.text()));
  await page.goto(`${at}/#${scene}`);
  await page.getByRole("status").filter({ hasText: /^live$/ }).waitFor();
  return page;
}

export async function close(page) {
  assert.deepEqual(page.errors, []);
  opened.delete(page);
  await page.close();
}

// shot keeps a picture for whoever wants to look, outside the repository.
export async function shot(page, name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`) });
}

// windowOf is one user's chat window.
export const windowOf = (page, user) => page.getByRole("article", { name: `${user}'s window` });
export const log = (page, user) => windowOf(page, user).getByRole("log");
export const press = (page, user, name) => windowOf(page, user).getByRole("button", { name, exact: true }).click();
export const online = (page, ...users) => Promise.all(users.map((u) => windowOf(page, u).getByText("online", { exact: true }).waitFor()));
export const callbacks = (page, text) => page.locator("#callbacks > li", { hasText: text });
export const show = (page, view) => page.getByRole("tab", { name: new RegExp(`^${view}`) }).click();

export async function write(page, user, text) {
  const box = windowOf(page, user).getByRole("textbox", { name: "Message" });
  await box.fill(text);
  await box.press("Enter");
}

export async function messages(page, group) {
  return page.evaluate(async (id) => (await (await fetch(`dev/rooms/${id}/stats`)).json()).messages, group);
}

// counted waits until the bundle has counted this many messages in a group, and
// the inspector shows them.
export async function counted(page, want) {
  await page.locator("#panel-state dd").first().filter({ hasText: new RegExp(`^${want}$`) }).waitFor();
}

// playLottery starts a lottery in the live room, has bob take part, and draws.
export async function playLottery(page) {
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
