// One to one: people and a chatbot.
import { element, patch, set } from "../dom.js";
import { hub, placeKey } from "../hub.js";
import { openWindows } from "./windows.js";

export const direct = {
  id: "direct",
  title: "One to one, chatbot",
  about: "Each window is one user, with a conversation for each of the others. Robo is a chatbot that a scripted model answers for: its answers appear while it writes them.",
  steps: ["Let alice write to bob.", "Choose Robo, and ask for a story: watch it being written.", "Ask how long you can send it back, and follow the source.", "Ask for a person: a ticket opens in the scene of the support desk, and Robo is silent until it is closed, or until you write /robot.", "Ask “what do you remember?”, tell Robo /forget, or to fail."],
  open(stage) {
    const { users, robot } = stage.world;
    const peers = (user) => [...users.filter((u) => u !== user), robot.userId];
    const nameOf = (id) => (id === robot.userId ? robot.nick : id);
    const listeners = [];
    const windows = openWindows(stage, users.slice(0, 2), (first) => {
      let chat, chosen;
      const counted = new Map(); // messages seen, by peer
      const list = element("div", { className: "peers", role: "group", "aria-label": "Conversation with" });
      const renew = () => chat && patch(list, peers(chat.user), (p) => p, (p) => {
        const b = element("button", { type: "button" }, element("span", {}, nameOf(p)), element("span", { className: "badge", hidden: true }));
        b.addEventListener("click", () => choose(p));
        return b;
      }, (b, p) => {
        const there = hub.items(chat.user, placeKey({ peer: p })).filter((i) => !i.mine).length;
        if (p === chosen) counted.set(p, there);
        const fresh = there - (counted.get(p) ?? 0);
        b.setAttribute("aria-pressed", p === chosen);
        set(b.lastChild, "hidden", !fresh);
        set(b.lastChild, "textContent", fresh ? String(fresh) : "");
      });
      function choose(p) {
        chosen = p;
        renew();
        chat.moved();
      }
      const onItems = ({ detail }) => detail.user === chat?.user && renew();
      hub.addEventListener("items", onItems);
      listeners.push(onItems);
      return {
        top: list,
        nameOf,
        sayings: ["Good morning", "tell me a story", "how long can I send it back?", "I want a person", "what do you remember?", "/forget"],
        place: (user) => ({ peer: chosen && chosen !== user ? chosen : peers(user)[0] }),
        onOpen: (c) => { chat = c; chosen = peers(first)[0]; renew(); },
        onUser: (user) => { chosen = peers(user)[0]; counted.clear(); queueMicrotask(renew); },
      };
    });
    return {
      close() {
        windows.close();
        for (const l of listeners) hub.removeEventListener("items", l);
      },
      state: async () => [{ title: "Not counted", text: "One-to-one messages are moderated and not counted. What a chatbot remembers of a conversation is forgotten a day after its last message." }],
    };
  },
};
