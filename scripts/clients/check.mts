// Calls a running scripts/dev with a client of openapi-fetch, whose types
// openapi-typescript generates from docs/openapi.yaml.
import createClient from 'openapi-fetch';
import type {paths} from './api.js';

declare const process: {argv: string[]};

const [url, key] = process.argv.slice(2);
const client = createClient<paths>({baseUrl: url!, headers: {Authorization: `Bearer ${key}`}});

const health = await client.GET('/healthz');
if (health.data?.status !== 'ok') throw new Error('healthz');

const sig = await client.POST('/usersig', {body: {userID: 'ann'}});
if (!sig.data || sig.data.userID !== 'ann' || !sig.data.userSig) throw new Error(JSON.stringify(sig.error));

const ticket = await client.POST('/createticket', {body: {userId: 'ann', caseInfo: {desc: 'the parcel is late'}}});
if (!ticket.data || !ticket.data.groupId || ticket.data.groupId !== ticket.data.GroupId) throw new Error(JSON.stringify(ticket.error));

console.log('ok');
