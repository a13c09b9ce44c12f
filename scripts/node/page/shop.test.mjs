// The shop's widget and the agent who answers, on the demo shop of scripts/dev, with
// the official Chat SDK against the emulator's gate.
import assert from "node:assert/strict";
import { axe, browser, shot, story } from "./harness.mjs";
import { agent, agentPage, attach, begin, box, choose, desktop, emulator, launcher, leave, phone, picture, said, settings, start, visitor, write } from "./visitor.mjs";

story("before it is opened: one small request, no storage, no cookie, no global, nothing moves", async () => {
  const names = (page) => page.evaluate(() => Object.getOwnPropertyNames(window).filter((n) => !/^\d+$/.test(n)).sort());
  await settings({ agent_user_id: "" });
  const without = await visitor("/shop/");
  assert.equal(await without.locator("#backchannel-chat").count(), 0, "a blank setting renders nothing");
  assert.deepEqual(without.asked.filter((u) => u.includes("/chat/")), []);
  const before = await names(without);
  await leave(without);
  const editor = await visitor("/shop/?design=1");
  await editor.getByText("The chat is not shown yet").waitFor();
  assert.deepEqual(await editor.locator("[role=status] li").allInnerTexts(), ["UserID of the agent"]);
  await leave(editor);
  await settings({ agent_user_id: "shop-agent" });

  const page = await visitor("/shop/");
  await launcher(page).waitFor();
  const loaded = page.asked.filter((u) => !/\/shop\//.test(u));
  assert.deepEqual(loaded.map((u) => new URL(u).pathname), ["/chat/launcher.js"]);
  assert.ok(Buffer.byteLength(await (await fetch(loaded[0])).text()) <= 10_000);
  assert.deepEqual(await names(page), before, "names in the page");
  assert.deepEqual(await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie]), [0, 0, ""]);
  assert.equal(await page.evaluate(() => shifts), 0, "layout shift");
  await launcher(page).click();
  await page.getByLabel("Your e-mail").waitFor();
  assert.deepEqual(page.asked.filter((u) => /apps\/im|sdk-/.test(u)), [], "opening it makes no guest");
  assert.equal(await page.evaluate(() => shifts), 0, "layout shift after opening");
  await leave(page);
});

story("a guest and an agent: text, typing, quote, read, image, file; history after a reload", async () => {
  const page = await visitor("/shop/"), desk = await agent();
  const first = await begin(page);
  await choose(desk, first);
  await said(desk, first).waitFor();
  await page.locator(".row.mine .meta .double").waitFor(); // read
  await box(desk).pressSequentially("Hi Ann");
  await page.getByText("Shop support is writing").waitFor();
  await box(desk).press("Enter");
  await said(page, "Hi Ann").waitFor();
  await page.getByText("Shop support · Online").waitFor();

  await attach(page, "shelf.png", "image/png", await picture(page));
  const shown = desk.getByRole("img", { name: /^Image from/ });
  await shown.waitFor();
  assert.deepEqual(await shown.evaluate((i) => i.decode().then(() => [i.naturalWidth, i.naturalHeight])), [320, 200]);
  await attach(page, "page.html", "text/html", Buffer.from("<script>alert(1)</script>"));
  const link = desk.getByRole("link", { name: "Download page.html" });
  await link.waitFor();
  assert.equal(await link.getAttribute("download"), "page.html");

  const row = page.locator(".row.theirs", { hasText: "Hi Ann" });
  await row.hover();
  await row.getByRole("button", { name: "Reply" }).click();
  await page.getByText("Reply to Shop support").waitFor();
  await write(page, "and about that?");
  const quote = desk.locator(".row.theirs", { hasText: "and about that?" }).locator("blockquote");
  await quote.waitFor();
  assert.match(await quote.innerText(), /You\s+Hi Ann/);
  await shot(page, "shop-desktop");
  await shot(desk, "agent-desktop");

  await page.reload();
  await launcher(page).click();
  await said(page, first).waitFor();
  assert.equal(await said(page, first).count(), 1);
  assert.equal(await page.locator(".row").count(), 5, "nothing is missing or double");
  await leave(page, desk);
});

story("on a phone, in Japanese and from right to left", async () => {
  const page = await visitor("/shop/?lang=ja", { options: phone });
  await launcher(page).tap();
  const panel = page.getByRole("dialog");
  await panel.getByLabel("メールアドレス").waitFor();
  assert.deepEqual(await panel.evaluate((p) => { const r = p.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; }), [0, 0, 390, 844]);
  assert.ok(await launcher(page).isHidden(), "the launcher is hidden while it is open");
  assert.equal(await panel.getAttribute("aria-modal"), "true");
  const small = await panel.evaluate((p) => [...p.querySelectorAll("button, input, textarea")].filter((e) => e.checkVisibility()).map((e) => [e.className || e.name, e.getBoundingClientRect(), Number.parseFloat(getComputedStyle(e).fontSize)])
    .filter(([, r, font]) => r.height < 43.5 || r.width < 43.5 || font < 15).map(([n, r, font]) => `${n} ${r.width}x${r.height} ${font}px`));
  assert.deepEqual(small, []);
  assert.equal(await panel.locator("input").first().evaluate((e) => getComputedStyle(e).fontSize), "16px", "or iOS zooms in");
  // The focus stays inside, both ways round.
  await panel.getByRole("button", { name: "チャットを閉じる" }).focus();
  await page.keyboard.press("Shift+Tab");
  assert.ok(await panel.getByRole("button", { name: "チャットを開始" }).evaluate((b) => b.getRootNode().activeElement === b));
  await page.keyboard.press("Tab");
  assert.ok(await panel.getByRole("button", { name: "チャットを閉じる" }).evaluate((b) => b.getRootNode().activeElement === b));
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "hidden" });
  await leave(page);

  const right = await visitor("/shop/?lang=ar");
  await begin(right);
  const bubble = await right.locator(".row.mine .bubble").boundingBox(), dialog = await right.getByRole("dialog").boundingBox();
  assert.ok(bubble.x - dialog.x < 40, "in a page from right to left, one's own messages are on the left");
  await leave(right);
});

story("the keyboard of a phone hides nothing: the end stays in sight, and what comes is read; a reader further up stays there", async () => {
  const page = await visitor("/shop/", { options: phone });
  const first = await begin(page);
  const desk = await agent();
  await choose(desk, first);
  for (let n = 0; n < 12; n++) await write(desk, `answer ${n}`);
  await said(page, "answer 11").waitFor();
  await page.setViewportSize({ width: 390, height: 450 });
  const last = (text) => said(page, text).evaluate((p) => p.getBoundingClientRect().bottom <= p.closest(".log").getBoundingClientRect().bottom + 1);
  await page.waitForFunction(() => innerHeight === 450);
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  assert.ok(await last("answer 11"), "the last message is under the keyboard");
  await write(desk, "is it on?");
  await desk.locator(".row.mine").filter({ hasText: "is it on?" }).locator(".meta .double").waitFor();
  assert.ok(await last("is it on?"));
  await page.getByRole("log").evaluate((log) => { log.scrollTop = 0; });
  await page.setViewportSize(phone.viewport);
  await write(desk, "one more");
  await page.getByRole("button", { name: "New messages" }).waitFor();
  assert.ok((await page.getByRole("log").evaluate((log) => log.scrollTop)) < 48, "the reader stays");
  await leave(page, desk);
});

story("bad input: no e-mail, no message, an empty image, one of 25 MB, long names, HTML everywhere", async () => {
  const html = `<img src=x onerror="document.title='owned'"><b>bold</b>`;
  await settings({ first_line: html, second_line: html, logo_url: "javascript:document.title='owned'" });
  const page = await visitor("/shop/"), desk = await agent();
  await launcher(page).click();
  const go = page.getByRole("button", { name: "Start chat" });
  for (const bad of ["", "ann", "ann@", "@example.com", "a b@example.com", "ann@example"]) {
    await page.getByLabel("Your e-mail").fill(bad);
    await go.click();
    await page.getByText("Please enter an e-mail address").waitFor();
  }
  await page.getByLabel("Your e-mail").fill("ann@example.com");
  await go.click();
  await page.getByText("Please write a message first").waitFor();
  assert.deepEqual(page.asked.filter((u) => u.includes("/apps/im")), [], "no guest was made");
  await page.getByLabel("Your name").fill("x".repeat(300));
  assert.equal((await page.getByLabel("Your name").inputValue()).length, 100);
  await page.getByLabel("Your name").fill(html.slice(0, 100));
  await page.getByLabel("How can we help?").fill(html);
  await go.click();
  await said(page, html).waitFor();
  await page.locator(".row.mine.sent").waitFor();
  await attach(page, "empty.png", "image/png", Buffer.alloc(0));
  await page.getByText("empty.png: This file is empty.").waitFor();
  await page.evaluate(() => { // a file chooser would copy 25 MB through the test
    const input = document.getElementById("backchannel-chat").shadowRoot.querySelector("input[type=file]");
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(25 << 20)], "big.png", { type: "image/png" }));
    input.files = files.files;
    input.dispatchEvent(new Event("change"));
  });
  await page.getByText("big.png: Images may have 20 MB at most.").waitFor();
  await attach(page, "fake.png", "image/png", Buffer.from("no picture"));
  await page.getByText("fake.png: This image cannot be read.").waitFor();
  await attach(page, "photo", "", Buffer.concat([Buffer.from([0, 0, 0, 24]), Buffer.from("ftypheic"), Buffer.alloc(64)]));
  await page.getByText("cannot convert HEIC").waitFor();
  await attach(page, `${"n".repeat(280)}${html.slice(0, 16)}.txt`, "text/plain", Buffer.from("hello"));
  await desk.getByRole("button", { name: "<img src=x" }).first().click();
  await said(desk, html).waitFor();
  await desk.getByRole("link", { name: /^Download n{99}….*\.txt$/ }).waitFor();
  await write(desk, html);
  await said(page, html).nth(1).waitFor();
  assert.equal(await said(page, html).count(), 2);
  for (const p of [page, desk]) {
    assert.notEqual(await p.title(), "owned");
    assert.equal(await p.locator("b", { hasText: /^bold$/ }).count(), 0);
  }
  await settings({ first_line: "Hi there", second_line: "We usually answer within minutes.", logo_url: "/shop/logo.svg" });
  await leave(page, desk);
});

story("an agent who is away: a notice, and the message is there when he comes", async () => {
  await settings({ agent_user_id: "702" }); // who was never here: IM believes for a while in one who has just left
  const page = await visitor("/shop/");
  const first = await begin(page);
  await page.getByText("Nobody is here right now").waitFor();
  await page.getByText("Away", { exact: true }).waitFor();
  const desk = await visitor(await agentPage("702"));
  await desk.getByRole("heading", { name: "Conversations" }).waitFor();
  await choose(desk, first);
  await write(desk, "Here I am");
  await said(page, "Here I am").waitFor();
  await page.keyboard.press("Escape");
  await write(desk, "Still there?");
  await page.getByRole("button", { name: "Chat with us, 1 unread" }).click();
  await page.getByText("Online", { exact: true }).waitFor();
  await page.getByText("Nobody is here right now").waitFor({ state: "hidden" });
  await launcher(page).and(page.getByRole("button", { name: "Chat with us", exact: true })).waitFor();
  await settings({ agent_user_id: "shop-agent" });
  await leave(page, desk);
});

story("a connection that breaks: nothing is missing or double, and a draft stays", async () => {
  const page = await visitor("/shop/"), desk = await agent();
  const first = await begin(page);
  await choose(desk, first);
  await box(page).fill("not sent yet");
  await emulator("sockets/cut", "POST", {});
  await write(desk, "while you were away");
  await said(page, "while you were away").waitFor();
  await page.evaluate(() => dispatchEvent(new Event("online")));
  await page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
  await write(desk, "and after");
  await said(page, "and after").waitFor();
  assert.equal(await page.locator(".row").count(), 3);
  await page.reload();
  await launcher(page).click();
  await said(page, "and after").waitFor();
  assert.equal(await box(page).inputValue(), "not sent yet");
  assert.equal(await page.locator(".row").count(), 3);
  // Enter that ends a composition sends nothing.
  await box(page).dispatchEvent("keydown", { key: "Enter", keyCode: 229 });
  await box(page).dispatchEvent("keydown", { key: "Enter", isComposing: true });
  assert.equal(await box(page).inputValue(), "not sent yet");
  await box(page).press("Enter");
  await said(desk, "not sent yet").waitFor();
  await leave(page, desk);
});

story("two tabs are one login: the second follows, and leads when the first is closed", async () => {
  const context = await browser.newContext(desktop), desk = await agent();
  const one = await visitor("/shop/", { context });
  const first = await begin(one);
  await choose(desk, first);
  const two = await visitor("/shop/", { context });
  await launcher(two).click();
  await said(two, first).waitFor();
  await write(desk, "to both");
  await Promise.all([said(one, "to both").waitFor(), said(two, "to both").waitFor()]);
  await write(two, "from the second");
  await Promise.all([said(one, "from the second").waitFor(), said(desk, "from the second").waitFor()]);
  await one.keyboard.press("Escape");
  await two.keyboard.press("Escape");
  await write(desk, "unread in both");
  await one.getByRole("button", { name: "Chat with us, 1 unread" }).waitFor();
  await two.getByRole("button", { name: "Chat with us, 1 unread" }).click();
  await one.getByRole("button", { name: "Chat with us", exact: true }).waitFor();
  await one.close();
  await write(desk, "to the one that is left");
  await said(two, "to the one that is left").waitFor();
  await write(two, "it leads now");
  await said(desk, "it leads now").waitFor();
  assert.equal(await said(desk, "it leads now").count(), 1);
  await leave(two, desk);
});

story("who logs in takes the conversation along, and the next one at this browser sees nothing of it", async () => {
  const page = await visitor("/shop/"), desk = await agent();
  const first = await begin(page);
  await page.getByRole("button", { name: "Close chat" }).click();
  await page.getByRole("button", { name: "Log in as 1001" }).click();
  await page.getByText("Customer 1001").waitFor();
  await launcher(page).click();
  await said(page, first).waitFor(); // copied to the customer
  await write(page, "now as a customer");
  await choose(desk, "now as a customer");
  await said(desk, "now as a customer").waitFor();
  await box(page).fill("a secret draft");
  await page.getByRole("button", { name: "Close chat" }).click();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByText("Guest").waitFor();
  await launcher(page).click();
  await page.getByLabel("Your e-mail").waitFor();
  assert.equal(await page.getByLabel("How can we help?").inputValue(), "");
  const second = await start(page); // with the address of another guest, which makes nobody the same
  assert.equal(await page.locator(".row").count(), 1);
  assert.equal(await said(page, second).count(), 1);
  await leave(page, desk);
});
story("a hostile theme, and a browser without storage", async () => {
  const page = await visitor("/shop/?hostile=1", { init: () => Object.defineProperty(window, "localStorage", { get() { throw new DOMException("no storage", "SecurityError"); }, configurable: true }) });
  const clean = await visitor("/shop/");
  const look = (page, selector) => page.evaluate((selector) => {
    const node = document.getElementById("backchannel-chat").shadowRoot.querySelector(selector), style = getComputedStyle(node), box = node.getBoundingClientRect();
    return [style.font, style.color, style.backgroundColor, style.letterSpacing, style.textTransform, style.direction, style.opacity, style.pointerEvents, ...[box.x, box.y, box.width, box.height].map(Math.round)].join(" | ");
  }, selector);
  for (const p of [page, clean]) await launcher(p).click();
  for (const p of [page, clean]) await p.getByLabel("Your e-mail").waitFor();
  for (const selector of [".launcher", ".panel", ".top h2", ".start input", ".go"]) assert.equal(await look(page, selector), await look(clean, selector), selector);
  await page.keyboard.press("Escape");
  const host = await page.evaluate(() => {
    const r = document.getElementById("backchannel-chat").getBoundingClientRect();
    return [r.width, r.height, document.elementFromPoint(r.left - 20, r.top - 20)?.id ?? ""];
  });
  assert.deepEqual(host, [60, 60, ""], "closed, only the launcher takes taps");
  await page.keyboard.press("Enter"); // the launcher has the focus again
  await page.getByLabel("Your e-mail").fill("ann@example.com");
  await page.getByLabel("How can we help?").fill("without storage");
  await page.getByRole("button", { name: "Start chat" }).click();
  await said(page, "without storage").waitFor();
  await leave(page, clean);
});

story("the theme editor's preview opens the chat and makes no guest", async () => {
  const page = await visitor("/shop/?design=1");
  await launcher(page).click();
  await page.getByText("Preview in the theme editor").waitFor();
  await page.getByLabel("Your e-mail").fill("ann@example.com");
  await page.getByLabel("How can we help?").fill("hello");
  await page.getByRole("button", { name: "Start chat" }).click();
  await page.getByRole("alert").filter({ hasText: "Preview" }).waitFor();
  assert.deepEqual(page.asked.filter((u) => u.includes("/apps/im")), []);
  await leave(page);
});

for (const colorScheme of ["light", "dark"]) {
  story(`${colorScheme}: axe finds nothing in the widget, the agent's page and the merchant's`, async () => {
    const options = { ...desktop, colorScheme, bypassCSP: true };
    const page = await visitor("/shop/", { options });
    const check = async (page, what) => {
      await page.evaluate(axe);
      const found = await page.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
      assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`), [], what);
      await shot(page, `widget-${what}-${colorScheme}`);
    };
    await launcher(page).click();
    await page.getByLabel("Your e-mail").waitFor();
    await check(page, "form");
    await page.getByLabel("Your e-mail").fill("ann@example.com");
    await page.getByLabel("How can we help?").fill(`axe, ${colorScheme}`);
    await page.getByRole("button", { name: "Start chat" }).click();
    await page.locator(".row.mine.sent").waitFor();
    const desk = await visitor(await agentPage(), { options });
    await choose(desk, `axe, ${colorScheme}`);
    await write(desk, "an answer with a link: https://example.com/");
    await said(page, "an answer with a link").waitFor();
    await desk.getByRole("button", { name: "Ready-made answers" }).click();
    await check(desk, "agent");
    await check(page, "chat");
    const merchant = await visitor("/shopify/app/?shop=demo-shop.myshopify.com", { options });
    await merchant.getByText("Backchannel answers.").waitFor();
    assert.equal(await merchant.getByRole("link", { name: "Open the theme editor" }).getAttribute("href"), "https://demo-shop.myshopify.com/admin/themes/current/editor?context=apps");
    await check(merchant, "merchant");
    for (const p of [page, desk, merchant]) await p.context().close();
  });
}
