// Proofs (DPoP) at two hosts of one public URL, by a real authorization server. usage: node
// dpop_hosts.mjs TOKEN_ENDPOINT RESOURCE ONE OTHER [nonces]. RESOURCE is what the token is for and
// the public URL of both, ONE and OTHER are where the hosts are called. A proof is made with the
// nonce that a host gave last. Prints one line of JSON for each way of calling.
import { ath, made, prove, token as ask } from './dpop.mjs';

const [tokenEndpoint, resource, one, other, nonces] = process.argv.slice(2);
const own = await made();
const token = (await ask(tokenEndpoint, resource, own)).access_token;
const claims = { htm: 'POST', htu: resource, ath: ath(token) };
const proof = (nonce) => prove(own, { ...claims, ...(nonce !== undefined && { nonce }) });

async function call(what, url, dpop) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', authorization: `DPoP ${token}`, dpop },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'dpop', version: '1' } } }),
  });
  const body = await response.text();
  const nonce = response.headers.get('dpop-nonce') ?? undefined;
  console.log(JSON.stringify({ what, status: response.status, challenge: response.headers.get('www-authenticate') ?? '', nonce: nonce !== undefined, body }));
  return nonce;
}

let nonce;
if (nonces) {
  await call('a made-up nonce', one, await proof('AAAAAGlvbbsAAAAAAAAAAAAAAAAAAAAA'));
  nonce = await call('no nonce', one, await proof());
}
const first = await proof(nonce);
await call('good', one, first);
await call('again', one, first);
await call('again at the other', other, first);
await call('good at the other', other, await proof(nonce));
const second = await proof(nonce);
await call('another good at the other', other, second);
await call('again at the first', one, second);
