// The chatbot: answers that appear while they are written, sources, and a person who
// takes over.
import assert from "node:assert/strict";
import { close, log, online, open, press, shot, story, write } from "./harness.mjs";

story("an answer appears while it is written, its source opens, and a person takes over", async () => {
  const page = await open({}, "direct");
  await online(page, "alice");
  await press(page, "alice", "Robo");
  const said = log(page, "alice");
  await write(page, "alice", "tell me a story");
  const writing = said.locator("p.writing");
  await writing.filter({ hasText: "Once upon a time" }).waitFor(); // and its end is not there yet
  await shot(page, "bot-writing");
  await said.locator("p:not(.writing)").filter({ hasText: "happily ever after." }).waitFor();
  assert.equal(await said.getByText("Once upon a time").count(), 1);

  await write(page, "alice", "how long can I send it back?");
  const source = said.getByRole("link", { name: /help\/returns\.md#how-long-you-have$/ });
  await source.waitFor();
  assert.match(await said.locator("p").last().innerText(), /^Robo.*\[1\]\n+\[1\] Returns/s, "the source stands on a line of its own");
  await said.getByText("within 30 days of delivery").waitFor();
  await shot(page, "bot-source");
  const [opened] = await Promise.all([page.waitForEvent("popup"), source.click()]);
  await opened.locator("#how-long-you-have").getByText("How long you have").waitFor();
  await opened.close();

  await write(page, "alice", "I want a person");
  await said.getByText("I have asked a colleague to help you.").waitFor();
  await write(page, "alice", "/robot");
  await said.getByText("I am here for you again.").waitFor();
  await write(page, "alice", "good evening");
  await said.getByText("You said: good evening").waitFor();
  await close(page);
  const desk = await open({}, "desk"); // alice is in one browser at a time
  await desk.locator("#tickets li").filter({ hasText: "Wants to talk to a person" }).waitFor();
  await shot(desk, "bot-ticket");
  await close(desk);
});

story("on a phone an answer grows, and its source opens", async () => {
  const page = await open({ viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }, "direct");
  await page.locator("#cast").getByRole("button", { name: "bob" }).tap(); // one window at a time
  await online(page, "bob");
  await press(page, "bob", "Robo");
  const said = log(page, "bob");
  await write(page, "bob", "tell me a story");
  await said.locator("p.writing").filter({ hasText: "Once upon a time" }).waitFor();
  await shot(page, "bot-phone-writing");
  await said.locator("p:not(.writing)").filter({ hasText: "happily ever after." }).waitFor();
  await write(page, "bob", "how long can I send it back?");
  const source = said.getByRole("link", { name: /help\/returns\.md#how-long-you-have$/ });
  await source.waitFor();
  await shot(page, "bot-phone-source");
  const [opened] = await Promise.all([page.waitForEvent("popup"), source.tap()]);
  await opened.locator("#how-long-you-have").getByText("How long you have").waitFor();
  await opened.close();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(wide, 0, "the page scrolls sideways");
  await close(page);
});
