// Reads {"appID","key","userID","expire"} a line and writes the UserSig that
// npm's tls-sig-api-v2 makes of it, a line each.
const { Api } = require("tls-sig-api-v2");
const lines = require("node:readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { appID, key, userID, expire } = JSON.parse(line);
  console.log(new Api(appID, key).genSig(userID, expire));
});
