// The scene of the support desk: the guide's whole flow, at both desks.
import assert from "node:assert/strict";
import { close, open, shot, start, stop, story } from "./harness.mjs";
import { attach, box, launcher, picture, said, write } from "./visitor.mjs";

const question = "My printer is offline";
const shopOf = (page) => page.frameLocator("iframe[title='Demo shop']");
const deskOf = (page, agent) => page.frameLocator(`iframe[title="Agent's page of ${agent}"]`);
const writing = (frame) => frame.locator(".typing").filter({ hasText: "is writing" });
const read = (frame, text) => frame.locator(".row.mine").filter({ hasText: text }).locator(".meta .double").waitFor();

// flow plays it: a shopper asks, the ticket appears, an agent is assigned and both chat,
// another takes over, the ticket is solved, its note has what was said, the shopper
// answers the survey.
async function flow(page) {
  const shop = shopOf(page), ticket = page.locator("#tickets li.card").first();
  const within = (agents) => ticket.locator("p").filter({ hasText: new RegExp(`^in its group: [^, ]+${agents ? `, ${agents}` : ""}$`) }).waitFor();
  await launcher(shop).click();
  await shop.getByLabel("Your e-mail").fill("ann@example.com");
  await shop.getByLabel("How can we help?").fill(question);
  await shop.getByRole("button", { name: "Start chat" }).dblclick();
  await said(shop, question).waitFor();
  await ticket.filter({ hasText: question }).waitFor();
  await within("");
  assert.equal(await page.locator("#tickets li.card").count(), 1);
  await said(shop, "You are number 1 in the queue.").waitFor();

  await ticket.getByRole("button", { name: "Assign 701" }).click();
  await within("701");
  const desk = deskOf(page, "701");
  await said(desk, question).waitFor(); // from before he came
  await box(shop).pressSequentially("It says");
  await writing(desk).waitFor();
  await write(shop, "It says PC LOAD LETTER");
  await said(desk, "PC LOAD LETTER").waitFor();
  await read(shop, "PC LOAD LETTER");
  await box(desk).pressSequentially("Load");
  await writing(shop).waitFor();
  await write(desk, "Load paper");
  await said(shop, "Load paper").waitFor();
  await read(desk, "Load paper");
  await shot(page, "desk-scene");

  await attach(shop, "printer.png", "image/png", await picture(page));
  await desk.locator(".row.theirs.is-image img").waitFor();
  await attach(desk, "driver.txt", "text/plain", Buffer.from("the driver"));
  await shop.locator(".row.theirs.is-file").filter({ hasText: "driver.txt" }).waitFor();

  await ticket.getByRole("button", { name: "Assign 702" }).click();
  await within("702");
  await said(deskOf(page, "702"), "PC LOAD LETTER").waitFor();
  await page.reload();
  await launcher(shop).click();
  await said(shop, "Load paper").waitFor(); // who comes back is in the same ticket
  assert.equal(await page.locator("#tickets li.card").count(), 1);

  await ticket.getByRole("button", { name: "Solve, ticket" }).click();
  const notes = ticket.getByRole("list", { name: /^Notes of ticket/ });
  await notes.getByText("Transcript of the chat with").first().waitFor();
  await said(shop, "How was our help?").waitFor();
  const transcript = await notes.locator("pre").first().textContent();
  assert.match(transcript, /: My printer is offline\n.*: It says PC LOAD LETTER\n.*701: Load paper\n.*: \(image http.*\)\n.*701: \(file driver\.txt http.*\)\n/);
  assert.doesNotMatch(transcript, /typing|number 1/);
  await write(shop, "5");
  await ticket.filter({ hasText: "rated 5 of 5" }).waitFor();
  await notes.getByText("The requester rates this conversation 5 of 5.").first().waitFor();
  return { shop, ticket, within };
}

story("a double click opens one ticket; agents come, chat and are relieved; it is solved, rated and closed at Zendesk, and the next is another", async () => {
  const page = await open({}, "desk");
  const { shop, ticket, within } = await flow(page);
  await write(shop, "One more thing");
  await ticket.getByRole("button", { name: "Solve, ticket" }).click(); // it is open again
  await within("702");
  await said(shop, "How was our help?").nth(1).waitFor();
  await ticket.getByRole("list", { name: /^Notes of ticket/ }).getByText("Transcript of the chat with").nth(1).waitFor({ state: "attached" });
  await ticket.getByRole("button", { name: "Close, ticket" }).click();
  await shop.getByRole("button", { name: "Start a new one" }).click();
  assert.equal(await shop.getByLabel("Your e-mail").count(), 0, "who he is, is known");
  await shop.getByLabel("How can we help?").fill("And it smells");
  await shop.getByRole("button", { name: "Start chat" }).click();
  await said(shop, "And it smells").waitFor();
  await page.locator("#tickets li.card").filter({ hasText: "And it smells" }).waitFor();
  await close(page);
});

story("the same at Salesforce, where a closed case waits for its requester", async () => {
  const salesforce = await start("salesforce", 0, 0, "-desk", "salesforce", "-fresh");
  try {
    const page = await open({}, "desk", salesforce.url);
    const { within } = await flow(page);
    await within("702");
    await close(page);
  } finally {
    await stop(salesforce.dev);
  }
});

story("on a phone a shopper asks, is assigned an agent in the list, and both chat", async () => {
  const page = await open({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }, "desk");
  const turn = (to) => page.locator("#cast").getByRole("button", { name: to, exact: true }).tap();
  const fits = async (what) => {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wide, 0, `${what} scrolls sideways`);
    await shot(page, `desk-phone-${what}`);
  };
  const shop = shopOf(page), desk = deskOf(page, "701");
  await launcher(shop).tap();
  await shop.getByLabel("Your e-mail").fill("bea@example.com");
  await shop.getByLabel("How can we help?").fill(question);
  await shop.getByRole("button", { name: "Start chat" }).tap();
  await said(shop, question).waitFor();
  await fits("shop");
  await turn("Tickets");
  const ticket = page.locator("#tickets li.card").first();
  await ticket.filter({ hasText: question }).waitFor();
  await ticket.getByRole("button", { name: "Assign 701" }).tap();
  await ticket.getByRole("button", { name: "Solve, ticket" }).waitFor();
  await fits("tickets");
  await turn("Agent");
  await said(desk, question).waitFor();
  await write(desk, "Load paper");
  await fits("agent");
  await turn("Shop");
  await said(shop, "Load paper").waitFor();
  await fits("answered");
  await close(page);
});
