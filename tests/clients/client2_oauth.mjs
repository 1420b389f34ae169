// The OAuth client of @modelcontextprotocol/client 2.x. usage: node client2_oauth.mjs URL LOGIN
// TOOL '{ARGUMENTS}' [CLIENT_ID]; prints one line of JSON. With CLIENT_ID it is a client that the
// authorization server knows, in place of one that registers itself.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { authorize } from './oauth_browser.mjs';

const [url, login, tool, args, known] = process.argv.slice(2);
const redirectUrl = 'http://127.0.0.1:9/callback';
const kept = { seen: [], client: known && { client_id: known, redirect_uris: ['http://127.0.0.1:9/callback'] } };
let visit, transport;
const authProvider = {
  redirectUrl,
  clientMetadata: { redirect_uris: [redirectUrl], client_name: 'toolbay-e2e', grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], token_endpoint_auth_method: 'none' },
  state: () => 'state-of-the-test',
  clientInformation: () => kept.client,
  saveClientInformation: (client) => void (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => void (kept.seen.push(tokens.scope), (kept.tokens = tokens)),
  redirectToAuthorization: (to) => void (visit = to),
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
  saveDiscoveryState: (state) => void (kept.discovery = state),
  discoveryState: () => kept.discovery,
};
const connect = async () => {
  const client = new Client({ name: 'toolbay-e2e', version: '1' }, { capabilities: {} });
  transport = new StreamableHTTPClientTransport(new URL(url), { authProvider });
  try {
    await client.connect(transport);
    return client;
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    await transport.finishAuth(await authorize(visit, login));
    return undefined;
  }
};
const client = (await connect()) ?? (await connect());
const { tools } = await client.listTools();
const call = () => client.callTool({ name: tool, arguments: JSON.parse(args) });
const result = await call().catch(async (error) => {
  // A scope is missing: the person consents to it, and the call is made again.
  if (!(error instanceof UnauthorizedError)) throw error;
  await transport.finishAuth(await authorize(visit, login));
  return call();
});
console.log(JSON.stringify({ tools: tools.map(({ name }) => name), result, scope: kept.tokens.scope, scopes: kept.seen, refresh: Boolean(kept.tokens.refresh_token) }));
await client.close();
