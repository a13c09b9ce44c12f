// A lottery: viewers enter by a keyword, and anybody can verify the draw.
import { button, clock, element, patch, set } from "../../dom.js";

const hex = (bytes) => [...new Uint8Array(bytes)].map((b) => b.toString(16).padStart(2, "0")).join("");
const sha256 = async (text) => hex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));

// verify recomputes a draw from what is public: the commitment that was told
// before it, and the seed and the entries that were told after it. It returns
// what does not hold.
export async function verify(commitment, { seed, entries, entriesHash, winners, winnersWanted }) {
  const wrong = [];
  if ((await sha256(seed)) !== commitment) wrong.push("the seed is not the one that was committed to");
  const keys = await Promise.all(entries.map((u) => sha256(`${seed}:${u}`)));
  if (keys.some((k, i) => i > 0 && k <= keys[i - 1])) wrong.push("the entries are not in drawing order");
  if (entriesHash && (await sha256([...entries].sort().map((u) => `${u}\n`).join(""))) !== entriesHash) wrong.push("the entries are not those that were frozen");
  const due = entries.slice(0, Math.min(winnersWanted ?? winners.length, entries.length));
  if (JSON.stringify(due) !== JSON.stringify(winners)) wrong.push("the winners are not the first of the entries");
  return wrong;
}

// openLottery returns {nodes, refresh, heard}. heard(data) is told what the room
// was told of a lottery.
export function openLottery(world, room) {
  const [owner] = world.users;
  const field = (label, value, properties = {}) => {
    const input = element("input", { value, autocomplete: "off", ...properties });
    return { input, node: element("label", { className: properties.type === "number" ? "small" : "" }, label, input) };
  };
  const keyword = field("Keyword", "lucky"), prize = field("Prize", "a mug"), winners = field("Winners", "1", { type: "number", min: 1, max: 10 });
  const begin = button("Start", async () => {
    const made = await room.startLottery(owner, { keyword: keyword.input.value, prize: prize.input.value, winners: Number(winners.input.value), seconds: 300 });
    promised.set(made.lotteryId, made.commitment);
    show(made.lotteryId);
    await refresh();
  }, { "aria-label": "Start a lottery" });
  const form = element("form", { className: "row" }, keyword.node, prize.node, winners.node, begin);
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    begin.click();
  });
  const list = element("div", { className: "lottery" });
  const promised = new Map(); // commitments as they were told while a lottery was open
  let shown;

  function show(id) {
    shown = id;
  }

  async function refresh() {
    if (!shown) return;
    const it = await room.lottery(shown);
    if (it.state === "open") promised.set(it.lotteryId, it.commitment);
    patch(list, [it], (l) => l.lotteryId, card, renew);
  }

  function card(l) {
    const parts = { text: element("p"), proof: element("p", { className: "proof", role: "status" }), acts: element("p", { className: "acts" }) };
    return Object.assign(element("div", { className: "card" }, parts.text, parts.proof, parts.acts, element("p", { className: "soft" }, "commitment ", element("code", {}, l.commitment.slice(0, 16)), "…")), { parts });
  }

  function renew({ parts }, l) {
    const open = l.state === "open";
    const lucky = (l.winners ?? []).join(", ") || "nobody";
    set(parts.text, "textContent", open ? `Open until ${clock(l.endsAt)}: write “${l.keyword}” to take part.` : l.state === "drawn" ? `${lucky} won ${l.prize}, of ${l.entries.length} who took part.` : l.state);
    patch(parts.acts, open ? ["Draw"] : l.state === "drawn" ? ["Verify"] : [], (a) => a, (a) => (a === "Draw"
      ? button("Draw", () => room.draw(owner, l.lotteryId).then(refresh))
      : button("Verify", async () => {
        const wrong = await verify(promised.get(l.lotteryId) ?? l.commitment, await room.lottery(l.lotteryId));
        set(parts.proof, "textContent", wrong.length ? wrong.join("; ") : "Verified: seed, order and winners are right.");
        parts.proof.classList.toggle("false", wrong.length > 0);
      })));
  }

  return {
    nodes: [element("h2", {}, "Lottery"), form, list],
    refresh,
    heard: (data) => data.lotteryId && show(data.lotteryId),
  };
}
