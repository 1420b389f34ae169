// Reads the tools of an MCP endpoint as clients do. usage: node lint_tools.mjs URL|FILE
// FILE holds the results of the lists in one JSON object: {"tools": [...], "prompts": [...], "resources": [...], "resourceTemplates": [...]}.
// Lists them by the TypeScript SDKs 1.x and 2.x, which compile every output schema, and compiles both schemas of every tool by Ajv as it is set up in
// those SDKs and in others (draft-07, 2020-12, strict): whatever of these is installed beside this file.
// Prints one line of JSON: {"tools": N, "readers": [...], "problems": [...]}.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const [source] = process.argv.slice(2);
const problems = [];
const readers = [];

// What is not installed is not read by. Whatever else is wrong with it is an error.
async function installed(name) {
  try {
    return await import(name);
  } catch (error) {
    if (error.code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}

// A server that answers by a file: what an SDK calls a transport.
class Stored {
  constructor(path) {
    this.lists = JSON.parse(readFileSync(path, 'utf8'));
  }
  async start() {}
  async close() {
    this.onclose?.();
  }
  result(method, params) {
    const members = {
      'tools/list': 'tools',
      'prompts/list': 'prompts',
      'resources/list': 'resources',
      'resources/templates/list': 'resourceTemplates',
    };
    if (method === 'initialize') {
      const capabilities = { tools: {}, prompts: {}, resources: {} };
      return { protocolVersion: params.protocolVersion, capabilities, serverInfo: { name: 'stored', version: '1' } };
    }
    const member = members[method];
    return member && { [member]: this.lists[member] ?? [] };
  }
  async send({ id, method, params }) {
    if (id === undefined) return;
    const result = this.result(method, params);
    const end = result ? { result } : { error: { code: -32601, message: 'Method not found' } };
    setImmediate(() => this.onmessage?.({ jsonrpc: '2.0', id, ...end }));
  }
}

const transport = (Http) => (/^https?:/.test(source) ? new Http(new URL(source)) : new Stored(source));

async function everything(name, client, transport) {
  const tools = [];
  try {
    await client.connect(transport);
    for (let cursor; ; ) {
      const page = await client.listTools(cursor ? { cursor } : undefined);
      tools.push(...page.tools);
      cursor = page.nextCursor;
      if (!cursor) break;
    }
    const has = client.getServerCapabilities() ?? {};
    if (has.prompts) await client.listPrompts();
    if (has.resources) await client.listResources();
    if (has.resources) await client.listResourceTemplates();
  } catch (error) {
    problems.push(`${name}: ${String(error.message ?? error).slice(0, 500)}`);
  }
  await client.close().catch(() => {});
  readers.push(name);
  return tools;
}

const info = { name: 'toolbay-lint', version: '1' };
const sdk1 = await installed('@modelcontextprotocol/sdk/client/index.js');
const http1 = await installed('@modelcontextprotocol/sdk/client/streamableHttp.js');
const one = sdk1 && (await everything('TypeScript SDK 1.x', new sdk1.Client(info), transport(http1.StreamableHTTPClientTransport)));
const sdk2 = await installed('@modelcontextprotocol/client');
const newer = sdk2 && new sdk2.Client(info, { versionNegotiation: { mode: 'auto' } });
const two = sdk2 && (await everything('TypeScript SDK 2.x', newer, transport(sdk2.StreamableHTTPClientTransport)));
if (one && two && one.length !== two.length) problems.push(`SDK 1.x reads ${one.length} tools, and SDK 2.x ${two.length}`);
const tools = one ?? two ?? [];

function required(name) {
  try {
    return require(name).default;
  } catch (error) {
    if (error.code === 'MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}
const [Ajv, Ajv2020, formats] = ['ajv', 'ajv/dist/2020', 'ajv-formats'].map(required);
const quiet = { logger: false, allErrors: true };
// `strict` alone refuses words that are no fault (formats and keywords of vendors), so that only types are strict.
const kinds = {
  'Ajv draft-07': () => formats(new Ajv({ ...quiet, strict: false, validateFormats: true, validateSchema: false })),
  'Ajv draft-07, schemas checked': () => formats(new Ajv({ ...quiet, strict: false })),
  'Ajv 2020-12': () => formats(new Ajv2020({ ...quiet, strict: false })),
};
for (const [name, make] of Object.entries(Ajv && Ajv2020 && formats ? kinds : {})) {
  readers.push(name);
  for (const tool of tools) {
    for (const schema of [tool.inputSchema, tool.outputSchema]) {
      if (schema === undefined) continue;
      try {
        make().compile(schema);
      } catch (error) {
        problems.push(`${name}: tool ${tool.name}: ${String(error.message).slice(0, 300)}`);
      }
    }
  }
}
// Gemini CLI's and others' sanitisers walk every schema as an object.
const walk = (tool, schema, path) => {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
    problems.push(`objects: tool ${tool}: ${path} is no object`);
    return;
  }
  for (const [key, value] of Object.entries(schema)) {
    if (['properties', 'patternProperties', '$defs'].includes(key)) {
      Object.entries(value).forEach(([name, inner]) => walk(tool, inner, `${path}/${key}/${name}`));
    } else if (['items', 'additionalProperties'].includes(key)) walk(tool, value, `${path}/${key}`);
    else if (key === 'anyOf') value.forEach((inner, at) => walk(tool, inner, `${path}/${key}/${at}`));
  }
};
for (const tool of tools) {
  walk(tool.name, tool.inputSchema, 'inputSchema');
  if (tool.outputSchema) walk(tool.name, tool.outputSchema, 'outputSchema');
}
console.log(JSON.stringify({ tools: tools.length, readers, problems }));
