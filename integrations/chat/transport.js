// A transport carries messages between this page and IM. There are two, with one
// interface: transport-sdk.js on Tencent's Chat SDK, and transport-emulator.js on
// the client API of the emulator, where the SDK is not installed. tabs.js puts one
// of them to the use of all tabs.
//
//   features                    {files, read, typing, presence, list}: what it can do
//   connect({userID, userSig})  logs in; again with a new UserSig when one has ended
//   close()                     logs out
//   history(conversation, cursor)   {messages, cursor}: a page, oldest first; no cursor at the end
//   send(conversation, draft)   the message as sent. A draft with the same key is never sent twice
//   markRead(conversation)
//   typing(conversation)        tells the other side, once
//   profiles(userIDs)           [{userID, nick, avatar, contact}]; contact is an e-mail address
//   presence(userIDs)           {userID: "online" | "offline"}; who is unknown is left out
//   list()                      [{conversation, name, contact, avatar, unread, last: message, at}], newest first
//   recall(message)
//   listen(f)                   f is called with each event; returns what ends it
//
// A conversation is IM's ConversationID: C2C and a UserID, or GROUP and a GroupID.
// A draft is {key, text} or {key, file, kind: "image" | "file"}, each with a quote.
// A message is plain data, since it crosses from tab to tab:
//   {id, key, conversation, from, nick, avatar, mine, at (ms), kind, text, file, quote, read, recalled, group}
//   kind  text, image, file, note (of the conversation itself), other
//   file  {name, size, type, url, thumb, width, height}
//   quote {id, from, text}
// Events are
//   {type: "message", message}      a new one, or one that changed
//   {type: "progress", key, share}  of an upload
//   {type: "read", conversation, ids}   the other side, in a group anybody, has read these
//   {type: "seen", conversation}    read here, perhaps in another tab
//   {type: "typing", conversation, from}
//   {type: "presence", userID, presence}
//   {type: "list"}                  the list of conversations changed
//   {type: "gone", conversation}    the group was dissolved, or the user taken out
//   {type: "state", state}          online, reconnecting, kicked (logged in elsewhere), expired (the UserSig)
import config from "./config.js";

// openTransport opens the transport of this deployment; options are {groups}: whether
// there are groups among the conversations.
export async function openTransport(sdkAppID, options) {
  const transport = config.emulator ? await import("./transport-emulator.js") : await import("./transport-sdk.js");
  return transport.open(sdkAppID, options);
}

// Refused is what IM or the backend refused, with its code.
export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// Listeners is the half of a transport that tells.
export class Listeners {
  #all = new Set();
  listen(f) {
    this.#all.add(f);
    return () => this.#all.delete(f);
  }
  tell(event) {
    for (const f of [...this.#all]) f(event);
  }
}

// What both transports write into CloudCustomData and the typing notice is the
// format of TUIKit, so that an agent with Tencent's own interface sees it too.
export function customOf({ key, quote }) {
  const custom = { backchannel: { key } };
  if (quote) custom.messageReply = { messageID: quote.id, messageAbstract: quote.text, messageSender: quote.from, messageType: 1, version: 1 };
  return JSON.stringify(custom);
}

export function fromCustom(text) {
  const { messageReply: reply, backchannel } = parse(text);
  const quote = reply && typeof reply === "object" ? { id: String(reply.messageID ?? ""), from: String(reply.messageSender ?? ""), text: String(reply.messageAbstract ?? "") } : undefined;
  return { key: typeof backchannel?.key === "string" ? backchannel.key : undefined, quote };
}

export const typingNotice = JSON.stringify({ businessID: "user_typing_status", typingStatus: 1, version: 1, userAction: 14, actionParam: "EIMAMSG_InputStatus_Ing" });

// fromData reads a custom message: {typing} or {text}, or {} for what is not shown.
export function fromData(data, description) {
  const value = parse(data);
  if (value.businessID === "user_typing_status") return { typing: value.typingStatus === 1 };
  if (value.chatbotPlugin && Array.isArray(value.chunks)) return { text: value.chunks.join(""), writing: value.isFinished === 0 };
  return { text: description || "" };
}

function parse(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === "object" ? value : {};
  } catch {
    return {};
  }
}

// contactOf reads the e-mail address that a guest typed: usersig-issuer writes it
// into the profile's signature.
export const contactOf = (signature) => (/^[^\s@]+@[^\s@]+$/.test(signature ?? "") ? signature : "");

export const isGroup = (conversation) => conversation.startsWith("GROUP");
export const peerOf = (conversation) => conversation.replace(/^(C2C|GROUP)/, "");

// identityOf reads UserID, SDKAppID and end (ms) out of a UserSig, which is
// compressed JSON: so no address has to say them.
export async function identityOf(userSig) {
  const bytes = Uint8Array.from(atob(userSig.replaceAll("*", "+").replaceAll("-", "/").replaceAll("_", "=")), (c) => c.charCodeAt(0));
  const text = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
  const sig = JSON.parse(text);
  return { userID: sig["TLS.identifier"], sdkAppID: Number(sig["TLS.sdkappid"]), ends: (Number(sig["TLS.time"]) + Number(sig["TLS.expire"])) * 1000 };
}
