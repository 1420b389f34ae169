// An upstream that shows what it received: an MCP server (SDK 1.x, sessions by Streamable HTTP) and an application with an OpenAPI document.
// usage: node upstream_server.mjs '{"port": N, "issuer": "URL", "audience": "URL", "identity": {"jwks": "URL", "audience": "…", "header": "…"}}'
// At /sse it speaks the transport of 2024, and nothing else; POST /close-streams ends its streams.
// With `issuer` every request needs an access token of it for `audience`, and a session belongs to the subject that opened it.
import { randomUUID } from 'node:crypto';
import express from 'express';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';

const { port, issuer, audience, identity } = JSON.parse(process.argv[2]);
const tokenKeys = issuer && createRemoteJWKSet(new URL(`${issuer}/jwks`));
let identityKeys;
const revoked = new Set();
const counts = { sessions: 0, refused: 0 };

async function who(headers) {
  const token = headers.authorization?.replace(/^Bearer /i, '');
  if (!token || revoked.has(token)) throw new Error('no token');
  return (await jwtVerify(token, tokenKeys, { issuer, audience })).payload;
}

async function told(headers) {
  if (!identity) return undefined;
  // The host is asked for its keys when it is first needed: it is there by then.
  identityKeys ??= createRemoteJWKSet(new URL(identity.jwks));
  const text = headers[identity.header.toLowerCase()]?.replace(/^Bearer /i, '');
  if (!text) return null;
  const { payload, protectedHeader } = await jwtVerify(text, identityKeys, { audience: identity.audience });
  return { ...payload, alg: protectedHeader.alg };
}

// What is shown to a test, which knows every token anyway.
const seen = async (headers) => ({ headers, token: issuer && (await who(headers)), identity: await told(headers) });

const app = express();
app.use(express.json());
app.get('/counts', (_, response) => response.json(counts));
app.post('/revoke-all', (_, response) => {
  for (const token of shown) revoked.add(token);
  response.json({ revoked: revoked.size });
});
app.get('/openapi.json', (_, response) =>
  response.json({
    openapi: '3.1.0',
    info: { title: 'upstream', version: '1' },
    servers: [{ url: `http://127.0.0.1:${port}` }],
    paths: { '/whoami': { get: { operationId: 'whoami', responses: { 200: { description: 'what came' } } } } },
  }),
);
app.get('/.well-known/oauth-protected-resource/mcp', (_, response) =>
  response.json({ resource: audience, authorization_servers: [issuer], scopes_supported: ['mcp:tools'] }),
);
const shown = new Set();
app.use(async (request, response, next) => {
  if (!issuer) return next();
  try {
    request.who = await who(request.headers);
    shown.add(request.headers.authorization.replace(/^Bearer /i, ''));
    next();
  } catch (error) {
    counts.refused += 1;
    response.status(401).set('www-authenticate', `Bearer error="invalid_token", resource_metadata="http://127.0.0.1:${port}/.well-known/oauth-protected-resource/mcp"`).json({ error: String(error.message) });
  }
});
app.get('/whoami', async (request, response) => response.json(await seen(request.headers)));

function made() {
  const server = new McpServer({ name: 'upstream', version: '1' }, { capabilities: { logging: {} } });
  server.registerTool('seen', { description: 'What came with this request.' }, async (extra) => ({
    content: [{ type: 'text', text: JSON.stringify({ ...(await seen(extra.requestInfo.headers)), session: extra.sessionId }) }],
  }));
  server.registerTool('ask', { description: 'Asks for a name.' }, async () => {
    const properties = { name: { type: 'string' } };
    const answer = await server.server.elicitInput({ message: 'Who?', requestedSchema: { type: 'object', properties, required: ['name'] } });
    return { content: [{ type: 'text', text: `Hello, ${answer.content?.name}!` }] };
  });
  server.registerTool('steps', { description: 'Tells its progress.' }, async (extra) => {
    const progressToken = extra._meta?.progressToken;
    for (const progress of progressToken === undefined ? [] : [1, 2, 3]) {
      await extra.sendNotification({ method: 'notifications/progress', params: { progressToken, progress, total: 3 } });
    }
    return { content: [{ type: 'text', text: 'done' }] };
  });
  server.registerTool('more', { description: 'Offers one tool more.' }, async () => {
    server.registerTool('extra', { description: 'One more.' }, async () => ({ content: [{ type: 'text', text: 'more' }] }));
    return { content: [{ type: 'text', text: 'done' }] };
  });
  return server;
}

const streams = new Map();
app.get('/sse', async (request, response) => {
  const transport = new SSEServerTransport('/messages', response);
  streams.set(transport.sessionId, response);
  transports.set(transport.sessionId, transport);
  response.on('close', () => transports.delete(transport.sessionId));
  await made().connect(transport);
});
const transports = new Map();
app.post('/messages', async (request, response) => {
  const transport = transports.get(request.query.sessionId);
  if (!transport) return response.status(404).end('no such session');
  await transport.handlePostMessage(request, response, request.body);
});
app.post('/close-streams', (_, response) => {
  for (const stream of streams.values()) stream.destroy();
  streams.clear();
  response.end();
});

const sessions = new Map();
app.all('/mcp', async (request, response) => {
  const id = request.headers['mcp-session-id'];
  let session = id && sessions.get(id);
  if (id && !session) return response.status(404).end();
  if (session && session.owner !== request.who?.sub) return response.status(403).json({ error: 'the session belongs to somebody else' });
  if (!session) {
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => {
        counts.sessions += 1;
        sessions.set(id, { transport, owner: request.who?.sub });
      },
      onsessionclosed: (id) => sessions.delete(id),
    });
    await made().connect(transport);
    session = { transport };
  }
  await session.transport.handleRequest(request, response, request.body);
});

app.listen(port, '127.0.0.1', () => console.log('ready'));
