// The console in a real browser: every page, every action, what a viewer may not, and no violation of the content security policy.
// usage: node console.mjs BASE OPERATOR_TOKEN VIEWER_TOKEN CONFIG_FILE CALLER_TOKEN FOLDER_FOR_PICTURES ODD_NAMES_OF_TOOLS
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { chromium } from 'playwright-core';

const [, , base, operator, viewer, config, caller, pictures, oddNames] = process.argv;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
mkdirSync(pictures, { recursive: true });
const begin = Date.now();
const step = what => console.log(`${((Date.now() - begin) / 1000).toFixed(1)} s  ${what}`);

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'] });

/** A tab, and everything that went wrong in it. */
async function open(options) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, colorScheme: 'light', reducedMotion: 'reduce', ...options });
  const wrong = [];
  await context.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener('securitypolicyviolation', event => globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
  });
  const page = await context.newPage();
  page.setDefaultTimeout(10000);
  page.on('pageerror', error => wrong.push(`error of the page: ${error.message}`));
  page.on('console', message => { if (message.type() === 'error' && !/status of (401|403|404|503)|Failed to load resource/.test(message.text())) wrong.push(`console: ${message.text()}`); });
  page.on('request', request => { if (!request.url().startsWith(`${base}/`) && !request.url().startsWith('data:')) wrong.push(`a request to ${request.url()}`); });
  const check = async () => { assert.deepEqual([...wrong, ...await page.evaluate(() => globalThis.violations)], []); };
  return { context, page, check };
}

async function accessible(page, what) {
  // Under this policy no script can be added to a page, so it is evaluated by the debugger.
  if (!await page.evaluate(() => 'axe' in globalThis)) await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa'] }));
  const serious = violations.filter(one => ['serious', 'critical'].includes(one.impact));
  assert.deepEqual(serious.map(one => `${what}: ${one.id}: ${one.nodes[0].html.slice(0, 200)}: ${one.nodes[0].failureSummary}`), []);
}

const go = async (page, hash, title) => {
  await page.goto(`${base}/console${hash}`);
  await page.getByRole('heading', { level: 1, name: title, exact: true }).waitFor();
};
const text = (page, words) => page.getByText(words).first().waitFor();
let id = 0;
/** A call by an ordinary client. */
async function mcp(method, params, token = caller) {
  const _meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}, 'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' } };
  const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, authorization: `Bearer ${token}`, ...(params.name && { 'mcp-name': params.name }) };
  const response = await fetch(`${base}/mcp`, { method: 'POST', headers, body: JSON.stringify({ jsonrpc: '2.0', id: ++id, method, params: { ...params, _meta } }) });
  return response.json();
}
const status = async () => (await fetch(`${base}/status`, { headers: { authorization: `Bearer ${operator}` } })).json();
const eventually = async (what, test) => {
  for (let tries = 0; tries < 200; tries++) {
    const value = await test();
    if (value) return value;
    await new Promise(done => setTimeout(done, 100));
  }
  throw new Error(`not within 20 s: ${what}`);
};

try {
  const { page, check } = await open();

  step('sign in');
  await page.goto(`${base}/console`);
  const field = page.getByLabel('Token');
  await field.waitFor();
  await accessible(page, 'sign in');
  await page.screenshot({ path: `${pictures}/sign-in.png` });
  await field.fill('wrong-0123456789abcdef');
  await field.press('Enter');
  await text(page, /not one of this server/);
  await field.fill(caller);
  await field.press('Enter');
  await text(page, /You may not see the console/);
  await field.fill(operator);
  await field.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
  assert.equal(await page.evaluate(() => document.cookie), '');

  step('try a tool: form, result, errors');
  await page.keyboard.press('g');
  await page.keyboard.press('t');
  await page.getByRole('heading', { level: 1, name: 'Tools' }).waitFor();
  await page.getByRole('searchbox', { name: 'Search tools' }).waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('divide');
  await eventually('the tool of that name comes first', async () => (await page.locator('.tool .name').first().textContent()) === 'divide');
  await page.locator('.tool').first().click();
  await page.getByRole('heading', { level: 1, name: 'divide' }).waitFor();
  const callButton = page.getByRole('button', { name: 'Call', exact: true });
  await page.getByLabel('a required').fill('1');
  await callButton.click();
  await text(page, 'This is required.');
  await page.getByLabel('b required').fill('x');
  await text(page, 'This is not a number.');
  await page.getByLabel('b required').fill('4');
  await callButton.click();
  await page.locator('[data-result=ok]').waitFor();
  assert.match(await page.locator('[data-result=ok]').textContent(), /0\.25/);
  await page.getByLabel('b required').fill('0');
  await callButton.click();
  await page.locator('[data-result=error]').waitFor();
  await page.getByRole('button', { name: 'JSON', exact: true }).click();
  await page.getByLabel('Arguments', { exact: true }).fill('{ "a": 1');
  await callButton.click();
  await text(page, 'This is not JSON.');
  await page.getByLabel('Arguments', { exact: true }).fill('{ "a": 9, "b": 2 }');
  await callButton.click();
  await page.locator('[data-result=ok]').waitFor();
  assert.match(await page.locator('[data-result=ok]').textContent(), /4\.5/);
  // Who uses the keyboard stays where they are.
  const focused = () => page.evaluate(() => document.activeElement.textContent);
  await callButton.focus();
  await page.keyboard.press('Enter');
  await page.locator('[data-result=ok]').waitFor();
  assert.equal(await focused(), 'Call');
  await page.screenshot({ path: `${pictures}/tool.png`, fullPage: true });
  await accessible(page, 'tool');

  step('try a tool: pictures, progress, questions, cancelling');
  await go(page, '#/tools/test_multiple_content_types', 'test_multiple_content_types');
  await callButton.click();
  const image = page.locator('.block img');
  await image.waitFor();
  assert.ok(await image.evaluate(image => image.decode().then(() => image.naturalWidth > 0)));
  await page.screenshot({ path: `${pictures}/result.png`, fullPage: true });
  await accessible(page, 'result');
  await go(page, '#/tools/test_tool_with_progress', 'test_tool_with_progress');
  await page.evaluate(() => {
    globalThis.widths = new Set();
    new MutationObserver(() => document.querySelectorAll('.progress:not(.endless) i').forEach(bar => globalThis.widths.add(bar.style.width))).observe(document.body, { subtree: true, childList: true, attributes: true });
  });
  await callButton.click();
  await page.locator('[data-result=ok]').waitFor();
  assert.ok(await page.evaluate(() => globalThis.widths.size) >= 1, 'no progress was shown');
  await go(page, '#/tools/test_tool_with_logging', 'test_tool_with_logging');
  await callButton.click();
  await text(page, /3 log messages from the tool/);
  await go(page, '#/tools/test_input_required_result_multi_round', 'test_input_required_result_multi_round');
  await callButton.click();
  await text(page, 'Step 1: What is your name?');
  await page.screenshot({ path: `${pictures}/question.png`, fullPage: true });
  await page.locator('[data-question]').getByRole('textbox').fill('Ann');
  await page.getByRole('button', { name: 'Answer' }).click();
  await text(page, /Step 2.*Ann/);
  await page.locator('[data-question]').getByRole('textbox').fill('blue');
  await page.getByRole('button', { name: 'Answer' }).click();
  await text(page, 'Ann likes blue');
  await go(page, '#/tools/sleep', 'sleep');
  await page.getByLabel('ms').fill('60000');
  await callButton.click();
  await eventually('the call runs', async () => (await status()).plugins.find(one => one.name === 'worker').in_flight === 1);
  await page.getByRole('button', { name: 'Cancel', exact: true }).focus();
  await page.keyboard.press('Enter');
  await text(page, /The call was ended at the host too/);
  await eventually('the focus is where the next call is made', async () => (await focused()) === 'Call');
  await check();

  step('disable and enable a tool');
  await go(page, '#/tools/multiply', 'multiply');
  await page.getByRole('button', { name: 'Disable' }).click();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await text(page, /Nobody sees or calls it/);
  await eventually('the focus is on the page', () => page.evaluate(() => document.activeElement.id === 'main' || document.activeElement.closest('main') !== null));
  assert.equal((await mcp('tools/call', { name: 'multiply', arguments: { a: 2, b: 3 } })).error.code, -32602);
  assert.ok(!(await mcp('tools/list', {})).result.tools.some(tool => tool.name === 'multiply'));
  assert.ok(await callButton.isDisabled());
  await page.screenshot({ path: `${pictures}/disabled.png`, fullPage: true });
  await accessible(page, 'disabled tool');
  await page.getByRole('button', { name: 'Enable' }).click();
  await page.getByRole('button', { name: 'Disable' }).waitFor();
  assert.equal((await mcp('tools/call', { name: 'multiply', arguments: { a: 2, b: 3 } })).result.isError, false);

  step('restart a server');
  const replicas = async () => (await status()).plugins.find(one => one.name === 'worker').replicas.up.map(one => one.name);
  const [pid] = await replicas();
  await go(page, '#/servers/worker', 'worker');
  await page.getByRole('button', { name: 'Restart' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Restart' }).click();
  await text(page, 'worker is being started anew');
  await eventually('another process serves', async () => { const now = await replicas(); return now.length === 1 && now[0] !== pid; });
  assert.equal((await mcp('tools/call', { name: 'pid', arguments: {} }, operator)).result.isError, false);
  await page.screenshot({ path: `${pictures}/server.png`, fullPage: true });

  step('accept what a server says');
  const lock = join(dirname(config), 'toolbay.lock');
  writeFileSync(lock, 'version = 1\n');
  const pidWorks = async () => (await mcp('tools/call', { name: 'pid', arguments: {} }, operator)).result?.isError === false;
  await eventually('nothing is offered that nobody has accepted', async () => !await pidWorks());
  await go(page, '#/servers/worker', 'worker');
  const unaccepted = page.locator('[data-unaccepted] li').filter({ hasText: '"pid"' });
  await unaccepted.waitFor();
  await page.screenshot({ path: `${pictures}/lock.png`, fullPage: true });
  await accessible(page, 'what is not accepted');
  await unaccepted.getByRole('button', { name: 'Accept' }).click();
  await unaccepted.getByRole('dialog').getByRole('button', { name: 'Accept' }).click();
  await text(page, 'Accepted in toolbay.lock');
  await unaccepted.waitFor({ state: 'detached' });
  await eventually('it is offered', pidWorks);
  await go(page, '#/config', 'Configuration');
  await page.locator('[data-unaccepted] li').first().waitFor();
  rmSync(lock);
  await page.locator('[data-unaccepted]').waitFor({ state: 'detached' });
  await eventually('everything is offered again', async () => (await mcp('tools/call', { name: 'multiply', arguments: { a: 2, b: 3 } })).result?.isError === false);

  step('a collector that takes nothing, and then does');
  const right = readFileSync(config, 'utf8');
  let collectorAnswers = 503;
  const collector = createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(collectorAnswers, { 'retry-after': '0', 'content-length': '0' }).end());
  });
  await new Promise(done => collector.listen(0, '127.0.0.1', done));
  writeFileSync(config, `${right}\n[metrics]\nendpoint = "http://127.0.0.1:${collector.address().port}"\ninterval = "1s"\n`);
  await go(page, '#/', 'Overview');
  const failing = page.getByText('Metrics cannot be sent to the collector');
  await failing.waitFor();
  await text(page, /HTTP 503/);
  assert.equal((await status()).collectors.metrics.taken, 0);
  await page.screenshot({ path: `${pictures}/collector.png` });
  await accessible(page, 'a collector that fails');
  collectorAnswers = 200;
  await failing.waitFor({ state: 'detached' });
  writeFileSync(config, right);
  await eventually('nothing is pushed any more', async () => !(await status()).collectors?.metrics);
  collector.closeAllConnections();
  collector.close();

  step('names that look like something else');
  const odd = JSON.parse(oddNames);
  // None looks like another: what turns a text around is written out.
  const shown = name => name.replaceAll('\u202e', '\\u{202e}');
  const listed = (await mcp('tools/list', {}, operator)).result.tools;
  for (const name of odd) {
    const published = listed.find(tool => tool.description.startsWith(`${name} of a server that makes up names`)).name;
    assert.equal((await mcp('tools/call', { name: published, arguments: {} }, operator)).result.isError ?? false, false);
    await fetch(`${base}/call`, { method: 'POST', headers: { authorization: `Bearer ${operator}` }, body: JSON.stringify({ tool_name: `made up ${name}`, tool_args: {} }) });
    await go(page, `#/tools/${encodeURIComponent(published)}`, shown(published));
    await text(page, `${name} of a server that makes up names`);
  }
  for (const options of [{}, { viewport: { width: 390, height: 800 } }]) {
    const tab = await open(options);
    await tab.context.addInitScript(token => sessionStorage.setItem('toolbay.token', token), operator);
    for (const [hash, title] of [['#/calls', 'Recent calls'], ['#/servers/odd', 'odd'], ['#/tools', 'Tools'], ['#/', 'Overview']]) {
      await go(tab.page, hash, title);
      if (title === 'Recent calls') {
        for (const name of odd) await tab.page.getByText(`made up ${shown(name)}`, { exact: true }).first().waitFor();
        // The link of a call leads to its tool.
        for (const name of odd) {
          await tab.page.getByRole('link', { name: shown(name), exact: true }).first().click();
          await text(tab.page, `${name} of a server that makes up names`);
          await tab.page.goBack();
          await tab.page.getByRole('heading', { level: 1, name: title, exact: true }).waitFor();
        }
      }
      await tab.page.screenshot({ path: `${pictures}/odd-${title.toLowerCase().replaceAll(' ', '-')}-${options.viewport ? 'narrow' : 'wide'}.png` });
      const { scrollWidth, clientWidth } = await tab.page.evaluate(() => ({ scrollWidth: document.documentElement.scrollWidth, clientWidth: document.documentElement.clientWidth }));
      assert.ok(scrollWidth <= clientWidth, `${title} with odd names is wider than the window: ${scrollWidth} > ${clientWidth}`);
    }
    await accessible(tab.page, 'odd names');
    await tab.check();
    await tab.context.close();
  }

  step('a wrong configuration, with its place');
  writeFileSync(config, `${right}\n[http]\nmax_bodyy = "1MiB"\n`);
  await go(page, '#/config', 'Configuration');
  await page.locator('[data-problems]').waitFor();
  assert.match(await page.locator('[data-problems]').textContent(), /toolbay\.toml:\d+:\d+.*max_body/s);
  await page.screenshot({ path: `${pictures}/configuration.png`, fullPage: true });
  await accessible(page, 'rejected configuration');
  await go(page, '#/', 'Overview');
  await text(page, 'The configuration on disk is wrong.');
  writeFileSync(config, right);
  await go(page, '#/config', 'Configuration');
  await page.getByRole('button', { name: 'Read it again' }).click();
  await text(page, 'What is on disk is what runs');

  step('every page, light, dark and narrow');
  await fetch(`${base}/mcp`, { method: 'POST', headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', authorization: `Bearer ${caller}` }, body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: { sampling: {} }, clientInfo: { name: 'old', version: '1' } } }) }).then(async response => {
    const session = response.headers.get('mcp-session-id');
    await response.text();
    await fetch(`${base}/mcp`, { method: 'POST', headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', authorization: `Bearer ${caller}`, 'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25' }, body: JSON.stringify({ jsonrpc: '2.0', id: 2, method: 'tools/list', params: {} }) }).then(answer => answer.text());
  });
  const pages = [
    ['#/', 'Overview', 'Busiest'], ['#/tools', 'Tools', 'divide'], ['#/servers', 'Plugins and servers', 'calculator'], ['#/servers/gone', 'gone', 'Not running'], ['#/calls', 'Recent calls', 'tool error'],
    ['#/present', 'Sessions and tasks', '2025-11-25'], ['#/models', 'Models', 'No models'], ['#/roles', 'Roles', 'allowed by'], ['#/config', 'Configuration', 'Worth knowing'], ['#/log', 'Log', 'server is published'],
  ];
  const narrow = { viewport: { width: 390, height: 800 } };
  for (const [look, options] of [['light', {}], ['dark', { colorScheme: 'dark' }], ['narrow', narrow]]) {
    const tab = look === 'light' ? { page, check } : await open(options);
    if (look !== 'light') await tab.context.addInitScript(token => sessionStorage.setItem('toolbay.token', token), operator);
    for (const [hash, title, words] of pages) {
      await go(tab.page, hash, title);
      await text(tab.page, words);
      const name = title.toLowerCase().replaceAll(' ', '-');
      await tab.page.screenshot({ path: `${pictures}/${name}-${look}.png` });
      const link = await tab.page.locator('.nav [aria-current]').boundingBox();
      const { width } = tab.page.viewportSize();
      assert.ok(link.x >= 0 && link.x + link.width <= width, `${title} ${look}: the link to it is out of sight`);
      const tiles = title === 'Overview' ? await tab.page.locator('.tiles').evaluate(all => [...all.children].map(one => one.getBoundingClientRect().right - all.getBoundingClientRect().right)) : [];
      assert.ok(tiles.every((gap, i) => i + 1 < tiles.length || Math.abs(gap) < 2), `${look}: the last line of figures is not filled: ${tiles}`);
      // What is different is colours and places: two pages show all of these.
      if (look === 'light' || ['Overview', 'Recent calls'].includes(title)) await accessible(tab.page, `${title} ${look}`);
      const { scrollWidth, clientWidth } = await tab.page.evaluate(() => ({ scrollWidth: document.documentElement.scrollWidth, clientWidth: document.documentElement.clientWidth }));
      assert.ok(scrollWidth <= clientWidth, `${title} ${look} is wider than the window: ${scrollWidth} > ${clientWidth}`);
    }
    await tab.check();
    if (look !== 'light') await tab.context.close();
  }
  await go(page, '#/roles', 'Roles');
  await page.getByLabel('Whose view').selectOption('token=carl');
  await text(page, 'denied by "everything__test_logging_tool" in deny of [role.caller]');
  await go(page, '#/calls', 'Recent calls');
  await page.getByRole('button', { name: 'Failed', exact: true }).click();
  await text(page, 'tool error');
  assert.equal(await page.locator('tbody').getByText('ok', { exact: true }).count(), 0);
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
  await page.keyboard.press('Escape');

  step('live figures');
  await go(page, '#/', 'Overview');
  await Promise.all(Array.from({ length: 200 }, () => mcp('tools/call', { name: 'add', arguments: { a: 1, b: 2 } })));
  await eventually('the plot has calls', () => page.evaluate(() => globalThis.toolbayConsole.live.now.tools.find(tool => tool.name === 'add')?.calls.count >= 200));
  assert.equal(await page.locator('.uplot canvas').count(), 4);
  await page.locator('tbody').getByText('add', { exact: true }).first().waitFor();
  await page.screenshot({ path: `${pictures}/overview.png`, fullPage: true });
  await check();

  step('who may look and not act');
  const look = await open();
  await look.context.addInitScript(token => sessionStorage.setItem('toolbay.token', token), viewer);
  await go(look.page, '#/tools/add', 'add');
  await look.page.getByRole('button', { name: 'Disable' }).waitFor();
  assert.ok(await look.page.getByRole('button', { name: 'Disable' }).isDisabled());
  await text(look.page, 'May look, not act');
  for (const [path, body] of [['restart', { server: 'worker' }], ['disable', { provider: 'calculator', tool: 'add', disabled: true }], ['accept', { provider: 'worker', print: '00' }], ['reload', {}]]) {
    const answer = await look.page.evaluate(async ([path, body, token]) => (await fetch(`/console/api/${path}`, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` }, body: JSON.stringify(body) })).status, [path, body, viewer]);
    assert.equal(answer, 403, path);
  }
  await look.check();

  step('the policy holds, and the check of it can fail');
  const blocked = await look.page.evaluate(() => { try { document.body.innerHTML = '<img src=x onerror=1>'; return false; } catch { return true; } });
  assert.ok(blocked, 'a text became HTML');
  await look.page.evaluate(() => { const image = new Image(); image.src = 'https://elsewhere.example/x.png'; document.body.append(image); });
  await eventually('it is noticed', async () => (await look.page.evaluate(() => globalThis.violations)).some(one => one.startsWith('img-src')));
  await assert.rejects(look.check());

  step('sign out');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByLabel('Token').waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await check();
  step('done');
} finally {
  await browser.close();
}
