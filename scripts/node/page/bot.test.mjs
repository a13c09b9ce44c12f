// The chatbot: answers that appear while they are written, sources, and a person who
// takes over.
import assert from "node:assert/strict";
import { close, log, online, open, press, story, write } from "./harness.mjs";

story("an answer appears while it is written, its source opens, and a person takes over", async () => {
  const page = await open({}, "direct");
  await online(page, "alice");
  await press(page, "alice", "Robo");
  const said = log(page, "alice");
  await write(page, "alice", "tell me a story");
  const writing = said.locator("p.writing");
  await writing.filter({ hasText: "Once upon a time" }).waitFor(); // and its end is not there yet
  await said.locator("p:not(.writing)").filter({ hasText: "happily ever after." }).waitFor();
  assert.equal(await said.getByText("Once upon a time").count(), 1);

  await write(page, "alice", "how long can I send it back?");
  const source = said.getByRole("link", { name: /help\/returns\.md#how-long-you-have$/ });
  await source.waitFor();
  await said.getByText("within 30 days of delivery").waitFor();
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
  await close(desk);
});
