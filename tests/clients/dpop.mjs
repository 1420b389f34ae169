// Tokens that are bound to a key, of a real authorization server, and the proofs of that key.
import { createHash, randomUUID } from 'node:crypto';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';

export async function made() {
  const { privateKey, publicKey } = await generateKeyPair('ES256', { extractable: true });
  return { privateKey, jwk: await exportJWK(publicKey) };
}

export const prove = (key, claims, iat) =>
  new SignJWT({ jti: randomUUID(), ...claims })
    .setProtectedHeader({ typ: 'dpop+jwt', alg: 'ES256', jwk: key.jwk })
    .setIssuedAt(iat)
    .sign(key.privateKey);

export const ath = (text) => createHash('sha256').update(text).digest('base64url');

// Without a key: a token that is bound to none.
export async function token(tokenEndpoint, resource, key) {
  const form = {
    grant_type: 'client_credentials', client_id: 'machine', client_secret: 's3cret-0123456789', resource, scope: 'mcp:tools mcp:admin',
  };
  const headers = key ? { dpop: await prove(key, { htm: 'POST', htu: tokenEndpoint }) } : {};
  const response = await fetch(tokenEndpoint, { method: 'POST', body: new URLSearchParams(form), headers });
  const body = await response.json();
  if (!body.access_token) throw new Error(JSON.stringify(body));
  return body;
}
