// Rules of ours for Apex, which no linter has. Each is a mistake of the guide's code.

// uncommented returns a source without comments, line by line as it was.
const uncommented = (s) => s.replace(/\/\*[\s\S]*?\*\//g, (c) => c.replace(/[^\n]/g, "")).replace(/\/\/[^\n]*/g, "");

// body returns what is between the braces that follow a pattern.
function body(source, pattern) {
  const start = source.search(pattern);
  if (start < 0) return "";
  let depth = 0;
  for (let i = source.indexOf("{", start); i < source.length; i++) {
    if (source[i] === "{") depth++;
    if (source[i] === "}" && --depth === 0) return source.slice(source.indexOf("{", start) + 1, i);
  }
  return "";
}

// condition returns the innermost if-condition that a piece of code stands under.
function condition(source, code) {
  const at = source.indexOf(code);
  if (at < 0) return "";
  const ifs = [...source.slice(0, at).matchAll(/if \(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\) \{/g)];
  return ifs.at(-1)?.[1] ?? "";
}

// findings returns what is wrong with sources by path.
export function findings(sources) {
  const found = [];
  const tests = [...sources].filter(([path]) => path.endsWith("Test.cls")).map(([, s]) => uncommented(s)).join("\n");
  const triggers = [...sources].filter(([path]) => path.endsWith(".trigger")).map(([, s]) => uncommented(s)).join("\n");
  for (const [path, raw] of sources) {
    if (path.endsWith("Test.cls")) continue;
    const source = uncommented(raw);
    const wrong = (text) => found.push(`${path}: ${text}`);
    for (const [text] of source.matchAll(/'[0-9a-zA-Z]{3}'/g)) if (/'(005|500|00G)/.test(text)) wrong(`knows records by the prefix ${text}: ask getSobjectType()`);
    for (const [, endpoint] of source.matchAll(/setEndpoint\(([^)]*)\)/g)) if (!endpoint.startsWith("'callout:IM_Bundle/")) wrong(`calls ${endpoint}, not the Named Credential, which authenticates`);
    if (/@future/i.test(source)) wrong("has @future, of which a transaction has 50 and a batch none");
    for (const loop of source.matchAll(/\bfor \(/g)) {
      if (path.endsWith("ImSweep.cls")) break;
      if (/enqueueJob|Http\(\)|\[\s*SELECT|Database\.|\b(insert|update|delete) /.test(body(source.slice(loop.index), /for \(/))) wrong("spends a limit of the transaction for each record");
    }
    for (const [, name] of source.matchAll(/(?:public|global)(?: static)? [\w<>, ]+ (\w+)\(/g)) {
      const called = new RegExp(`\\b${name}\\(`).test(tests) || new RegExp(`\\b${name}\\(`).test(triggers) || (name === "execute" && tests.includes(path.match(/(\w+)\.cls$/)[1]));
      if (!called) wrong(`no test and no trigger calls ${name}`);
    }
    if (path.endsWith("ImCaseChanges.cls")) {
      const saved = body(source, /void saved\(/);
      if (!/c\.OwnerId != before\.OwnerId/.test(condition(saved, "change('assigned'"))) wrong("an update that leaves the owner is told as an assignment");
      if (!/c\.IsClosed != wasClosed/.test(condition(saved, "'closed'")) || !/wasClosed = before != null && before\.IsClosed/.test(saved)) wrong("closing and reopening are not told when they happen");
      if (!/IM_Key__c/.test(condition(body(source, /> all\(/), "change(op")) || /OwnerId|agentOf/.test(body(source, /> all\(/))) wrong("a deletion is told for some owners alone");
    }
    if (path.endsWith("ImAgentWorkChanges.cls")) {
      if (!/getSobjectType\(\) == Case\.SObjectType/.test(source)) wrong("work that is no case is taken for one");
      if (!/!isOpen\(before\)/.test(body(source, /void saved\(/))) wrong("work that was open before is told anew at each update");
    }
  }
  return found;
}

// methods returns the methods of a class by name, of the same name together: what they
// call and the lines on which their statements begin.
function methods(source) {
  const found = new Map();
  for (const m of source.matchAll(/^ +(?:(?:public|private|static|global) )+[\w<>, .]+ (\w+)\([^)]*\) \{|^ +public (\w+)\([^)]*\) \{/gm)) {
    const text = body(source.slice(m.index), /\{/), first = source.slice(0, m.index).split("\n").length;
    let open = false; // a statement that goes on over lines is one
    const lines = text.split("\n").flatMap((line, i) => {
      const code = line.trim(), begins = !open && code !== "" && !/^(\}|\{|@|when )/.test(code);
      if (code !== "") open = !/[;{}]$/.test(code) || (open && !/(;|\{)$/.test(code));
      return begins ? [{ line: first + i, code }] : [];
    });
    const name = m[1] ?? m[2], before = found.get(name) ?? { text: "", lines: [] };
    found.set(name, { text: `${before.text}\n${text}`, lines: [...before.lines, ...lines] });
  }
  return found;
}

// reached returns, by class, how many lines there are and which no test reaches: those of
// methods that no chain of calls from a test ends in, and those that untaken names, since
// no run here tells which branches the tests take. A save of a record starts its trigger,
// and a job its class.
export function reached(sources, untaken = []) {
  const classes = new Map();
  let todo = "";
  for (const [path, raw] of sources) {
    const name = /(\w+)\.(cls|trigger)$/.exec(path)[1], source = uncommented(raw);
    if (path.endsWith("Test.cls")) todo += source;
    else if (path.endsWith(".cls")) classes.set(name, { path, methods: methods(source), reached: new Set() });
  }
  const triggers = [...sources].filter(([path]) => path.endsWith(".trigger")).map(([, raw]) => uncommented(raw));
  for (const trigger of triggers) if (/\b(insert|update|delete|undelete) /.test(todo) && /on Case\b/.test(trigger)) todo += trigger;
  const look = (text, own) => {
    for (const [name, c] of classes) {
      for (const [method, { text: inside }] of c.methods) {
        const called = new RegExp(`\\b${name}\\.${method}\\(`).test(text) || (own === name && new RegExp(`(?<![.\\w])${method}\\(`).test(text)) || (method === "execute" && new RegExp(`new ${name}\\(\\)`).test(text));
        if (!called || c.reached.has(method)) continue;
        c.reached.add(method);
        look(inside, name);
      }
    }
  };
  look(todo);
  const result = new Map();
  for (const [name, c] of classes) {
    const all = [...c.methods].flatMap(([method, { lines }]) => lines.map((l) => ({ ...l, method })));
    const missed = all.filter((l) => !c.reached.has(l.method) || untaken.some((u) => u.in === name && l.code.startsWith(u.line)));
    result.set(name, { path: c.path, lines: all.length, missed });
  }
  return result;
}
