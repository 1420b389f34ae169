// A real authorization server (oidc-provider) for the tests.
// usage: node oidc_server.mjs '{"port": N, "resources": ["URL"], "keys": [JWK, ...], "clients":
// [...], "ttl": SECONDS, "opaque": true}'; prints "ready" when it listens. Without keys it makes
// one. Access tokens are JWTs, or opaque; those of a client "machine-ALG" are signed by ALG. With "exchange" it exchanges its own tokens (RFC 8693).
// GET /tokens counts the tokens that it gave, by grant. Users log in with any name; alice is an
// analyst, everybody else a guest.
import { createServer } from 'node:http';
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify } from 'jose';
import { Provider } from 'oidc-provider';

const { port, resources, keys, clients, ttl, opaque, exchange } = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
// Of the first key: with it everything is signed.
const alg = keys?.[0].alg ?? 'ES256';

async function made() {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: 'k1', alg: 'ES256', use: 'sig' };
}

const jwks = { keys: keys ?? [await made()] };
const provider = new Provider(issuer, {
  jwks,
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
      getResourceServerInfo: (ctx, resource, client) => {
        if (!resources.includes(resource)) throw new Error(`unknown resource ${resource}`);
        const by = client.clientId.match(/^machine-(.+)$/)?.[1] ?? alg;
        const format = opaque ? { accessTokenFormat: 'opaque' } : { accessTokenFormat: 'jwt', jwt: { sign: { alg: by } } };
        return { scope: 'mcp:tools mcp:admin', audience: resource, ...format };
      },
    },
  },
});

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
if (exchange) {
  const own = createLocalJWKSet({ keys: jwks.keys.map(({ d, p, q, dp, dq, qi, ...key }) => key) });
  const parameters = ['subject_token', 'subject_token_type', 'requested_token_type', 'resource', 'audience', 'scope'];
  provider.registerGrantType(EXCHANGE, async (ctx) => {
    const { client, params } = ctx.oidc;
    const refuse = (error, description) => Object.assign(ctx, { status: 400, body: { error, error_description: description } });
    const subject = await jwtVerify(params.subject_token ?? '', own, { issuer }).catch(() => undefined);
    if (!subject) return refuse('invalid_request', 'the subject token is not valid');
    if (!resources.includes(params.resource)) return refuse('invalid_target', 'the resource is not known');
    const token = new provider.AccessToken({ client, accountId: subject.payload.sub, gty: 'token_exchange', scope: params.scope });
    token.resourceServer = new provider.ResourceServer(params.resource, {
      scope: 'mcp:tools mcp:admin', audience: params.resource, accessTokenFormat: 'jwt', jwt: { sign: { alg } },
    });
    ctx.body = {
      access_token: await token.save(), issued_token_type: 'urn:ietf:params:oauth:token-type:access_token', token_type: 'Bearer', expires_in: token.expiration,
    };
  }, parameters);
}

// Tokens that were given, by grant.
const given = {};
provider.use(async (ctx, next) => {
  if (ctx.path === '/tokens') {
    ctx.body = given;
    return;
  }
  await next();
  if (ctx.oidc?.route === 'token' && ctx.status === 200) {
    const grant = ctx.oidc.params.grant_type;
    given[grant] = (given[grant] ?? 0) + 1;
  }
});

createServer(provider.callback()).listen(port, '127.0.0.1', () => console.log('ready'));
