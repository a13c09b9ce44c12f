// A game: world and guild channel, mail with attachments, and trades.
import { element } from "../dom.js";
import { openCampaigns } from "./game/campaigns.js";
import { openInbox } from "./game/inbox.js";
import { openTrades } from "./game/trades.js";
import { counters } from "./counters.js";
import { openWindows } from "./windows.js";

export const game = {
  id: "game",
  title: "Game lobby",
  about: "Players talk in the world channel and in their guild, read mail and trade items.",
  steps: ["Send the mail to all players, with gems.", "As bob, claim the gems.", "Let alice offer a sword for ten gems, and bob accept.", "Press Plan: see what a mail to everyone costs."],
  open(stage) {
    const { world, guild } = stage.world.groups;
    const players = stage.world.users;
    const windows = openWindows(stage, players.slice(0, 2), (user) => {
      const select = element("select", { "aria-label": "Channel" }, element("option", { value: world }, "World"), element("option", { value: guild }, "Guild"));
      const options = { place: () => ({ groupId: select.value }), top: element("label", { className: "where" }, "Channel ", select) };
      select.addEventListener("change", () => windows.chats.find((c) => c.node.contains(select)).moved());
      return options;
    });
    const campaigns = openCampaigns(players), inbox = openInbox(players), trades = openTrades(players);
    const tool = (label, ...nodes) => element("section", { className: "tool", "aria-label": label }, element("h2", {}, label), ...nodes);
    stage.pane("Mail and trades", element("div", { className: "both" }, tool("Mail", ...campaigns.nodes), tool("Inbox", ...inbox.nodes), tool("Trades", ...trades.nodes)));
    return {
      refresh: () => Promise.all([campaigns.refresh(), inbox.refresh(), trades.refresh()]),
      close: windows.close,
      state: async () => [...(await counters(world)), ...campaigns.state(), ...trades.state()],
    };
  },
};
