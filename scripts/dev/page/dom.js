// element makes a DOM element. Children are elements or texts; a text is never
// read as HTML.
export function element(tag, properties = {}, ...children) {
  const e = Object.assign(document.createElement(tag), properties);
  e.append(...children);
  return e;
}

export const byId = (id) => document.getElementById(id);

// call asks one of dev's own routes and returns its JSON.
export async function call(method, path, body) {
  const options = { method };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(path, options);
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error?.message ?? `status ${answer.status}`);
  return value;
}

// tell shows a sentence in the page's status line.
export function tell(text) {
  byId("state").textContent = text;
}
