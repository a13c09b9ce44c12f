// What else a server and the owner may do: tell all rooms, read the history, and see
// what IM dropped.
import { button, element, patch, set } from "../../dom.js";

const shown = 5; // messages of the history

// openMore returns {nodes, refresh(), show(stats)}.
export function openMore(room) {
  const text = element("input", { maxLength: 200, autocomplete: "off" });
  const progress = element("p", { className: "soft", role: "status" });
  const form = element("form", { className: "row" }, element("label", {}, "To all rooms", text));
  let broadcast;
  const send = button("Broadcast", async () => {
    if (!text.value.trim()) throw new Error("write what all rooms are told");
    broadcast = await room.broadcast(text.value.trim());
    text.value = "";
    await follow();
  });
  form.append(send);
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    send.click();
  });

  async function follow() {
    if (!broadcast) return;
    if (broadcast.state !== "sent") broadcast = await room.broadcastOf(broadcast.broadcastId);
    const { state, done, total } = broadcast;
    set(progress, "textContent", state === "sent" ? (total ? `Sent to ${done} of ${total} rooms.` : "Sent.") : `On its way: ${done} of ${total} rooms.`);
  }

  const history = element("ol", { className: "history", "aria-label": "History" });
  const none = element("p", { className: "empty" }, "What is said while the room is live is kept for newcomers.");
  const drops = element("p", { className: "soft drops" });
  return {
    nodes: [element("details", { className: "extras" }, element("summary", {}, "Broadcast, history, drops"), form, progress, element("h3", {}, "Last messages"), history, none, drops)],
    async refresh() {
      await follow();
      const { messages } = await room.history(shown);
      patch(history, messages, (m) => m.msgSeq, (m) => {
        const words = m.msgBody.map((e) => e.MsgContent.Text).filter(Boolean).join(" ");
        return element("li", {}, element("b", {}, m.from), ` ${words || "a gift, a like or an event"}`);
      });
      set(none, "hidden", messages.length > 0);
    },
    show({ dropped, messages }) {
      set(drops, "textContent", dropped === null ? "" : dropped ? `IM dropped ${dropped} messages beside the ${messages} that it delivered.` : "IM dropped no message.");
    },
  };
}

// openAnchor returns the card of the room's owner as a viewer sees it.
export function openAnchor(room, owner, user) {
  const name = element("b"), fans = element("span", { className: "soft" });
  let card;
  const follow = button("Follow", async () => {
    card = await room.subscribe(user(), !card.isSubscribe);
    draw();
  });
  const node = element("p", { className: "anchor", hidden: true }, name, " ", fans, follow);
  function draw() {
    const { anchorInfo, isSubscribe } = card;
    set(name, "textContent", anchorInfo.nickName || owner);
    set(fans, "textContent", `${anchorInfo.fansNum} ${anchorInfo.fansNum === 1 ? "fan" : "fans"}`);
    set(follow, "textContent", isSubscribe ? "Unfollow" : "Follow");
    set(node, "hidden", false);
  }
  return {
    node,
    async refresh() {
      const who = user();
      const is = await room.anchor(who).catch(() => undefined); // a user who is not logged in sees none
      if (!is || who !== user()) return;
      card = is;
      draw();
    },
  };
}
