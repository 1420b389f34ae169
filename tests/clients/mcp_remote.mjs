// mcp-remote, as a desktop client starts it. usage: node mcp_remote.mjs URL LOGIN TOOL
// '{ARGUMENTS}' FOLDER ROUNDS PAUSE. Its tokens are kept in FOLDER. Calls TOOL once in each of
// ROUNDS, with PAUSE milliseconds between them, and prints one line of JSON.
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { authorize } from './oauth_browser.mjs';

const [url, login, tool, args, folder, rounds, pause] = process.argv.slice(2);
// Nothing opens a browser on the machine of whoever runs the tests.
const env = { ...process.env, MCP_REMOTE_CONFIG_DIR: folder, BROWSER: 'true', DISPLAY: '', PATH: '/nowhere' };
const script = join(import.meta.dirname, 'node_modules/mcp-remote/dist/proxy.js');
const child = spawn(process.execPath, [script, url, '--transport', 'http-only', '--auth-timeout', '120'], { env });
let visits = 0;
let said = '';
const failed = (error) => {
  console.error(said);
  console.error(error);
  child.kill();
  process.exit(1);
};
createInterface({ input: child.stderr }).on('line', async (line) => {
  said += `${line}\n`;
  const to = /https?:\/\/\S*[?&]code_challenge=\S+/.exec(line)?.[0];
  if (!to) return;
  try {
    visits += 1;
    const callback = new URL(new URL(to).searchParams.get('redirect_uri'));
    callback.search = (await authorize(to, login)).toString();
    const page = await fetch(callback);
    if (!page.ok) failed(`the callback answered ${page.status}`);
  } catch (error) {
    failed(error);
  }
});
child.on('exit', (code) => failed(`mcp-remote ended: ${code}`));

const waiting = new Map();
createInterface({ input: child.stdout }).on('line', (line) => {
  const message = JSON.parse(line);
  waiting.get(message.id)?.(message);
});
let last = 0;
const send = (message) => child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const ask = (method, params) =>
  new Promise((resolve) => {
    const id = ++last;
    waiting.set(id, resolve);
    send({ id, method, params });
  });

await ask('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'toolbay-e2e', version: '1' } });
send({ method: 'notifications/initialized' });
const { result: { tools } } = await ask('tools/list', {});
const results = [];
for (let round = 0; round < Number(rounds); round++) {
  if (round > 0) await new Promise((resolve) => setTimeout(resolve, Number(pause)));
  results.push((await ask('tools/call', { name: tool, arguments: JSON.parse(args) })).result ?? null);
}
// What it keeps, for what a test does with it.
const files = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('tokens.json'));
const tokens = files.map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
child.removeAllListeners('exit');
child.kill();
console.log(JSON.stringify({ tools: tools.map(({ name }) => name), results, visits, tokens }));
process.exit(0);
