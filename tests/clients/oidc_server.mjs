// A real authorization server (oidc-provider) for the tests.
// usage: node oidc_server.mjs '{"port": N, "resources": ["URL"], "keys": [JWK, ...], "clients":
// [...], "ttl": SECONDS, "opaque": true}'; prints "ready" when it listens. Without keys it makes
// one. Access tokens are JWTs, or opaque. Users log in with any name; alice is an analyst,
// everybody else a guest.
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

const { port, resources, keys, clients, ttl, opaque } = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
// Of the first key: with it everything is signed.
const alg = keys?.[0].alg ?? 'ES256';

async function made() {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: 'k1', alg: 'ES256', use: 'sig' };
}

const provider = new Provider(issuer, {
  jwks: { keys: keys ?? [await made()] },
  clients: clients ?? [],
  clientDefaults: { token_endpoint_auth_method: 'none', id_token_signed_response_alg: alg, grant_types: ['authorization_code', 'refresh_token'] },
  pkce: { required: () => true },
  scopes: ['openid', 'offline_access', 'mcp:tools', 'mcp:admin'],
  issueRefreshToken: async (ctx, client) => client.grantTypeAllowed('refresh_token'),
  extraTokenClaims: async (ctx, token) => ({ roles: token.accountId === 'alice' ? ['analyst'] : ['guest'] }),
  findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  ttl: { AccessToken: ttl ?? 600, ClientCredentials: ttl ?? 600, Interaction: 600, Session: 600, Grant: 600, RefreshToken: 600 },
  features: {
    registration: { enabled: true },
    clientCredentials: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resources[0],
      useGrantedResource: async () => true,
      getResourceServerInfo: (ctx, resource) => {
        if (!resources.includes(resource)) throw new Error(`unknown resource ${resource}`);
        const format = opaque ? { accessTokenFormat: 'opaque' } : { accessTokenFormat: 'jwt', jwt: { sign: { alg } } };
        return { scope: 'mcp:tools mcp:admin', audience: resource, ...format };
      },
    },
  },
});

createServer(provider.callback()).listen(port, '127.0.0.1', () => console.log('ready'));
