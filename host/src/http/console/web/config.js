// The configuration: whether what is on disk is what runs, and if not, what is wrong, where, and what to do.

import { act } from './api.js';
import { useLive } from './live.js';
import { Unaccepted } from './lock.js';
import { Head, Note, Panel, Pill, Waiting, ago, attempt, number, plural, serverLink, useAnswer } from './ui.js';
import { html, useEffect } from './vendor/htm-preact.js';

export function Config() {
  const { now, session } = useLive();
  const { answer, error, again } = useAnswer('status', 3000);
  const { answer: offers } = useAnswer('offers');
  useEffect(() => { again(); }, [now.configuration]);
  if (!answer) return html`<${Head} title="Configuration" /><${Waiting} error=${error} again=${again} />`;
  const config = answer.configuration ?? {};
  const rejected = config.state === 'rejected';
  const problems = config.error?.problems ?? [];
  const reload = () => attempt(() => act('reload'), 'The configuration is being read again').then(() => setTimeout(again, 700));
  const warned = answer.providers.filter(one => one.warnings?.length > 0);
  return html`<${Head} title="Configuration" about="A changed toolbay.toml applies by itself within a second. A wrong one changes nothing.">
    <button disabled=${!session?.may_operate} onClick=${reload}>Read it again</button><//>
  <div class="stack">
    ${rejected ? html`<${Note} tone="bad" title="The configuration on disk is wrong">It was read ${ago(config.since)}. What ran before stays in effect. Mend the places below: it is read again by itself.<//>`
      : html`<${Note} tone="good" title="What is on disk is what runs">Found right ${ago(config.last_success)}.<//>`}
    <${Unaccepted} />
    ${rejected && html`<${Panel} title="What is wrong" note=${problems.length ? plural(problems.length, 'place') : ''}>
      ${problems.length ? html`<ol class="stack" data-problems>${problems.map(one => html`<li key=${`${one.file}${one.line}${one.message}`}><div class="mono">${one.file}:${one.line}:${one.column}</div><div class="prose">${one.message}</div></li>`)}</ol>` : html`<pre>${config.error?.message}</pre>`}
    <//>`}
    ${config.needs_restart?.length > 0 && html`<${Note} tone="warn" title="These keys have changed and wait for a restart"><ul class="plain mono">${config.needs_restart.map(key => html`<li key=${key}>${key}</li>`)}</ul><//>`}
    <div class="cols">
      <${Panel} title="Since the start"><dl class="facts">
        <dt>State</dt><dd><${Pill} tone=${rejected ? 'bad' : 'good'}>${rejected ? 'rejected' : 'applied'}<//></dd>
        <dt>Applied</dt><dd>${plural(config.reloads ?? 0, 'time')}</dd>
        <dt>Rejected</dt><dd>${plural(config.rejections ?? 0, 'time')}</dd>
        ${config.command_line?.length > 0 && html`<dt>By the command line</dt><dd class="mono">${config.command_line.join(', ')}</dd>`}
      </dl><//>
      <${Panel} title="Worth knowing" note=${offers ? plural(offers.collisions.length + warned.length, 'note') : ''}>
        ${warned.length + (offers?.collisions.length ?? 0) === 0 ? html`<p class="muted">No plugin or server has a warning, and no names clash.</p>` : html`<ul class="plain stack">
          ${warned.map(one => html`<li key=${one.name}><a href=${serverLink(one.name)}>${one.name}</a>: ${one.warnings[0]}${one.warnings.length > 1 && html` <span class="muted">and ${number(one.warnings.length - 1)} more</span>`}</li>`)}
          ${offers?.collisions.map(text => html`<li key=${text}>${text}</li>`)}</ul>`}
      <//>
    </div>
  </div>`;
}
