// element makes a DOM element. Children are elements or texts; a text is never
// read as HTML. Properties with a hyphen, role, for and dir are set as attributes.
export function element(tag, properties = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.includes("-") || name === "role" || name === "for" || name === "dir" || name === "lang") e.setAttribute(name, value);
    else e[name] = value;
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

const svg = "http://www.w3.org/2000/svg";
const shapes = {
  send: "M3.4 20.4 21 12 3.400 3.600 3 10l11 2-11 2z",
  attach: "M16.500 6v10.500a4.500 4.500 0 0 1-9 0V5a3 3 0 0 1 6 0v10.500a1.500 1.500 0 0 1-3 0V6H9v9.500a3 3 0 0 0 6 0V5a4.500 4.500 0 0 0-9 0v11.500a6 6 0 0 0 12 0V6z",
  close: "M18.300 5.700 12 12l6.300 6.300-1.400 1.400L10.600 13.400 4.300 19.700 2.900 18.300 9.200 12 2.900 5.700 4.300 4.300l6.300 6.300 6.300-6.300z",
  down: "M12 16.500 4.500 9l1.400-1.400 6.100 6.100 6.100-6.100L19.500 9z",
  back: "M15.500 4.500 8 12l7.500 7.500-1.400 1.400L5.200 12l8.900-8.900z",
  quote: "M10 9V5l-7 7 7 7v-4.100c5 0 8.500 1.600 11 5.100-1-5-4-10-11-11z",
  recall: "M12.500 5a7 7 0 1 1-6.700 9h2.100a5 5 0 1 0 .9-4.500L11 12H4V5l3.300 3.300A7 7 0 0 1 12.500 5z",
  file: "M6 2h8l5 5v15H6zm7 1.500V8h4.500z",
  single: "M9 16.200 4.800 12l-1.400 1.400L9 19 21 7l-1.400-1.400z",
  double: "M18 7l-1.400-1.400-6.300 6.300 1.400 1.400zm4.200-1.400L11.700 16.200 7.500 12l-1.400 1.400 5.600 5.600L23.600 7zM.4 13.400 6 19l1.400-1.400L1.800 12z",
  warn: "M12 2 1 21h22zm1 15.500h-2v-2h2zm0-3.500h-2v-5h2z",
  wait: "M12 2a10 10 0 1 1 0 20 10 10 0 0 1 0-20zm0 2a8 8 0 1 0 0 16 8 8 0 0 0 0-16zm1 3v5l3.500 2-1 1.700L11 13V7z",
  person: "M12 3a4.500 4.500 0 1 1 0 9 4.500 4.500 0 0 1 0-9zM3 22c0-5 4-8.500 9-8.500s9 3.500 9 8.500z",
  answers: "M4 4h16v12H9l-5 4zM8 8v2h8V8zm0 3.500v1.500h5v-1.500z",
  note: "M5 3h14v11l-6 6H5zm2 5h10V6.500H7zm0 4h10v-1.500H7zm0 4h5v-1.500H7z",
  hand: "M14 4l7 7-7 7v-4.500H3v-5h11z",
  done: "M12 2a10 10 0 1 1 0 20 10 10 0 0 1 0-20zm-1.500 14.500 7-7-1.400-1.400-5.600 5.600-2.600-2.600-1.400 1.400z",
};

// icon draws one of the icons, which says nothing to a screen reader.
export function icon(name) {
  const e = document.createElementNS(svg, "svg");
  e.setAttribute("viewBox", "0 0 24 24");
  e.setAttribute("aria-hidden", "true");
  e.setAttribute("class", `icon ${name}`);
  const path = document.createElementNS(svg, "path");
  path.setAttribute("d", shapes[name]);
  e.append(path);
  return e;
}

// set changes a property only where it differs, so that nothing is disturbed.
export function set(node, name, value) {
  if (node[name] !== value) node[name] = value;
}

// onClick runs something asynchronous on a click, and ignores further clicks
// while it runs.
export function onClick(node, act) {
  let busy = false;
  node.addEventListener("click", async (e) => {
    if (busy) return;
    busy = true;
    node.setAttribute("aria-busy", "true");
    try {
      await act(e);
    } finally {
      node.removeAttribute("aria-busy");
      busy = false;
    }
  });
  return node;
}

// webURL returns an address that may be linked to, or "": messages come from
// strangers, and an address may be javascript:.
export function webURL(text) {
  try {
    const { protocol, href } = new URL(text);
    return protocol === "https:" || protocol === "http:" || protocol === "blob:" ? href : "";
  } catch {
    return "";
  }
}

// initials stand for who has no picture.
export function initials(name) {
  const words = String(name).trim().split(/[\s._@-]+/).filter(Boolean);
  return ([...(words[0] ?? "?")][0] + (words.length > 1 ? [...words[1]][0] : "")).toUpperCase();
}
