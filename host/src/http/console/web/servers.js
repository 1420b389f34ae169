// Plugins and servers: how each stands, what is wrong with it, and starting one anew.

import { act } from './api.js';
import { latest, recent, useLive } from './live.js';
import { Unaccepted } from './lock.js';
import { Lines } from './log.js';
import { Plot, Spark } from './plot.js';
import { Choices, Confirm, Empty, Head, Note, Panel, Pill, Search, State, Table, Waiting, ago, attempt, duration, kindText, number, plural, serverLink, span, toolLink, useAnswer, visible } from './ui.js';
import { html, useEffect, useState } from './vendor/htm-preact.js';

const restart = name => attempt(() => act('restart', { server: name }), `${name} is being started anew`);

const Restart = ({ one, kind = '' }) => {
  const { session } = useLive();
  const word = one.kind === 'remote' ? 'Reconnect' : 'Restart';
  return one.kind === 'wasm' || one.kind === 'pipeline' ? null : html`<${Confirm} label=${word} kind=${kind} disabled=${!session?.may_operate} title=${`${word} ${one.name}?`} onYes=${() => restart(one.name)}>
    A new one is started beside it, and takes its place when it is up. Calls that run end on the old one.<//>`;
};

let kept = { text: '', show: 'all' };

export function Servers() {
  const { now } = useLive();
  const { answer, error, again } = useAnswer('status', 5000);
  const [filter, setFilter] = useState(kept);
  const set = next => { kept = { ...filter, ...next }; setFilter(kept); };
  const states = now.providers.map(one => one.state).join();
  useEffect(() => { again(); }, [states]);
  if (!answer) return html`<${Head} title="Plugins and servers" /><${Waiting} error=${error} again=${again} />`;
  const troubled = one => one.state === 'broken' || one.state === 'serving-previous' || one.warnings?.length > 0 || one.held?.length > 0;
  const word = filter.text.toLowerCase();
  const list = answer.providers.filter(one => (filter.show !== 'trouble' || troubled(one)) && (!word || one.name.toLowerCase().includes(word) || one.source.toLowerCase().includes(word)));
  const trouble = answer.providers.filter(troubled).length;
  const columns = [
    ['Name', '', one => html`<a href=${serverLink(one.name)}><strong>${one.name}</strong></a> <span class="muted small">${kindText(one.kind)}</span>
      ${one.error && html`<span class="error">${one.error}</span>`}${one.next_try && html`<span class="small muted">Tried again in ${span(Math.max(0, one.next_try - Date.now() / 1000))}.</span>`}`],
    ['State', '', one => html`<${State} state=${one.state} />`],
    ['Tools', 'num', one => html`${number(one.tools.length)}${one.held?.length > 0 && html` <span class="warn small">(${number(one.held.length)} held back)</span>`}`],
    ['Replicas', 'num wide', one => (one.replicas ? html`${one.replicas.up.length} of ${one.replicas.wanted}${one.replicas.restarts > 0 && html` <span class="muted small">(${plural(one.replicas.restarts, 'restart')})</span>`}` : html`<span class="muted">–</span>`)],
    ['Calls/s', 'num', one => number(recent(`p:${one.name}:rate`, 10))],
    ['Two minutes', 'wide', one => html`<${Spark} id=${`p:${one.name}:rate`} label=${`Calls per second of ${one.name}`} />`],
    ['p95', 'num wide', one => duration(latest(`p:${one.name}:p95`))],
    ['Running', 'num wide', one => html`${number(one.in_flight)}${one.queued > 0 && html` <span class="warn small">+${number(one.queued)} queued</span>`}`],
    ['', 'num wide', one => html`<${Restart} one=${one} kind="quiet" />`],
  ];
  return html`<${Head} title="Plugins and servers" about="Each plugin is a sandboxed component: every call has an instance of its own. Servers are programs, containers, remote MCP servers and HTTP applications." />
  <div class="stack">
    ${error && html`<${Note} tone="warn" title=${error.message}>${error.hint}<//>`}
    <div class="row"><${Search} label="Search plugins and servers" value=${filter.text} onInput=${text => set({ text })} />
      <${Choices} label="Show" value=${filter.show} onChange=${show => set({ show })} options=${[['all', 'All'], ['trouble', `In trouble${trouble ? ` (${trouble})` : ''}`]]} /></div>
    <section class="panel flush">${list.length ? html`<${Table} caption="Plugins and servers" columns=${columns} rows=${list} rowKey=${one => `${one.kind}${one.name}`} />`
      : answer.providers.length === 0 ? html`<${Empty} title="Nothing is served">Copy a <code>.wasm</code> component into the plugin folder, or add a <code>[server.NAME]</code> to toolbay.toml.<//>`
      : filter.show === 'trouble' && !filter.text ? html`<${Empty} title="All is well">Nothing is broken, and there is no warning.<//>` : html`<${Empty} title="Nothing fits">Try another word.<//>`}</section>
  </div>`;
}

export function Server({ name }) {
  const { now, session } = useLive();
  const { answer, error, again } = useAnswer('status', 3000);
  const { answer: offers, again: list } = useAnswer('offers');
  const generation = now.generations.join();
  useEffect(() => { list(); }, [generation, now.disabled]);
  const crumb = html`<a href="#/servers">Plugins and servers</a>`;
  if (!answer) return html`<${Head} title=${name} crumb=${crumb} /><${Waiting} error=${error} again=${again} />`;
  const one = answer.providers.find(one => one.name === name);
  if (!one) return html`<${Head} title=${name} crumb=${crumb} /><section class="panel"><${Empty} title="It is not served any more">Its file or its section of the configuration is gone.<//></section>`;
  const id = `p:${name}:`;
  const tools = offers?.tools.filter(tool => tool.provider === name) ?? [];
  const toggle = tool => attempt(() => act('disable', { provider: name, tool: tool.own, disabled: !tool.disabled }), `${tool.name} is ${tool.disabled ? 'enabled' : 'disabled'}`).then(list);
  const columns = [
    ['Tool', '', tool => html`<a class="mono" href=${toolLink(tool.name)}>${visible(tool.name)}</a> ${tool.disabled && html`<${Pill} flat tone="warn">disabled<//>`}<div class="muted small">${tool.about.split('\n')[0]}</div>`],
    ['Calls/s', 'num wide', tool => number(recent(`t:${name}/${tool.own}:rate`, 10))],
    ['', 'num', tool => html`<button class="quiet" disabled=${!session?.may_operate} aria-label=${`${tool.disabled ? 'Enable' : 'Disable'} ${visible(tool.name)}`} onClick=${() => toggle(tool)}>${tool.disabled ? 'Enable' : 'Disable'}</button>`],
  ];
  const up = one.replicas?.up ?? [];
  const breaker = one.replicas?.breaker?.state;
  return html`<${Head} title=${name} crumb=${crumb}><${State} state=${one.state} /><${Restart} one=${one} /><//>
  <div class="stack">
    ${one.error && html`<${Note} tone="bad" title=${one.state === 'serving-previous' ? 'The newest version does not run; the one before serves' : 'Not running'}><pre>${one.error}</pre>${one.next_try && html`<p class="small">Tried again in ${span(Math.max(0, one.next_try - Date.now() / 1000))}.</p>`}<//>`}
    <${Unaccepted} of=${name} />
    ${one.warnings?.map(text => html`<${Note} tone="warn" key=${text}>${text}<//>`)}
    <div class="cols">
      <${Plot} title="Calls per second" format=${value => `${number(value)}/s`} height=${140} series=${[{ key: `${id}rate`, label: 'calls', fill: true }, { key: `${id}errors`, label: 'errors' }]} />
      <${Plot} title="Duration" log format=${duration} height=${140} series=${[{ key: `${id}p50`, label: 'median' }, { key: `${id}p95`, label: 'p95' }, { key: `${id}p99`, label: 'p99' }]} />
      <${Plot} title="Calls in flight" format=${value => number(value)} most=${4} height=${140} series=${[{ key: `${id}in_flight`, label: 'in flight', fill: true }, { key: `${id}queued`, label: 'queued' }]} />
      ${one.replicas && html`<${Plot} title="Replicas" format=${value => number(value)} most=${2} height=${140} series=${[{ key: `${id}replicas`, label: 'up', fill: true }]} />`}
    </div>
    <div class="cols">
      <${Panel} title="About">
        <dl class="facts">
          <dt>Kind</dt><dd>${kindText(one.kind)}</dd>
          <dt>Source</dt><dd class="mono">${one.source.replace(/^`(.*)`$/, '$1')}</dd>
          ${one.digest && html`<dt>Digest</dt><dd class="mono">${one.digest}</dd>`}
          <dt>Since</dt><dd>${ago(one.since)}</dd>
          ${one.imports?.length > 0 && html`<dt>Imports</dt><dd><ul class="plain mono">${one.imports.map(text => html`<li key=${text}>${text}</li>`)}</ul></dd>`}
          ${[['Prompts', one.prompts], ['Resources', one.resources], ['Templates', one.templates]].map(([title, list]) => list?.length > 0 && html`<dt>${title}</dt><dd><ul class="plain mono">${list.slice(0, 30).map(text => html`<li key=${text}>${text}</li>`)}</ul>${list.length > 30 && html`<span class="muted">and ${list.length - 30} more</span>`}</dd>`)}
        </dl>
      <//>
      ${one.replicas && html`<${Panel} title="Replicas" flush=${up.length > 0} note=${`${up.length} up, ${one.replicas.wanted} wanted${one.replicas.starting ? `, ${one.replicas.starting} starting` : ''}, ${plural(one.replicas.restarts, 'restart')}`}>
        ${breaker && breaker !== 'closed' && html`<${Note} tone="warn" title=${breaker === 'open' ? 'Starts are paused: too many failed' : 'One start is being tried'} />`}
        ${up.length ? html`<${Table} caption="Replicas" rowKey=${replica => replica.number} rows=${up} columns=${[
          ['#', 'num', replica => replica.number], ['Process', 'mono', replica => replica.name],
          ['State', '', replica => html`<${Pill} tone=${{ serving: 'good', suspect: 'warn' }[replica.state] ?? 'info'}>${replica.state}<//>`],
          ['Calls', 'num', replica => replica.ongoing], ['Up for', 'num', replica => span(Date.now() / 1000 - replica.since)]]} />` : html`<p class="muted">None is up.</p>`}
      <//>`}
    </div>
    <${Panel} title="Tools" note=${plural(tools.length, 'tool')} flush=${tools.length > 0}>
      ${tools.length ? html`<${Table} caption=${`Tools of ${name}`} columns=${columns} rows=${tools} rowKey=${tool => tool.name} />` : html`<p class="muted">It offers no tools now.</p>`}
    <//>
    <${Panel} title="Last log lines" flush actions=${html`<a class="small" href="#/log">Whole log</a>`}><${Lines} of=${name} /><//>
  </div>`;
}
