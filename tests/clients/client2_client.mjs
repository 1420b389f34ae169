// The client of @modelcontextprotocol/client 2.x.
// usage: node client2_client.mjs URL|COMMAND auto|legacy|REVISION '[["TOOL", {ARGUMENTS}], ...]'; prints one line of JSON.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [url, mode, calls] = process.argv.slice(2);
const negotiation = { auto: { versionNegotiation: { mode: 'auto' } }, legacy: {} }[mode] ?? { versionNegotiation: { mode: { pin: mode } } };
const client = new Client({ name: 'toolbay-e2e', version: '1' }, { capabilities: {}, ...negotiation });
// A URL, or a command as a JSON list.
const [command, ...args] = url.startsWith('[') ? JSON.parse(url) : [];
const transport = command ? new StdioClientTransport({ command, args }) : new StreamableHTTPClientTransport(new URL(url));
transport.setProtocolVersion ??= (version) => (transport.protocolVersion = version);
await client.connect(transport);
const { tools } = await client.listTools();
const results = [];
for (const [name, args] of JSON.parse(calls)) results.push(await client.callTool({ name, arguments: args }));
console.log(JSON.stringify({ negotiated: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion, tools, results }));
await client.close();
