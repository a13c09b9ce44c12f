// The button that opens the chat of a shop. Until it is pressed nothing else is
// loaded, asked for or stored, and the page has no name of ours but the element
// that the theme's block rendered.
const host = document.getElementById("backchannel-chat");
if (host && !host.shadowRoot) launch(host);

function launch(host) {
  const said = host.dataset;
  const number = (text, low, high, otherwise) => {
    const n = Number.parseInt(text, 10);
    return Number.isFinite(n) ? Math.min(Math.max(n, low), high) : otherwise;
  };
  const color = /^#[0-9a-f]{6}$/i.test(said.color ?? "") ? said.color : "#1f5eff";
  const side = said.position === "left" ? "left" : "right";
  const scheme = ["light", "dark"].includes(said.scheme) ? said.scheme : "light dark";
  const x = number(said.offsetX, 0, 200, 20), y = number(said.offsetY, 0, 400, 20), z = number(said.zIndex, 1, 2147483647, 2147483000);

  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  // Important rules of a shadow tree win over those of the page.
  sheet.replaceSync(`
:host { all: initial !important; display: block !important; position: fixed !important; inset: auto !important; bottom: calc(${y}px + env(safe-area-inset-bottom, 0px)) !important; ${side}: calc(${x}px + env(safe-area-inset-${side}, 0px)) !important; z-index: ${z} !important; width: 60px !important; height: 60px !important; direction: ${document.documentElement.dir === "rtl" ? "rtl" : "ltr"} !important; unicode-bidi: isolate !important; color-scheme: ${scheme} !important; --accent: ${color}; --on-accent: ${inkOn(color)}; --side: ${side}; }
:host([data-open=phone]) .launcher { display: none; }
.launcher { position: relative; display: grid; place-items: center; box-sizing: border-box; width: 60px; height: 60px; margin: 0; padding: 0; border: 0; border-radius: 50%; background: var(--accent); color: var(--on-accent); cursor: pointer; box-shadow: 0 1px 3px #0003, 0 8px 24px #0004; -webkit-tap-highlight-color: transparent; }
.launcher:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
.launcher svg { width: 28px; height: 28px; fill: currentColor; grid-area: 1 / 1; }
.launcher .shut, .launcher[aria-expanded=true] .talk { opacity: 0; }
.launcher[aria-expanded=true] .shut { opacity: 1; }
.launcher[aria-busy] svg { opacity: .25; }
.launcher[aria-busy]::after { content: ""; grid-area: 1 / 1; width: 26px; height: 26px; border: 3px solid currentColor; border-top-color: transparent; border-radius: 50%; box-sizing: border-box; animation: turn .8s linear infinite; }
.badge { position: absolute; top: -4px; inset-inline-end: -4px; min-width: 22px; padding: 0 6px; box-sizing: border-box; border-radius: 11px; background: #c1121f; color: #fff; font: 600 13px/22px system-ui, sans-serif; text-align: center; box-shadow: 0 0 0 2px #fff; }
.badge:empty { display: none; }
.problem { position: absolute; bottom: 72px; ${side}: 0; width: max-content; max-width: 260px; margin: 0; padding: 10px 14px; border-radius: 12px; background: light-dark(#fff, #22262e); color: light-dark(#a80f31, #ff9aa8); font: 14px/1.4 system-ui, sans-serif; box-shadow: 0 4px 24px #0004; }
.problem:empty { display: none; }
@media (prefers-reduced-motion: no-preference) { .launcher { transition: transform .15s; } .launcher:hover { transform: scale(1.05); } .launcher svg { transition: opacity .15s; } }
@media (prefers-reduced-motion: reduce) { .launcher[aria-busy]::after { animation-duration: 3s; } }
@media print { :host { display: none !important; } }
@media (forced-colors: active) { .launcher { border: 2px solid ButtonText; } }
@keyframes turn { to { transform: rotate(1turn); } }`);
  root.adoptedStyleSheets = [sheet];

  const make = (tag, properties, ...children) => {
    const e = Object.assign(document.createElement(tag), properties);
    e.append(...children);
    return e;
  };
  const picture = (name, d) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("class", name);
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", d);
    svg.append(path);
    return svg;
  };
  const badge = make("span", { className: "badge" });
  const problem = make("p", { className: "problem" });
  problem.setAttribute("role", "alert");
  const label = said.label || "Chat";
  const button = make("button", { type: "button", className: "launcher" },
    picture("talk", "M12 3c5.500 0 10 3.600 10 8.200s-4.500 8.200-10 8.200c-1 0-2-.1-2.900-.4L4 21.500l1.100-4.200C3.200 15.800 2 13.600 2 11.200 2 6.600 6.500 3 12 3z"),
    picture("shut", "M12 16.500 4.500 9l1.400-1.400 6.100 6.100 6.100-6.100L19.500 9z"), badge);
  const attributes = { "aria-label": label, "aria-haspopup": "dialog", "aria-expanded": "false" };
  for (const name in attributes) button.setAttribute(name, attributes[name]);
  root.append(button, problem);

  // What the widget tells the button.
  const face = {
    root, host, side, button,
    opened(open, phone) {
      button.setAttribute("aria-expanded", open);
      host.dataset.open = open ? (phone ? "phone" : "desktop") : "";
    },
    unread(count, text) {
      badge.textContent = count ? (count > 99 ? "99+" : count) : "";
      button.setAttribute("aria-label", count ? `${label}, ${text}` : label);
    },
  };
  let widget;
  button.addEventListener("click", async () => {
    if (button.hasAttribute("aria-busy")) return;
    problem.textContent = "";
    try {
      if (!widget) {
        button.setAttribute("aria-busy", "true");
        const { openWidget } = await import("./widget.js");
        widget = await openWidget(face);
      }
      widget.toggle();
    } catch (e) {
      problem.textContent = said.problem || "The chat cannot be loaded right now.";
      console.error("backchannel chat:", e);
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
}

// inkOn returns black or white, whichever stands out more from a colour.
function inkOn(color) {
  const [r, g, b] = [1, 3, 5].map((i) => {
    const c = Number.parseInt(color.slice(i, i + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  const light = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return 1.05 / (light + 0.05) >= (light + 0.05) / 0.05 ? "#ffffff" : "#000000";
}
