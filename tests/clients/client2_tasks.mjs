// The Tasks client of @modelcontextprotocol/ext-tasks over @modelcontextprotocol/client 2.x. usage: node client2_tasks.mjs URL; prints one line of JSON.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { createTaskSessionFromClient, resultFromTaskOutcome } from '@modelcontextprotocol/ext-tasks/client';

const [url] = process.argv.slice(2);
const info = { name: 'toolbay-e2e', version: '1' };
const capabilities = { elicitation: {} };
const client = new Client(info, { capabilities, versionNegotiation: { mode: 'auto' } });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const negotiated = client.getNegotiatedProtocolVersion();

// The SDK's own request path knows no tasks yet: the package frames the messages, and its host sends them.
let last = 0;
async function rawDispatch(request) {
  const { method, params } = request;
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': negotiated, 'mcp-method': method };
  const name = params.taskId ?? params.name;
  if (name) headers['mcp-name'] = name;
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ ...request, jsonrpc: '2.0', id: ++last }) });
  const text = await response.text();
  const message = JSON.parse(text.startsWith('{') ? text : text.trim().split('\n\n').pop().replace(/^data: ?/gm, ''));
  return message.error ? { kind: 'error', error: message.error } : { kind: 'result', result: message.result };
}

const session = createTaskSessionFromClient(client, {
  endpointId: 'toolbay',
  rawDispatch,
  v2RequestFraming: { protocolVersion: negotiated, clientInfo: info, clientCapabilities: capabilities },
  onInputRequest: async () => ({ action: 'accept', content: { name: 'Ann', confirm: true } }),
});

const calls = [];
for (const [tool, args] of [['greet', { name: 'Ann' }], ['slow_compute', { seconds: 3 }], ['confirm_delete', { filename: 'a' }], ['multi_input', {}], ['test_tool_with_task', {}], ['failing_job', {}]]) {
  const execution = await session.callTool(tool, args);
  const messages = new Set();
  const onEvent = (event) => { if (event.task?.statusMessage) messages.add(event.task.statusMessage); };
  const { outcome } = await execution.settle({ onEvent });
  const result = resultFromTaskOutcome(outcome);
  calls.push({ tool, kind: execution.kind, text: result.content[0].text, isError: result.isError === true, messages: [...messages].length });
}
const long = await session.callTool('slow_compute', { seconds: 600 });
await long.cancel();
const { outcome } = await long.settle();
const broken = await session.callTool('protocol_error_job', {});
const failed = (await broken.settle()).outcome;
console.log(JSON.stringify({ negotiated, calls, cancelled: outcome.status, failed: { status: failed.status, code: failed.error?.code } }));
await session.close();
await client.close();
