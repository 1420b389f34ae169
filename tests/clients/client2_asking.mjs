// The client of @modelcontextprotocol/client 2.x as one that can be asked. usage: node client2_asking.mjs URL|COMMAND auto|legacy '["TOOL", ...]'; prints one line of JSON.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';

const [url, mode, tools] = process.argv.slice(2);
const negotiation = mode === 'auto' ? { versionNegotiation: { mode: 'auto' } } : {};
const client = new Client({ name: 'toolbay-e2e', version: '1' }, { capabilities: { elicitation: {}, sampling: {}, roots: {} }, ...negotiation });
client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: { name: 'Ann', color: 'blue' } }));
client.setRequestHandler('sampling/createMessage', () => ({ role: 'assistant', content: { type: 'text', text: 'Welcome' }, model: 'none' }));
client.setRequestHandler('roots/list', () => ({ roots: [{ uri: 'file:///home/ann', name: 'Home' }] }));
// A URL, or a command as a JSON list.
const [command, ...args] = url.startsWith('[') ? JSON.parse(url) : [];
const transport = command ? new StdioClientTransport({ command, args }) : new StreamableHTTPClientTransport(new URL(url));
transport.setProtocolVersion ??= (version) => (transport.protocolVersion = version);
await client.connect(transport);
const texts = [];
for (const name of JSON.parse(tools)) texts.push((await client.callTool({ name, arguments: {} })).content[0].text);
console.log(JSON.stringify({ negotiated: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion, texts }));
await client.close();
