// The newest TypeScript SDK on node:http, without sessions and with JSON answers; $WORKERS processes share the port $PORT.
import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import * as z from 'zod';

const terms = z.object({ a: z.number(), b: z.number() });
const place = z.object({ state: z.string() });
const told = z.object({ result: z.string() });
const sum = z.object({ result: z.number() });

function weather() {
    const server = new McpServer({ name: 'weather', version: '1' });
    server.registerTool('add', { description: 'Adds two numbers.', inputSchema: terms, outputSchema: sum }, async ({ a, b }) => ({
        content: [{ type: 'text', text: String(a + b) }],
        structuredContent: { result: a + b },
    }));
    server.registerTool(
        'get_alerts',
        { description: 'Weather alerts of a state of the USA.', inputSchema: place, outputSchema: told },
        async ({ state }) => {
            const text = await alerts(state);
            return { content: [{ type: 'text', text }], structuredContent: { result: text } };
        },
    );
    return server;
}

async function alerts(state) {
    const base = process.env.NWS_API_BASE ?? 'https://api.weather.gov';
    const response = await fetch(`${base}/alerts/active/area/${state}`, {
        headers: { 'User-Agent': 'weather-app/1.0', Accept: 'application/geo+json' },
        signal: AbortSignal.timeout(30_000),
    });
    if (!response.ok) return 'Unable to fetch alerts or no alerts found.';
    const { features } = await response.json();
    const text = ({ properties: p }) =>
        `Event: ${p.event ?? 'Unknown'}\nArea: ${p.areaDesc ?? 'Unknown'}\nSeverity: ${p.severity ?? 'Unknown'}\n` +
        `Description: ${p.description ?? 'No description available'}\nInstructions: ${p.instruction ?? 'No specific instructions provided'}`;
    return features.length ? features.map(text).join('\n---\n') : 'No active alerts for this state.';
}

if (cluster.isPrimary) {
    for (let number = 0; number < Number(process.env.WORKERS); number++) cluster.fork();
} else {
    const handler = toNodeHandler(createMcpHandler(weather, { responseMode: 'json' }));
    createServer(handler).listen(Number(process.env.PORT), '127.0.0.1');
}
