// The newest TypeScript SDK on node:http, without sessions and with JSON answers; $WORKERS processes share the port $PORT.
import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import * as z from 'zod';

const terms = z.object({ a: z.number(), b: z.number() });
const sum = z.object({ result: z.number() });

function weather() {
    const server = new McpServer({ name: 'weather', version: '1' });
    server.registerTool('add', { description: 'Adds two numbers.', inputSchema: terms, outputSchema: sum }, async ({ a, b }) => ({
        content: [{ type: 'text', text: String(a + b) }],
        structuredContent: { result: a + b },
    }));
    return server;
}

if (cluster.isPrimary) {
    for (let number = 0; number < Number(process.env.WORKERS); number++) cluster.fork();
} else {
    const handler = toNodeHandler(createMcpHandler(weather, { responseMode: 'json' }));
    createServer(handler).listen(Number(process.env.PORT), '127.0.0.1');
}
