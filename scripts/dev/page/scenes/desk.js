// Support: tickets at a fake desk, each with a chat group for its customer and
// its agents.
import { button, call, element, patch, set } from "../dom.js";

export const desk = {
  id: "desk",
  title: "Support desk",
  about: "Asking for help opens a ticket at a fake Zendesk and a group with it. Agents whom the desk assigns come into the group, and leave with the ticket.",
  steps: ["Press Ask for help as alice.", "Assign 701, then 702: see who is in the group.", "Let alice and the agent talk.", "Close the ticket."],
  open(stage) {
    const [customer] = stage.world.users;
    let chosen = ""; // the group that is shown
    const place = () => ({ groupId: chosen });
    const sayings = ["Hello, my printer is offline", "Thank you"];
    const empty = "A ticket's conversation appears here. Ask for help first.";
    const chats = [
      stage.chat({ user: customer, place, sayings, empty }),
      stage.chat({ user: stage.world.agents[0], others: stage.world.agents, place, sayings: ["How can I help?", "Have you tried to turn it off and on?"], empty }),
    ];
    const list = element("ul", { id: "tickets" });
    const none = element("p", { className: "empty" }, "No ticket yet.");
    const help = button(`Ask for help as ${customer}`, async () => {
      const { groupId } = await call("POST", "dev/tickets", { userId: customer }, { "Idempotency-Key": crypto.randomUUID() });
      choose(groupId);
      await refresh();
    }, { className: "primary" });
    stage.pane("Tickets", element("section", { className: "tool", "aria-label": "Tickets" }, element("h2", {}, "Tickets"), help, list, none));

    function choose(groupId) {
      if (groupId === chosen) return;
      chosen = groupId;
      for (const c of chats) c.moved();
    }

    let tickets = [];
    async function refresh() {
      let agents;
      ({ tickets, agents } = await call("GET", "dev/tickets"));
      tickets.reverse();
      if (!tickets.some((t) => t.group === chosen) && tickets[0]?.group) choose(tickets[0].group);
      patch(list, tickets, (t) => t.id, card, (node, t) => renew(node, t, agents));
      set(none, "hidden", tickets.length > 0);
    }

    function card(t) {
      const parts = { state: element("span", { className: "pill" }), text: element("p"), acts: element("p", { className: "acts" }) };
      const show = button("Show", () => choose(t.group), { className: "link", "aria-label": `Show the conversation of ticket ${t.id}` });
      return Object.assign(element("li", { className: "card" }, element("b", {}, `${t.subject}`), " ", parts.state, element("small", {}, ` ${t.id} `), show, parts.text, parts.acts), { parts });
    }

    function renew(node, t, agents) {
      const { parts } = node;
      const closed = t.status === "closed" || t.status === "solved";
      node.classList.toggle("chosen", t.group === chosen);
      set(parts.state, "textContent", t.status);
      set(parts.text, "textContent", `in its group: ${t.members.join(", ") || "nobody"}`);
      const act = (label, path, body) => ({ label, do: async () => {
        await call("POST", `dev/tickets/${t.id}/${path}`, body);
        setTimeout(refresh, 300); // its job is on its way
      } });
      patch(parts.acts, [
        ...(closed ? [] : agents.filter((a) => a !== t.assignee).map((a) => act(`Assign ${a}`, "assign", { agent: a }))),
        act(closed ? "Reopen" : "Close", "close", { closed: !closed }),
      ], (a) => a.label, (a) => button(a.label, a.do, { "aria-label": `${a.label}, ticket ${t.id}` }));
    }

    return {
      refresh,
      state: async () => tickets.map((t) => ({ title: `Ticket ${t.id}`, figures: { status: t.status, assignee: t.assignee || "nobody", group: t.group }, rows: t.members.map((m) => ({ "in the group": m })) })),
    };
  },
};
