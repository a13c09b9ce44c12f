import assert from "node:assert/strict";
import { alice, base, bob, check, groupState, rest } from "./harness.mjs";

// picture makes a PNG in the page, of a size in pixels, as a file that a visitor chose.
const picture = (width, height, name) => `() => new Promise((resolve) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: ${width}, height: ${height} });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "teal";
  pen.fillRect(0, 0, ${width}, ${height});
  canvas.toBlob((blob) => resolve(new File([blob], "${name}", { type: "image/png" })));
})`;
// sends sends a file as a message of a kind, by the SDK.
const sends = (user, kind, file, to = { to: "bob", conversationType: "C2C" }) =>
  user.do(`async () => {
    const file = await (${file})();
    window.progress = [];
    const message = chat.create${kind}Message({ ...${JSON.stringify(to)}, payload: { file }, onProgress: (p) => progress.push(p) });
    return (await chat.sendMessage(message)).data.message;
  }`);
const receives = async (user, type) => {
  const list = await user.wait("MESSAGE_RECEIVED", `(list) => list.some((m) => m.type === "${type}")`);
  return list.find((m) => m.type === type).payload;
};
// shows loads a picture in a page as an <img> does, and returns its size.
const shows = (user, url) =>
  user.must(
    (url) =>
      new Promise((resolve, reject) => {
        const img = new Image();
        img.onload = () => resolve([img.naturalWidth, img.naturalHeight]);
        img.onerror = () => reject(new Error(`${url} does not load`));
        img.src = url;
      }),
    url,
  );
const bytes = async (url) => {
  const answer = await fetch(url);
  return { status: answer.status, type: answer.headers.get("Content-Type"), saved: answer.headers.get("Content-Disposition"), content: Buffer.from(await answer.arrayBuffer()) };
};

check("an image arrives in three sizes that load", async () => {
  const sent = await sends(alice, "Image", picture(900, 450, "sky.png"));
  assert.equal(sent.status, "success", JSON.stringify(sent));
  const { imageInfoArray } = await receives(bob, "TIMImageElem");
  assert.deepEqual([imageInfoArray[0].width, imageInfoArray[0].height], [900, 450]);
  assert.deepEqual(await Promise.all(imageInfoArray.map((i) => shows(bob, i.url))), [[900, 450], [198, 99], [720, 360]]);
  const { type, content } = await bytes(imageInfoArray[0].url);
  assert.equal(type, "image/png");
  assert.equal(content.length, imageInfoArray[0].size);
  assert.equal((await alice.page.evaluate(() => progress)).at(-1), 1);
});
check("a file arrives byte by byte, under its name, and is saved and not shown", async () => {
  await sends(alice, "File", `() => new File(["<script>alert(1)</script>"], "übersicht 1.html", { type: "text/html" })`);
  const payload = await receives(bob, "TIMFileElem");
  assert.equal(payload.fileName, "übersicht 1.html");
  const { type, saved, content } = await bytes(payload.fileUrl);
  assert.equal(content.toString(), "<script>alert(1)</script>");
  assert.equal(content.length, payload.fileSize);
  assert.equal(type, "application/octet-stream");
  assert.match(saved, /^attachment/);
});
check("an audio message arrives with its length", async () => {
  await sends(alice, "Audio", `() => Object.assign(new File([new Uint8Array(3000).fill(7)], "voice.mp3", { type: "audio/mpeg" }), { duration: 2000 })`);
  const payload = await receives(bob, "TIMSoundElem");
  assert.equal(payload.second, 2);
  const { type, content } = await bytes(payload.url ?? payload.remoteAudioUrl);
  assert.equal(type, "audio/mpeg");
  assert.deepEqual(content, Buffer.alloc(3000, 7));
});
check("a video arrives with a cover", async () => {
  await sends(alice, "Video", `() => new File([new Uint8Array(5000).fill(9)], "clip.mp4", { type: "video/mp4" })`);
  const payload = await receives(bob, "TIMVideoFileElem");
  const { type, content } = await bytes(payload.remoteVideoUrl);
  assert.equal(type, "video/mp4");
  assert.deepEqual(content, Buffer.alloc(5000, 9));
  assert.deepEqual(await shows(bob, payload.snapshotUrl), [200, 200]);
});
check("an image in a group is in the history of its members and of the emulator", async () => {
  await alice.must(() => chat.createGroup({ type: "ChatRoom", name: "Album", groupID: "album" }));
  await bob.must(() => chat.joinGroup({ groupID: "album" }));
  const sent = await sends(alice, "Image", picture(300, 300, "square.png"), { to: "album", conversationType: "GROUP" });
  assert.equal(sent.status, "success", JSON.stringify(sent));
  await bob.wait("MESSAGE_RECEIVED", (list) => list.some((m) => m.conversationID === "GROUPalbum" && m.type === "TIMImageElem"));
  const { data } = await bob.history("GROUPalbum");
  const info = data.messageList.find((m) => m.type === "TIMImageElem").payload.imageInfoArray[0];
  assert.deepEqual(await shows(bob, info.url), [300, 300]);
  const stored = (await groupState("album")).messages.find((m) => m.body[0].MsgType === "TIMImageElem").body[0].MsgContent;
  assert.equal(stored.ImageInfoArray[0].URL, info.url);
});
check("a file that is too large for the store is refused and no message is sent", async () => {
  const before = (await groupState("album")).messages.length;
  const sent = await sends(alice, "File", `() => new File([new Uint8Array(3 << 20)], "large.bin")`, { to: "album", conversationType: "GROUP" });
  assert.ok(sent.failed > 0, JSON.stringify(sent));
  assert.equal((await groupState("album")).messages.length, before);
});
check("with both proxies a picture goes through them and loads at both ends", async () => {
  await alice.login({ fileUploadProxy: base, fileDownloadProxy: base });
  const uploads = [];
  alice.page.on("request", (r) => r.method() === "PUT" && uploads.push(r.url()));
  await bob.forget();
  await sends(alice, "Image", picture(900, 450, "proxied.png"));
  const { imageInfoArray } = await receives(bob, "TIMImageElem");
  assert.deepEqual(await Promise.all(imageInfoArray.map((i) => shows(bob, i.url))), [[900, 450], [198, 99], [720, 360]]);
  assert.equal(uploads.length, 1);
  assert.ok(uploads[0].startsWith(`${base}/media/`), uploads[0]);
  await bob.forget();
  await sends(alice, "File", `() => new File(["by proxy"], "note.txt", { type: "text/plain" })`);
  const { fileUrl } = await receives(bob, "TIMFileElem");
  assert.equal((await bytes(fileUrl)).content.toString(), "by proxy");
  await alice.login();
});
check("a picture of a bot's REST message loads from where the bot has it", async () => {
  await bob.forget();
  const url = "https://shop.example.com/shoe.png";
  await rest("openim/sendmsg", { From_Account: "alice", To_Account: "bob", MsgRandom: 99, MsgBody: [{ MsgType: "TIMImageElem", MsgContent: { UUID: "shoe", ImageFormat: 3, ImageInfoArray: [1, 2, 3].map((Type) => ({ Type, Size: 10, Width: 100, Height: 50, URL: url })) } }] });
  const { imageInfoArray } = await receives(bob, "TIMImageElem");
  assert.deepEqual(imageInfoArray.map((i) => i.url), [url, url, url]);
});
