// How the chat looks. The sheet is made by script, which a page's style-src does
// not forbid. :host has --accent, --on-accent and color-scheme.
export function sheetOf(text) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(text);
  return sheet;
}

export const chatCSS = `
:host, .themed {
  --ink: light-dark(#161a22, #edf0f5); --soft: light-dark(#59616f, #a3adbb); --paper: light-dark(#f6f7f9, #14171d); --card: light-dark(#ffffff, #20252e);
  --line: light-dark(#e2e5eb, #323945); --bad: light-dark(#a80f31, #ff9aa8); --good: light-dark(#0b7a3b, #63d98d); --strong: light-dark(var(--accent), color-mix(in oklab, var(--accent) 55%, white));
}
.themed, .themed * { box-sizing: border-box; }
.themed { font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; color: var(--ink); text-align: start; -webkit-text-size-adjust: 100%; }
.themed[hidden], .themed [hidden] { display: none !important; }
:where(.themed) p, :where(.themed) h1, :where(.themed) h2, :where(.themed) ul, :where(.themed) blockquote { margin: 0; padding: 0; }
:where(.themed) button, :where(.themed) input, :where(.themed) textarea { font: inherit; color: inherit; letter-spacing: inherit; }
:where(.themed) button { cursor: pointer; }
:where(.themed) button:disabled { cursor: default; }
:where(.themed) :focus-visible { outline: 2px solid var(--strong); outline-offset: 2px; }
.icon { width: 1.25em; height: 1.25em; fill: currentColor; flex: none; }
.spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.link { border: 0; background: none; padding: 2px 4px; color: var(--strong); text-decoration: underline; text-underline-offset: 2px; font-weight: 600; }
.round { display: grid; place-items: center; flex: none; width: 40px; height: 40px; padding: 0; border: 0; border-radius: 50%; background: none; color: var(--soft); }
.round:hover:not(:disabled) { background: color-mix(in oklab, var(--ink) 8%, transparent); }
.round.primary { background: var(--accent); color: var(--on-accent); }
.round.primary:disabled { background: var(--line); color: var(--soft); }
[dir=rtl] .icon:is(.send, .back, .quote, .hand), :host([dir=rtl]) .icon:is(.send, .back, .quote, .hand) { transform: scaleX(-1); }
.round.small { width: 30px; height: 30px; font-size: 13px; }

.chat { position: relative; display: grid; grid-template: minmax(0, 1fr) auto auto auto / minmax(0, 1fr); min-height: 0; background: var(--paper); }
.said { position: relative; min-height: 0; display: grid; grid-template: minmax(0, 1fr) / minmax(0, 1fr); }
.log { overflow-y: auto; overscroll-behavior: contain; padding: 14px 14px 6px; display: flex; flex-direction: column; outline-offset: -3px; }
.log:focus-visible { outline-offset: -3px; }
.list { margin-top: auto; display: flex; flex-direction: column; }
.older { align-self: center; margin-bottom: 8px; }
.empty { margin: auto; color: var(--soft); text-align: center; padding: 24px; }
.day { align-self: center; color: var(--soft); font-size: 12.5px; margin: 14px 0 6px; text-align: center; }
.row { display: flex; flex-direction: column; align-items: flex-start; margin-top: 3px; max-width: 100%; }
.row.first { margin-top: 12px; }
.row.mine { align-items: flex-end; }
.from { font-size: 12.5px; color: var(--soft); font-weight: 600; margin: 0 0 3px; margin-inline-start: 40px; }
.side { display: flex; align-items: flex-end; gap: 8px; max-width: 88%; min-width: 0; }
.mine .side { flex-direction: row-reverse; }
.face { flex: none; display: grid; place-items: center; width: 32px; height: 32px; border-radius: 50%; background: color-mix(in oklab, var(--accent) 16%, var(--card)); color: var(--ink); font-size: 12px; font-weight: 700; visibility: hidden; }
.row.first .face { visibility: visible; align-self: flex-start; }
.bubble { min-width: 0; padding: 9px 13px; border-radius: 18px; background: var(--card); box-shadow: 0 1px 2px #0000000f; overflow-wrap: anywhere; }
.theirs .bubble { border-end-start-radius: 6px; }
.mine .bubble { background: var(--accent); color: var(--on-accent); border-end-end-radius: 6px; }
.bubble .text { white-space: pre-wrap; }
.bubble a { color: inherit; text-underline-offset: 2px; }
.bubble :focus-visible { outline-color: currentColor; }
.recalled .bubble { background: none; box-shadow: inset 0 0 0 1px var(--line); color: var(--soft); font-style: italic; }
.failed .bubble { background: var(--card); color: var(--ink); box-shadow: inset 0 0 0 1.5px var(--bad); }
.writing::after { content: "▍"; }
.bubble img { display: block; width: auto; height: auto; max-width: min(240px, 100%); max-height: 260px; min-width: 40px; min-height: 40px; border-radius: 12px; object-fit: cover; background: var(--line); }
.is-image .bubble { padding: 4px; max-width: 248px; }
.attachment { display: flex; gap: 10px; align-items: center; min-width: 0; text-decoration: none; }
.attachment > .icon { width: 28px; height: 28px; }
.attachment span { display: grid; min-width: 0; }
.attachment b { font-weight: 600; overflow: hidden; text-overflow: ellipsis; display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; }
.attachment small { font-size: 12.5px; }
a.attachment b { text-decoration: underline; text-underline-offset: 2px; }
blockquote { border-inline-start: 3px solid currentColor; padding-inline-start: 8px; margin: 0 0 6px; font-size: 13.5px; display: grid; }
blockquote span, .quoted span { overflow: hidden; text-overflow: ellipsis; display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; }
.is-image blockquote { margin: 6px 8px; }
.meta { display: flex; align-items: center; gap: 3px; font-size: 12px; color: var(--soft); margin: 2px 4px 0; margin-inline-start: 44px; font-variant-numeric: tabular-nums; }
.mine .meta { margin-inline-start: 4px; }
.meta .icon { width: 15px; height: 15px; }
.meta .double { color: var(--strong); }
.failed .meta { display: none; }
.trouble { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 6px; font-size: 13px; color: var(--bad); margin-top: 3px; }
.acts { display: flex; align-self: center; flex: none; }
.latest { position: absolute; bottom: 8px; left: 50%; transform: translateX(-50%); display: flex; gap: 6px; align-items: center; border: 0; border-radius: 999px; padding: 7px 14px; background: var(--ink); color: var(--paper); font-size: 13px; font-weight: 600; box-shadow: 0 4px 16px #0003; }
.typing { color: var(--soft); font-size: 13px; padding: 0 18px; min-height: 0; }
.typing:not(:empty) { padding-bottom: 4px; }
.notice:not(:empty) { color: var(--bad); font-size: 13.5px; padding: 4px 16px; }
.notice.good:not(:empty) { color: var(--good); }
.composer { background: var(--card); border-top: 1px solid var(--line); padding: 8px; padding-bottom: max(8px, env(safe-area-inset-bottom)); }
.composer .line { display: flex; align-items: flex-end; gap: 4px; min-width: 0; }
.composer textarea { flex: 1; min-width: 0; resize: none; border: 0; outline: 0; background: none; padding: 8px 6px; font-size: 16px; line-height: 24px; max-height: 140px; height: 40px; overflow-y: auto; border-radius: 10px; }
.composer textarea::placeholder { color: var(--soft); opacity: 1; }
.composer textarea:focus-visible { outline: 2px solid var(--strong); outline-offset: -2px; }
.quoted { display: flex; align-items: center; gap: 8px; margin: 2px 4px 8px; padding-inline-start: 10px; border-inline-start: 3px solid var(--strong); font-size: 13.5px; }
.quoted > div { flex: 1; min-width: 0; display: grid; }
.dropping::after { content: attr(data-drop); position: absolute; inset: 8px; display: grid; place-items: center; border: 2px dashed var(--strong); border-radius: 14px; background: color-mix(in oklab, var(--card) 88%, transparent); font-weight: 700; z-index: 1; }
.banner { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 8px; padding: 8px 16px; background: light-dark(#fff3d6, #3a2f14); color: light-dark(#5e4300, #f6d58d); font-size: 13.5px; }
.banner .link { color: inherit; }
@media (hover: hover) { .row:not(:hover, :focus-within) .acts { opacity: 0; } }
@media (prefers-reduced-motion: no-preference) { .row { animation: come .18s ease-out; } @keyframes come { from { opacity: 0; translate: 0 5px; } } }
@media (forced-colors: active) { .bubble, .round { border: 1px solid CanvasText; } }
`;

export const widgetCSS = `
.panel { position: fixed; display: grid; grid-template: auto auto minmax(0, 1fr) / minmax(0, 1fr); width: min(392px, calc(100vw - 24px)); height: min(660px, calc(100dvh - var(--lift) - 24px)); bottom: var(--lift); border-radius: 20px; overflow: hidden; background: var(--paper); box-shadow: 0 2px 8px #0002, 0 16px 56px #0004; }
.panel.left { left: var(--x); }
.panel.right { right: var(--x); }
.top { display: flex; gap: 12px; align-items: center; padding: 16px 10px 16px 18px; padding-inline: 18px 10px; background: var(--accent); color: var(--on-accent); }
.top .logo { flex: none; width: 44px; height: 44px; border-radius: 12px; object-fit: cover; background: #fff; }
.top .words { flex: 1; min-width: 0; display: grid; gap: 1px; }
.top h2 { font-size: 18px; line-height: 1.25; font-weight: 700; overflow-wrap: anywhere; display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow: hidden; }
.top .second { font-size: 14px; overflow-wrap: anywhere; display: -webkit-box; -webkit-line-clamp: 3; -webkit-box-orient: vertical; overflow: hidden; }
.top .agent { display: flex; gap: 6px; align-items: center; font-size: 13px; margin-top: 3px; min-width: 0; }
.top .agent:empty { display: none; }
.top .agent span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.dot { flex: none; width: 9px; height: 9px; border-radius: 50%; box-shadow: 0 0 0 2px currentColor; }
.dot.online { background: #3ddc84; }
.dot.offline { background: transparent; }
.top .round { color: inherit; align-self: flex-start; }
.top :focus-visible { outline-color: currentColor; }
.notices:empty { display: none; }
.notices { grid-row: 2; }
.main { grid-row: 3; display: grid; grid-template: minmax(0, 1fr) / minmax(0, 1fr); min-height: 0; }
.start { overflow-y: auto; padding: 18px; display: flex; flex-direction: column; gap: 14px; background: var(--paper); padding-bottom: max(18px, env(safe-area-inset-bottom)); }
.start label { display: grid; gap: 5px; font-weight: 600; font-size: 14px; }
.start small { font-weight: 400; color: var(--soft); font-size: 13px; }
.start input, .start textarea { width: 100%; border: 1px solid light-dark(#8a919e, #6b7482); border-radius: 12px; background: var(--card); padding: 10px 12px; font-size: 16px; font-weight: 400; }
.start textarea { min-height: 96px; resize: vertical; }
.start [aria-invalid=true] { border-color: var(--bad); box-shadow: 0 0 0 1px var(--bad); }
.start .wrong { color: var(--bad); font-weight: 600; font-size: 13.5px; }
.start .wrong:empty { display: none; }
.start .go { border: 0; border-radius: 14px; min-height: 48px; padding: 10px 18px; background: var(--accent); color: var(--on-accent); font-weight: 700; }
.start .go[aria-busy] { opacity: .7; }
.wait { margin: auto; color: var(--soft); padding: 24px; text-align: center; display: grid; gap: 8px; justify-items: center; }
@media (prefers-reduced-motion: no-preference) { .panel { animation: rise .2s ease-out; transform-origin: bottom var(--side); } @keyframes rise { from { opacity: 0; translate: 0 12px; scale: .98; } } }
@media (max-width: 520px) {
  .panel, .panel.left, .panel.right { inset: auto; left: 0; right: 0; top: var(--top, 0px); width: auto; height: var(--height, 100dvh); border-radius: 0; box-shadow: none; }
  .top { padding-top: calc(14px + env(safe-area-inset-top, 0px)); }
  .round { width: 44px; height: 44px; }
  .round.small { width: 36px; height: 36px; }
}
`;

export const agentCSS = `
:root { --accent: #1f5eff; --on-accent: #ffffff; color-scheme: light dark; height: 100%; }
body { margin: 0; height: 100dvh; overflow: hidden; }
.page { height: 100%; display: grid; grid-template: auto minmax(0, 1fr) / minmax(0, 1fr); background: var(--paper); }
.page > .notices:empty { display: none; }
.desk { display: grid; grid-template: minmax(0, 1fr) / minmax(230px, 300px) minmax(0, 1fr); min-height: 0; grid-row: 2; }
.people { display: grid; grid-template: auto minmax(0, 1fr) / minmax(0, 1fr); background: var(--card); border-inline-end: 1px solid var(--line); min-height: 0; }
.people header { display: grid; gap: 8px; padding: 12px 14px 10px; border-bottom: 1px solid var(--line); }
.people h1 { font-size: 16px; }
.people input { width: 100%; border: 1px solid var(--line); border-radius: 10px; background: var(--paper); padding: 7px 10px; font-size: 16px; min-width: 0; }
.people ul { list-style: none; overflow-y: auto; padding: 6px; }
.people .nobody { padding: 20px 14px; color: var(--soft); text-align: center; }
.person { display: grid; grid-template: auto auto / 40px minmax(0, 1fr) auto; gap: 0 10px; align-items: center; width: 100%; padding: 9px 8px; border: 0; border-radius: 12px; background: none; text-align: start; }
.person:hover { background: color-mix(in oklab, var(--ink) 6%, transparent); }
.person[aria-current=true] { background: color-mix(in oklab, var(--accent) 14%, var(--card)); }
.person .face { visibility: visible; width: 40px; height: 40px; font-size: 14px; grid-row: 1 / 3; }
.person b, .person .last { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.person .last { grid-column: 2; color: var(--soft); font-size: 13.5px; }
.person time { color: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.person .count { grid-column: 3; justify-self: end; min-width: 20px; padding: 0 6px; border-radius: 10px; background: var(--bad); color: var(--card); font-size: 12px; line-height: 20px; font-weight: 700; text-align: center; }
.person.fresh b { font-weight: 800; }
.talk { display: grid; grid-template: auto minmax(0, 1fr) / minmax(0, 1fr); min-height: 0; min-width: 0; }
.talk > header { display: flex; align-items: center; gap: 8px; padding: 8px 12px; min-height: 52px; border-bottom: 1px solid var(--line); background: var(--card); }
.talk h2 { flex: 1; min-width: 0; font-size: 15px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.talk h2 small { display: block; font-weight: 400; color: var(--soft); font-size: 12.5px; }
.talk > .empty { grid-row: 1 / 3; }
.talk .back { display: none; }
.tool { display: flex; align-items: center; gap: 6px; border: 1px solid var(--line); border-radius: 10px; background: none; padding: 6px 10px; font-size: 13.5px; font-weight: 600; color: var(--ink); min-height: 36px; }
.tool:hover { background: color-mix(in oklab, var(--ink) 6%, transparent); }
.tool .icon { color: var(--soft); }
.pop { position: relative; flex: none; }
.menu { position: absolute; z-index: 2; inset-inline-end: 0; top: calc(100% + 6px); width: max-content; max-width: min(320px, 80vw); max-height: 50vh; overflow-y: auto; padding: 6px; border-radius: 14px; background: var(--card); box-shadow: 0 4px 28px #0004; border: 1px solid var(--line); }
.composer .menu { top: auto; bottom: calc(100% + 8px); inset-inline-start: 0; inset-inline-end: auto; }
.menu button { display: block; width: 100%; text-align: start; border: 0; background: none; border-radius: 9px; padding: 8px 10px; }
.menu button:hover, .menu button:focus-visible { background: color-mix(in oklab, var(--accent) 12%, var(--card)); }
.tools { display: flex; gap: 6px; flex: none; }
.memo { display: grid; gap: 6px; width: min(300px, 72vw); }
.memo textarea { width: 100%; border: 1px solid var(--line); border-radius: 10px; background: var(--paper); padding: 8px 10px; font-size: 16px; resize: vertical; }
.menu .memo .tool { justify-self: end; width: auto; display: flex; border: 1px solid var(--line); }
.message { margin: auto; padding: 32px; text-align: center; color: var(--soft); max-width: 40ch; grid-row: 2; }
.chat .side { max-width: min(88%, 640px); }
@media (max-width: 640px) {
  .desk { grid-template-columns: minmax(0, 1fr); }
  .desk.one .people, .desk:not(.one) .talk { display: none; }
  .people { border: 0; }
  .talk .back { display: grid; }
  .tool span { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .tool { min-width: 40px; min-height: 40px; justify-content: center; }
}
`;
