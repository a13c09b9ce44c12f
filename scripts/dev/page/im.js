// A user's client on the emulator of IM, in place of Tencent's SDK. The routes
// are described in shared/im/imtest/README.md.

const kinds = ["message", "broadcast", "modified", "recalled", "notification", "kickedOffline", "left", "destroyed", "muted", "unmuted"];

const notes = {
  recalled: "a message was recalled", left: "taken out of the group", destroyed: "the group was dissolved",
  muted: "muted", unmuted: "no longer muted",
};

// Refused is what IM refused, with its code.
export class Refused extends Error {
  constructor({ code, message }) {
    super(message);
    this.code = code;
  }
}

async function post(url, body, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  const value = await answer.json();
  if (!answer.ok) throw new Refused(value.error);
  return value;
}

export class Device {
  // login gets a UserSig from the bundle and logs in with it. onEvent is told
  // what the user sees: {kind, place, from, byREST, text}.
  static async login(scene, userID, onEvent) {
    const issued = await fetch("usersig", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ userID }),
    });
    const { userSig } = await issued.json();
    const device = new Device();
    device.user = userID;
    device.base = `${scene.emulator}/client`;
    ({ token: device.token } = await post(`${device.base}/login`, { sdkAppId: scene.sdkAppId, userId: userID, userSig, platform: "Web" }));
    device.events = new EventSource(`${device.base}/events?token=${encodeURIComponent(device.token)}`);
    for (const kind of kinds) {
      device.events.addEventListener(kind, (e) => onEvent(device.seen(JSON.parse(e.data))));
    }
    return device;
  }

  // seen makes of an event what a window shows.
  seen({ kind, groupId, topicId, message, notice }) {
    const event = { kind, text: notice ?? notes[kind] };
    if (groupId) event.place = { groupId, topicId: message?.topicId ?? topicId };
    if (message) {
      event.from = message.from;
      event.byREST = message.byRest;
      event.text = textOf(message.body);
      if (!groupId) event.place = { peer: message.from === this.user ? message.to : message.from };
    }
    return event;
  }

  join(groupID) {
    return post(`${this.base}/join`, { groupId: groupID }, this.token);
  }

  send({ groupId, topicId, peer }, text) {
    const to = groupId ? { groupId, topicId } : { userId: peer };
    return post(`${this.base}/send`, { ...to, text }, this.token);
  }

  // vanish loses the connection without a word, as a phone in a tunnel does.
  vanish() {
    return post(`${this.base}/vanish`, {}, this.token);
  }

  // comeBack ends that, and brings what waited. It fails once IM has given the
  // device up.
  comeBack() {
    return post(`${this.base}/heartbeat`, {}, this.token);
  }

  async logout() {
    this.events.close();
    await post(`${this.base}/logout`, {}, this.token);
  }
}

function textOf(body) {
  return body.map((e) => e.MsgContent?.Text ?? `[${e.MsgType}]`).join(" ");
}

// misbehave tells the emulator how to behave from now on.
export async function misbehave(scene, chaos) {
  const answer = await fetch(`${scene.emulator}/emulator/apps/${scene.sdkAppId}/chaos`, {
    method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(chaos),
  });
  if (!answer.ok) throw new Refused((await answer.json()).error);
}
