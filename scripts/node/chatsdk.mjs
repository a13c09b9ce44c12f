// The official web Chat SDK in a real browser, against the emulator's gate:
//
//	node chatsdk.mjs EMULATOR_URL SDKAPPID KEY PACKAGE FILE...
//
// PACKAGE is the SDK's npm package, @tencentcloud/chat or an older one of
// package.json. Each FILE of chatsdk/, named without its ending, adds checks, and each
// check asserts what arrived at the other end, or in the emulator, not only that a
// promise resolved. No request leaves the machine: no name resolves, and the run fails
// if one tries, except for the statistics of older SDKs. ONLY, an environment variable,
// is a regular expression of the checks to run.
import assert from "node:assert/strict";
import { alice, answered, bob, check, checks, control, running, statistics, stop, strangers, version } from "./chatsdk/harness.mjs";

check("login and SDK_READY", () => Promise.all([alice.login(), bob.login()]));
for (const file of process.argv.slice(6)) await import(`./chatsdk/${file}.mjs`);
check("no page had an error", async () => {
  // The SDK leaves rejections of its own error type (a bare class name) unhandled, and 3.1.1 those of requests that
  // cross a logout.
  assert.deepEqual([...alice.errors, ...bob.errors].filter((e) => !/^(\w{1,3}|not logged in) in /.test(e)), []);
});
check("no request left the machine", async () => {
  assert.deepEqual(answered, []);
  assert.deepEqual(strangers.filter((url) => !statistics(url)), []);
});

const only = process.env.ONLY && new RegExp(process.env.ONLY);
let failed = 0;
const lacking = []; // checks that this SDK cannot do
for (const { name, run, needs, lacks } of checks) {
  if (only && !only.test(name) && !name.startsWith("login and")) continue;
  if (lacks || (needs.length && !(await alice.page.evaluate((needs) => needs.every((call) => typeof chat[call] === "function"), needs)))) {
    lacking.push(name);
    continue;
  }
  running.name = name;
  const start = Date.now();
  try {
    await run();
    console.log(`ok    ${name} (${Date.now() - start} ms)`);
  } catch (e) {
    failed++;
    console.log(`FAIL  ${name}: ${e.message}`);
  }
}
console.log(`${checks.length - lacking.length - failed} of ${checks.length - lacking.length} checks`);
for (const name of lacking) console.log(`not possible with ${version}: ${name}`);
const { calls } = await control("calls");
const unknown = [...new Set(calls.filter((c) => c.command.startsWith("sdk:")).map((c) => `${c.command} ${process.env.BODIES ? c.body : ""}`))];
if (unknown.length) console.log(`commands the gate does not know: ${unknown.join(" ")}`);
await stop();
process.exit(failed ? 1 : 0);
