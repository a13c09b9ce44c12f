// The bar with a viewer's gifts, likes and coins.
import { button, complain, element, icon, patch, set } from "../../dom.js";
import { like } from "./wire.js";

const likesAtOnce = 20; // in one message
const tapping = 400; // milliseconds in which likes are one message
const refill = 100; // coins

// shapeOf is the picture of a gift.
export const shapeOf = (name) => ({ rose: "rose", star: "star", crown: "crown", rocket: "rocket" })[name.toLowerCase()] ?? "gift";

// openGifts returns {node, refresh, gave}. gave(order) says whether the viewer's
// own screen has shown an order already.
export function openGifts(room, player, viewer, say) {
  const offers = element("span", { className: "offers" });
  const purse = element("span", { className: "purse" });
  const more = button("+", async () => show((await room.topUp(viewer(), refill)).balance), { className: "link", "aria-label": "Top up the coins" });
  const heart = element("button", { type: "button", className: "like" }, icon("heart"), "Like");
  const node = element("div", { className: "giftbar" }, heart, offers, element("span", { className: "coins" }, purse, more));
  const orders = new Set(); // shown here before the room was told
  let gifts = [];

  const show = (balance) => set(purse, "textContent", balance == null ? "" : `${balance} coins`);

  let taps = 0, sending;
  heart.addEventListener("click", () => {
    taps = Math.min(taps + 1, likesAtOnce);
    player.like(1);
    sending ??= setTimeout(() => {
      say({ body: like(taps), priority: "Low" });
      taps = 0;
      sending = undefined;
    }, tapping);
  });

  // give gives one piece. Several in a row are a combo, which the backend merges.
  async function give(gift) {
    const user = viewer();
    try {
      const order = await room.give(user, gift, 1);
      orders.add(order.orderId);
      if (viewer() !== user) return;
      player.gift({ key: `${user} ${order.comboId}`, from: user, name: gift.name, shape: shapeOf(gift.name), count: 1 });
      show(order.balance);
    } catch (e) {
      complain(node, e.status === 402 ? "not enough coins: top up first" : e.message);
    }
  }

  async function refresh() {
    ({ gifts } = await room.gifts());
    gifts = gifts.filter((g) => g.active).sort((a, b) => a.price - b.price);
    patch(offers, gifts, (g) => `${g.giftId} ${g.version}`, (g) => {
      const b = element("button", { type: "button", "aria-label": `Give ${g.name}, ${g.price} coins` }, icon(shapeOf(g.name)), element("span", { className: "price" }, String(g.price)));
      b.title = g.name;
      b.addEventListener("click", () => give(g));
      return b;
    });
    const user = viewer();
    const { balance } = await room.purse(user).catch((e) => (e.status === 404 ? { balance: 0 } : Promise.reject(e)));
    if (viewer() === user) show(balance);
  }

  return { node, refresh, gave: (id) => orders.has(id) };
}
