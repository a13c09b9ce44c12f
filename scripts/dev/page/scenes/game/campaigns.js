// The operator's campaigns: planned, sent, and how far they are.
import { button, call, element, patch, set } from "../../dom.js";
import { once } from "./players.js";

const shown = 5;

export function openCampaigns(players) {
  const title = element("input", { value: "Season 3", "aria-label": "Title", maxLength: 200 });
  const to = element("select", { "aria-label": "To" },
    element("option", { value: "players" }, "all players here"), element("option", { value: "guild" }, "the guild"), element("option", { value: "everyone" }, "everyone"));
  const gems = element("input", { type: "number", value: 5, min: 0, max: 1000, "aria-label": "Gems" });
  const plan = element("p", { className: "plan", role: "status" });
  const list = element("ul", { id: "campaigns", "aria-label": "Campaigns" });
  const letter = () => ({
    to: { players: { users: players }, guild: { group: "guild" }, everyone: { everyone: true } }[to.value],
    title: title.value,
    text: "It begins tonight.",
    ...(gems.valueAsNumber > 0 ? { attachments: [{ itemId: "gem", count: gems.valueAsNumber }] } : {}),
  });
  const planned = button("Plan", async () => {
    const { plan: p } = await call("POST", "dev/mail?dryRun=1", letter());
    set(plan, "textContent", `by ${p.by}: ${p.calls} ${p.calls === 1 ? "call" : "calls"}, ${Math.round(p.seconds)} s, ${p.cost.writes} writes`);
  });
  const send = button("Send the mail", async () => {
    await call("POST", "dev/mail", letter(), once());
    await refresh();
  }, { className: "primary" });

  let found = [];
  async function refresh() {
    found = (await call("GET", `dev/mail?limit=${shown}`)).mails;
    patch(list, found, (m) => m.mailId, card, renew);
  }
  function card() {
    const parts = { head: element("b"), state: element("span", { className: "pill" }), bar: element("progress", { max: 1 }), text: element("p"), acts: element("p", { className: "acts" }) };
    return Object.assign(element("li", { className: "card" }, parts.head, " ", parts.state, parts.bar, parts.text, parts.acts), { parts });
  }
  function renew({ parts }, m) {
    set(parts.head, "textContent", m.title);
    set(parts.state, "textContent", m.state);
    set(parts.bar, "value", m.total ? (m.delivered + m.failed) / m.total : m.state === "sent" ? 1 : 0);
    parts.bar.setAttribute("aria-label", `Progress of ${m.title}`);
    set(parts.text, "textContent", m.total === null ? `to everyone by ${m.plan.by}` : `${m.delivered} of ${m.total} by ${m.plan.by}${m.failed ? `, ${m.failed} unknown` : ""}`);
    const acts = { planned: ["pause", "cancel"], sending: ["pause", "cancel"], paused: ["resume", "cancel"] }[m.state] ?? [];
    patch(parts.acts, acts, (a) => a, (a) => button(a, () => call("POST", `dev/mail/${m.mailId}/${a}`, {}).then(refresh), { "aria-label": `${a} ${m.title}` }));
  }
  return {
    nodes: [element("div", { className: "fields" }, title, to, element("label", {}, "Gems ", gems)), element("p", { className: "acts" }, planned, send), plan, list],
    refresh,
    state: () => found.map((m) => ({ title: `Mail ${m.mailId}`, figures: { state: m.state, delivered: m.delivered, failed: m.failed, by: m.plan.by } })),
  };
}
