// MCP Apps as a client does them: the official bridge on one side, the page in a sandbox of a real browser on the other.
// usage: node apps.mjs URL auto|legacy TOOL FOLDER_FOR_PICTURES; prints one line of JSON.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { AppBridge, getToolUiResourceUri } from '@modelcontextprotocol/ext-apps/app-bridge';
import { EXTENSION_ID, RESOURCE_MIME_TYPE } from '@modelcontextprotocol/ext-apps/server';
import { chromium } from 'playwright-core';

const [, , url, mode, name, pictures] = process.argv;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const negotiation = mode === 'auto' ? { versionNegotiation: { mode: 'auto' } } : {};
const capabilities = { extensions: { [EXTENSION_ID]: { mimeTypes: [RESOURCE_MIME_TYPE] } } };
const client = new Client({ name: 'toolbay-e2e', version: '1' }, { capabilities, ...negotiation });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const declared = client.getServerCapabilities();
assert.ok(declared.extensions?.[EXTENSION_ID], JSON.stringify(declared));

// The tool, the page that it names, and its answer.
const { tools } = await client.listTools();
const tool = tools.find(one => one.name === name);
const uri = getToolUiResourceUri(tool);
const { contents } = await client.readResource({ uri });
assert.equal(contents.length, 1);
assert.equal(contents[0].uri, uri);
assert.equal(contents[0].mimeType, RESOURCE_MIME_TYPE);
const points = [{ label: 'plums', value: 3 }, { label: 'apples', value: 12.5 }, { label: 'limes', value: -2 }];
const args = { title: 'Fruit', points, unit: 'kg' };
const result = await client.callTool({ name, arguments: args });

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'] });
const wrong = [];
const calls = [];
try {
  const page = await browser.newPage({ viewport: { width: 640, height: 480 }, reducedMotion: 'reduce' });
  page.setDefaultTimeout(30000);
  page.on('pageerror', error => wrong.push(`error of the page: ${error.message}`));
  page.on('console', message => { if (message.type() === 'error') wrong.push(`console: ${message.text()}`); });
  page.on('request', request => wrong.push(`a request to ${request.url()}`));

  // What the bridge sends goes to the frame, and what the frame sends to the bridge.
  const transport = {
    start: () => Promise.resolve(),
    close: () => Promise.resolve(),
    send: message => page.evaluate(text => document.querySelector('iframe').contentWindow.postMessage(JSON.parse(text), '*'), JSON.stringify(message)),
  };
  await page.exposeFunction('toBridge', text => {
    const message = JSON.parse(text);
    if (message.method === 'tools/call') calls.push(message.params.name);
    transport.onmessage?.(message);
  });
  const context = { theme: 'light', toolInfo: { tool }, displayMode: 'inline', platform: 'desktop' };
  const bridge = new AppBridge(client, { name: 'toolbay-e2e', version: '1' }, { serverTools: {} }, { hostContext: context });
  const initialized = new Promise(done => { bridge.oninitialized = done; });
  const sized = new Promise(done => { bridge.onsizechange = done; });
  await bridge.connect(transport);

  // As the specification has it for a page that asks for nothing from outside.
  const csp = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'none'; frame-src 'none'; base-uri 'self'";
  await page.evaluate(([html, csp]) => {
    window.addEventListener('message', event => {
      if (event.source === document.querySelector('iframe').contentWindow) window.toBridge(JSON.stringify(event.data));
    });
    const frame = document.createElement('iframe');
    frame.title = 'app';
    frame.setAttribute('sandbox', 'allow-scripts');
    Object.assign(frame.style, { width: '100%', height: '420px', border: '0' });
    frame.srcdoc = html.replace('<head>', `<head><meta http-equiv="Content-Security-Policy" content="${csp}">`);
    document.body.append(frame);
  }, [contents[0].text, csp]);
  await initialized;
  await bridge.sendToolInput({ arguments: args });
  await bridge.sendToolResult(result);

  const frame = page.frameLocator('iframe');
  await frame.getByRole('heading', { name: 'Fruit' }).waitFor();
  const labels = () => frame.locator('[data-label]').evaluateAll(marks => marks.map(mark => mark.dataset.label));
  assert.deepEqual(await labels(), ['plums', 'apples', 'limes']);
  await frame.getByRole('img', { name: 'Fruit: plums 3 kg, apples 12.5 kg, limes -2 kg' }).waitFor();
  assert.ok((await sized).height > 0);

  // The page calls the other tool of its plugin, through the client and the host.
  await frame.getByLabel('Order').selectOption('by_value');
  await frame.getByRole('img', { name: 'Fruit: apples 12.5 kg, plums 3 kg, limes -2 kg' }).waitFor();
  assert.deepEqual(await labels(), ['apples', 'plums', 'limes']);
  assert.equal(await frame.locator('#problem').textContent(), '');
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: `${pictures}/${mode}-${name}.png` });

  const inner = page.frames().find(one => one !== page.mainFrame());
  await inner.evaluate(axe);
  const { violations } = await inner.evaluate(() => axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'] }));
  assert.deepEqual(violations.filter(one => ['serious', 'critical'].includes(one.impact)).map(one => `${one.id}: ${one.nodes[0].html}`), []);

  // An answer that failed is shown as such.
  await bridge.sendToolResult(await client.callTool({ name, arguments: { title: 'None', points: [] } }));
  await frame.getByText('there is nothing to draw').waitFor();
  await bridge.teardownResource({});
} finally {
  await browser.close();
}
assert.deepEqual(wrong, []);
console.log(JSON.stringify({ uri, calls }));
await client.close();
