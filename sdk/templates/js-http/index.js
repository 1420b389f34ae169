// A server of MCP: what it answers to each message. `http.js` brings the messages.
// Each request has a sandbox of its own, so the server has no sessions.
import { serve } from './http.js';

// Revisions of MCP that it speaks, the newest first.
const REVISIONS = ['2025-11-25', '2025-06-18', '2025-03-26'];

const TOOLS = [
  {
    name: 'greet',
    description: 'Greets somebody.',
    inputSchema: {
      type: 'object',
      properties: { name: { type: 'string', description: 'Whom.' } },
      required: ['name'],
    },
    annotations: { readOnlyHint: true },
  },
];

function greet({ name }) {
  if (!name) throw new Error('whom should I greet?');
  return `Hello, ${name}!`;
}

function called({ name, arguments: given = {} }) {
  if (name !== 'greet') throw { code: -32602, message: `there is no tool ${name}` };
  try {
    return { content: [{ type: 'text', text: greet(given) }], isError: false };
  } catch (error) {
    return { content: [{ type: 'text', text: error.message }], isError: true };
  }
}

function result(method, params) {
  switch (method) {
    case 'initialize': {
      const protocolVersion = REVISIONS.find((known) => known === params.protocolVersion) ?? REVISIONS[0];
      return { protocolVersion, capabilities: { tools: {} }, serverInfo: { name: '{{name}}', version: '0.1.0' } };
    }
    case 'ping':
      return {};
    case 'tools/list':
      return { tools: TOOLS };
    case 'tools/call':
      return called(params);
    default:
      throw { code: -32601, message: `there is no method ${method}` };
  }
}

/** The answer to a message. Undefined: it is a notification. */
export function answer({ id, method, params = {} }) {
  if (id === undefined) return undefined;
  try {
    return { jsonrpc: '2.0', id, result: result(method, params) };
  } catch (error) {
    return { jsonrpc: '2.0', id, error: { code: error.code ?? -32603, message: error.message } };
  }
}

export const incomingHandler = serve(answer);
