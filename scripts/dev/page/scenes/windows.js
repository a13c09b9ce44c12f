// Chat windows of a scene that lets users come and go.
import { button } from "../dom.js";

// openWindows opens a window for each of users, and offers one for another.
// make returns a window's options, with onOpen for what wants to know the window.
export function openWindows(stage, users, make) {
  const chats = [];
  const another = button("Another user", () => {
    add(stage.world.users.find((u) => !chats.some((c) => c.user === u)));
  }, { className: "another" });

  function add(user) {
    const options = make(user);
    const chat = stage.chat({ user, ...options });
    options.onOpen?.(chat);
    const close = button("Close", () => {
      chats.splice(chats.indexOf(chat), 1);
      chat.leave();
      limit();
      another.focus();
    }, { className: "quiet close", "aria-label": `Close ${user}'s window` });
    chat.head.append(close);
    chats.push(chat);
    limit();
  }

  function limit() {
    another.hidden = chats.length >= stage.world.users.length;
    for (const c of chats) c.head.querySelector(".close").hidden = chats.length <= users.length;
    chats[0]?.node.parentNode.parentNode.after(another);
  }

  for (const user of users) add(user);
  return { chats, close: () => another.remove() };
}
