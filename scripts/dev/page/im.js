// A user's client on the emulator of IM, in place of Tencent's SDK. The routes
// are described in shared/im/imtest/README.md.

// Refused is what IM refused, with its code.
export class Refused extends Error {
  constructor({ code, message }) {
    super(message);
    this.code = code;
  }
}

async function send(method, url, body, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(url, { method, headers, body: JSON.stringify(body) });
  const value = await answer.json();
  if (!answer.ok) throw new Refused(value.error);
  return value;
}

export class Client {
  static async login(scene, userID, userSig) {
    const client = new Client();
    client.base = `${scene.emulator}/client`;
    ({ token: client.token } = await send("POST", `${client.base}/login`, { sdkAppId: scene.sdkAppId, userId: userID, userSig, platform: "Web" }));
    return client;
  }

  post(route, body) {
    return send("POST", `${this.base}/${route}`, body, this.token);
  }

  join(groupId) {
    return this.post("join", { groupId });
  }

  send({ groupId, topicId, peer }, draft) {
    return this.post("send", { ...(groupId ? { groupId, topicId } : { userId: peer }), ...draft });
  }

  // recall takes a message back, which send has named so.
  recall({ groupId, topicId, peer }, { seq, key }) {
    return this.post("recall", groupId ? { groupId, topicId, seq } : { userId: peer, key });
  }

  vanish() {
    return this.post("vanish", {});
  }

  // comeBack fails once IM has given the device up.
  comeBack() {
    return this.post("heartbeat", {});
  }

  logout() {
    return this.post("logout", {});
  }
}

const chaosOf = (scene) => `${scene.emulator}/emulator/apps/${scene.sdkAppId}/chaos`;

// chaos tells how the emulator misbehaves now.
export async function chaos(scene) {
  return (await fetch(chaosOf(scene))).json();
}

// unknownCommands lists the commands that the emulator does not know, the latest
// first, each once.
export async function unknownCommands(scene) {
  const { calls } = await (await fetch(`${scene.emulator}/emulator/apps/${scene.sdkAppId}/calls?code=60009`)).json();
  return [...new Set(calls.reverse().map((c) => c.command))];
}

// misbehave tells the emulator how to behave from now on.
export function misbehave(scene, settings) {
  return send("PUT", chaosOf(scene), settings);
}
