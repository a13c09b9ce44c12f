// The frame of the Zendesk app: the agent's chat page, at the chat of the ticket that
// it stands beside. All frames of one browser share one login to IM (the chat page
// sees to it); that of the location "background" keeps it while tickets come and go.
const zaf = "https://static.zdassets.com/zendesk_app_framework_sdk/2.0/zaf_sdk.min.js";
const page = new URL("agent.html", location.href);
const query = new URLSearchParams(location.search);
const token = new URLSearchParams(location.hash.slice(1)).get("token");
const frame = document.querySelector("#chat");
const texts = {
  en: { none: "This ticket has no chat.", ended: "Your sign-in has ended. Reload Zendesk.", failed: "The chat cannot be shown: Zendesk's framework did not load.", news: "New chat message" },
  ja: { none: "このチケットにはチャットがありません。", ended: "サインインの有効期限が切れました。Zendeskを再読み込みしてください。", failed: "チャットを表示できません。Zendeskのフレームワークを読み込めませんでした。", news: "新しいチャットメッセージ" },
  zh: { none: "此工单没有聊天。", ended: "登录已过期，请重新加载 Zendesk。", failed: "无法显示聊天：Zendesk 框架未能加载。", news: "新的聊天消息" },
};
let words = texts.en;
let language = "";
let unread = 0;

const say = (text) => { document.querySelector("#said").textContent = text; };

function show(conversation) {
  const fragment = new URLSearchParams({ token, ...(conversation && { conversation }), ...(language && { language }) });
  frame.src = `${page}#${fragment}`;
  frame.hidden = false;
  say("");
}

// groupOf returns the ticket's group: what its field says, and its usual name while the
// field is empty.
async function groupOf(client) {
  const { settings } = await client.metadata();
  const field = `ticket.customField:custom_field_${settings.group_field}`;
  const got = await client.get([field, "ticket.id", "ticket.tags"]);
  if (got[field]) return got[field];
  return got["ticket.tags"]?.includes("im_chat") ? `ZENDESK#${got["ticket.id"]}` : "";
}

async function start() {
  const client = window.ZAFClient.init();
  const { currentUser } = await client.get("currentUser");
  language = String(currentUser?.locale ?? "");
  words = texts[language.slice(0, 2).toLowerCase()] ?? texts.en;
  document.documentElement.lang = words === texts.en ? "en" : language;
  const background = query.get("location") === "background";
  window.addEventListener("message", ({ source, origin, data }) => {
    if (source !== frame.contentWindow || origin !== page.origin) return;
    if (data?.backchannel === "token") {
      frame.hidden = true;
      say(words.ended);
    } else if (data?.backchannel === "unread" && Number.isInteger(data.count)) {
      if (background && data.count > unread) client.invoke("notify", words.news);
      unread = data.count;
    }
  });
  if (background) return show();
  const group = await groupOf(client);
  if (!group) return say(words.none);
  client.invoke("resize", { width: "100%", height: "560px" });
  return show(`GROUP${group}`);
}

const script = document.createElement("script");
script.src = zaf;
script.onload = () => start().catch(() => say(words.failed));
script.onerror = () => say(words.failed);
document.head.append(script);
