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
  dev = spawn(program, ["-addr", "127.0.0.1:0", "-state", join(scratch, "state")], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
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
  page.on("console", (m) => m.type() === "error" && errors.push(m.text()));
  await page.goto(url);
  await page.getByText("live", { exact: true }).waitFor();
  return { page, errors };
}

// shot keeps a picture for whoever wants to look, outside the repository.
async function shot(page, name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`), fullPage: true });
}

test("a blocked word is rejected, a delivered message counts once", async () => {
  const { page, errors } = await open({ viewport: { width: 1280, height: 900 } });
  await page.getByRole("button", { name: "A message with a blocked word" }).click();
  await page.locator(".verdict", { hasText: "reject" }).waitFor();
  await page.getByRole("button", { name: "A delivered message, twice" }).click();
  await page.getByText('"messages": 1').waitFor();
  assert.equal(await page.locator("#list > li").count(), 3);
  await page.locator("summary", { hasText: "reject" }).click();
  assert.match(await page.locator("details[open]").innerText(), /casino[\s\S]*"ErrorCode": 1/);
  await shot(page, "desktop");
  assert.deepEqual(errors, []);
  await page.close();
});

test("what people write is shown, never run", async () => {
  const { page, errors } = await open({});
  const text = "<img src=x onerror=alert(1)><script>alert(2)</script>";
  await page.evaluate((t) => fetch("dev/trigger", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text: t }) }), text);
  await page.locator("summary").first().click();
  await page.getByText("onerror=alert(1)").first().waitFor();
  assert.equal(await page.locator("main img, main script").count(), 0);
  assert.deepEqual(errors, []);
  await page.close();
});

for (const scheme of ["light", "dark"]) {
  for (const [name, width] of [["phone", 390], ["desktop", 1280]]) {
    test(`${name}, ${scheme}: fits and is accessible`, async () => {
      const { page } = await open({ viewport: { width, height: 844 }, colorScheme: scheme, bypassCSP: true });
      await page.getByRole("button", { name: "A friendly message" }).click();
      await page.locator(".verdict", { hasText: "allow" }).first().waitFor();
      await page.locator("summary").first().click();
      await shot(page, `${name}-${scheme}`);
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
