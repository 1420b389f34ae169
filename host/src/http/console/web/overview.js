// What is served and how it does, at one look: what is wrong first, then how much goes on, then who does it.

import { latest, recent, useLive } from './live.js';
import { Plot, Spark } from './plot.js';
import { Choices, Empty, Head, Note, Panel, State, Table, bytes, duration, number, plural, serverLink, toolLink, useAnswer, visible } from './ui.js';
import { html, useState } from './vendor/htm-preact.js';

const percent = value => (Number.isFinite(value) ? `${value === 0 ? '0' : value < .1 ? '<0.1' : value < 10 ? value.toFixed(1) : Math.round(value)} %` : '–');
const per = value => `${number(value)}/s`;
const share = prefix => { const rate = recent(`${prefix}rate`, 10); return rate > 0 ? recent(`${prefix}errors`, 10) / rate * 100 : NaN; };

const Tile = ({ title, value, unit, sub, tone }) => html`<div class="tile"><dt>${title}</dt><dd class=${tone ?? ''}>${value}${unit && html` <small>${unit}</small>`}</dd><dd class="sub">${sub}</dd></div>`;

const SIGNALS = { metrics: 'Metrics', traces: 'Traces', logs: 'Audit lines' };

function Problems({ now }) {
  const broken = now.providers.filter(one => one.state === 'broken');
  const old = now.providers.filter(one => one.state === 'serving-previous');
  const links = list => list.map((one, i) => html`${i > 0 && ', '}<a href=${serverLink(one.name)}>${one.name}</a>`);
  return html`
    ${now.configuration === 'rejected' && html`<${Note} tone="bad" title="The configuration on disk is wrong. The one before stays in effect." actions=${html`<a class="button" href="#/config">Show what is wrong</a>`} />`}
    ${broken.length > 0 && html`<${Note} tone="bad" title=${`${plural(broken.length, 'provider is', 'providers are')} not running`}>${links(broken)}<//>`}
    ${old.length > 0 && html`<${Note} tone="warn" title="The newest version does not run, so the previous one serves">${links(old)}<//>`}
    ${Object.entries(now.collectors).map(([signal, why]) => html`<${Note} key=${signal} tone="warn" title=${`${SIGNALS[signal] ?? signal} cannot be sent to the collector`}>${why}<//>`)}
    ${now.search && html`<${Note} tone="warn" title="Tools are searched by words alone, since the model of [search] fails">${now.search}<//>`}
    ${!now.ready && html`<${Note} tone="warn" title="Still starting">Not everything has been loaded yet.<//>`}
    ${!now.counted && html`<${Note} tone="warn" title="Calls are not counted">Metrics are off, so there are no rates and durations here. Set <code>enabled = true</code> in <code>[metrics]</code> and restart.<//>`}`;
}

function Busy({ now }) {
  const [by, setBy] = useState('tools');
  const tools = now.tools.map(one => ({ ...one, id: `t:${one.provider}/${one.name}:`, label: one.name }));
  const providers = now.providers.filter(one => one.calls.count > 0).map(one => ({ ...one, id: `p:${one.name}:`, label: one.name }));
  const list = (by === 'tools' ? tools : providers).map(one => ({ ...one, rate: recent(`${one.id}rate`, 10) }));
  list.sort((a, b) => (b.rate || 0) - (a.rate || 0) || b.calls.count - a.calls.count || a.label.localeCompare(b.label));
  const columns = [
    [by === 'tools' ? 'Tool' : 'Provider', 'what', one => (by === 'tools' ? html`<a class="mono" href=${toolLink(`${one.provider}__${one.name}`)}>${visible(one.name)}</a> <span class="muted small">${one.provider}</span>` : html`<a href=${serverLink(one.name)}>${one.name}</a>`)],
    ['Last two minutes', 'wide', one => html`<${Spark} id=${`${one.id}rate`} label=${`Calls per second of ${visible(one.label)}`} />`],
    ['Calls/s', 'num', one => number(one.rate)],
    ['Errors', 'num', one => { const part = share(one.id); return html`<span class=${part > 1 ? 'bad' : ''}>${percent(part)}</span>`; }],
    ['p95', 'num', one => duration(latest(`${one.id}p95`))],
    ['Since start', 'num wide', one => html`${number(one.calls.count)}${one.calls.bad > 0 && html` <span class="bad small">(${number(one.calls.bad)} failed)</span>`}`],
  ];
  return html`<${Panel} flush title="Busiest" actions=${html`<${Choices} label="By" value=${by} onChange=${setBy} options=${[['tools', 'Tools'], ['providers', 'Providers']]} />`}>
    ${list.length ? html`<${Table} caption="Busiest tools or providers" columns=${columns} rows=${list.slice(0, 12)} rowKey=${one => one.id} />`
      : html`<${Empty} title="No calls yet">Connect a client to this host, or <a href="#/tools">try a tool</a> here.<//>`}
  <//>`;
}

const REASONS = {
  authentication: 'Without credentials, or with wrong ones', origin: 'From a foreign page, or by a name that is not allowed', connections: 'Too many connections', body_too_large: 'Body too large',
  bodies: 'The bodies of all requests take too much', sessions: 'Too many sessions', queue: 'The queue was full', unavailable: 'Not running yet', unknown_tool: 'No such tool',
  unknown_resource: 'No such resource', unknown_prompt: 'No such prompt', denied: 'The caller may not', policy: 'A policy denies it', shared: 'What all instances count together could not be counted',
  replay: 'Handed on a second time', rate_limit: 'The caller calls too often',
};

function Refused({ now }) {
  const list = Object.entries(now.refusals).sort((a, b) => b[1] - a[1]);
  return html`<${Panel} title="Turned away since the start">
    ${list.length ? html`<dl class="facts">${list.map(([reason, count]) => html`<dt class="num">${number(count)}</dt><dd>${REASONS[reason] ?? reason}</dd>`)}</dl>` : html`<p class="muted">Nothing was.</p>`}
  <//>`;
}

export function Overview() {
  const { now, session } = useLive();
  const rate = recent('rate', 3), errors = share('');
  const serving = now.providers.filter(one => one.state === 'serving' || one.state === 'serving-previous').length;
  const offers = useAnswer('offers', 15000).answer;
  const tools = offers ? offers.tools.filter(tool => !tool.disabled).length : NaN;
  const memory = now.process?.resident ?? NaN;
  return html`<${Head} title="Overview" about=${`${plural(now.providers.length, 'plugin or server', 'plugins and servers')}, ${Number.isFinite(tools) ? plural(tools, 'tool') : '…'}. Everything here is of the last five minutes, and moves.`} />
  <div class="stack">
    <${Problems} now=${now} />
    <dl class="tiles">
      <${Tile} title="Calls" value=${number(rate)} unit="/s" sub=${`${number(now.calls.count)} since the start`} />
      <${Tile} title="Errors" value=${percent(errors)} tone=${errors > 1 ? 'bad' : ''} sub=${`${number(now.calls.bad)} since the start`} />
      <${Tile} title="Duration" value=${duration(latest('p95'))} unit="p95" sub=${`median ${duration(latest('p50'))}`} />
      <${Tile} title="In flight" value=${number(now.in_flight)} sub=${now.queued ? html`<span class="warn">${plural(now.queued, 'call')} in a queue</span>` : 'no queue'} />
      <${Tile} title="Serving" value=${number(serving)} unit=${`of ${now.providers.length}`} tone=${serving < now.providers.length ? 'bad' : ''} sub=${now.disabled ? html`<a href="#/tools">${plural(now.disabled, 'tool')} disabled</a>` : 'plugins and servers'} />
      <${Tile} title="Clients" value=${number(now.connections)} unit="connections" sub=${`${plural(now.sessions, 'session')}, ${plural(now.tasks, 'task')}`} />
      <${Tile} title="Memory" value=${bytes(memory)} sub=${`CPU ${percent(recent('cpu', 3))} of a core`} />
    </dl>
    <div class="cols">
      <${Plot} title="Calls per second" format=${per} series=${[{ key: 'rate', label: 'calls', fill: true }, { key: 'errors', label: 'errors' }]} />
      <${Plot} title="Duration" log format=${duration} series=${[{ key: 'p50', label: 'median' }, { key: 'p95', label: 'p95' }, { key: 'p99', label: 'p99' }]} />
      <${Plot} title="Calls in flight" format=${value => number(value)} most=${4} series=${[{ key: 'in_flight', label: 'in flight', fill: true }, { key: 'queued', label: 'queued' }]} />
      <${Plot} title="CPU" format=${value => (Number.isFinite(value) ? `${Math.round(value)} %` : '–')} most=${10} note="of one core" series=${[{ key: 'cpu', label: 'CPU', fill: true }]} />
    </div>
    <${Busy} now=${now} />
    <div class="cols">
      <${Queues} now=${now} />
      <${Refused} now=${now} />
      <${Panel} title="Sandboxes">
        <dl class="facts">
          <dt>Instances</dt><dd>${number(now.pool.used)} of ${number(now.pool.used + now.pool.free)} in use${now.pool.waiting > 0 && html`, <span class="warn">${plural(now.pool.waiting, 'call')} waiting</span>`}</dd>
          <dt>Memory</dt><dd>${bytes(now.pool.memory)} of ${bytes(now.pool.memory_limit)}</dd>
        </dl>
      <//>
    </div>
  </div>`;
}

function Queues({ now }) {
  const list = now.providers.filter(one => one.in_flight + one.queued > 0).sort((a, b) => b.queued - a.queued || b.in_flight - a.in_flight).slice(0, 8);
  const columns = [
    ['Provider', '', one => html`<a href=${serverLink(one.name)}>${one.name}</a>`],
    ['In flight', 'num', one => number(one.in_flight)],
    ['Queued', 'num', one => html`<span class=${one.queued ? 'warn' : ''}>${number(one.queued)}</span>`],
  ];
  return html`<${Panel} title="Where calls are now" flush=${list.length > 0}>
    ${list.length ? html`<${Table} caption="Calls in flight and queued by provider" columns=${columns} rows=${list} rowKey=${one => one.name} />` : html`<p class="muted">No call is running.</p>`}
  <//>`;
}
