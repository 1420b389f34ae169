// Reads the tools of an MCP endpoint as clients do. usage: node lint_tools.mjs URL
// Lists them by the TypeScript SDKs 1.x and 2.x, which compile every output schema, and compiles both schemas of every tool by Ajv as it is set up in
// those SDKs and in others (draft-07, 2020-12, strict). Prints one line of JSON: {"tools": N, "readers": [...], "problems": [...]}.
import { createRequire } from 'node:module';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as Transport1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Client as Client2, StreamableHTTPClientTransport as Transport2 } from '@modelcontextprotocol/client';

const require = createRequire(import.meta.url);
const [url] = process.argv.slice(2);
const problems = [];
const readers = [];

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
const one = await everything('TypeScript SDK 1.x', new Client1(info), new Transport1(new URL(url)));
const two = await everything(
  'TypeScript SDK 2.x',
  new Client2(info, { versionNegotiation: { mode: 'auto' } }),
  new Transport2(new URL(url)),
);
if (one.length !== two.length) problems.push(`SDK 1.x reads ${one.length} tools, and SDK 2.x ${two.length}`);

const Ajv = require('ajv').default;
const Ajv2020 = require('ajv/dist/2020').default;
const formats = require('ajv-formats').default;
const quiet = { logger: false, allErrors: true };
// `strict` alone refuses words that are no fault (formats and keywords of vendors), so that only types are strict.
const kinds = {
  'Ajv draft-07': () => formats(new Ajv({ ...quiet, strict: false, validateFormats: true, validateSchema: false })),
  'Ajv draft-07, schemas checked': () => formats(new Ajv({ ...quiet, strict: false })),
  'Ajv 2020-12': () => formats(new Ajv2020({ ...quiet, strict: false })),
};
for (const [name, make] of Object.entries(kinds)) {
  readers.push(name);
  for (const tool of one) {
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
for (const tool of one) {
  walk(tool.name, tool.inputSchema, 'inputSchema');
  if (tool.outputSchema) walk(tool.name, tool.outputSchema, 'outputSchema');
}
console.log(JSON.stringify({ tools: one.length, readers, problems }));
