// The scene of teams.
import assert from "node:assert/strict";
import { callbacks, close, online, open, shot, story } from "./harness.mjs";

story("a team fills and its match starts, once; a started team offers no joins", async () => {
  const page = await open({}, "team");
  await online(page, "alice");
  await page.getByRole("button", { name: "Make a team as alice" }).click();
  const team = page.locator("#teams li").first();
  const shows = (text) => team.filter({ hasText: text }).waitFor();
  const click = (name) => team.getByRole("button", { name }).click();
  await shows(/open\s*1 of 3: alice/);
  await click("bob joins");
  await shows("2 of 3: alice, bob");
  await click("bob leaves");
  await shows("1 of 3: alice");
  await click("dave joins");
  await shows("2 of 3: alice, dave");
  await click("carol joins");
  await shows(/3 of 3: alice, (carol, dave|dave, carol); match started with alice, (carol, dave|dave, carol)/);
  assert.equal((await team.innerText()).split("match started").length - 1, 1);
  await page.getByRole("radio", { name: "all" }).check();
  await callbacks(page, "after group full").first().waitFor();
  await shot(page, "team");
  await click("dave leaves");
  await shows(/started\s*2 of 3: alice, carol/);
  assert.equal(await team.getByRole("button", { name: "joins" }).count(), 0);
  await page.reload();
  await shows(/started\s*2 of 3: alice, carol; match started with/);
  await click("Dissolve");
  await shows("ended");
  await close(page);
});
