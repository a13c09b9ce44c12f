// Shop widget: a shopper in a demo shop, the agent who answers, and the theme
// editor in which a merchant sets the widget up.
import { call, complain, element } from "../dom.js";

export const shop = {
  id: "shop",
  title: "Shop widget",
  about: "A demo shop renders the theme app extension as Shopify does. A guest starts with an e-mail address; who is logged in goes on as the customer whom the shop's proxy vouches for.",
  steps: ["Open the chat in the shop and write as a guest.", "Answer in the agent's page beside it.", "Log in as 1001 in the shop: the conversation comes along.", "Change or empty a setting in the theme editor."],
  open(stage) {
    const style = element("link", { rel: "stylesheet", href: "scenes/shop.css" });
    document.head.append(style);
    const front = element("iframe", { title: "Demo shop", src: "shop/", allow: "clipboard-write" });
    stage.pane("Shop", element("section", { className: "framed", "aria-label": "Shop" }, front));
    const desk = element("iframe", { title: "Agent's page", referrerPolicy: "no-referrer" });
    const note = element("p", { className: "empty" }, "connecting");
    stage.pane("Agent", element("section", { className: "framed", "aria-label": "Agent" }, note, desk));
    const form = element("form", { className: "editor" });
    const preview = element("input", { type: "checkbox" });
    const language = element("select", { "aria-label": "Language of the shop" }, ...[["en", "English"], ["ja", "日本語"], ["zh-CN", "简体中文"], ["ar", "العربية (RTL)"]].map(([value, text]) => element("option", { value }, text)));
    const editor = element("section", { className: "tool", "aria-label": "Theme editor" }, element("h2", {}, "Theme editor"),
      element("p", { className: "acts" }, language, element("label", {}, preview, " Preview as the editor")), form);
    stage.pane("Theme editor", editor);

    const reload = () => (front.src = `shop/?${new URLSearchParams({ lang: language.value, ...(preview.checked && { design: "1" }) })}`);
    language.addEventListener("change", () => reload() && draw());
    preview.addEventListener("change", reload);

    // The agent's page gets an identity token as a desk would give it one.
    (async () => {
      try {
        const { token } = await call("POST", "dev/agents/token", { userId: stage.world.shopAgent });
        desk.src = `chat/agent.html#${new URLSearchParams({ token })}`;
        note.remove();
      } catch (e) {
        note.textContent = e.message;
      }
    })();

    async function draw() {
      const { settings, values } = await call("GET", `dev/shop?lang=${language.value}`);
      form.replaceChildren(...settings.map((s) => field(s, values)), element("button", { className: "primary" }, "Save"));
    }

    function field(s, values) {
      if (s.type === "header") return element("h3", {}, s.content);
      const value = values[s.id];
      const control = s.type === "select" ? element("select", { name: s.id }, ...s.options.map((o) => element("option", { value: o.value, selected: o.value === value }, o.label)))
        : element("input", { name: s.id, type: { color: "color", range: "range", number: "number" }[s.type] ?? "text", min: s.min, max: s.max, step: s.step, value });
      control.dataset.number = s.type === "range" || s.type === "number" ? "1" : "";
      return element("label", {}, s.label, control, s.info && element("small", {}, s.info));
    }

    form.addEventListener("submit", async (e) => {
      e.preventDefault();
      const values = Object.fromEntries([...form.elements].filter((c) => c.name).map((c) => [c.name, c.dataset.number ? Number(c.value) : c.value]));
      try {
        await call("PUT", "dev/shop", { values });
        reload();
      } catch (e) {
        complain(form.lastElementChild, e.message);
      }
    });
    draw();

    return {
      close: () => style.remove(),
      state: async () => [{ title: "Nothing of its own", text: "The widget keeps the guest's token and a draft in the shopper's browser. Messages lie in IM." }],
    };
  },
};
