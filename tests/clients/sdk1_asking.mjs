// The client of @modelcontextprotocol/sdk 1.x as one that can be asked. usage: node sdk1_asking.mjs URL|COMMAND '["TOOL", ...]'; prints one line of JSON.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CreateMessageRequestSchema, ElicitRequestSchema, ListRootsRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const [url, tools] = process.argv.slice(2);
const client = new Client({ name: 'toolbay-e2e', version: '1' }, { capabilities: { elicitation: {}, sampling: {}, roots: {} } });
client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { name: 'Ann', color: 'blue' } }));
client.setRequestHandler(CreateMessageRequestSchema, () => ({ role: 'assistant', content: { type: 'text', text: 'Welcome' }, model: 'none' }));
client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: 'file:///home/ann', name: 'Home' }] }));
// A URL, or a command as a JSON list.
const [command, ...args] = url.startsWith('[') ? JSON.parse(url) : [];
const transport = command ? new StdioClientTransport({ command, args }) : new StreamableHTTPClientTransport(new URL(url));
transport.setProtocolVersion ??= (version) => (transport.protocolVersion = version);
await client.connect(transport);
const texts = [];
for (const name of JSON.parse(tools)) texts.push((await client.callTool({ name, arguments: {} })).content[0].text);
console.log(JSON.stringify({ negotiated: transport.protocolVersion, texts }));
await client.close();
