// Tokens that are bound to a key, of a real authorization server. usage: node dpop_client.mjs
// TOKEN_ENDPOINT RESOURCE URL HTU. RESOURCE is what the token is for, URL where the server is
// called, HTU the public URL of that. Prints one line of JSON for each way of calling.
import { createHash, randomUUID } from 'node:crypto';
import { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';

const [tokenEndpoint, resource, url, htu] = process.argv.slice(2);
const made = async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  return { privateKey, jwk: await exportJWK(publicKey) };
};
const own = await made();
const prove = (key, claims, iat) =>
  new SignJWT({ jti: randomUUID(), ...claims })
    .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.jwk })
    .setIssuedAt(iat)
    .sign(key.privateKey);

const form = {
  grant_type: 'client_credentials', client_id: 'machine', client_secret: 's3cret-0123456789', resource, scope: 'mcp:tools mcp:admin',
};
async function token(proof) {
  const response = await fetch(tokenEndpoint, { method: 'POST', body: new URLSearchParams(form), headers: proof ? { dpop: proof } : {} });
  const body = await response.json();
  if (!body.access_token) throw new Error(JSON.stringify(body));
  return body;
}
const bound = await token(await prove(own, { htm: 'POST', htu: tokenEndpoint }));
if (bound.token_type !== 'DPoP') throw new Error(`a ${bound.token_type} token in place of a bound one`);
const plain = await token();

const ath = (text) => createHash('sha256').update(text).digest('base64url');
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
