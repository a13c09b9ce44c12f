// A player without a stream: what flies over it is real.
import { element, icon, set } from "../../dom.js";

const lanes = 5;
const flight = 7000; // milliseconds that a message is in the air
const combo = 6000; // milliseconds that a gift waits for more of its kind
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class Player {
  constructor() {
    this.status = element("span", { className: "status" }, "Live room");
    this.danmaku = element("div", { className: "danmaku" });
    this.gifts = element("div", { className: "gifts" });
    this.hearts = element("div", { className: "hearts" });
    this.lane = 0;
    this.combos = new Map(); // by sender and gift
    const figure = (name, about) => {
      const number = element("b", {}, "0");
      return { number, node: element("span", { title: about }, icon(name), number, element("span", { className: "spoken" }, ` ${about}`)) };
    };
    this.count = { online: figure("eye", "watching"), likes: figure("heart", "likes") };
    this.node = element("div", { className: "player", role: "group", "aria-label": "The live stream, a placeholder" },
      host(), element("div", { className: "equalizer" }),
      this.danmaku, this.gifts, this.hearts,
      element("div", { className: "figures" }, this.status, this.count.online.node, element("span", { className: "spacer" }), this.count.likes.node));
  }

  // figures shows what the room is and how many are there.
  figures({ status, online, likes }) {
    set(this.status, "textContent", (status ?? "live room").toUpperCase());
    this.status.dataset.status = status ?? "";
    set(this.count.online.number, "textContent", online == null ? "–" : String(online));
    set(this.count.likes.number, "textContent", likes == null ? "–" : String(likes));
  }

  // fly sends a text over the picture.
  fly(text, mine) {
    if (calm.matches || this.danmaku.children.length > 40) return;
    const line = element("span", { className: mine ? "mine" : "" }, text.slice(0, 60));
    this.danmaku.append(line);
    line.style.top = `${(this.lane++ % lanes) * (100 / lanes)}%`;
    const width = this.danmaku.clientWidth;
    line.animate([{ transform: `translateX(${width}px)` }, { transform: `translateX(-${line.offsetWidth + 20}px)` }], flight).onfinish = () => line.remove();
  }

  // gift shows that someone gave count pieces more, total in all of the combo that
  // key names.
  gift({ key, from, name, shape, count, total }) {
    let it = this.combos.get(key);
    if (!it) {
      const number = element("strong");
      it = { number, pieces: 0, node: element("div", { className: "gift" }, icon(shape), element("span", {}, element("b", {}, from), ` sent ${name}`), number) };
      this.combos.set(key, it);
      this.gifts.append(it.node);
      if (this.gifts.children.length > 3) this.gifts.firstChild.remove();
    }
    it.pieces = total ?? it.pieces + count;
    it.number.textContent = `×${it.pieces}`;
    it.number.classList.remove("hit");
    void it.number.offsetWidth; // the animation begins anew
    it.number.classList.add("hit");
    clearTimeout(it.over);
    it.over = setTimeout(() => {
      this.combos.delete(key);
      it.node.remove();
    }, combo);
  }

  // like lets hearts rise.
  like(count) {
    if (calm.matches) return;
    for (let i = 0; i < Math.min(count, 5); i++) {
      const heart = icon("heart");
      heart.style.setProperty("--x", Math.random());
      heart.style.setProperty("--hue", ["#fb7185", "#f472b6", "#fbbf24", "#a78bfa"][Math.floor(Math.random() * 4)]);
      this.hearts.append(heart);
      heart.animate([{ transform: "translateY(0) scale(.5)", opacity: 1 }, { transform: `translateY(-${80 + Math.random() * 60}px) scale(1.2)`, opacity: 0 }], 1600 + 400 * i).onfinish = () => heart.remove();
    }
  }
}

function host() {
  const svg = icon("host");
  svg.setAttribute("class", "host");
  return svg;
}
