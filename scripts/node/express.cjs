// Express apps in the shape of the scenario guide, as peers for benchmarks: no
// authentication, no repeats, no state. Prints the port it listens on.
//
//   WORDS         JSON array; POST /im refuses a message that holds one
//   COUNTS        SQLite file; POST /im updates a counter row of the room and one of the user for each message
//   COUNTS_SYNC   PRAGMA synchronous of that file: FULL, or OFF for answers that the disk does not hold yet
//   ZENDESK_URL, ZENDESK_EMAIL, ZENDESK_API_TOKEN, IM_DOMAIN, SDK_APP_ID, SECRET, IM_ADMIN
//                 POST /createticket makes a ticket and its group
//   SDK_APP_ID, SECRET
//                 POST /usersig issues a UserSig to anybody for anybody
const express = require("express");
const { Api } = require("tls-sig-api-v2");

const env = process.env;
const app = express();
app.use(express.json());

let count = () => {};
if (env.COUNTS) {
  const { Database } = require("node-sqlite3-wasm");
  const db = new Database(env.COUNTS);
  db.exec(`PRAGMA synchronous=${env.COUNTS_SYNC}`);
  db.exec("CREATE TABLE counts (name TEXT PRIMARY KEY, n INTEGER NOT NULL)");
  const add = db.prepare("INSERT INTO counts VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET n = n + 1");
  count = (body) => {
    db.exec("BEGIN");
    add.run([`room/${body.GroupId}`]);
    add.run([`room/${body.GroupId}/user/${body.From_Account}`]);
    db.exec("COMMIT");
  };
  app.get("/rooms/:id/stats", (req, res) => res.json({ messages: db.get("SELECT n FROM counts WHERE name = ?", [`room/${req.params.id}`]).n }));
}

const words = JSON.parse(env.WORDS || "[]");
app.post("/im", (req, res) => {
  count(req.body);
  const refused = req.body.MsgBody.some(
    (e) => e.MsgType === "TIMTextElem" && words.some((w) => e.MsgContent.Text.toLowerCase().includes(w)),
  );
  res.json({ ActionStatus: "OK", ErrorCode: refused ? 1 : 0, ErrorInfo: "" });
});

const post = async (url, body, headers) => {
  const res = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) });
  return res.json();
};
const im = (command, body) => {
  const sig = new Api(Number(env.SDK_APP_ID), env.SECRET).genSig(env.IM_ADMIN, 600);
  const random = Math.floor(Math.random() * 4294967295);
  return post(
    `${env.IM_DOMAIN}/v4/${command}?sdkappid=${env.SDK_APP_ID}&identifier=${env.IM_ADMIN}&usersig=${encodeURIComponent(sig)}&random=${random}&contenttype=json`,
    body,
  );
};
// The guide's issuer: a UserSig for whoever is named, whoever asks.
const issuer = env.SECRET && new Api(Number(env.SDK_APP_ID), env.SECRET);
app.post("/usersig", (req, res) => {
  const { userID } = req.body;
  if (!userID) return res.status(400).send("Missing userID");
  res.json({ userID, userSig: issuer.genSig(userID, 86400) });
});

const basic = "Basic " + Buffer.from(`${env.ZENDESK_EMAIL}/token:${env.ZENDESK_API_TOKEN}`).toString("base64");
app.post("/createticket", async (req, res) => {
  const { userId, caseInfo } = req.body;
  if (!userId) return res.status(500).send("Missing userId");
  const { subject, desc, name, email } = caseInfo;
  const made = await post(
    `${env.ZENDESK_URL}/api/v2/tickets.json`,
    { ticket: { requester: { name, email }, subject, comment: { body: desc } } },
    { Authorization: basic },
  );
  if (!made.ticket) return res.status(500).send("Case creation failed");
  const result = await im("group_open_http_svc/create_group", {
    Type: "Public",
    Name: subject,
    GroupId: `ZENDESK#${made.ticket.id}`,
    ApplyJoinOption: "FreeAccess",
    MemberList: [{ Member_Account: userId }],
  });
  if (result.ErrorCode !== 0) return res.status(500).send("Group creation failed");
  im("group_open_http_svc/send_group_system_notification", {
    GroupId: result.GroupId,
    Content: "We're assigning an agent to your subject, please wait...",
  });
  res.status(200).send(result);
});

const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit()).resume();
