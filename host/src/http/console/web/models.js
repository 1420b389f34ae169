// Models that plugins may run: where each runs, how busy it is, and what is wrong with it.

import { useLive } from './live.js';
import { Plot } from './plot.js';
import { Empty, Head, Note, Panel, Pill, Waiting, bytes, duration, number, plural, useAnswer } from './ui.js';
import { html } from './vendor/htm-preact.js';

export function Models() {
  useLive();
  const { answer, error, again } = useAnswer('status', 5000);
  if (!answer) return html`<${Head} title="Models" /><${Waiting} error=${error} again=${again} />`;
  const models = answer.models ?? [];
  return html`<${Head} title="Models" about="Plugins hand inference to the host by wasi-nn. A model serves those that are named in its section." />
  <div class="stack">
    ${models.length === 0 && html`<section class="panel"><${Empty} title="No models">Add a <code>[model.NAME]</code> to toolbay.toml to serve one.<//></section>`}
    ${models.map(one => html`<${Panel} key=${one.name} title=${one.name} note=${one.path} actions=${html`<${Pill} tone=${one.error ? 'bad' : 'good'}>${one.error ? 'In trouble' : 'Ready'}<//>`}>
      <div class="stack">
        ${one.error && html`<${Note} tone="bad"><pre>${one.error}</pre><//>`}
        <div class="cols">
          <dl class="facts">
            <dt>Device</dt><dd>${one.device}</dd>
            <dt>Size</dt><dd>${bytes(one.bytes)}</dd>
            <dt>Plugins</dt><dd>${one.plugins.length ? one.plugins.join(', ') : html`<span class="warn">none may use it: name some in <code>plugins</code></span>`}</dd>
            <dt>Computes</dt><dd>${number(one.computes)}${one.failed > 0 && html`, <span class="bad">${number(one.failed)} failed</span>`}${one.cancelled > 0 && `, ${number(one.cancelled)} cancelled`}</dd>
            <dt>Runs</dt><dd>${number(one.runs)}, ${one.mean_batch ?? 0} computes in one on average, ${one.largest_batch} at most</dd>
            <dt>One run</dt><dd>${one.runs ? duration(one.run_ms / one.runs / 1000) : '–'}</dd>
            <dt>Wait</dt><dd>${one.computes ? `${duration(one.wait_ms / one.computes / 1000)} on average` : '–'}, ${plural(one.queued, 'compute')} queued now</dd>
          </dl>
          <${Plot} title="Computes per second" format=${value => `${number(value)}/s`} height=${140} series=${[{ key: `m:${one.name}:rate`, label: 'computes', fill: true }, { key: `m:${one.name}:errors`, label: 'failed' }, { key: `m:${one.name}:queued`, label: 'queued' }]} />
        </div>
      </div><//>`)}
  </div>`;
}
