// The scene of communities: channels, unread badges, reactions, threads, pins, voice.
import assert from "node:assert/strict";
import { close, log, online, open, press, shot, story, windowOf, write } from "./harness.mjs";

const tree = (page, user) => windowOf(page, user).getByRole("group", { name: "Channels" });
const channel = (page, user, name) => tree(page, user).getByRole("button", { name });

story("channels are kept apart, a badge counts what was missed, and reading clears it", async () => {
  const page = await open({}, "community");
  await online(page, "alice", "bob");
  await channel(page, "alice", "# general").waitFor();
  await channel(page, "bob", "# off-topic").click();
  await press(page, "alice", "Hello everyone");
  await log(page, "alice").getByText("Hello everyone").waitFor();
  await channel(page, "bob", "# general 1").waitFor();
  assert.doesNotMatch(await log(page, "bob").innerText(), /Hello everyone/);
  await windowOf(page, "bob").getByRole("button", { name: /Plaza, \d+ unread/ }).waitFor();
  await channel(page, "bob", "# general 1").click();
  await log(page, "bob").getByText("Hello everyone").waitFor();
  await channel(page, "bob", /^# general$/).waitFor();
  await windowOf(page, "bob").getByRole("button", { name: "Plaza", exact: true }).waitFor();
  await close(page);
});

story("a reaction, a pin and a thread beside the conversation reach the other", async () => {
  const page = await open({}, "community");
  await online(page, "alice", "bob");
  await channel(page, "alice", "# general").click();
  await write(page, "alice", "who is for lunch?");
  const theirs = log(page, "bob").locator("p", { hasText: "who is for lunch?" }).last();
  await theirs.getByRole("button", { name: "React with 👍" }).click();
  const mine = log(page, "alice").locator("p", { hasText: "who is for lunch?" }).last();
  await mine.getByRole("button", { name: "React with 👍, 1" }).waitFor();
  await mine.getByRole("button", { name: "Pin", exact: true }).click();
  await windowOf(page, "bob").getByText("pinned: who is for lunch?").waitFor();
  await theirs.getByRole("button", { name: "Thread" }).click();
  const thread = (user) => windowOf(page, user).getByRole("group", { name: "Thread", exact: true });
  await thread("bob").getByLabel("Answer").fill("I am");
  await thread("bob").getByRole("button", { name: "Answer" }).click();
  await mine.getByRole("button", { name: "1 reply" }).click();
  await thread("alice").getByText("I am").waitFor();
  await shot(page, "community");
  await close(page);
});

story("a user is in one voice channel, and the members stand by role", async () => {
  const page = await open({}, "community");
  await online(page, "alice", "bob");
  for (const user of ["alice", "bob"]) await tree(page, user).getByRole("button", { name: "Join Lobby" }).click();
  await tree(page, "alice").getByText("alice, bob").waitFor();
  await tree(page, "bob").getByRole("button", { name: "Join Gaming" }).click();
  await tree(page, "bob").getByRole("button", { name: "Leave Gaming" }).waitFor();
  await tree(page, "alice").locator(".voice", { hasText: "Lobby" }).getByText(/^alice$/).waitFor();
  await windowOf(page, "alice").getByRole("group", { name: "Members by role" }).getByText("moderator bob").waitFor();
  await close(page);
});
