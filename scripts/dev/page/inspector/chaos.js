// Switches for how badly the emulator behaves.
import { complain, element, patch, set } from "../dom.js";
import { chaos as now, misbehave, unknownCommands } from "../im.js";

const switches = [
  { label: "Send after-callbacks twice", set: { duplicate: 1 } },
  { label: "Let them overtake each other", set: { reorder: 0.5 } },
  { label: "Hold half of them for 3 seconds", set: { delay: 0.5 } },
  { label: "Lose one in five", set: { drop: 0.2 } },
  { label: "Ask before-callbacks 3 seconds late", set: { slowBefore: 1 } },
  { label: "Cut REST answers after the work is done", set: { loseAnswer: 0.5 } },
];

export const chaos = {
  id: "chaos",
  title: "Chaos",
  open(panel, { world, badge }) {
    const boxes = switches.map((s) => {
      const box = element("input", { type: "checkbox" });
      box.addEventListener("change", () => apply(box));
      return { box, ...s };
    });
    panel.append(
      element("p", { className: "soft" }, "The emulator behaves as badly as IM may. What is told twice, late or out of order still counts once."),
      element("fieldset", { id: "chaos" }, element("legend", {}, "From now on"), ...boxes.map((b) => element("label", {}, b.box, ` ${b.label}`))));

    // What a front end or a backend asked for and the emulator does not model.
    const commands = element("ul", { id: "unknown" });
    const unknown = element("section", { "aria-label": "Unknown commands", hidden: true },
      element("h2", {}, "Unknown commands"), element("p", { className: "soft" }, "The emulator does not model these. A web page's got an empty success, a backend's error 60009."), commands);
    panel.append(unknown);

    let applying = 0;
    const count = () => badge("chaos", boxes.filter((b) => b.box.checked).length, "switched on");

    async function apply(box) {
      count();
      applying++;
      try {
        await misbehave(world, Object.assign({ delayMillis: 3000 }, ...boxes.filter((b) => b.box.checked).map((b) => b.set)));
      } catch (e) {
        complain(box.parentNode, e.message);
      } finally {
        applying--;
      }
    }

    // The emulator knows what is on, also after the page was loaded again.
    async function refresh() {
      const [settings, list] = await Promise.all([now(world), unknownCommands(world)]);
      patch(commands, list, (command) => command, (command) => element("li", {}, element("code", {}, command)));
      set(unknown, "hidden", list.length === 0);
      if (applying) return;
      for (const b of boxes) set(b.box, "checked", Object.keys(b.set).every((k) => settings[k] === b.set[k]));
      count();
    }
    return { refresh };
  },
};
