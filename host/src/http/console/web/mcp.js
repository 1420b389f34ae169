// A call by MCP 2026-07-28, as any client makes it: one POST to /mcp, with the same token. What comes before the answer comes as events.

import { MCP, Problem, headers } from './api.js';

const VERSION = '2026-07-28';
let last = 0;

/** What stands in a header for a text: itself, or its base64 where a header cannot carry it. */
function encoded(text) {
  if (/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text) && !text.startsWith('=?')) return text;
  return `=?base64?${btoa(String.fromCharCode(...new TextEncoder().encode(text)))}?=`;
}

/** Arguments that a schema wants to be repeated in headers. */
function repeated(properties, value, into) {
  for (const [name, schema] of Object.entries(properties ?? {})) {
    const header = schema?.['x-mcp-header'], member = value?.[name];
    if (header && ['string', 'boolean', 'number'].includes(typeof member)) into[`mcp-param-${header.toLowerCase()}`] = encoded(String(member));
    if (schema?.properties) repeated(schema.properties, member, into);
  }
  return into;
}

/**
 * Calls a tool. `onMessage` gets every notification before the answer.
 * Returns the result of the call, or throws a Problem. Aborting `signal` ends the call at the host too.
 */
export async function call(tool, args, { signal, onMessage, more = {} }) {
  const id = ++last;
  const _meta = {
    progressToken: `console-${id}`,
    'io.modelcontextprotocol/protocolVersion': VERSION,
    'io.modelcontextprotocol/clientCapabilities': { elicitation: { form: {} } },
    'io.modelcontextprotocol/clientInfo': { name: 'toolbay-console', version: '1' },
    'io.modelcontextprotocol/logLevel': 'debug',
  };
  const body = JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: tool.name, arguments: args, ...more, _meta } });
  let response;
  try {
    response = await fetch(MCP, {
      method: 'POST', signal, body, cache: 'no-store', credentials: 'omit',
      headers: headers({
        'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': VERSION,
        'mcp-method': 'tools/call', 'mcp-name': encoded(tool.name), ...repeated(tool.inputSchema?.properties, args, {}),
      }),
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem('The host cannot be reached.', 'Look whether it runs.', 0);
  }
  let answer = null;
  const take = message => { if (message.id === id || (message.error && message.id == null)) answer = message; else if (message.method) onMessage?.(message); };
  if (response.headers.get('content-type')?.startsWith('text/event-stream')) {
    for await (const data of events(response.body)) take(JSON.parse(data));
  } else {
    const text = await response.text();
    try { take(JSON.parse(text)); } catch { /* said below */ }
    if (!answer) throw new Problem(`The host answered ${response.status}.`, text.slice(0, 300), response.status);
  }
  if (!answer) throw new Problem('The host ended the call without an answer.', 'Look at its log.', 0);
  if (answer.error) {
    const after = response.headers.get('retry-after');
    const problem = new Problem(answer.error.message, after ? `Try again in ${after} s.` : answer.try ?? '', response.status);
    problem.code = answer.error.code;
    problem.data = answer.error.data;
    throw problem;
  }
  return answer.result;
}

/** The data of each event of a stream. */
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '', data = [];
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) break;
      rest += value;
      const lines = rest.split(/\r\n|\n|\r/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === '') { if (data.length && data.join('')) yield data.join('\n'); data = []; }
        else if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
      }
    }
    if (data.length && data.join('')) yield data.join('\n');
  } finally {
    reader.releaseLock();
  }
}
