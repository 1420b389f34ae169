// Tokens that are bound to a key, of a real authorization server. usage: node dpop_client.mjs
// TOKEN_ENDPOINT RESOURCE URL HTU. RESOURCE is what the token is for, URL where the server is
// called, HTU the public URL of that. Prints one line of JSON for each way of calling.
import { calculateJwkThumbprint } from 'jose';
import { ath, made, prove, token } from './dpop.mjs';

const [tokenEndpoint, resource, url, htu] = process.argv.slice(2);
const own = await made();
const bound = await token(tokenEndpoint, resource, own);
if (bound.token_type !== 'DPoP') throw new Error(`a ${bound.token_type} token in place of a bound one`);
const plain = await token(tokenEndpoint, resource);

async function call(what, headers) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'dpop', version: '1' } } }),
  });
  const body = await response.text();
  console.log(JSON.stringify({ what, status: response.status, challenge: response.headers.get('www-authenticate') ?? '', body }));
}
const claims = { htm: 'POST', htu, ath: ath(bound.access_token) };
const DPoP = (proof, shown = bound.access_token) => ({ authorization: `DPoP ${shown}`, ...(proof && { dpop: proof }) });

const first = await prove(own, claims);
await call('good', DPoP(first));
await call('again', DPoP(first));
await call('another good', DPoP(await prove(own, claims)));
await call('as bearer', { authorization: `Bearer ${bound.access_token}` });
await call('as bearer with a proof', { authorization: `Bearer ${bound.access_token}`, dpop: await prove(own, claims) });
await call('no proof', DPoP());
await call("another's key", DPoP(await prove(await made(), claims)));
await call('another method', DPoP(await prove(own, { ...claims, htm: 'GET' })));
await call('another URL', DPoP(await prove(own, { ...claims, htu: 'https://evil.example/mcp' })));
await call('another token', DPoP(await prove(own, { ...claims, ath: ath('x') })));
await call('no ath', DPoP(await prove(own, { ...claims, ath: undefined })));
await call('old', DPoP(await prove(own, claims, Math.floor(Date.now() / 1000) - 600)));
await call('of the future', DPoP(await prove(own, claims, Math.floor(Date.now() / 1000) + 600)));
await call('an unbound token with a proof', DPoP(await prove(own, { ...claims, ath: ath(plain.access_token) }), plain.access_token));
await call('an unbound token', { authorization: `Bearer ${plain.access_token}` });
console.log(JSON.stringify({ thumbprint: await calculateJwkThumbprint(own.jwk) }));
