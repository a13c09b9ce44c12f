// The queue of a moderator: messages that wait, each with what can be decided.
import { button, call, element, patch, set } from "./dom.js";
import { hub } from "./hub.js";

// openReviews returns {node, refresh}; count is told how many messages wait.
export function openReviews(count = () => {}) {
  const list = element("ul", { className: "reviews", "aria-label": "Messages that wait" });
  const empty = element("p", { className: "empty" }, "Nothing waits. A message such as “add me on telegram” would.");
  let known = [];

  async function refresh() {
    const { reviews } = await call("GET", "dev/moderation/reviews");
    const gone = known.filter((k) => !reviews.some((r) => r.id === k.id));
    known = reviews;
    patch(list, reviews, (r) => r.id, card);
    set(empty, "hidden", reviews.length > 0);
    count(reviews.length);
    await Promise.allSettled(gone.map(settle));
  }

  function card(r) {
    const act = (label, path, body) => button(label, async () => {
      await call("POST", `dev/moderation/reviews/${r.id}/${path}`, body);
      document.dispatchEvent(new Event("changed"));
      await refresh();
    }, { "aria-label": `${label} what ${r.from} wrote`, className: label === "Approve" ? "primary" : "" });
    const reasons = r.reasons.map((x) => [x.category, x.rule].filter(Boolean).join("/")).join(", ");
    return element("li", { className: "card" },
      element("p", {}, element("b", {}, r.from), r.groupId ? ` in ${r.topicId ?? r.groupId}` : ` to ${r.to}`, ` · ${reasons}`),
      element("q", {}, r.text),
      element("p", { className: "acts" }, act("Approve", "approve", {}), act("Reject", "reject", { reason: "by a moderator on the page" })));
  }

  return { node: element("div", {}, list, empty), refresh };
}

// settle tells the bubble of a message that waits no more what was decided.
async function settle(review) {
  const { state } = await call("GET", `dev/moderation/reviews/${review.id}`);
  const place = review.groupId ? `${review.groupId} ${review.topicId ?? ""}` : `@ ${review.to}`;
  const item = hub.items(review.from, place).find((i) => i.why?.action === "review" && !i.decided && i.text === review.text);
  if (item) await hub.ask("decided", review.from, place, item.id, state);
}
