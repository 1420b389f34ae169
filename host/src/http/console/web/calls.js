// The last calls, as they end.

import { get } from './api.js';
import { useLive } from './live.js';
import { Choices, Copy, Empty, Fault, Head, Outcome, Search, Table, clock, duration, outcomeText, serverLink, toolLink, visible } from './ui.js';
import { html, useEffect, useMemo, useRef, useState } from './vendor/htm-preact.js';

/** Calls that the page keeps. */
const MOST = 1000;
const SHOWN = 200;
const SLOW = 1e6;

export function Calls() {
  const { now } = useLive();
  const [state, set] = useState({ calls: null, error: null });
  const [paused, setPaused] = useState(false);
  const [show, setShow] = useState('all');
  const [text, setText] = useState('');
  const known = useRef([]);
  useEffect(() => {
    let ended = false, timer = null;
    const ask = async () => {
      if (document.visibilityState === 'visible') {
        try {
          const last = known.current[0]?.number;
          const { calls } = await get(`calls${last === undefined ? '' : `?after=${last}`}`);
          if (ended) return;
          known.current = [...calls, ...known.current].slice(0, MOST);
          set({ calls: known.current, error: null });
        } catch (error) { if (!ended) set({ calls: known.current.length ? known.current : null, error }); }
      }
      if (!ended) timer = setTimeout(ask, 1500);
    };
    if (!paused) ask();
    return () => { ended = true; clearTimeout(timer); };
  }, [paused]);
  const list = useMemo(() => {
    const word = text.toLowerCase();
    return (state.calls ?? []).filter(call => (show === 'all' || (show === 'failed' ? !['ok', 'input_required'].includes(call.outcome) : call.micros >= SLOW))
      && (!word || [call.name, call.provider, call.caller, call.outcome, outcomeText(call.outcome), call.error, call.trace].some(part => part?.toLowerCase().includes(word))));
  }, [state.calls, show, text]);
  const columns = [
    ['Time', 'nowrap', call => clock(call.time)],
    ['What', 'what', call => html`${call.provider && call.operation === 'tools/call' ? html`<a class="mono" href=${toolLink(`${call.provider}__${call.name}`)}>${visible(call.name)}</a>` : html`<span class="mono">${visible(call.name) ?? '–'}</span>`}
      <span class="muted small">${call.provider && html` <a href=${serverLink(call.provider)}>${call.provider}</a>`}${call.operation && call.operation !== 'tools/call' && ` ${call.operation}`}</span>
      ${call.error && html`<span class="error">${call.error}</span>`}`],
    ['Outcome', '', call => html`<${Outcome} outcome=${call.outcome} />`],
    ['Duration', 'num', call => (call.micros === undefined ? html`<span class="muted" title="Nothing ran for it">–</span>` : html`<span class=${call.micros >= SLOW ? 'warn' : ''}>${duration(call.micros / 1e6)}</span>`)],
    ['Caller', 'wide', call => call.caller ?? html`<span class="muted">–</span>`],
    ['By', 'wide', call => call.front],
    ['Trace', 'wide', call => (call.trace ? html`<span class="nowrap"><code title=${call.trace}>${call.trace.slice(0, 8)}</code><${Copy} text=${call.trace} /></span>` : html`<span class="muted">–</span>`)],
  ];
  return html`<${Head} title="Recent calls" about="What failed or took over a second is kept first; of calls that went well, up to 20 of each second. Arguments and results are never kept.">
    <button aria-pressed=${paused} onClick=${() => setPaused(!paused)}>${paused ? 'Go on' : 'Pause'}</button><//>
  <div class="stack">
    ${state.error && html`<${Fault} error=${state.error} />`}
    <div class="row"><${Search} label="Search calls" placeholder="Search by tool, plugin, caller, error or trace" value=${text} onInput=${setText} />
      <${Choices} label="Show" value=${show} onChange=${setShow} options=${[['all', 'All'], ['failed', 'Failed'], ['slow', 'Over 1 s']]} /></div>
    <section class="panel flush">
      ${!state.calls ? html`<p class="empty" role="status">Loading …</p>` : list.length ? html`<${Table} caption="Recent calls, the newest first" columns=${columns} rows=${list.slice(0, SHOWN)} rowKey=${call => call.number} />`
        : state.calls.length ? html`<${Empty} title="No call fits">${show === 'failed' && !text ? 'Nothing failed.' : 'Try other words.'}<//>`
        : html`<${Empty} title="No calls yet">${now.calls.count ? 'None ended since the console was opened.' : html`Connect a client, or <a href="#/tools">try a tool</a>.`}<//>`}
    </section>
    ${list.length > SHOWN && html`<p class="muted small">The newest ${SHOWN} of ${list.length}. Search to see others.</p>`}
  </div>`;
}
