// Shopify's own linter on the theme app extension, with the assets that it ships.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cp, mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const { themeCheckRun } = createRequire(import.meta.url)("@shopify/theme-check-node");
const root = join(dirname(fileURLToPath(import.meta.url)), "../../..");
const extension = join(root, "integrations/shopify/extensions/chat");
let scratch;

before(async () => {
  execFileSync(join(root, "scripts/build-widget.sh"), { stdio: "ignore" });
  scratch = await mkdtemp(join(tmpdir(), "theme-"));
});
after(() => rm(scratch, { recursive: true, force: true }));

const lint = async (folder) => (await themeCheckRun(folder, "theme-check:theme-app-extension")).offenses.map((o) => `${o.check}: ${o.message}`);

test("theme-check finds nothing", async () => {
  assert.deepEqual(await lint(extension), []);
});

test("theme-check does find what is wrong", async () => {
  for (const [name, wrong, check] of [
    ["asset", (s) => s.replace("launcher.js", "no-launcher.js"), "MissingAsset"],
    ["filter", (s) => s.replace("| asset_url", "| asset_hurl"), "UndefinedObject|UnknownFilter|MissingAsset|LiquidHTMLSyntaxError"],
    ["schema", (s) => s.replace('"target": "body",', '"target": "body"'), "ValidJSON|JSONSyntaxError|ValidSchema"],
  ]) {
    const copy = join(scratch, name);
    await cp(extension, copy, { recursive: true });
    const block = join(copy, "blocks/chat.liquid");
    await writeFile(block, wrong(await readFile(block, "utf8")));
    assert.match((await lint(copy)).join("\n"), new RegExp(check), name);
  }
});

test("the extension holds every module that the launcher can come to, and no more", async () => {
  const assets = join(extension, "assets"), files = await readdir(assets);
  const reached = new Set();
  const follow = async (name) => {
    if (reached.has(name)) return;
    reached.add(name);
    if (name.startsWith("sdk-")) return; // Tencent's
    for (const [, from] of (await readFile(join(assets, name), "utf8")).matchAll(/(?:from|import\(?) ?"\.\/([^"]+)"/g)) await follow(from);
  };
  await follow("launcher.js");
  assert.deepEqual([...reached].sort(), files.filter((f) => f !== ".gitkeep").sort());
  assert.ok((await stat(join(assets, "launcher.js"))).size <= 10_000);
});

test("the chat speaks each language whole, and asks for no sentence that there is none of", async () => {
  const folder = join(root, "integrations/chat");
  const { default: english } = await import(join(folder, "lang-en.js"));
  const files = (await readdir(folder)).filter((f) => f.endsWith(".js"));
  for (const file of files.filter((f) => /^lang-(?!en)/.test(f))) {
    const { default: other } = await import(join(folder, file));
    assert.deepEqual(Object.keys(other).sort(), Object.keys(english).sort(), file);
    for (const [key, text] of Object.entries(english)) assert.deepEqual(other[key].match(/\{\d\}/g)?.sort(), text.match(/\{\d\}/g)?.sort(), `${file}: ${key}`);
  }
  const sources = (await Promise.all(files.filter((f) => !/^(lang-|sdk-)/.test(f)).map((f) => readFile(join(folder, f), "utf8")))).join("\n");
  for (const [, key] of sources.matchAll(/\bt\("(\w+)"/g)) assert.ok(english[key], `no text ${key}`);
  for (const key of Object.keys(english)) assert.ok(sources.includes(`"${key}"`) || key.startsWith("status_"), `${key} is not used`);
});
