// Answers one JSON object a line, with npm's tls-sig-api-v2:
//
//   {"appID","key","userID","userSig"}  -> {"accepted"}: whether the library signs the same
//
// The library has no function that verifies. This takes a UserSig apart and has the
// library sign what it says.
const { Api } = require("tls-sig-api-v2");
const zlib = require("node:zlib");

const unescape = (text) => text.replace(/\*/g, "+").replace(/-/g, "/").replace(/_/g, "=");

require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { appID, key, userID, userSig } = JSON.parse(line);
  const says = JSON.parse(zlib.inflateSync(Buffer.from(unescape(userSig), "base64")));
  const now = Date.now() / 1000;
  const accepted =
    says["TLS.ver"] === "2.0" && says["TLS.identifier"] === userID && says["TLS.sdkappid"] === appID &&
    now < says["TLS.time"] + says["TLS.expire"] && says["TLS.userbuf"] === undefined &&
    new Api(appID, key)._hmacsha256(userID, says["TLS.time"], says["TLS.expire"], null) === says["TLS.sig"];
  console.log(JSON.stringify({ accepted }));
});
