// Support: tickets at a fake desk, each with a chat group for its customer and
// its agents, who answer in the page that desks show in a frame.
import { button, call, element, patch, set } from "../dom.js";

export const desk = {
  id: "desk",
  title: "Support desk",
  about: "A shopper's chat opens a ticket at a fake desk, and a group with it. Agents whom the desk assigns come into the group and answer in the page that desks show in a frame; a solved ticket asks for a rating and has what was said as a note.",
  steps: ["Open the chat in the shop and ask something: a ticket appears, and the shopper is told the place in the queue.", "Assign 701, who answers in the agent's page.", "Solve the ticket: the transcript is its note, and the shopper is asked how it was.", "Answer 5 in the shop, or write again and so reopen the ticket.", "Close the ticket."],
  open(stage) {
    const style = element("link", { rel: "stylesheet", href: "scenes/shop.css" });
    document.head.append(style);
    const shop = element("iframe", { title: "Demo shop", src: "shop/?desk=1", allow: "clipboard-write" });
    stage.pane("Shop", element("section", { className: "framed", "aria-label": "Shop" }, shop));
    let chosen = ""; // the ticket whose group the agent's page shows
    const list = element("ul", { id: "tickets" });
    const none = element("p", { className: "empty" }, "No ticket yet. Open the chat in the shop and ask something.");
    stage.pane("Tickets", element("section", { className: "tool", "aria-label": "Tickets" }, element("h2", {}, "Tickets"), list, none));
    const frame = element("iframe", { title: "Agent's page", referrerPolicy: "no-referrer", hidden: true });
    const note = element("p", { className: "empty" }, "Assign an agent to a ticket: the page that desks show in a frame appears here.");
    stage.pane("Agent", element("section", { className: "framed", "aria-label": "Agent" }, note, frame));

    // The agent's page gets an identity token as a desk would give it one.
    const tokens = new Map(); // by agent
    let shows = "";
    async function seat(agent, group) {
      if (!agent || shows === `${agent} ${group}`) return;
      shows = `${agent} ${group}`;
      if (!tokens.has(agent)) tokens.set(agent, (await call("POST", "dev/agents/token", { userId: agent })).token);
      frame.src = `chat/agent.html#${new URLSearchParams({ token: tokens.get(agent), conversation: `GROUP${group}` })}`;
      frame.title = `Agent's page of ${agent}`;
      frame.hidden = false;
      note.hidden = true;
    }

    let tickets = [];
    async function refresh() {
      let agents;
      ({ tickets, agents } = await call("GET", "dev/tickets"));
      tickets.reverse();
      if (!tickets.some((t) => t.id === chosen)) chosen = tickets[0]?.id ?? "";
      const now = tickets.find((t) => t.id === chosen);
      if (now?.members.includes(now.assignee)) await seat(now.assignee, now.group);
      patch(list, tickets, (t) => t.id, card, (node, t) => renew(node, t, agents));
      set(none, "hidden", tickets.length > 0);
    }

    function card(t) {
      const parts = { state: element("span", { className: "pill" }), text: element("p"), rating: element("p"), notes: element("ul", { "aria-label": `Notes of ticket ${t.id}` }), acts: element("p", { className: "acts" }) };
      const show = button("Show", () => { chosen = t.id; return refresh(); }, { className: "link", "aria-label": `Show the conversation of ticket ${t.id}` });
      return Object.assign(element("li", { className: "card" }, element("b", {}, `${t.subject}`), " ", parts.state, element("small", {}, ` ${t.id} `), show, parts.text, parts.rating, parts.acts, parts.notes), { parts });
    }

    function renew(node, t, agents) {
      const { parts } = node;
      const status = t.status.toLowerCase();
      const over = status === "closed" || status === "solved";
      node.classList.toggle("chosen", t.id === chosen);
      set(parts.state, "textContent", t.status);
      set(parts.text, "textContent", `in its group: ${t.members.join(", ") || "nobody"}`);
      set(parts.rating, "textContent", t.rating ? `rated ${t.rating} of 5` : "");
      set(parts.rating, "hidden", !t.rating);
      patch(parts.notes, t.notes.map((n, i) => ({ ...n, i })), (n) => `${n.i}`, (n) => element("li", {}, element("details", {}, element("summary", {}, n.text.split("\n")[0]), element("pre", {}, n.text))));
      const act = (label, path, body) => ({ label, do: async () => {
        await call("POST", `dev/tickets/${t.id}/${path}`, body);
        if (path === "assign") chosen = t.id; // its agent answers now
        setTimeout(refresh, 300); // its job is on its way
      } });
      patch(parts.acts, [
        ...(over ? [] : agents.filter((a) => a !== t.assignee).map((a) => act(`Assign ${a}`, "assign", { agent: a }))),
        ...(over || !t.assignee ? [] : [act("Solve", "solve", {})]),
        ...(status === "solved" ? [act("Close", "close", { closed: true })] : []),
        act(over ? "Reopen" : "Close", "close", { closed: !over }),
      ], (a) => a.label, (a) => button(a.label, a.do, { "aria-label": `${a.label}, ticket ${t.id}` }));
    }

    return {
      refresh,
      close: () => style.remove(),
      state: async () => tickets.map((t) => ({ title: `Ticket ${t.id}`, figures: { status: t.status, assignee: t.assignee || "nobody", group: t.group }, rows: t.members.map((m) => ({ "in the group": m })) })),
    };
  },
};
