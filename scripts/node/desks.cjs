// Drives a server with clients of the desks by others:
//   node desks.cjs zendesk URL EMAIL API_TOKEN GROUP_FIELD
//   node desks.cjs salesforce URL ACCESS_TOKEN KEY_FIELD
// Prints one JSON document of what it got.

async function zendesk(url, email, token, field) {
  const { createClient } = require('node-zendesk');
  const client = createClient({ username: email, token, endpointUri: `${url}/api/v2` });
  const { result: made } = await client.tickets.create({
    ticket: { subject: 'help', comment: { body: 'my words' }, external_id: 'im-1', custom_fields: [{ id: field, value: 'g1' }] },
  });
  const { result: read } = await client.tickets.show(made.id);
  await client.tickets.update(made.id, { ticket: { custom_fields: [{ id: field, value: 'g2' }] } });
  const { result: updated } = await client.tickets.show(made.id);
  const listed = await client.tickets.list();
  let missing = null;
  try {
    await client.tickets.show(1);
  } catch (error) {
    missing = /\(404\)/.test(error.message) ? 404 : error.message;
  }
  const uploaded = await new Promise((resolve, reject) => {
    fetch(`${url}/api/v2/uploads.json?filename=a.txt`, { method: 'POST', body: 'text', headers: { Authorization: `Basic ${Buffer.from(`${email}/token:${token}`).toString('base64')}`, 'Content-Type': 'text/plain' } })
      .then((r) => r.json()).then(resolve, reject);
  });
  await client.tickets.update(made.id, { ticket: { status: 'solved', assignee_id: 701, additional_tags: ['im_transcript_1'], comment: { body: 'a note', public: false, uploads: [uploaded.upload.token] } } });
  const { result: solved } = await client.tickets.show(made.id);
  const { result: hook } = await client.webhooks.create({ webhook: { name: 'w', endpoint: 'https://im.example.com/zendesk/events', http_method: 'POST', request_format: 'json', status: 'active', subscriptions: ['conditional_ticket_events'] } });
  const hooks = await client.webhooks.list();
  const value = (ticket) => ticket.custom_fields.find((f) => f.id === field).value;
  return { id: made.id, subject: read.subject, made: value(read), updated: value(updated), listed: listed.map((t) => t.id), missing, solved: solved.status, tags: solved.tags, hook: hook.name, hooks: hooks.length };
}

async function salesforce(url, accessToken, keyField) {
  const jsforce = require('jsforce');
  const connection = new jsforce.Connection({ instanceUrl: url, accessToken, version: '67.0' });
  const cases = connection.sobject('Case');
  const made = await cases.upsert({ [keyField]: 'im-1', Subject: 'help', Description: 'my words' }, keyField);
  const again = await cases.upsert({ [keyField]: 'im-1', Subject: 'help!' }, keyField);
  const read = await cases.retrieve(made.id);
  const file = { Title: 'transcript', PathOnClient: 'transcript.txt', FirstPublishLocationId: made.id, VersionData: Buffer.from('text').toString('base64'), IM_Key__c: `${made.id}-transcript-1` };
  const version = await connection.sobject('ContentVersion').create(file);
  let twice = null;
  try {
    await connection.sobject('ContentVersion').create(file);
  } catch (error) {
    twice = error.errorCode;
  }
  await cases.update({ Id: made.id, Status: 'Closed', IM_Rating__c: 5, IM_Rating_Comment__c: 'fine' });
  const closed = (await cases.retrieve(made.id)).Status;
  let missing = null;
  try {
    await cases.retrieve('500xx9999999999AAA');
  } catch (error) {
    missing = error.errorCode;
  }
  return { created: made.created, createdAgain: again.created, sameId: made.id === again.id, subject: read.Subject, url: read.attributes.url, missing, version: version.success, twice, closed };
}

const [kind, url, ...rest] = process.argv.slice(2);
const run = kind === 'zendesk' ? zendesk(url, rest[0], rest[1], Number(rest[2])) : salesforce(url, ...rest);
run.then((found) => console.log(JSON.stringify(found))).catch((error) => {
  console.error(error);
  process.exit(1);
});
