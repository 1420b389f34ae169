// All tools: found by words, read, disabled, tried.

import { act } from './api.js';
import { latest, recent, useLive } from './live.js';
import { Plot } from './plot.js';
import { Try } from './try.js';
import { Choices, Confirm, Copy, Empty, Fault, Head, Json, Note, Panel, Pill, Search, State, Waiting, attempt, duration, number, plural, serverLink, toolLink, useAnswer, visible } from './ui.js';
import { html, useEffect, useMemo, useState } from './vendor/htm-preact.js';

const HINTS = [
  ['readOnlyHint', true, 'info', 'reads only', 'It changes nothing.'],
  ['destructiveHint', true, 'warn', 'destructive', 'It may delete or overwrite.'],
  ['idempotentHint', true, '', 'repeatable', 'Calling it twice does no more than calling it once.'],
  ['openWorldHint', true, '', 'open world', 'It reaches things outside.'],
];
export const Hints = ({ hints }) => html`${HINTS.filter(([key, value]) => hints?.[key] === value && !(key === 'destructiveHint' && hints.readOnlyHint)).map(([key, , tone, text, title]) => html`<${Pill} flat key=${key} tone=${tone} title=${title}>${text}<//>`)}`;

/** How well a tool fits the words: a name that begins like one before a name that has it, before a description. 0: not at all. */
export function score(tool, words) {
  let all = 0;
  const [name, title, about, provider] = [tool.name, tool.title ?? '', tool.about, tool.provider].map(text => text.toLowerCase());
  for (const word of words) {
    const one = name === word ? 100 : name.startsWith(word) ? 60 : name.includes(word) ? 40 : title.includes(word) ? 30 : provider.includes(word) ? 20 : about.includes(word) ? 10 : 0;
    if (!one) return 0;
    all += one;
  }
  return all;
}

// What was searched is there again when one comes back from a tool.
let kept = { text: '', show: 'all' };
/** More rows make the page slow, and nobody reads them. */
const MOST = 300;

export function Tools() {
  const { now } = useLive();
  const { answer, error, again } = useAnswer('offers');
  const [filter, setFilter] = useState(kept);
  const set = next => { kept = { ...filter, ...next }; setFilter(kept); };
  const generation = now.generations.join();
  useEffect(() => { again(); }, [generation, now.disabled]);
  const found = useMemo(() => {
    const words = filter.text.toLowerCase().split(/[\s_]+/).filter(Boolean);
    let list = (answer?.tools ?? []).filter(tool => (filter.show === 'all' ? true : tool.disabled));
    if (words.length) list = list.map(tool => [score(tool, words), tool]).filter(([fits]) => fits).sort((a, b) => b[0] - a[0]).map(([, tool]) => tool);
    return { list, groups: words.length ? [[null, list]] : [...Map.groupBy(list, tool => tool.provider)] };
  }, [answer, filter]);
  if (!answer) return html`<${Head} title="Tools" /><${Waiting} error=${error} again=${again} />`;
  const disabled = answer.tools.filter(tool => tool.disabled).length;
  let left = MOST;
  return html`<${Head} title="Tools" about=${`${plural(answer.tools.length, 'tool')} of ${plural(new Set(answer.tools.map(tool => tool.provider)).size, 'plugin or server', 'plugins and servers')}${disabled ? `, ${disabled} disabled` : ''}. Open one to read its schema and to try it.`} />
  <div class="stack">
    ${error && html`<${Fault} error=${error} again=${again} />`}
    <div class="row">
      <${Search} label="Search tools" placeholder="Search by name, words of the description, plugin or server" value=${filter.text} onInput=${text => set({ text })} />
      <${Choices} label="Show" value=${filter.show} onChange=${show => set({ show })} options=${[['all', 'All'], ['off', `Disabled${disabled ? ` (${disabled})` : ''}`]]} />
    </div>
    ${answer.collisions.length > 0 && html`<details class="panel"><summary>${plural(answer.collisions.length, 'name')} in conflict</summary><ul class="plain stack small">${answer.collisions.map(text => html`<li key=${text}>${text}</li>`)}</ul></details>`}
    ${found.list.length === 0 ? html`<section class="panel">${answer.tools.length === 0
        ? html`<${Empty} title="No tools">Copy a <code>.wasm</code> component into the plugin folder, or add a <code>[server.NAME]</code> to toolbay.toml. It is listed here at once.<//>`
        : filter.text ? html`<${Empty} title="No tool fits these words">Try fewer or other words.<//>` : html`<${Empty} title="No tool is disabled">Open a tool to disable it.<//>`}</section>`
      : html`<section class="panel flush" aria-label="Tools">${found.groups.map(([provider, tools]) => {
          const shown = tools.slice(0, Math.max(0, left));
          left -= shown.length;
          return shown.length > 0 && html`<div class="group" key=${provider ?? ''}>
            ${provider && html`<h2><a href=${serverLink(provider)}>${provider}</a><span class="muted small">${plural(tools.length, 'tool')}</span></h2>`}
            ${shown.map(tool => html`<a class=${`tool ${tool.disabled ? 'off' : ''}`} href=${toolLink(tool.name)} key=${tool.name}>
              <span class="name">${visible(tool.name)}</span><span class="about">${tool.about || 'No description.'}</span>
              <span class="row">${tool.disabled ? html`<${Pill} flat tone="warn">disabled<//>` : html`<${Hints} hints=${tool.hints} />`}${!provider && html`<${Pill} flat>${tool.provider}<//>`}</span>
            </a>`)}
          </div>`;
        })}</section>`}
    ${found.list.length > MOST && html`<p class="muted">${plural(found.list.length - MOST, 'more tool')}. Search to see them.</p>`}
  </div>`;
}

export function ToolPage({ name }) {
  const { now, session } = useLive();
  const { answer: tool, error, again } = useAnswer(`tool?name=${encodeURIComponent(name)}`);
  const { answer: offers, again: list } = useAnswer('offers');
  const generation = now.generations.join();
  useEffect(() => { list(); again(); }, [generation, now.disabled]);
  const crumb = html`<a href="#/tools">Tools</a>`;
  if (!tool) return html`<${Head} title=${visible(name)} crumb=${crumb} /><${Waiting} error=${error} again=${again} />`;
  const about = offers?.tools.find(one => one.name === tool.name);
  const id = about && `t:${about.provider}/${about.own}:`;
  const counted = about && now.tools.find(one => one.provider === about.provider && one.name === about.own);
  const set = disabled => attempt(() => act('disable', { provider: about.provider, tool: about.own, disabled }), disabled ? `${tool.name} is disabled` : `${tool.name} is enabled`).then(() => { list(); again(); });
  const action = about && (about.disabled
    ? html`<button class="primary" disabled=${!session?.may_operate} onClick=${() => set(false)}>Enable</button>`
    : html`<${Confirm} label="Disable" kind="danger" disabled=${!session?.may_operate} title=${`Disable ${visible(tool.name)}?`} onYes=${() => set(true)}>
        It leaves all lists at once, and nobody can call it until it is enabled here or the host restarts. Calls that run go on.<//>`);
  return html`<${Head} title=${visible(tool.title ?? tool.name)} crumb=${html`${crumb}${about && html` / <a href=${serverLink(about.provider)}>${about.provider}</a>`}`}>${action}<//>
  <div class="stack">
    ${about?.disabled && html`<${Note} tone="warn" title="Disabled">Nobody sees or calls it until it is enabled here or the host restarts. To make that last, ${kindOf(now, about.provider) === 'pipeline' ? html`take <code>${`[pipeline.${about.provider}]`}</code> out of toolbay.toml` : html`exclude it in <code>${`[${kindOf(now, about.provider)}.${about.provider}]`}</code> of toolbay.toml: <code>${`exclude = ["${about.own}"]`}</code>`}.<//>`}
    <div class="halves">
      <div class="stack">
        <${Panel} title="About">
          <div class="stack">
            <p class="prose">${tool.description || html`<span class="muted">No description. A model has only the name to go by.</span>`}</p>
            <div class="row"><code>${visible(tool.name)}</code><${Copy} text=${tool.name} label="Copy name" /><${Hints} hints=${tool.annotations} /></div>
            ${counted && html`<p class="muted small">${number(recent(`${id}rate`, 10))} calls per second, p95 ${duration(latest(`${id}p95`))}, ${plural(counted.calls.count, 'call')} since the start${counted.calls.bad > 0 && html`, <span class="bad">${number(counted.calls.bad)} failed</span>`}.</p>`}
            <details><summary>Input schema</summary><div class="code" tabindex="0" role="region" aria-label="Input schema"><${Json} value=${tool.inputSchema} /></div></details>
            ${tool.outputSchema && html`<details><summary>Output schema</summary><div class="code" tabindex="0" role="region" aria-label="Output schema"><${Json} value=${tool.outputSchema} /></div></details>`}
            ${tool._meta && html`<details><summary>Meta</summary><div class="code" tabindex="0" role="region" aria-label="Meta"><${Json} value=${tool._meta} /></div></details>`}
          </div>
        <//>
        ${counted && html`<${Plot} title="Calls per second" format=${value => `${number(value)}/s`} height=${130} series=${[{ key: `${id}rate`, label: 'calls', fill: true }, { key: `${id}errors`, label: 'errors' }]} />
          <${Plot} title="Duration" log format=${duration} height=${130} series=${[{ key: `${id}p50`, label: 'median' }, { key: `${id}p95`, label: 'p95' }, { key: `${id}p99`, label: 'p99' }]} />`}
      </div>
      <${Try} tool=${tool} disabled=${about?.disabled} />
    </div>
  </div>`;
}

const kindOf = (now, name) => {
  const kind = now.providers.find(one => one.name === name)?.kind;
  return kind === 'pipeline' ? kind : kind === 'wasm' ? 'plugin' : 'server';
};
