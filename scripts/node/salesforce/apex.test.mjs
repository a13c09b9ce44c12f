// The Apex of integrations/salesforce, as far as it can be checked outside an org: types
// and syntax by apex-ls, PMD's rules, and rules of ours. The bugs of the guide's code are
// put back one by one, and each is found.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { findings, reached } from "./rules.mjs";

const require = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));
const project = join(here, "../../../integrations/salesforce");
const jars = join(dirname(require.resolve("@salesforce/code-analyzer-pmd-engine")), "java-lib/*");
let scratch;

// The guide's bugs, each as an edit of a file of ours. A copy of the file under another
// name has it, beside the whole project as it is.
const sync = "force-app/main/default/classes/ImSync.cls";
const changes = "force-app/main/default/classes/ImCaseChanges.cls";
const work = "omni-channel/main/default/classes/ImAgentWorkChanges.cls";
const bugs = [
  { name: "1: JSON in double quotes", file: sync, from: /request\.setBody\(.*\);/, to: String.raw`request.setBody("{\"changes\":\"" + body + \"\"}");`, by: "apex-ls" },
  { name: "2: an argument of another type", file: sync, from: "send(changes);", to: "send(new String[2]);", by: "apex-ls" },
  { name: "3: joins at every update", file: changes, from: /before == null \|\| c\.OwnerId != before\.OwnerId \|\| [^)]*\)/, to: "c.OwnerId != null)", by: "rules" },
  {
    name: "4: a future call for each record", file: changes, from: "  /** One change of a case;",
    to: "  @future(callout=true)\n  private static void joinGroup(String caseId) {\n    new Http().send(new HttpRequest());\n  }\n\n  /** One change of a case;", by: "pmd AvoidFutureAnnotation",
  },
  { name: "4: a job for each record", file: changes, from: "changes.add(change('assigned', c.Id, agentOf(c)));", to: "System.enqueueJob(new ImSync());", by: "pmd OperationWithLimitsInLoop" },
  { name: "5: braces that do not balance", file: work, from: "    if (opened.isEmpty()) {", to: "    if (opened.isEmpty())", by: "apex-ls" },
  { name: "5: work that is no case", file: work, from: " && work.WorkItemId.getSobjectType() == Case.SObjectType", to: "", by: "rules" },
  { name: "5: opened once more at each update", file: work, from: " && !isOpen(before)", to: "", by: "rules" },
  { name: "6: plain HTTP", file: sync, from: "'callout:IM_Bundle/casechanges'", to: "'http://im.example.com/deletegroup'", by: "pmd ApexInsecureEndpoint" },
  { name: "6: no authentication", file: sync, from: "'callout:IM_Bundle/casechanges'", to: "'https://im.example.com/casechanges'", by: "rules" },
  { name: "7: nothing happens at closing", file: changes, from: /if \(c\.IsClosed != wasClosed\)/, to: "if (false)", by: "rules" },
  { name: "7: only an agent's case is deleted", file: changes, from: /(List<IM_Change__c> all\([\s\S]*?)if \(String\.isNotBlank\(c\.IM_Key__c\)\)/, to: "$1if (agentOf(c) != null)", by: "rules" },
  { name: "8: users known by a prefix", file: changes, from: "c.OwnerId.getSobjectType() == User.SObjectType", to: "String.valueOf(c.OwnerId).substring(0, 3) == '005'", by: "rules" },
];

const bugged = (bug) => `Bug${bugs.indexOf(bug)}`;

// What the bundle sends of cases and files is what the objects have.
const sent = {
  Case: { Subject: "''", Description: "''", SuppliedName: "''", SuppliedEmail: "'a@example.com'", Origin: "'Chat'", OwnerId: "UserInfo.getUserId()", Status: "'Closed'", IM_Group__c: "''", IM_Rating__c: "4", IM_Rating_Comment__c: "''" },
  ContentVersion: { Title: "''", PathOnClient: "''", FirstPublishLocationId: "UserInfo.getUserId()", VersionData: "Blob.valueOf('')", IM_Key__c: "''" },
};

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "apex-"));
  await cp(project, scratch, { recursive: true });
  // apex-ls knows no AgentWork, which an org has with Omni-Channel alone: an object of the
  // same fields stands in for it.
  const objects = join(scratch, "omni-channel/main/default/objects/AgentWork__c/fields");
  await mkdir(objects, { recursive: true });
  const xml = (kind, body) => `<?xml version="1.0" encoding="UTF-8"?>\n<${kind} xmlns="http://soap.sforce.com/2006/04/metadata">${body}</${kind}>\n`;
  await writeFile(join(objects, "../AgentWork__c.object-meta.xml"), xml("CustomObject", "<label>Work</label><pluralLabel>Work</pluralLabel><nameField><label>Name</label><type>Text</type></nameField><deploymentStatus>Deployed</deploymentStatus><sharingModel>Private</sharingModel>"));
  for (const [name, type] of [["WorkItemId", "<type>Lookup</type><referenceTo>Case</referenceTo><relationshipName>Works</relationshipName>"], ["UserId", "<type>Lookup</type><referenceTo>User</referenceTo><relationshipName>UserWorks</relationshipName>"], ["Status", "<type>Text</type><length>40</length>"]]) {
    await writeFile(join(objects, `${name}__c.field-meta.xml`), xml("CustomField", `<fullName>${name}__c</fullName><label>${name}</label>${type}`));
  }
  const adapter = await readFile(join(here, "../../../shared/desk/salesforce/salesforce.go"), "utf8");
  for (const name of Object.values(sent).flatMap(Object.keys)) assert.match(adapter, new RegExp(`\\b${name}\\b`), `the bundle sends no ${name}`);
  const records = Object.entries(sent).map(([object, fields]) => `new ${object}(${Object.entries(fields).map(([f, v]) => `${f} = ${v}`).join(", ")})`);
  await writeFile(join(scratch, "force-app/main/default/classes/Sent.cls"), `public with sharing class Sent {\n  public static final List<SObject> RECORDS = new List<SObject>{ ${records.join(", ")} };\n}\n`);
  await cp(join(scratch, `${sync}-meta.xml`), join(scratch, "force-app/main/default/classes/Sent.cls-meta.xml"));
  for (const bug of bugs) {
    const source = await readFile(join(scratch, bug.file), "utf8");
    const edited = source.replace(bug.from, bug.to);
    assert.notEqual(edited, source, `${bug.name} does not fit ${bug.file}`);
    bug.source = edited;
    const path = join(scratch, dirname(bug.file), `${bugged(bug)}.cls`);
    await writeFile(path, edited.replaceAll(basename(bug.file, ".cls"), bugged(bug)));
    await cp(join(scratch, `${bug.file}-meta.xml`), `${path}-meta.xml`);
  }
  for (const folder of ["classes", "triggers"]) {
    for (const name of await readdir(join(scratch, "omni-channel/main/default", folder))) {
      const path = join(scratch, "omni-channel/main/default", folder, name);
      const source = await readFile(path, "utf8");
      await writeFile(path, source.replace(/\bAgentWork\b/g, "AgentWork__c").replace(/\.(WorkItemId|UserId|Status)\b(?!\()/g, ".$1__c"));
    }
  }
});
after(() => rm(scratch, { recursive: true, force: true }));

const run = (command, args) => new Promise((resolve) => {
  execFile(command, args, { maxBuffer: 1 << 24 }, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }));
});

// byFile sorts "PATH\nissue\nissue\n" by the file's name.
function byFile(text) {
  const found = new Map();
  let file = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("/")) file = basename(line.trim());
    else if (line.trim() !== "") found.set(file, [...(found.get(file) ?? []), line.trim()]);
  }
  return found;
}

test("apex-ls finds the project right and the bugs wrong", async () => {
  const { code, stdout, stderr } = await run("java", ["-cp", jars, "io.github.apexdevtools.apexls.CheckForIssues", "-n", "-d", "warnings", "-w", scratch]);
  assert.ok(code === 0 || code === 4, `apex-ls ended with ${code}: ${stderr}; it needs Java: apt-get install default-jre-headless`);
  const found = byFile(stdout);
  for (const [file, issues] of found) if (!file.startsWith("Bug")) assert.fail(`${file}: ${issues.join("; ")}`);
  for (const bug of bugs.filter((b) => b.by === "apex-ls")) assert.ok(found.has(`${bugged(bug)}.cls`), `apex-ls takes bug ${bug.name}`);
});

// What PMD recommends and we do otherwise: comments are not ApexDoc, and tests run as
// whoever runs them.
const without = ["ApexDoc", "ApexUnitTestClassShouldHaveRunAs"];

test("PMD finds the project right and the bugs wrong", async () => {
  const { CodeAnalyzer, CodeAnalyzerConfig } = require("@salesforce/code-analyzer-core");
  const { createEnginePlugin } = require("@salesforce/code-analyzer-pmd-engine");
  const analyzer = new CodeAnalyzer(CodeAnalyzerConfig.fromObject({ engines: { pmd: { rule_languages: ["apex"] }, cpd: { disable_engine: true } } }));
  await analyzer.addEnginePlugin(createEnginePlugin());
  const rules = await analyzer.selectRules(["pmd:(Recommended)"]);
  const results = await analyzer.run(rules, { workspace: await analyzer.createWorkspace([scratch]) });
  const found = new Map();
  for (const v of results.getViolations()) {
    const file = basename(v.getPrimaryLocation().getFile());
    const rule = v.getRule().getName();
    if (!without.includes(rule)) found.set(file, [...(found.get(file) ?? []), `${rule} in line ${v.getPrimaryLocation().getStartLine()}`]);
  }
  for (const [file, issues] of found) if (!/^(Bug|Sent\.)/.test(file)) assert.fail(`${file}: ${issues.join("; ")}`);
  for (const bug of bugs.filter((b) => b.by.startsWith("pmd "))) {
    const issues = found.get(`${bugged(bug)}.cls`) ?? [];
    assert.ok(issues.some((i) => i.startsWith(bug.by.slice(4))), `PMD takes bug ${bug.name}: ${issues}`);
  }
});

async function read() {
  const sources = new Map();
  for (const part of ["force-app", "omni-channel"]) {
    for (const folder of ["classes", "triggers"]) {
      for (const name of await readdir(join(project, part, "main/default", folder))) {
        if (/\.(cls|trigger)$/.test(name)) sources.set(`${part}/main/default/${folder}/${name}`, await readFile(join(project, part, "main/default", folder, name), "utf8"));
      }
    }
  }
  return sources;
}

test("our rules find the project right and the bugs wrong", async () => {
  const sources = await read();
  assert.deepEqual(findings(sources), []);
  for (const bug of bugs.filter((b) => b.by === "rules")) {
    const found = findings(new Map([...sources, [bug.file, bug.source]]));
    assert.notDeepEqual(found, [], `nothing finds bug ${bug.name}`);
  }
  const untested = new Map([...sources, [sync, sources.get(sync).replace("public void execute", "public static void forgotten() {\n  }\n\n  public void execute")]]);
  assert.match(findings(untested).join(), /forgotten/);
});

// Lines that no test comes to: a record that the org refuses, and a second job of a
// test, which an org does not start.
const untaken = [{ in: "ImCaseChanges", line: "System.debug(" }, { in: "ImSync", line: "System.enqueueJob(" }];

test("the tests reach at least 90 % of the lines of each class", async (t) => {
  const sources = await read();
  const found = reached(sources, untaken);
  assert.deepEqual([...found.keys()].sort(), ["ImAgent", "ImAgentWorkChanges", "ImCaseChanges", "ImSweep", "ImSync"]);
  for (const [name, { lines, missed }] of found) {
    assert.ok(lines > 5 && missed.length <= lines / 10, `${name}: ${missed.length} of ${lines} lines are reached by no test: ${missed.map((l) => `${l.line} ${l.code}`).join("; ")}`);
  }
  for (const u of untaken) assert.equal(found.get(u.in).missed.filter((l) => l.code.startsWith(u.line)).length, 1, `${u.in} has no ${u.line}`);
  // And it sees what is missing: a class without its tests, and a trigger that nothing starts.
  const without = (pattern) => reached(new Map([...sources].filter(([path]) => !pattern.test(path))), untaken);
  assert.equal(without(/ImAgentTest/).get("ImAgent").missed.length, found.get("ImAgent").lines);
  assert.ok(without(/ImCase\.trigger/).get("ImCaseChanges").missed.length > found.get("ImCaseChanges").lines / 2);
  t.diagnostic([...found].map(([name, { lines, missed }]) => `${name}: ${lines - missed.length} of ${lines} lines`).join(", "));
});

test("each source has its description, and names what there is", async () => {
  const files = (await readdir(project, { recursive: true })).filter((f) => !f.includes("node_modules"));
  for (const f of files.filter((f) => /\.(cls|trigger)$/.test(f))) assert.ok(files.includes(`${f}-meta.xml`), `${f} has no -meta.xml`);
  const fields = new Set(files.map((f) => /objects\/(\w+)\/fields\/(\w+)\.field-meta\.xml$/.exec(f)).filter(Boolean).map(([, o, f]) => `${o}.${f}`));
  for (const f of files.filter((f) => f.endsWith(".permissionset-meta.xml"))) {
    const text = await readFile(join(project, f), "utf8");
    for (const [, field] of text.matchAll(/<field>([^<]+)<\/field>/g)) assert.ok(fields.has(field), `${f} names ${field}`);
    for (const [, name] of text.matchAll(/<apexClass>([^<]+)<\/apexClass>/g)) assert.ok(files.some((x) => x.endsWith(`/${name}.cls`)), `${f} names ${name}`);
  }
});
