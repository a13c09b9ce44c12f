// The scene of the live room.
import assert from "node:assert/strict";
import { join } from "node:path";
import { close, log, online, open, playLottery, press, shot, show, story, windowOf, write } from "./harness.mjs";

story("the live room: the owner goes live, and likes and gifts fly, count and show in order", async () => {
  const page = await open();
  await online(page, "alice", "bob");
  const host = page.getByRole("region", { name: "Host" });
  await host.getByRole("button", { name: "Go live" }).click();
  for (const user of ["alice", "bob"]) await windowOf(page, user).locator(".status").getByText("LIVE", { exact: true }).waitFor();
  await write(page, "bob", "what a show");
  await windowOf(page, "alice").locator(".danmaku").getByText("what a show").waitFor();
  const rose = windowOf(page, "bob").getByRole("button", { name: "Give Rose, 1 coins" });
  for (let i = 0; i < 5; i++) await rose.click();
  for (let i = 0; i < 3; i++) await press(page, "bob", "Like");
  for (const user of ["alice", "bob"]) {
    await windowOf(page, user).locator(".gift", { hasText: "bob sent Rose" }).getByText("×5", { exact: true }).waitFor();
    await windowOf(page, user).locator(".figures").getByText("3", { exact: true }).waitFor();
  }
  await log(page, "alice").getByText("sent Rose ×5").waitFor();
  await windowOf(page, "bob").getByText("95 coins").waitFor();
  const bob = host.getByRole("list", { name: "Most active users" }).locator("li", { hasText: "bob" });
  await bob.getByText(/5 gifts · 3 likes/).waitFor();
  await bob.getByText(/^Lv \d/).waitFor();
  await log(page, "alice").locator("p", { hasText: "what a show" }).getByText(/^Lv \d/).waitFor();
  await shot(page, "live");

  for (let i = 0; i < 5; i++) await windowOf(page, "bob").getByRole("button", { name: "Give Rocket, 20 coins" }).click();
  await windowOf(page, "bob").getByText("not enough coins: top up first").waitFor();
  await windowOf(page, "bob").getByRole("button", { name: "Top up the coins" }).click();
  await windowOf(page, "bob").getByText("115 coins").waitFor();
  await close(page);
});

story("the live room: the owner changes the notice, mutes a viewer and removes him, who comes back", async () => {
  const page = await open();
  await online(page, "alice", "bob");
  const host = page.getByRole("region", { name: "Host" });
  await host.getByRole("textbox", { name: "Notice" }).fill("No spoilers, please");
  await host.getByRole("button", { name: "Save the notice" }).click();
  await windowOf(page, "bob").locator(".notice").getByText("No spoilers, please").waitFor();
  await host.getByRole("button", { name: "Mute bob" }).click();
  await log(page, "bob").getByText(/^muted until/).waitFor();
  await write(page, "bob", "can you hear me?");
  await log(page, "bob").locator("p.refused", { hasText: "can you hear me?" }).waitFor();
  await host.getByRole("button", { name: "Unmute bob" }).click();
  await log(page, "bob").getByText("no longer muted").waitFor();
  await host.getByRole("button", { name: "Kick bob" }).click();
  await windowOf(page, "bob").getByText("bob is no longer in this group.").waitFor();
  await windowOf(page, "bob").getByRole("button", { name: "Enter again" }).click();
  await windowOf(page, "bob").getByRole("alert").waitFor();
  await host.getByRole("button", { name: "Let back bob" }).click();
  await host.getByRole("button", { name: "Kick bob" }).waitFor();
  await windowOf(page, "bob").getByRole("button", { name: "Enter again" }).click();
  await windowOf(page, "bob").getByText("bob is no longer in this group.").waitFor({ state: "hidden" });
  await write(page, "bob", "I am back");
  await log(page, "alice").getByText("I am back").waitFor();
  await close(page);
});

story("the live room: viewers come from the room, follow the anchor and pay; history, drops and a broadcast", async () => {
  const page = await open();
  await online(page, "alice", "bob");
  const host = page.getByRole("region", { name: "Host" });
  await host.getByRole("list", { name: "Viewers" }).locator("li", { hasText: "bob" }).waitFor();
  await windowOf(page, "bob").locator(".anchor").getByText("alice").waitFor();
  await windowOf(page, "bob").getByRole("button", { name: "Follow", exact: true }).click();
  await windowOf(page, "bob").locator(".anchor").getByText("1 fan", { exact: true }).waitFor();
  await windowOf(page, "bob").getByRole("button", { name: "Unfollow" }).waitFor();
  await host.getByRole("button", { name: "Make member bob" }).click();
  await host.getByRole("list", { name: "Viewers" }).locator("li", { hasText: "bob" }).getByText("member", { exact: true }).waitFor();
  await host.getByText("Broadcast, history, drops").click();
  await write(page, "bob", "for those who come later");
  await host.getByRole("list", { name: "History" }).getByText("for those who come later").waitFor();
  await host.getByText("IM dropped no message.").waitFor();
  await host.getByRole("textbox", { name: "To all rooms" }).fill("good night, all rooms");
  await host.getByRole("button", { name: "Broadcast" }).click();
  await log(page, "bob").getByText("good night, all rooms").waitFor();
  await host.getByText(/^Sent/).waitFor();
  await close(page);
});

story("the live room: a lottery is drawn, and verified from what is public", async () => {
  const page = await open();
  const host = await playLottery(page);
  await host.getByText("bob won a mug, of 1 who took part.").waitFor();
  await host.getByRole("button", { name: "Verify" }).click();
  await host.getByText("Verified: seed, order and winners are right.").waitFor();
  const forged = await page.evaluate(async () => {
    const { verify } = await import("./scenes/live/lottery.js");
    const seed = "00", hash = async (t) => [...new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(t)))].map((b) => b.toString(16).padStart(2, "0")).join("");
    const commitment = await hash(seed);
    const keyed = await Promise.all(["alice", "bob", "carol"].map(async (u) => [await hash(`${seed}:${u}`), u]));
    const entries = keyed.sort().map(([, u]) => u);
    const draw = { seed, entries, winners: [entries[0]], winnersWanted: 1 };
    return Promise.all([verify(commitment, draw), verify(commitment, { ...draw, seed: "01" }), verify(commitment, { ...draw, entries: entries.toReversed() }), verify(commitment, { ...draw, winners: [entries[1]] })].map(async (w) => (await w).length));
  });
  assert.equal(forged[0], 0, "an honest draw");
  assert.ok(forged.slice(1).every((n) => n > 0), `forged draws pass: ${forged}`);
  await close(page);
});
