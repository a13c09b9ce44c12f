// The whole page of docs/scenarios/front-end.md, as a newcomer pastes it: from a server of its own, beside
// scripts/dev, whose addresses take the place of the usual ones. The environment has BUNDLE.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { alice, base, bob, browser, check, strangers } from "./harness.mjs";

const origins = [3000, 5173, 8000]; // those that scripts/dev lets ask for a UserSig

// The page logs alice in, who is kicked off her page of the other checks: this one is the last.
check("the page of the documentation chats as it is pasted", async () => {
  const [, block] = (await readFile(new URL("../../../docs/scenarios/front-end.md", import.meta.url), "utf8")).match(/```html\n([\s\S]*?)```/);
  assert.ok(block.trimEnd().split("\n").length <= 16, "the page is short");
  const html = block.replaceAll("http://127.0.0.1:8080", process.env.BUNDLE).replaceAll("ws://127.0.0.1:8081", base.replace("http", "ws"));
  const server = createServer(async (request, response) => {
    const script = request.url.startsWith("/node_modules/") && (await readFile(new URL(`..${request.url}`, import.meta.url)));
    response.setHeader("Content-Type", script ? "text/javascript" : "text/html");
    response.end(script || html);
  });
  const listens = (port) => new Promise((resolve) => server.once("error", () => resolve(false)).listen(port, "127.0.0.1", () => resolve(true)));
  let origin;
  for (const port of origins) if (!origin && (await listens(port))) origin = `http://127.0.0.1:${port}`;
  assert.ok(origin, `one of the ports ${origins} is free`);
  await bob.must(() => chat.joinGroup({ groupID: "lobby" }));
  await alice.do(() => chat.quitGroup("lobby")); // the checks before may have had her join
  const page = await browser.newPage();
  page.on("request", (r) => /^(http:\/\/127\.0\.0\.1[:/]|blob:|data:)/.test(r.url()) || strangers.push(r.url()));
  try {
    await page.goto(origin);
    await bob.wait("MESSAGE_RECEIVED", (list) => list.some((m) => m.type === "TIMGroupTipElem" && m.payload.operationType === 1 && m.payload.userIDList.includes("alice")));
    await bob.text("lobby", "hello, newcomer", { group: true });
    await page.getByText("bob: hello, newcomer").waitFor();
    await page.getByRole("textbox").fill("it works as pasted");
    await page.getByRole("button", { name: "send" }).click();
    assert.equal((await bob.received("it works as pasted")).from, "alice");
    await page.getByText("alice: it works as pasted").waitFor();
  } finally {
    await page.close();
    server.close();
  }
});
