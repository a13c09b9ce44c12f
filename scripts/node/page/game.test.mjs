// The scene of the game's lobby: mail, inbox and trades.
import { close, log, online, open, shot, story, write } from "./harness.mjs";

story("the lobby: a mail with gems is sent and claimed, and two players trade a sword", async () => {
  const page = await open({}, "game");
  await online(page, "alice", "bob");
  await write(page, "alice", "hello, world");
  await log(page, "bob").getByText("hello, world").waitFor();
  const mail = page.getByRole("region", { name: "Mail" }), inbox = page.getByRole("region", { name: "Inbox" }), trades = page.getByRole("region", { name: "Trades" });

  await mail.getByRole("button", { name: "Plan" }).click();
  await mail.getByText(/^by batchsendmsg: 1 call/).waitFor();
  await mail.getByRole("button", { name: "Send the mail" }).click();
  await mail.locator("#campaigns li").first().filter({ hasText: /sent.*4 of 4 by batchsendmsg/ }).waitFor();

  await inbox.getByText("bob has 20 gem, 2 sword").waitFor();
  const letter = inbox.locator("#inbox li").first();
  await letter.filter({ hasText: "With 5 gem." }).waitFor();
  await letter.getByRole("button", { name: "Claim Season 3" }).click();
  await letter.filter({ hasText: "claimed" }).waitFor();
  await inbox.getByText("bob has 25 gem, 2 sword").waitFor();
  await inbox.getByText("0 unread").waitFor();

  await trades.getByRole("button", { name: "alice offers bob a sword for ten gems" }).click();
  const trade = trades.locator("#trades li").first();
  await trade.filter({ hasText: "open" }).waitFor();
  await shot(page, "game");
  await trade.getByRole("button", { name: "bob accepts" }).click();
  await trade.filter({ hasText: "done" }).waitFor();
  await inbox.getByText("bob has 15 gem, 3 sword").waitFor();
  await close(page);
});
