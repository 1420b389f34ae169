// The client of @modelcontextprotocol/sdk 1.x. usage: node sdk1_client.mjs URL|COMMAND '[["TOOL", {ARGUMENTS}], ...]'; prints one line of JSON.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, calls] = process.argv.slice(2);
const client = new Client({ name: 'toolbay-e2e', version: '1' }, { capabilities: {} });
// A URL, or a command as a JSON list.
const [command, ...args] = url.startsWith('[') ? JSON.parse(url) : [];
const transport = command ? new StdioClientTransport({ command, args }) : new StreamableHTTPClientTransport(new URL(url));
transport.setProtocolVersion ??= (version) => (transport.protocolVersion = version);
await client.connect(transport);
const { tools } = await client.listTools();
const results = [];
for (const [name, args] of JSON.parse(calls)) results.push(await client.callTool({ name, arguments: args }));
console.log(JSON.stringify({ negotiated: transport.protocolVersion, tools, results }));
await client.close();
