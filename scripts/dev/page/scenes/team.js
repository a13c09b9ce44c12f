// A game: a chat among players, and teams that fill and start their match.
import { button, call, element, patch, set } from "../dom.js";
import { counters } from "./counters.js";

const remembered = "teams"; // of this tab; the bundle has no list of teams to ask for
const mine = () => JSON.parse(sessionStorage.getItem(remembered) ?? "[]");
const remember = (ids) => sessionStorage.setItem(remembered, JSON.stringify(ids));

export const team = {
  id: "team",
  title: "Group team, game",
  about: "Players chat in a group, and gather in teams of three. A full team's match starts once, however often IM says that the group is full.",
  steps: ["Press Make a team as alice.", "Let bob and carol join: the third one fills it.", "See the match start, once, and the callback that said so.", "Switch on Chaos, and do it again."],
  open(stage) {
    const group = stage.world.groups.team;
    for (const user of stage.world.users.slice(0, 2)) stage.chat({ user, place: () => ({ groupId: group }) });
    const list = element("ul", { id: "teams" });
    const empty = element("p", { className: "empty" }, "No team yet. Make one, and let others join until it is full.");
    const make = button("Make a team as alice", async () => {
      const made = await call("POST", "dev/teams", { mode: "three together", size: 3, captain: stage.world.users[0] });
      remember([made.groupId, ...mine()]);
      await refresh();
    }, { className: "primary" });
    stage.pane("Teams", element("section", { className: "tool", "aria-label": "Teams" }, element("h2", {}, "Teams"), make, list, empty));

    let found = [];
    async function refresh() {
      const ids = mine();
      found = (await Promise.all(ids.map(async (id) => {
        try {
          const [its, { starts }] = await Promise.all([call("GET", `dev/teams/${id}`), call("GET", `dev/starts/${id}`)]);
          return { ...its, starts };
        } catch (e) {
          if (e.status === 404) remember(mine().filter((x) => x !== id)); // of a state that is forgotten
          return found.find((t) => t.groupId === id);
        }
      }))).filter(Boolean);
      patch(list, found, (t) => t.groupId, card, renew);
      set(empty, "hidden", found.length > 0);
    }

    function card() {
      const parts = { head: element("b"), state: element("span", { className: "pill" }), text: element("p"), acts: element("p", { className: "acts" }) };
      return Object.assign(element("li", { className: "card" }, parts.head, " ", parts.state, parts.text, parts.acts), { parts });
    }

    function renew({ parts }, t) {
      const members = t.members.map((m) => m.userId);
      const act = (label, method, path, body) => ({ label, do: () => call(method, `dev/teams/${t.groupId}${path}`, body).then(refresh) });
      set(parts.head, "textContent", t.groupId);
      set(parts.state, "textContent", t.status);
      set(parts.text, "textContent", `${members.length} of ${t.size}: ${members.join(", ")}${t.starts.map((s) => `; match started with ${s.members.join(", ")}`).join("")}`);
      const acts = t.status === "ended" ? [] : [
        ...(t.status === "open" ? stage.world.users.filter((u) => !members.includes(u)).map((u) => act(`${u} joins`, "POST", "/members", { userIds: [u] })) : []),
        ...members.map((u) => act(`${u} leaves`, "DELETE", `/members/${encodeURIComponent(u)}`)),
        act("Dissolve", "DELETE", ""),
      ];
      patch(parts.acts, acts, (a) => a.label, (a) => button(a.label, a.do, { "aria-label": `${a.label}, team ${t.groupId}` }));
    }

    return {
      refresh,
      state: async () => [
        ...(await counters(group)),
        ...found.map((t) => ({ title: `Team ${t.groupId}`, figures: { status: t.status, size: t.size, matches: t.starts.length }, rows: t.members.map((m) => ({ member: m.userId })) })),
      ],
    };
  },
};
