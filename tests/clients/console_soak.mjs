// The console's overview, open for a while: how much memory its page takes, at the end of each twentieth of the time.
// usage: node console_soak.mjs BASE TOKEN SECONDS
import { chromium } from 'playwright-core';

const [, , base, token, seconds] = process.argv;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'] });
try {
  const page = await (await browser.newContext({ viewport: { width: 1360, height: 900 } })).newPage();
  const wrong = [];
  page.on('pageerror', error => wrong.push(error.message));
  await page.goto(`${base}/console`);
  await page.getByLabel('Token').fill(token);
  await page.getByLabel('Token').press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
  const debug = await page.context().newCDPSession(page);
  await debug.send('Performance.enable');
  const samples = [];
  for (let n = 0; n < 20; n++) {
    await new Promise(done => setTimeout(done, Number(seconds) * 1000 / 20));
    await debug.send('HeapProfiler.collectGarbage');
    const { usedSize: heap } = await debug.send('Runtime.getHeapUsage');
    const { nodes, jsEventListeners: listeners } = await debug.send('Memory.getDOMCounters');
    samples.push({ heap, nodes, listeners });
  }
  console.log(`result ${JSON.stringify({ samples, wrong })}`);
} finally {
  await browser.close();
}
