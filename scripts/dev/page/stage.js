// The stage: the panes of one scene side by side, or one at a time on a phone.
import { byId, element } from "./dom.js";
import { Chat } from "./chat.js";
import { hub } from "./hub.js";

// openStage returns what shows scenes on it.
export function openStage(world) {
  const panes = byId("panes"), cast = byId("cast"), script = byId("script");
  let running;

  panes.addEventListener("reveal", (e) => turnTo(e.target.closest(".pane")));

  function turnTo(pane) {
    if (!pane) return;
    document.body.dataset.view = "stage";
    for (const p of panes.children) p.classList.toggle("shown", p === pane);
    for (const b of cast.children) b.setAttribute("aria-pressed", b.pane === pane);
  }

  // One pane of the scene: a user's window, or a tool.
  function pane(label, node) {
    const p = element("div", { className: "pane" }, node);
    const b = element("button", { type: "button", "aria-pressed": "false" }, label);
    b.pane = p;
    b.addEventListener("click", () => turnTo(p));
    panes.append(p);
    cast.append(b);
    if (panes.children.length === 1) turnTo(p);
    panes.style.setProperty("--panes", panes.children.length);
    return {
      name: (text) => (b.textContent = text),
      remove() {
        p.remove();
        b.remove();
        panes.style.setProperty("--panes", panes.children.length);
        if (!panes.querySelector(".shown")) turnTo(panes.firstChild);
      },
    };
  }

  return {
    // show brings a scene onto the stage and returns it, running.
    show(scene) {
      running?.close();
      panes.replaceChildren();
      cast.replaceChildren();
      document.body.dataset.scene = scene.id;
      byId("stage").setAttribute("aria-labelledby", `tab-${scene.id}`);
      script.replaceChildren(element("p", {}, scene.about), element("ol", { "aria-label": "First steps" }, ...scene.steps.map((s) => element("li", {}, s))));
      const chats = [];
      const act = scene.open({
        world,
        pane,
        // chat opens a user's window in a pane of its own.
        chat(options) {
          let its;
          const chat = new Chat({
            sayings: world.sayings, others: world.users, admin: world.admin, ...options,
            onUser(user) {
              its?.name(user);
              options.onUser?.(user);
            },
          });
          its = pane(options.user, chat.node);
          chats.push(chat);
          return Object.assign(chat, {
            leave() {
              chat.close();
              its.remove();
              chats.splice(chats.indexOf(chat), 1);
              hub.ask("release", chat.user);
            },
          });
        },
      });
      running = {
        ...act,
        id: scene.id,
        close() {
          act.close?.();
          for (const c of chats) c.close();
        },
      };
      return running;
    },
  };
}
