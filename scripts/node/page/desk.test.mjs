// The scene of the support desk: the guide's whole flow, at both desks.
import assert from "node:assert/strict";
import { close, log, online, open, press, shot, start, stop, story } from "./harness.mjs";

// flow plays it: a user asks, the ticket appears, an agent is assigned and both chat,
// another takes over, the ticket is solved, its note has what was said, the user answers
// the survey, and the ticket is closed.
async function flow(page) {
  await online(page, "alice");
  await page.getByRole("button", { name: "Ask for help as alice" }).dblclick();
  const ticket = page.locator("#tickets li.card").first();
  const within = (members) => ticket.filter({ hasText: `in its group: ${members}` }).waitFor();
  await ticket.filter({ hasText: "printer offline" }).waitFor();
  await within("alice");
  assert.equal(await page.locator("#tickets li.card").count(), 1);
  await log(page, "alice").getByText("You are number 1 in the queue.").waitFor();
  await ticket.getByRole("button", { name: "Assign 701" }).click();
  await within("alice, 701");
  await press(page, "alice", "Hello, my printer is offline");
  const desk = page.frameLocator("iframe[title^=\"Agent's page\"]");
  await desk.getByText("my printer is offline").filter({ visible: true }).first().waitFor();
  await desk.getByRole("textbox").last().fill("How can I help?");
  await desk.getByRole("textbox").last().press("Enter");
  await log(page, "alice").getByText("How can I help?").waitFor();
  await ticket.getByRole("button", { name: "Assign 702" }).click();
  await within("alice, 702");
  await shot(page, "ticket");
  await ticket.getByRole("button", { name: "Solve, ticket" }).click();
  const notes = ticket.getByRole("list", { name: /^Notes of ticket/ });
  await notes.getByText("Transcript of the chat with alice").first().waitFor();
  await log(page, "alice").getByText("How was our help?").waitFor();
  const transcript = await notes.locator("pre").first().textContent();
  assert.match(transcript, /alice: Hello, my printer is offline\n.*701: How can I help\?\n/);
  await press(page, "alice", "5");
  await ticket.filter({ hasText: "rated 5 of 5" }).waitFor();
  await notes.getByText("The requester rates this conversation 5 of 5.").first().waitFor();
  return { ticket, within };
}

story("a double click opens one ticket; agents come, chat and are relieved; it is solved, rated and closed at Zendesk", async () => {
  const page = await open({}, "desk");
  const { ticket, within } = await flow(page);
  await ticket.getByRole("button", { name: "Reopen, ticket" }).click();
  await within("alice, 702");
  await ticket.getByRole("button", { name: "Close, ticket" }).click();
  await within("nobody");
  await close(page);
});

story("the same at Salesforce, where a closed case waits for its requester", async () => {
  const salesforce = await start("salesforce", 0, 0, "-desk", "salesforce", "-fresh");
  try {
    const page = await open({}, "desk", salesforce.url);
    const { within } = await flow(page);
    await within("alice, 702");
    await close(page);
  } finally {
    await stop(salesforce.dev);
  }
});
