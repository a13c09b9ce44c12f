// What one deployment sets beside the files; the address of a page says nothing
// of it. Everything is optional.
export default {
  // Base URL of Backchannel for the agent's page; its own origin without it.
  backend: "",
  // Address in place of Tencent's, for the Chat SDK's option proxyServer.
  proxyServer: "",
  // Base URL of the emulator, whose client API is used in place of the Chat SDK.
  emulator: "",
  // Messages in tickets ask for read receipts: IM's Flagship edition has them for
  // groups, and its console switches them on for Public groups.
  receipts: false,
  // The agent's page: ready-made answers, and colleagues that a ticket can be
  // handed to, as {id, name}.
  answers: [],
  agents: [],
};
