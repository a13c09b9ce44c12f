// Messages that a rule holds for a moderator.
import { element } from "../dom.js";
import { openReviews } from "../reviews.js";

export const reviews = {
  id: "reviews",
  title: "Reviews",
  open(panel, { badge }) {
    const list = openReviews((n) => badge("reviews", n, "messages waiting for a moderator"));
    panel.append(element("p", { className: "soft" }, "What is approved is sent once, in its sender's name; what is rejected gets its sender a strike."), list.node);
    return { refresh: list.refresh };
  },
};
