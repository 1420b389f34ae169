// The OAuth client of @modelcontextprotocol/client 2.x. usage: node client2_oauth.mjs URL LOGIN TOOL '{ARGUMENTS}'; prints one line of JSON.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';
import { authorize } from './oauth_browser.mjs';

const [url, login, tool, args] = process.argv.slice(2);
const redirectUrl = 'http://127.0.0.1:9/callback';
const kept = { seen: [] };
let visit;
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
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider });
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
const result = await client.callTool({ name: tool, arguments: JSON.parse(args) });
console.log(JSON.stringify({ tools: tools.map(({ name }) => name), result, scope: kept.tokens.scope, refresh: Boolean(kept.tokens.refresh_token) }));
await client.close();
