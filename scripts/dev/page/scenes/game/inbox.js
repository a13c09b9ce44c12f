// A player's inbox.
import { button, call, element, patch, set } from "../../dom.js";
import { as, things } from "./players.js";

export function openInbox(players) {
  const who = element("select", { "aria-label": "Player" }, ...players.map((p) => element("option", { value: p }, p)));
  who.value = players[1];
  const has = element("p", { className: "has" });
  const unread = element("span", { className: "pill" });
  const list = element("ul", { id: "inbox", "aria-label": "Mails" });
  const empty = element("p", { className: "empty" }, "No mail yet.");
  const all = button("Claim all", async () => {
    await as(who.value, "POST", "inbox/claim", {});
    await refresh();
  });
  who.addEventListener("change", () => refresh());

  async function refresh() {
    const user = who.value;
    const [inbox, { inventories }] = await Promise.all([as(user, "GET", "inbox?limit=10"), call("GET", "dev/inventories")]);
    if (user !== who.value) return; // another player was chosen meanwhile
    set(unread, "textContent", `${inbox.unread} unread`);
    set(has, "textContent", `${user} has ${things(Object.entries(inventories[user] ?? {}).map(([itemId, count]) => ({ itemId, count })))}`);
    patch(list, inbox.mails, (m) => `${user} ${m.mailId}`, card, (node, m) => renew(node, user, m));
    set(empty, "hidden", inbox.mails.length > 0);
  }
  function card() {
    const parts = { head: element("b"), state: element("span", { className: "pill" }), text: element("p"), acts: element("p", { className: "acts" }) };
    return Object.assign(element("li", { className: "card" }, parts.head, " ", parts.state, parts.text, parts.acts), { parts });
  }
  function renew({ parts }, user, m) {
    set(parts.head, "textContent", m.title);
    set(parts.state, "textContent", m.claimed ? "claimed" : m.read ? "read" : "new");
    set(parts.text, "textContent", `${m.text}${m.attachments.length ? ` With ${things(m.attachments)}.` : ""}`);
    const act = (label, method, path) => ({ label, do: () => as(user, method, `inbox/${m.mailId}${path}`, method === "DELETE" ? undefined : {}).then(refresh) });
    const acts = [...(m.read ? [] : [act("Read", "POST", "/read")]), ...(m.claimable ? [act("Claim", "POST", "/claim")] : [act("Delete", "DELETE", "")])];
    patch(parts.acts, acts, (a) => a.label, (a) => button(a.label, a.do, { "aria-label": `${a.label} ${m.title}` }));
  }
  return { nodes: [element("label", {}, "Player ", who), " ", unread, has, all, list, empty], refresh };
}
