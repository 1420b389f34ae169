// The last lines of the host's log, as they come.

import { get } from './api.js';
import { Choices, Empty, Fault, Head, Search } from './ui.js';
import { html, useEffect, useMemo, useRef, useState } from './vendor/htm-preact.js';

/** Lines that the page keeps. */
const MOST = 1000;
const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR'];

/** A line of either format of the log: when, how grave, what. */
export function read(text) {
  if (text.startsWith('{')) {
    try {
      const { timestamp, level, target, fields, message, ...rest } = JSON.parse(text);
      const { message: said = message, ...more } = fields ?? {};
      delete rest.spans; delete rest.span;
      const pairs = Object.entries({ ...more, ...rest }).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
      return { time: timestamp ?? '', level: level ?? '', text: [said, ...pairs].filter(Boolean).join(' ') };
    } catch { /* as it is */ }
  }
  const match = text.match(/^(\d{4}-\d\d-\d\dT\S+)\s+(TRACE|DEBUG|INFO|WARN|ERROR)\s+([^]*)$/);
  return match ? { time: match[1], level: match[2], text: match[3] } : { time: '', level: LEVELS.find(level => text.startsWith(level)) ?? '', text };
}

function useLines(of) {
  const [state, set] = useState({ lines: null, error: null });
  useEffect(() => {
    let lines = [], ended = false, timer = null;
    const ask = async () => {
      if (document.visibilityState === 'visible') {
        const last = lines.at(-1)?.number;
        try {
          const more = (await get(`log?${new URLSearchParams({ ...(of && { of }), ...(last !== undefined && { after: last }) })}`)).lines;
          lines = [...lines, ...more.map(line => ({ ...line, ...read(line.text) }))].slice(-MOST);
          if (!ended && (more.length || last === undefined)) set({ lines, error: null });
        } catch (error) { if (!ended) set({ lines, error }); }
      }
      if (!ended) timer = setTimeout(ask, 2000);
    };
    set({ lines: null, error: null });
    ask();
    return () => { ended = true; clearTimeout(timer); };
  }, [of]);
  return state;
}

export function Lines({ of, least = 'TRACE', words = '' }) {
  const { lines, error } = useLines(of);
  const box = useRef(null), follows = useRef(true);
  const shown = useMemo(() => {
    const from = LEVELS.indexOf(least), word = words.toLowerCase();
    return (lines ?? []).filter(line => (from <= 0 || LEVELS.indexOf(line.level) >= from) && (!word || line.text.toLowerCase().includes(word)));
  }, [lines, least, words]);
  // The end is kept in sight, unless somebody reads further up.
  useEffect(() => { if (follows.current && box.current) box.current.scrollTop = box.current.scrollHeight; }, [shown]);
  if (error && !lines?.length) return html`<${Fault} error=${error} />`;
  if (!lines) return html`<p class="empty" role="status">Loading …</p>`;
  if (!shown.length) return html`<${Empty} title="No lines">${lines.length ? 'None fits.' : of ? 'It has logged nothing that the log level lets through.' : 'Nothing was logged yet.'}<//>`;
  return html`<div class="log" ref=${box} tabindex="0" role="region" aria-label="Log lines" onScroll=${event => { const { scrollTop, scrollHeight, clientHeight } = event.target; follows.current = scrollHeight - scrollTop - clientHeight < 30; }}>
    ${shown.map(line => html`<div key=${line.number} class=${line.level}><span class="time" title=${line.time}>${line.time.slice(11, 19)}</span> <span class="level">${line.level.padEnd(5)}</span> ${line.text}</div>`)}
  </div>`;
}

export function Log() {
  const [words, setWords] = useState('');
  const [least, setLeast] = useState('TRACE');
  return html`<${Head} title="Log" about=${html`The last lines that the host wrote to stderr. How much it writes is <code>log</code> in <code>[telemetry]</code>, which applies without a restart.`} />
  <div class="stack">
    <div class="row"><${Search} label="Search the log" value=${words} onInput=${setWords} />
      <${Choices} label="Level" value=${least} onChange=${setLeast} options=${[['TRACE', 'All'], ['WARN', 'Warnings'], ['ERROR', 'Errors']]} /></div>
    <section class="panel flush"><${Lines} words=${words} least=${least} /></section>
  </div>`;
}
