// The app's page in the admin of Shopify: what the merchant does next.
import config from "./config.js";

const texts = {
  ja: {
    title: "お客様とチャットする", intro: "アプリはインストール済みです。次の3ステップで、ショップの全ページにチャットが表示されます。",
    one: "チャットを有効にする", oneText: "テーマエディタの「アプリ埋め込み」が、チャットを選んだ状態で開きます。オンにしてください。", open: "テーマエディタを開く",
    two: "3つの項目を入力する", sdk: "Tencent Cloud Chatのコンソールに表示されます。", url: "UserSig発行URL", urlText: "が入力済みです。ログイン中のお客様を証明する、このアプリのプロキシです。",
    agent: "担当者のUserID", agentText: "お客様のメッセージを受け取る担当者またはチャットボットのUserID。", twoText: "ロゴ、挨拶、色、位置、言語は自由に選べます。右上の「保存」を押してください。",
    three: "試してみる", threeText: "ショップを開き、下のボタンを押してメッセージを送ってください。返信はサポートデスクまたは担当者ページから行います。", visit: "ショップを見る",
    check: "接続の確認", asking: "Backchannelに問い合わせています…", good: "Backchannelは応答しています。", bad: "Backchannelが応答しません。デプロイとアドレスを確認してください。",
  },
  zh: {
    title: "与您的顾客聊天", intro: "应用已安装。只需三步,聊天就会出现在店铺的每个页面。",
    one: "启用聊天", oneText: "主题编辑器会打开“应用嵌入”并选中聊天,请将其打开。", open: "打开主题编辑器",
    two: "填写三项设置", sdk: "来自腾讯云即时通信 IM 控制台。", url: "UserSig 生成地址", urlText: "已经填好:这是本应用的代理,可证明登录的顾客。",
    agent: "客服 UserID", agentText: "接收顾客消息的客服或机器人的 UserID。", twoText: "LOGO、问候语、颜色、位置和语言可自由选择。请点击右上角的“保存”。",
    three: "试一试", threeText: "打开店铺,点击底部按钮并发送消息。您可以在工单系统或客服页面中回复。", visit: "访问店铺",
    check: "连接是否就绪?", asking: "正在询问 Backchannel…", good: "Backchannel 已响应。", bad: "Backchannel 没有响应,请检查部署和地址。",
  },
  en: { good: "Backchannel answers.", bad: "Backchannel does not answer. Check the deployment and its address." },
};

const query = new URLSearchParams(location.search);
const language = (query.get("locale") || navigator.language).toLowerCase().split(/[-_]/)[0];
const text = texts[language] ?? texts.en;
if (texts[language]) document.documentElement.lang = language;
for (const node of document.querySelectorAll("[data-text]")) if (text[node.dataset.text]) node.textContent = text[node.dataset.text];

// Shopify says in the address which shop it is.
const shop = query.get("shop") ?? "";
if (/^[a-z0-9][a-z0-9-]*\.myshopify\.com$/i.test(shop)) {
  document.getElementById("shop").href = `https://${shop}/`;
  const chosen = config.extension ? `&activateAppId=${encodeURIComponent(config.extension)}/${encodeURIComponent(config.handle)}` : "";
  document.getElementById("editor").href = `https://${shop}/admin/themes/current/editor?context=apps${chosen}`;
}

const health = document.getElementById("health");
const answered = await fetch("/healthz").then((r) => r.ok, () => false);
health.textContent = text[answered ? "good" : "bad"];
health.className = answered ? "good" : "bad";
