// Signing keys for oidc_server.mjs: prints {"old": JWK, "new": JWK}, or with arguments one by each
// algorithm: {"RS256": JWK, ...}.
import { exportJWK, generateKeyPair } from 'jose';

const made = async (kid, alg) => {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, alg, use: 'sig' };
};
const algs = process.argv.slice(2);
const keys = algs.length
  ? Object.fromEntries(await Promise.all(algs.map(async (alg) => [alg, await made(`by-${alg}`, alg)])))
  : { old: await made('old', 'ES256'), new: await made('new', 'RS256') };
console.log(JSON.stringify(keys));
