// Every callback that reached the bundle, with its verdict and why.
import { button, clock, complain, element, patch, set } from "../dom.js";
import { flash, reveal } from "../chat.js";
import { hub } from "../hub.js";
import { read } from "../scenes/live/wire.js";

const filters = {
  messages: (e) => e.command.includes("SendMsg"),
  refused: isRefused,
  all: () => true,
};

function isRefused(e) {
  return !["allow", "ok"].includes(e.verdict);
}

export const callbacks = {
  id: "callbacks",
  title: "Callbacks",
  open(panel, { world, badge }) {
    let filter = "messages";
    const choices = Object.keys(filters).map((name) => {
      const input = element("input", { type: "radio", name: "filter", value: name, checked: name === filter });
      input.addEventListener("change", () => { filter = name; draw(); });
      return element("label", {}, input, ` ${name}`);
    });
    const list = element("ol", { id: "callbacks", reversed: true });
    const empty = element("p", { className: "empty" }, "Nothing yet. Say something on the stage: IM asks the bundle before it delivers a message, and tells it afterwards.");
    panel.append(element("fieldset", { className: "filter" }, element("legend", {}, "Show"), ...choices), list, empty);

    function draw() {
      const entries = hub.callbacks.filter(filters[filter]).reverse();
      patch(list, entries, (e) => `${e.id} ${e.at}`, (e) => row(e, world));
      set(empty, "hidden", entries.length > 0);
      badge("callbacks", hub.callbacks.filter(isRefused).length, "refused or changed");
    }

    let waiting;
    hub.addEventListener("callbacks", () => (waiting ??= requestAnimationFrame(() => { waiting = undefined; draw(); })));
    draw();

    return {
      // reveal shows what IM asked about a message, by its sender and random
      // number.
      reveal(messageID) {
        const is = (e) => messageOf(e) === messageID;
        const entry = hub.callbacks.find((e) => is(e) && e.command.includes("Before")) ?? hub.callbacks.find(is);
        if (!entry) return;
        if (!filters[filter](entry)) panel.querySelector("input[value=all]").click();
        draw();
        const node = list.patched.get(`${entry.id} ${entry.at}`);
        const details = node.querySelector("details");
        const show = () => node.scrollIntoView({ block: "start" });
        if (details.open) show();
        else details.addEventListener("toggle", show, { once: true }); // when the reasons are in it
        details.open = true;
        flash(node);
      },
    };
  },
};

const messageOf = ({ request: r }) => `${r?.From_Account} ${r?.Random ?? r?.MsgRandom}`;

function row(entry, world) {
  const { who, where, what } = describe(entry);
  const why = whyOf(entry);
  const summary = element("summary", {},
    element("span", { className: "line" },
      element("b", {}, who), where && " → ", where && element("b", {}, where), " ", what),
    element("span", { className: "line soft" },
      element("span", { className: `verdict ${entry.verdict}` }, entry.verdict),
      ...[why, `${entry.millis.toFixed(1)} ms`, entry.command.includes("Before") ? "before" : "", clock(entry.at)].filter(Boolean).flatMap((part) => [" · ", part])));
  const details = element("details", {}, summary);
  details.addEventListener("toggle", () => details.open && details.children.length === 1 && details.append(...inside(entry)));
  const acts = element("span", { className: "acts" });
  if (entry.command.includes("SendMsg")) {
    const show = element("button", { type: "button", className: "link" }, "Bubble");
    show.addEventListener("click", () => {
      show.dispatchEvent(new CustomEvent("stage", { bubbles: true }));
      if (!reveal(messageOf(entry))) complain(show, "no window shows this message now");
    });
    acts.append(show);
  }
  const name = entry.command || "(none)";
  acts.append(
    button("curl", () => copy(curl(entry, world)), { className: "link", "aria-label": `Copy ${name} as curl` }),
    button("Replay", () => call(entry), { className: "link", "aria-label": `Replay ${name}` }));
  return element("li", { className: isRefused(entry) ? "refused" : "" }, details, acts);
}

async function call(entry) {
  const answer = await fetch(`dev/callbacks/${entry.id}/replay`, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
  if (!answer.ok) throw new Error((await answer.json()).error.message);
}

function inside(entry) {
  const parts = [element("p", { className: "command" }, element("code", {}, entry.command))];
  for (const r of entry.why?.reasons ?? []) {
    parts.push(element("dl", {}, ...[["rule", r.rule], ["category", r.category], ["severity", r.severity], ["action", entry.why.action], ["rule set", entry.why.list]]
      .filter(([, v]) => v).flatMap(([k, v]) => [element("dt", {}, k), element("dd", {}, v)])));
  }
  if (entry.rule && !entry.why) parts.push(element("p", {}, `by the rule ${entry.rule}`));
  for (const [title, value] of [["request", entry.request], ["answer", entry.response]]) {
    parts.push(element("p", { className: "label" }, title), element("pre", { tabIndex: 0 }, JSON.stringify(value, null, 2)));
  }
  return parts;
}

// whyOf is the first reason of a verdict, as category/rule.
function whyOf({ rule, why }) {
  const [first, ...more] = why?.reasons ?? [];
  if (first) return [first.category, first.rule].filter(Boolean).join("/") + (more.length ? ` and ${more.length} more` : "");
  return rule ?? "";
}

// describe says in a line who did what where.
function describe({ command, request: r }) {
  if (!r || typeof r !== "object") return { who: command || "(none)", what: "" };
  const names = (list) => (list ?? []).map((m) => m.Member_Account).join(", ");
  const where = r.TopicId || r.GroupId || r.To_Account || "";
  switch (true) {
    case /(Before|After)SendMsg$/.test(command):
      return { who: r.From_Account, where, what: textOf(r.MsgBody) };
    case command === "State.StateChange":
      return { who: r.Info.To_Account, what: r.Info.Action.toLowerCase() };
    case command.endsWith("NewMemberJoin"):
      return { who: names(r.NewMemberList), where, what: "joined" };
    case command.endsWith("MemberExit"):
      return { who: names(r.ExitMemberList), where, what: "left" };
    case command.endsWith("OnMemberStateChange"):
      return { who: names(r.MemberList), where, what: String(r.EventType ?? "").toLowerCase() };
  }
  const who = r.From_Account ?? r.Operator_Account ?? r.Owner_Account ?? "IM";
  return { who, where: where === who ? "" : where, what: command.split(".").pop().replace(/^Callback/, "").replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase() };
}

function textOf(body) {
  return (body ?? []).map(({ MsgType, MsgContent: c }) => {
    if (c?.Text !== undefined) return `“${c.Text}”`;
    const what = read({ body: [{ MsgType, MsgContent: c }] });
    if (what?.kind === "like") return `like ×${what.count}`;
    if (what?.kind === "gift") return `gift ${what.name} ×${what.count}`;
    if (what?.kind === "event") return `event ${what.event}`;
    return `[${MsgType}]`;
  }).join(" ");
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    throw new Error("the browser does not let the page copy");
  }
}

// curl is a shell script that sends the callback again, signed when it runs.
function curl({ command, request }, world) {
  const query = new URLSearchParams({ SdkAppid: world.sdkAppId, CallbackCommand: command, contenttype: "json", ClientIP: "127.0.0.1", OptPlatform: "Web" });
  const body = JSON.stringify(request).replaceAll("'", `'\\''`);
  return `T=$(date +%s); S=$(printf %s "${world.callbackToken}$T" | sha256sum | cut -d' ' -f1)
curl -s "${location.origin}/im?${query}&Sign=$S&RequestTime=$T" -H 'Content-Type: application/json' -d '${body}'
`;
}
