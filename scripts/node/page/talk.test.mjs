// Scenes in which people write to each other: moderation, one to one, the chatbot.
import assert from "node:assert/strict";
import { callbacks, close, counted, log, messages, online, open, press, shot, show, story, windowOf, write } from "./harness.mjs";

story("two users talk; a message counts once, also when its callback is replayed or sent twice", async () => {
  const page = await open();
  await online(page, "alice", "bob");
  const before = await messages(page, "lobby");
  await press(page, "alice", "Hello everyone");
  await log(page, "bob").getByText("Hello everyone").waitFor();
  await write(page, "bob", "Hello alice");
  await log(page, "alice").getByText("Hello alice").waitFor();
  const told = callbacks(page, "Hello alice").filter({ hasNotText: "before" });
  await told.getByRole("button", { name: "Replay Group.CallbackAfterSendMsg" }).click();
  await told.nth(1).waitFor();
  await show(page, "State");
  await counted(page, before + 2);
  await show(page, "Chaos");
  await page.getByLabel("Send after-callbacks twice").check();
  await write(page, "alice", "twice told");
  await show(page, "Callbacks");
  await callbacks(page, "twice told").nth(2).waitFor();
  await show(page, "State");
  await counted(page, before + 3);
  await show(page, "Chaos");
  await page.getByLabel("Send after-callbacks twice").uncheck();
  await close(page);
});

story("the states of a message: dropped for the others, masked, and recalled", async () => {
  const page = await open({}, "moderation");
  await online(page, "alice", "bob");
  await press(page, "alice", "buy followers");
  await log(page, "alice").getByText("dropped: only alice sees it").waitFor();
  await press(page, "alice", "what a bullshit");
  await log(page, "alice").getByText("masked for the others").waitFor();
  await log(page, "bob").getByText("what a ********").waitFor();
  assert.doesNotMatch(await log(page, "bob").innerText(), /followers|bullshit/);
  await write(page, "alice", "sent too early");
  await log(page, "bob").getByText("sent too early").waitFor();
  await log(page, "alice").locator("p", { hasText: "sent too early" }).getByRole("button", { name: "Recall" }).click();
  await log(page, "bob").getByText("message recalled").waitFor();
  await log(page, "alice").getByText("message recalled").waitFor();
  assert.doesNotMatch(await log(page, "bob").innerText(), /too early/);
  await close(page);
});

story("a held message waits for a moderator; approved by a double click it is sent once and its bubble says so, rejected never", async () => {
  const page = await open({}, "moderation");
  await online(page, "alice", "bob");
  await press(page, "alice", "add me on telegram");
  await log(page, "alice").getByText("waits for a moderator").waitFor();
  const moderator = page.getByRole("region", { name: "Moderator" });
  await moderator.getByRole("button", { name: "Approve what alice wrote" }).dblclick();
  await log(page, "bob").getByText("add me on telegram").waitFor();
  await log(page, "alice").getByText("approved by a moderator").waitFor();
  assert.equal(await log(page, "alice").getByText("add me on telegram").count(), 1);
  await press(page, "bob", "add me on telegram");
  await moderator.getByRole("button", { name: "Reject what bob wrote" }).click();
  await log(page, "bob").getByText("rejected by a moderator").waitFor();
  await windowOf(page, "bob").getByText("administrator A message of yours was not accepted").waitFor();
  await moderator.locator(".trail").getByText("message rejected").waitFor();
  assert.equal(await log(page, "alice").getByText("add me on telegram").count(), 1);
  await moderator.getByRole("button", { name: "Forgive bob" }).click();
  await close(page);
});

story("strikes mute and ban; a banned user's window says so, and lives again once he is forgiven", async () => {
  const page = await open({}, "moderation");
  await online(page, "alice", "bob");
  const moderator = page.getByRole("region", { name: "Moderator" });
  await moderator.getByRole("button", { name: "3 strikes, bob" }).click();
  await moderator.getByText("3 points, muted until").waitFor();
  await windowOf(page, "bob").getByText("You cannot write for a while").waitFor();
  await moderator.getByRole("button", { name: "3 strikes, bob" }).click();
  await windowOf(page, "bob").getByText("bob is banned").waitFor();
  await moderator.locator(".trail").getByText("user banned").first().waitFor();
  await shot(page, "banned");
  await moderator.getByRole("button", { name: "Forgive bob" }).click();
  await online(page, "bob");
  await write(page, "bob", "I am back");
  await log(page, "alice").getByText("I am back").waitFor();
  await close(page);
});

story("one to one: the message of a third user arrives, in his own conversation", async () => {
  const page = await open({}, "direct");
  await online(page, "alice", "bob");
  await page.getByRole("button", { name: "Another user" }).click();
  await online(page, "carol");
  await windowOf(page, "carol").getByRole("button", { name: "bob", exact: true }).click();
  await write(page, "carol", "it is me, carol");
  await windowOf(page, "bob").getByRole("button", { name: "carol 1" }).or(windowOf(page, "bob").getByRole("button", { name: "carol1" })).click();
  await log(page, "bob").getByText("it is me, carol").waitFor();
  await write(page, "bob", "I see you");
  await log(page, "carol").getByText("I see you").waitFor();
  assert.doesNotMatch(await log(page, "alice").innerText(), /carol|see you/);
  await close(page);
});

story("a chatbot answers each in a conversation of his own, and remembers it until told to forget", async () => {
  const page = await open({}, "direct");
  await online(page, "alice", "bob");
  for (const user of ["alice", "bob"]) await press(page, user, "Robo");
  await write(page, "alice", "good morning");
  await log(page, "alice").getByText("You said: good morning").waitFor();
  await write(page, "bob", "what do you remember?");
  await log(page, "bob").getByText("We have not talked before.").waitFor();
  await write(page, "alice", "what do you remember?");
  await log(page, "alice").getByText("You said “good morning”.").waitFor();
  await press(page, "alice", "/forget");
  await log(page, "alice").getByText("I have forgotten what we talked about.").waitFor();
  await write(page, "alice", "now fail");
  await log(page, "alice").getByText("Sorry, I cannot answer at the moment.").waitFor();
  const text = await log(page, "alice").innerText();
  assert.equal(text.split("You said: good morning").length, 2);
  assert.doesNotMatch(text, /think/);
  await close(page);
});

story("what is said without a connection is not sent, until it is back", async () => {
  const page = await open({}, "team");
  await online(page, "alice", "bob");
  await press(page, "bob", "Lose connection");
  await windowOf(page, "bob").getByText("no connection", { exact: true }).waitFor();
  await write(page, "bob", "from the tunnel");
  await log(page, "bob").getByText("not sent: no connection").waitFor();
  await write(page, "alice", "where is bob?");
  await log(page, "alice").locator("p", { hasText: /where is bob\?\s*sent/ }).waitFor();
  assert.doesNotMatch(await log(page, "bob").innerText(), /where is bob/);
  assert.doesNotMatch(await log(page, "alice").innerText(), /tunnel/);
  await press(page, "bob", "Connect again");
  await online(page, "bob");
  await log(page, "bob").getByText("where is bob?").waitFor();
  await log(page, "bob").getByRole("button", { name: "Retry" }).click();
  await log(page, "alice").getByText("from the tunnel").waitFor();
  await close(page);
});
