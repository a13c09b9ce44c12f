// Each scene and view on a phone and a desktop, light and dark: it fits, and anyone can use it.
import assert from "node:assert/strict";
import { join } from "node:path";
import { axe, callbacks, log, online, open, press, shot, show, story } from "./harness.mjs";

for (const colorScheme of ["light", "dark"]) {
  for (const [name, options] of [["phone", { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }], ["desktop", { viewport: { width: 1440, height: 900 } }]]) {
    story(`${name}, ${colorScheme}: each scene and view fits and is accessible`, async () => {
      const page = await open({ ...options, colorScheme, bypassCSP: true, reducedMotion: "reduce" });
      await online(page, "alice");
      await press(page, "alice", "Hello everyone");
      await press(page, "alice", "join my casino now");
      await log(page, "alice").getByText("refused, error 10016").waitFor();
      await page.addScriptTag({ content: axe });
      const check = async (what) => {
        const wide = await page.evaluate(() => [...document.querySelectorAll("body *")].filter((e) => {
          if (e.closest("pre, #scenes, #panes, #cast, .chips, .giftbar, .spoken, svg")) return false;
          return e.getBoundingClientRect().right > innerWidth + 0.5;
        }).map((e) => e.outerHTML.slice(0, 80)));
        assert.deepEqual(wide, [], `${what} scrolls sideways`);
        if (name === "phone") {
          const small = await page.evaluate(() => [...document.querySelectorAll("button, select, input:not([type=checkbox], [type=radio]), #chaos label, .filter label")]
            .filter((e) => e.checkVisibility() && !e.closest(".messages, .letters")).map((e) => [e, e.getBoundingClientRect()])
            .filter(([, r]) => r.width > 0 && (r.height < 43.5 || r.width < 43.5)).map(([e, r]) => `${e.textContent.slice(0, 30)} ${Math.round(r.width)}x${Math.round(r.height)}`));
          assert.deepEqual(small, [], `${what}: targets under 44 px`);
          assert.equal(await page.locator(".pane:visible").count() <= 1, true, "one user at a time");
        }
        // In the dark, colours are what can be wrong alone.
        const rules = colorScheme === "dark" ? { runOnly: ["color-contrast"] } : {};
        const found = await page.evaluate((rules) => axe.run({ exclude: ["#callbacks > li:nth-child(n + 5)", ".messages > :nth-last-child(n + 8)"] }, { resultTypes: ["violations"], ...rules }), rules);
        assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`), [], what);
        await shot(page, `${name}-${colorScheme}-${what}`);
      };
      for (const scene of await page.locator("#scenes").getByRole("tab").all()) {
        await scene.click();
        await page.locator(".pane").first().waitFor();
        await check(await scene.innerText());
      }
      await page.locator("#scenes").getByRole("tab").first().click();
      for (const view of ["Callbacks", "State", "Jobs", "Reviews", "Chaos"]) {
        await show(page, view);
        if (view === "Callbacks") await page.locator("#callbacks summary").first().click();
        await check(view);
      }
      await page.close();
    });
  }
}
