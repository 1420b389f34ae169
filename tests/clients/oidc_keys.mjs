// Two signing keys for oidc_server.mjs: prints {"old": JWK, "new": JWK}.
import { exportJWK, generateKeyPair } from 'jose';

const made = async (kid, alg) => {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, alg, use: 'sig' };
};
console.log(JSON.stringify({ old: await made('old', 'ES256'), new: await made('new', 'RS256') }));
