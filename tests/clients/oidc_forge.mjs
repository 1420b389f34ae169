// Tokens that were signed by somebody else. usage: node oidc_forge.mjs TOKEN ALG ... prints a JSON
// object: by each ALG the token with the same claims and the same kid, signed by a new key of it.
import { SignJWT, decodeJwt, decodeProtectedHeader, generateKeyPair } from 'jose';

const [token, ...algs] = process.argv.slice(2);
const forged = {};
for (const alg of algs) {
  const { privateKey } = await generateKeyPair(alg);
  forged[alg] = await new SignJWT(decodeJwt(token)).setProtectedHeader({ ...decodeProtectedHeader(token), alg }).sign(privateKey);
}
console.log(JSON.stringify(forged));
