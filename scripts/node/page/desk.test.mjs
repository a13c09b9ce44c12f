// The scene of the support desk.
import assert from "node:assert/strict";
import { close, log, online, open, press, shot, story } from "./harness.mjs";

story("a double click opens one ticket, with its group; agents come, are relieved, and leave with it", async () => {
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
