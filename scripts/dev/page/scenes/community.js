// A community: one group with topics.
import { element } from "../dom.js";
import { counters } from "./counters.js";
import { openWindows } from "./windows.js";

export const community = {
  id: "community",
  title: "Community",
  about: "A community with topics. Members write in one topic at a time, and each topic is moderated by itself.",
  steps: ["Let alice say something in general.", "Turn bob to the topic help, and back.", "Press join my casino now: see the rule that refuses it."],
  open(stage) {
    const { groupId, topics } = stage.world.community;
    const windows = openWindows(stage, stage.world.users.slice(0, 2), (user) => {
      const select = element("select", { "aria-label": "Topic" }, ...topics.map((t) => element("option", { value: t.id }, t.name)));
      const options = { place: () => ({ groupId, topicId: select.value }), top: element("label", { className: "where" }, "Topic ", select) };
      select.addEventListener("change", () => windows.chats.find((c) => c.node.contains(select)).moved());
      return options;
    });
    return { close: windows.close, state: () => counters(groupId) };
  },
};
