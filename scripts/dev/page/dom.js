// element makes a DOM element. Children are elements or texts; a text is never
// read as HTML. Properties with a hyphen, and role, are set as attributes.
export function element(tag, properties = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "for") e.setAttribute(name, value);
    else e[name] = value;
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

export const byId = (id) => document.getElementById(id);

export const clock = (at) => new Date(at).toLocaleTimeString([], { hourCycle: "h23" });

// set changes a property only where it differs, so that nothing is disturbed.
export function set(node, name, value) {
  if (node[name] !== value) node[name] = value;
}

// patch makes the children of parent show items, by their keys: a child that
// stays is kept, with its focus and its clicks. make returns a node for a new
// item; update(node, item) brings any up to date.
export function patch(parent, items, key, make, update = () => {}) {
  const known = (parent.patched ??= new Map());
  const keys = items.map(key);
  const wanted = new Set(keys);
  for (const [k, node] of known) {
    if (wanted.has(k)) continue;
    node.remove();
    known.delete(k);
  }
  let next = parent.firstChild;
  items.forEach((item, i) => {
    let node = known.get(keys[i]);
    if (!node) known.set(keys[i], (node = make(item)));
    update(node, item);
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
  });
}

// call asks one of dev's own routes, or the bundle, and returns its JSON. A
// refusal is an error with its code and status.
export async function call(method, path, body, headers = {}) {
  const options = { method, headers: { ...headers } };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the bundle does not answer");
  }
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(value.error?.message ?? `status ${answer.status}`), { status: answer.status, code: value.error?.code });
  return value;
}

const shownErrors = 8000; // milliseconds

// button makes a button that does something asynchronous: while it does, further
// clicks are ignored, and so is the second half of a double click. What fails is
// said beside it, for a while.
export function button(label, act, properties = {}) {
  const b = element("button", { type: "button", ...properties }, label);
  onClick(b, act);
  return b;
}

export function onClick(node, act) {
  let busy = false;
  node.addEventListener("click", async (e) => {
    if (busy || e.detail > 1) return;
    busy = true;
    node.setAttribute("aria-busy", "true");
    try {
      await act();
    } catch (e) {
      complain(node, e.message);
    } finally {
      node.removeAttribute("aria-busy");
      busy = false;
    }
  });
}

// complain says beside a control what went wrong.
export function complain(control, text) {
  const before = control.nextElementSibling;
  if (before?.classList.contains("error")) before.remove();
  const error = element("span", { className: "error", role: "alert" }, text);
  control.after(error);
  setTimeout(() => error.remove(), shownErrors);
}

// icon draws one of the page's icons.
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", shapes[name] ?? shapes.gift);
  svg.append(path);
  return svg;
}

const shapes = {
  eye: "M12 5C6 5 2 12 2 12s4 7 10 7 10-7 10-7-4-7-10-7zm0 11a4 4 0 1 1 0-8 4 4 0 0 1 0 8z",
  heart: "M12 21s-8-5.2-9.6-10A5.2 5.2 0 0 1 12 6.6 5.2 5.2 0 0 1 21.6 11C20 15.800 12 21 12 21z",
  gift: "M3 8h18v4H3zM5 13h6v8H5zM13 13h6v8h-6zM12 8C8 8 6 6.500 6 5s2.500-3 6 2.500C15.500 2 18 3.500 18 5s-2 3-6 3z",
  rose: "M12 2c3.500 0 6 2.400 6 5.400S15.500 13 12 13 6 10.400 6 7.400 8.500 2 12 2zM11 14h2v3c2-2.500 4-3 6-2.500-.5 2.500-2.500 4.500-6 5V22h-2v-4c-3-.2-5-1.800-5.500-4 2-.4 4 .2 5.500 2z",
  star: "M12 2l3 6.500 7 .8-5.200 4.800 1.500 7L12 17.500 5.700 21l1.500-7L2 9.300l7-.8z",
  rocket: "M12 1c4 3 5.500 7 5 11l3 4-4 1-1.500 3h-5L8 17l-4-1 3-4C6.500 8 8 4 12 1zm0 6.500a2.200 2.200 0 1 0 0 4.400 2.200 2.200 0 0 0 0-4.400zM11 21h2v2h-2z",
  crown: "M2 7l5 4 5-8 5 8 5-4-2 12H4z",
  host: "M12 3a4.500 4.500 0 1 1 0 9 4.500 4.500 0 0 1 0-9zM3 22c0-5 4-8.500 9-8.500s9 3.500 9 8.500z",
  stage: "M3 4h18v13H3zM8 20h8v-2H8z",
  callbacks: "M4 5h16v3H4zM4 10.500h16v3H4zM4 16h10v3H4z",
  state: "M12 3c5 0 8 1.500 8 3.500v11c0 2-3 3.500-8 3.500s-8-1.500-8-3.500v-11C4 4.500 7 3 12 3zm0 2c-3.500 0-6 .8-6 1.500S8.500 8 12 8s6-.8 6-1.500S15.500 5 12 5z",
  jobs: "M12 2a10 10 0 1 1 0 20 10 10 0 0 1 0-20zm-1 5v6l5 3 1-1.600-4-2.400V7z",
  reviews: "M4 4h16v12H9l-5 4zM8 8v2h8V8zm0 4h5v-1.500H8z",
  chaos: "M13 2L4 14h6l-1 8 9-12h-6z",
};
