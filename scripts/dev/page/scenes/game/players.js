// Requests of players and of the game's operator.
import { call } from "../../dom.js";
import { hub } from "../../hub.js";

// as speaks for a player, with the UserSig that the player's client logged in with.
export async function as(user, method, path, body, headers = {}) {
  let sig = hub.users.get(user)?.sig;
  // Without a window of the player's: the development deployment issues to anybody.
  sig ??= (await call("POST", "usersig", { userID: user })).userSig;
  return call(method, path, body, { ...headers, Authorization: `UserSig ${user}:${sig}` });
}

export const once = () => ({ "Idempotency-Key": crypto.randomUUID() });

export const things = (items) => items.map((i) => `${i.count} ${i.itemId}`).join(", ") || "nothing";
