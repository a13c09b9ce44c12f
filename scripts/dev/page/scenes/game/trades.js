// Trades between two players, of this tab: a player's trades have no list of their own.
import { button, element, patch, set } from "../../dom.js";
import { as, once, things } from "./players.js";

const remembered = "trades";
const mine = () => JSON.parse(sessionStorage.getItem(remembered) ?? "[]");
const remember = (ids) => sessionStorage.setItem(remembered, JSON.stringify(ids.slice(0, 5)));

export function openTrades([from, to]) {
  const list = element("ul", { id: "trades", "aria-label": "Trades" });
  const offer = button(`${from} offers ${to} a sword for ten gems`, async () => {
    const made = await as(from, "POST", "trades", { with: to, give: [{ itemId: "sword", count: 1 }], want: [{ itemId: "gem", count: 10 }] }, once());
    remember([made.tradeId, ...mine()]);
    await refresh();
  }, { className: "primary" });

  let found = [];
  async function refresh() {
    found = (await Promise.all(mine().map((id) => as(from, "GET", `trades/${id}`).catch((e) => {
      if (e.status === 404) remember(mine().filter((x) => x !== id)); // of a state that is forgotten
      return undefined;
    })))).filter(Boolean);
    patch(list, found, (t) => t.tradeId, card, renew);
  }
  function card() {
    const parts = { text: element("p"), state: element("span", { className: "pill" }), acts: element("p", { className: "acts" }) };
    return Object.assign(element("li", { className: "card" }, parts.text, parts.state, parts.acts), { parts });
  }
  function renew({ parts }, t) {
    set(parts.text, "textContent", `${t.from} gives ${things(t.give)} for ${things(t.want)} of ${t.with}`);
    set(parts.state, "textContent", t.why ? `${t.state}: the game refused it` : t.state);
    const act = (label, user, what) => ({ label, do: () => as(user, "POST", `trades/${t.tradeId}/${what}`, what === "accept" ? { version: t.version } : {}).then(refresh) });
    const acts = t.state === "open" ? [act(`${t.with} accepts`, t.with, "accept"), act(`${t.with} turns it down`, t.with, "cancel"), act(`${t.from} cancels`, t.from, "cancel")] : [];
    patch(parts.acts, acts, (a) => a.label, (a) => button(a.label, a.do));
  }
  return {
    nodes: [offer, list],
    refresh,
    state: () => found.map((t) => ({ title: `Trade ${t.tradeId}`, figures: { state: t.state, from: t.from, with: t.with } })),
  };
}
