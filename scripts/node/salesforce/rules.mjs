// Rules of ours for Apex, which no linter has. Each is a mistake of the guide's code.

// bare returns a source without comments and with its texts emptied but for their quotes.
const uncommented = (s) => s.replace(/\/\*[\s\S]*?\*\//g, "").replace(/\/\/[^\n]*/g, "");

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
