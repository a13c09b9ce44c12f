// The tests of the Lightning web component, by Salesforce's own runner.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const project = join(dirname(fileURLToPath(import.meta.url)), "../../../integrations/salesforce");
const runner = createRequire(import.meta.url).resolve("@salesforce/sfdx-lwc-jest/bin/sfdx-lwc-jest");
const component = "force-app/main/default/lwc/imChat/imChat.js";
let scratch;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "lwc-"));
  await cp(project, scratch, { recursive: true, filter: (path) => !path.includes("node_modules") });
  await symlink(join(dirname(runner), "../../.."), join(scratch, "node_modules"), "dir");
});
after(() => rm(scratch, { recursive: true, force: true }));

const run = () => new Promise((resolve) => {
  execFile(process.execPath, [runner, "--", "--ci", "--cacheDirectory", join(scratch, ".cache")], { cwd: scratch, env: { ...process.env, NODE_OPTIONS: "" } }, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, text: stdout + stderr }));
});

test("the component passes its tests", async () => {
  const { code, text } = await run();
  assert.equal(code, 0, text);
  assert.match(text, /Tests: +10 passed, 10 total/);
});

test("a component that hears every frame fails them", async () => {
  const path = join(scratch, component);
  const source = await readFile(path, "utf8");
  const edited = source.replace("event.source !== frame.contentWindow || ", "");
  assert.notEqual(edited, source);
  await writeFile(path, edited);
  const { code, text } = await run();
  assert.notEqual(code, 0);
  assert.match(text, /hears its own frame alone/);
});
