// The panels beside the chat: counters, reviews, tickets, teams, jobs, chaos.
import { byId, call, element, tell } from "./dom.js";

const names = {
  messages: "messages", gifts: "gifts", giftPieces: "gift pieces", likes: "likes", online: "online",
  peakOnline: "most online", dropped: "dropped by IM", popularity: "popularity",
};

// showCounters shows what is counted in a group; null is a conversation that is
// none.
export async function showCounters(groupID) {
  const panel = byId("counters");
  if (!groupID) {
    panel.replaceChildren("One-to-one messages are not counted.");
    return;
  }
  const stats = await call("GET", `dev/rooms/${encodeURIComponent(groupID)}/stats`);
  const rows = Object.entries(names).filter(([name]) => stats[name] !== null && stats[name] !== undefined)
    .flatMap(([name, label]) => [element("dt", { textContent: label }), element("dd", { textContent: stats[name] })]);
  const users = stats.users.slice(0, 10).map((u) => element("tr", {},
    element("th", { scope: "row", textContent: u.userID }), element("td", { textContent: u.messages })));
  panel.replaceChildren(element("dl", {}, ...rows));
  if (users.length) {
    panel.append(element("table", {},
      element("thead", {}, element("tr", {},
        element("th", { scope: "col", textContent: "user" }), element("th", { scope: "col", textContent: "messages" }))),
      element("tbody", {}, ...users)));
  }
}

// showReviews shows what waits for a moderator, with what can be decided.
export async function showReviews() {
  const { reviews } = await call("GET", "dev/moderation/reviews");
  byId("reviews").replaceChildren(...reviews.map((r) => {
    const act = (label, path, body) => {
      const button = element("button", { type: "button", textContent: label });
      button.setAttribute("aria-label", `${label} what ${r.from} wrote`);
      button.addEventListener("click", () => call("POST", `dev/moderation/reviews/${r.id}/${path}`, body).then(showReviews).catch((e) => tell(e.message)));
      return button;
    };
    return element("li", {},
      element("b", { textContent: r.from }), ` ${r.groupId ? `in ${r.groupId}` : `to ${r.to}`}: ${r.text} `,
      act("Approve", "approve", {}), act("Reject", "reject", { reason: "by a moderator of the page" }));
  }));
}

// offerHelp lets a user ask for help.
export function offerHelp(user) {
  byId("help").addEventListener("click", () => call("POST", "dev/tickets", { userId: user }).then(showTickets).catch((e) => tell(e.message)));
}

export async function showTickets() {
  const { tickets, agents } = await call("GET", "dev/tickets");
  byId("tickets").replaceChildren(...tickets.map((t) => {
    const act = (label, path, body) => {
      const button = element("button", { type: "button", textContent: label });
      button.setAttribute("aria-label", `${label}, ticket ${t.id}`);
      button.addEventListener("click", () => call("POST", `dev/tickets/${t.id}/${path}`, body).then(() => setTimeout(showTickets, 300)).catch((e) => tell(e.message)));
      return button;
    };
    const closed = t.status === "closed" || t.status === "solved";
    const others = agents.filter((a) => a !== t.assignee);
    return element("li", {},
      element("b", { textContent: `${t.id} ${t.subject}` }), ` ${t.status}; in its group: ${t.members.join(", ") || "nobody"} `,
      ...others.map((a) => act(`Assign ${a}`, "assign", { agent: a })),
      act(closed ? "Reopen" : "Close", "close", { closed: !closed }));
  }));
}

// The teams that this page made; it forgets them with its tab.
const remembered = "teams";
const teams = () => JSON.parse(sessionStorage.getItem(remembered) ?? "[]");
const remember = (ids) => sessionStorage.setItem(remembered, JSON.stringify(ids));

// offerTeams lets the first of the users make teams.
export function offerTeams(users) {
  byId("gather").addEventListener("click", () => call("POST", "dev/teams", { mode: "three together", size: 3, captain: users[0] })
    .then((team) => remember([team.groupId, ...teams()])).then(() => showTeams(users)).catch((e) => tell(e.message)));
}

export async function showTeams(users) {
  const ids = teams();
  const found = await Promise.all(ids.map(async (id) => {
    try {
      const [team, { starts }] = await Promise.all([call("GET", `dev/teams/${id}`), call("GET", `dev/starts/${id}`)]);
      return { ...team, starts };
    } catch {
      return null; // of a state that is forgotten
    }
  }));
  const lost = ids.filter((_, i) => found[i] === null);
  if (lost.length) remember(teams().filter((id) => !lost.includes(id)));
  byId("teams").replaceChildren(...found.filter((team) => team !== null).map((team) => {
    const act = (label, method, path, body) => {
      const button = element("button", { type: "button", textContent: label });
      button.setAttribute("aria-label", `${label}, team ${team.groupId}`);
      button.addEventListener("click", () => call(method, `dev/teams/${team.groupId}${path}`, body).then(() => showTeams(users)).catch((e) => tell(e.message)));
      return button;
    };
    const members = team.members.map((m) => m.userId);
    const buttons = team.status === "ended" ? [] : [
      ...users.filter((u) => !members.includes(u)).map((u) => act(`${u} joins`, "POST", "/members", { userIds: [u] })),
      ...members.map((u) => act(`${u} leaves`, "DELETE", `/members/${encodeURIComponent(u)}`)),
      act("Dissolve", "DELETE", ""),
    ];
    const matches = team.starts.map((s) => `; match started with ${s.members.join(", ")}`).join("");
    return element("li", {},
      element("b", { textContent: team.groupId }), ` ${team.status}, ${members.length} of ${team.size}: ${members.join(", ")}${matches} `, ...buttons);
  }));
}

export async function showJobs() {
  const jobs = await call("GET", "dev/jobs");
  byId("jobs").textContent = `${jobs.waiting} waiting, ${jobs.dead} laid aside`;
  byId("dead").replaceChildren(...jobs.deadJobs.map((job) => {
    const act = (label, method, path) => {
      const button = element("button", { type: "button", textContent: label });
      button.setAttribute("aria-label", `${label} ${job.id}`);
      button.addEventListener("click", () => call(method, path).then(showJobs).catch((e) => tell(e.message)));
      return button;
    };
    const at = `dev/jobs/${encodeURIComponent(job.id)}`;
    return element("li", {},
      element("code", { textContent: `${job.kind} ${job.id}` }), ` after ${job.attempts} attempts: ${job.error ?? ""} `,
      act("Try again", "POST", `${at}/redrive`), act("Drop", "DELETE", at));
  }));
}

// The switches, with what the emulator is told for each.
const switches = [
  { label: "Send after-callbacks twice", set: { duplicate: 1 } },
  { label: "Let them overtake each other", set: { reorder: 0.5 } },
  { label: "Hold half of them for 3 seconds", set: { delay: 0.5 } },
  { label: "Lose one in five", set: { drop: 0.2 } },
  { label: "Ask before-callbacks 3 seconds late", set: { slowBefore: 1 } },
  { label: "Cut REST answers after the work is done", set: { loseAnswer: 0.5 } },
];

// offerChaos fills the panel; set passes the sum of all switches on.
export function offerChaos(set) {
  const boxes = switches.map(({ label, set: part }) => {
    const box = element("input", { type: "checkbox" });
    box.addEventListener("change", () => {
      const on = boxes.filter((b) => b.box.checked);
      set(Object.assign({ delayMillis: 3000 }, ...on.map((b) => b.part))).catch((e) => tell(e.message));
    });
    return { box, part, label: element("label", {}, box, ` ${label}`) };
  });
  byId("chaos").append(...boxes.map((b) => b.label));
}
