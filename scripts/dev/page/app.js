// The page of scripts/dev: chat windows on the left, what the backend makes of
// it on the right.
import { watchCallbacks } from "./callbacks.js";
import { openChat } from "./chat.js";
import { call, tell } from "./dom.js";
import { misbehave } from "./im.js";
import { offerChaos, offerHelp, offerTeams, showCounters, showJobs, showReviews, showTeams, showTickets } from "./panels.js";

const scene = await call("GET", "dev/scene");
let groupID;
let waiting;

// refresh reads the counters and jobs again, once things have settled.
function refresh() {
  clearTimeout(waiting);
  waiting = setTimeout(() => Promise.all([showCounters(groupID), showJobs(), showReviews(), showTickets(), showTeams(scene.users)]).catch((e) => tell(e.message)), 150);
}

watchCallbacks(refresh);
openChat(scene, (conversation) => {
  groupID = conversation.groupId;
  refresh();
});
offerHelp(scene.users[0]);
offerTeams(scene.users);
setInterval(refresh, 5000);
offerChaos((chaos) => misbehave(scene, chaos));
