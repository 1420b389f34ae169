// Requests with proofs (DPoP) that one host hands on to another, and the same proofs again at each. usage: node dpop_handed_on.mjs TOKEN_ENDPOINT
// RESOURCE ONE TWO THREE. RESOURCE is what the token is for and the public URL of all, the others are where the hosts are called. Prints one line of
// JSON for each way of calling.
import { ath, made, prove, token as ask } from './dpop.mjs';

const [tokenEndpoint, resource, one, two, three] = process.argv.slice(2);
const own = await made();
const token = (await ask(tokenEndpoint, resource, own)).access_token;
const claims = { htm: 'POST', htu: resource, ath: ath(token) };
// What a host gave last, where they demand nonces.
let nonce;
const proof = () => prove(own, { ...claims, ...(nonce !== undefined && { nonce }) });

let last = 0;
async function send(url, message, dpop, headers = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', authorization: `DPoP ${token}`, dpop, ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', ...message }),
  });
  nonce = response.headers.get('dpop-nonce') ?? nonce;
  return response;
}

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientInfo': { name: 'dpop', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': { extensions: { 'io.modelcontextprotocol/tasks': {} } },
};
async function modern(what, url, method, params, dpop, more = {}) {
  const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, 'mcp-name': params.taskId ?? params.name, ...more };
  const response = await send(url, { id: ++last, method, params: { ...params, _meta: meta } }, dpop, headers);
  const body = await response.text();
  console.log(JSON.stringify({ what, status: response.status, body }));
  return body;
}

// The first answer may be a nonce.
await (await send(one, { id: ++last, method: 'tools/list', params: { _meta: meta } }, await proof(), { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' })).text();

const begun = await modern('begun', one, 'tools/call', { name: 'slow_compute', arguments: { seconds: 300 } }, await proof());
const { taskId } = JSON.parse(begun.startsWith('{') ? begun : begun.trim().split('\n').pop().replace(/^data: ?/, '')).result;
const first = await proof();
await modern('handed on', two, 'tasks/get', { taskId }, first);
await modern('again where it came in', two, 'tasks/get', { taskId }, first);
await modern('again where it was handed on to', one, 'tasks/get', { taskId }, first);
await modern('again at the third', three, 'tasks/get', { taskId }, first);
const second = await proof();
await modern('handed on by the third', three, 'tasks/get', { taskId }, second);
// Whoever has overheard it says that a host has handed it on.
const forged = { 'toolbay-handed-on': '1', 'toolbay-handed-on-for': '127.0.0.1', 'toolbay-handed-on-vouched': 'x', 'toolbay-handed-on-proof': 'x' };
await modern('again as if handed on', one, 'tasks/get', { taskId }, second, forged);
await modern('again as if handed on to the second', two, 'tasks/get', { taskId }, second, forged);
const third = await proof();
await modern('ended', two, 'tasks/cancel', { taskId }, third);
await modern('what became of it', one, 'tasks/get', { taskId }, await proof());

// A session, with its home at the first host, and a call of it at the second.
const opened = await send(one, { id: ++last, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'dpop', version: '1' } } }, await proof());
await opened.text();
const session = { 'mcp-session-id': opened.headers.get('mcp-session-id'), 'mcp-protocol-version': '2025-11-25' };
await (await send(one, { method: 'notifications/initialized' }, await proof(), session)).text();
const of = await proof();
const id = ++last;
const running = send(two, { id, method: 'tools/call', params: { name: 'slow_compute', arguments: { seconds: 300 } } }, of, session).then((response) => response.text());
// Longer than the second host waits before it asks the first one to be told.
await new Promise((resolve) => setTimeout(resolve, 1500));
for (const [where, url] of [['one', one], ['two', two], ['three', three]]) {
  const response = await send(url, { id: ++last, method: 'ping' }, of, session);
  console.log(JSON.stringify({ what: `again, of the running call, at ${where}`, status: response.status, body: await response.text() }));
}
const cancelled = await send(one, { method: 'notifications/cancelled', params: { requestId: id } }, await proof(), session);
console.log(JSON.stringify({ what: 'cancelled', status: cancelled.status, body: await cancelled.text() }));
const body = await running;
console.log(JSON.stringify({ what: 'the cancelled call', status: 200, result: body.includes('"result"'), body }));
