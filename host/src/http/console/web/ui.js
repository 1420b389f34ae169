// What all pages are made of: formats, small parts, and the way to ask for something and show how that went.

import { get } from './api.js';
import { html, useCallback, useEffect, useRef, useState } from './vendor/htm-preact.js';

/* Formats */

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  const show = (value, unit) => `${value >= 100 ? Math.round(value) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ${unit}`;
  if (seconds < 0.001) return show(seconds * 1e6, 'µs');
  if (seconds < 1) return show(seconds * 1e3, 'ms');
  if (seconds < 120) return show(seconds, 's');
  return span(seconds);
}

export function span(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  const all = Math.max(0, Math.round(seconds));
  const [d, h, m, s] = [Math.floor(all / 86400), Math.floor(all / 3600) % 24, Math.floor(all / 60) % 60, all % 60];
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} min`;
  return m ? `${m} min ${m < 10 ? `${s} s` : ''}`.trim() : `${s} s`;
}

export function number(value, digits) {
  if (!Number.isFinite(value)) return '–';
  if (value !== 0 && Math.abs(value) < 10 && digits === undefined && !Number.isInteger(value)) return value.toFixed(value < 1 ? 2 : 1);
  return value.toLocaleString('en', { maximumFractionDigits: digits ?? 0 });
}

export function bytes(value) {
  if (!Number.isFinite(value)) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit++; }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
export const clock = millis => new Date(millis).toLocaleTimeString('en-GB', { hour12: false });
export const ago = (seconds, now = Date.now() / 1000) => `${span(now - seconds)} ago`;

/* Parts */

export const Panel = ({ title, note, actions, flush, children, ...more }) => html`
  <section class=${`panel ${flush ? 'flush' : ''}`} ...${more}>
    ${(title || actions) && html`<header>${title && html`<h2>${title}</h2>`}${note && html`<span class="muted small">${note}</span>`}${actions && html`<div class="row">${actions}</div>`}</header>`}
    ${children}
  </section>`;

export const Head = ({ title, crumb, about, children }) => html`
  <div class="head">
    <div class="grow">${crumb && html`<div class="crumb">${crumb}</div>`}<h1>${title}</h1>${about && html`<p>${about}</p>`}</div>
    ${children && html`<div class="row">${children}</div>`}
  </div>`;

export const Pill = ({ tone = '', flat, children, ...more }) => html`<span class=${`pill ${tone} ${flat ? 'flat' : ''}`} ...${more}>${children}</span>`;

export const Note = ({ tone = '', title, children, actions }) => html`
  <div class=${`note ${tone}`} role=${tone === 'bad' ? 'alert' : 'status'}>
    <div class="grow">${title && html`<strong>${title}</strong>`}${children}</div>
    ${actions && html`<div class="row">${actions}</div>`}
  </div>`;

export const Empty = ({ title, children }) => html`<div class="empty"><strong>${title}</strong>${children}</div>`;

export const Fault = ({ error, again }) => html`
  <${Note} tone="bad" title=${error.message} actions=${again && html`<button onClick=${again}>Try again</button>`}>${error.hint}<//>`;

export const Choices = ({ label, value, options, onChange }) => html`
  <div class="choices" role="group" aria-label=${label}>
    ${options.map(([key, text]) => html`<button type="button" key=${key} aria-pressed=${key === value} onClick=${() => onChange(key)}>${text}</button>`)}
  </div>`;

export const Search = ({ label, value, onInput, placeholder }) => html`
  <label class="search"><span class="hidden">${label}</span>
    <input type="search" data-search value=${value} placeholder=${placeholder ?? label} onInput=${event => onInput(event.target.value)} autocomplete="off" spellcheck=${false} /></label>`;

/** A table. `columns`: [title, class, cell, key]. */
export const Table = ({ caption, columns, rows, rowKey }) => html`
  <div class="scroll" tabindex="0" role="region" aria-label=${caption}>
    <table><caption class="hidden">${caption}</caption>
      <thead><tr>${columns.map(([title, kind]) => html`<th scope="col" class=${kind ?? ''}>${title || html`<span class="hidden">Actions</span>`}</th>`)}</tr></thead>
      <tbody>${rows.map(row => html`<tr key=${rowKey(row)}>${columns.map(([, kind, cell]) => html`<td class=${kind ?? ''}>${cell(row)}</td>`)}</tr>`)}</tbody>
    </table>
  </div>`;

export function Copy({ text, label = 'Copy' }) {
  const [done, set] = useState(false);
  const copy = async () => {
    try { await navigator.clipboard.writeText(text); set(true); setTimeout(() => set(false), 1500); } catch { toast({ tone: 'warn', title: 'The browser does not let pages copy here.', text: 'Select the text and copy it by hand.' }); }
  };
  return html`<button type="button" class="quiet" onClick=${copy}>${done ? 'Copied' : label}</button>`;
}

const STATES = {
  serving: ['good', 'Serving'],
  loading: ['info', 'Starting'],
  'serving-previous': ['warn', 'Serving the previous version'],
  broken: ['bad', 'Not running'],
};
export const State = ({ state }) => { const [tone, text] = STATES[state] ?? ['', state]; return html`<${Pill} tone=${tone}>${text}<//>`; };

const OUTCOMES = {
  ok: ['good', 'ok'], input_required: ['info', 'asks for input'], tool_error: ['bad', 'tool error'], unknown_tool: ['warn', 'no such tool'], unknown_resource: ['warn', 'no such resource'],
  unknown_prompt: ['warn', 'no such prompt'], invalid_params: ['warn', 'bad arguments'], protocol_error: ['bad', 'protocol error'], missing_capability: ['warn', 'client lacks a capability'], busy: ['warn', 'busy'],
  limited: ['warn', 'rate limited'], internal: ['bad', 'internal error'], cancelled: ['', 'cancelled'], denied: ['warn', 'denied'],
};
export const outcomeText = outcome => OUTCOMES[outcome]?.[1] ?? outcome;
export const Outcome = ({ outcome }) => html`<${Pill} tone=${OUTCOMES[outcome]?.[0] ?? ''}>${outcomeText(outcome)}<//>`;

/** A name with the characters written out that turn text around or are not seen: none looks like another. */
export const visible = name => name?.replace(/[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/gu, one => `\\u{${one.codePointAt(0).toString(16)}}`);

export const kindText = kind => ({ wasm: 'Plugin', bridge: 'Server', remote: 'Remote', pipeline: 'Pipeline' })[kind] ?? kind;
export const toolLink = name => `#/tools/${encodeURIComponent(name)}`;
export const serverLink = name => `#/servers/${encodeURIComponent(name)}`;

/** JSON with colours. No HTML is made of it: each part is a text of its own. */
export function Json({ value }) {
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
  // Beyond that a browser is busy for seconds, and nobody reads it.
  if (text.length > 60000) return html`<pre class="json">${text.slice(0, 400000)}</pre>`;
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(/("(?:\\.|[^"\\])*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g)) {
    if (match.index > end) parts.push(text.slice(end, match.index));
    const kind = match[1] ? (match[2] ? 'k' : 's') : match[3] ? 'l' : 'n';
    parts.push(html`<span class=${kind}>${match[1] ?? match[0]}</span>`);
    if (match[2]) parts.push(match[2]);
    end = match.index + match[0].length;
  }
  parts.push(text.slice(end));
  return html`<pre class="json">${parts}</pre>`;
}

/* Asking */

/** What a path of the API answers: asked for at once, again every so many milliseconds while somebody looks, and when `again` is called. */
export function useAnswer(path, every = 0) {
  const [state, set] = useState({ answer: null, error: null });
  const asked = useRef(0);
  const again = useCallback(async () => {
    const mine = ++asked.current;
    try {
      const answer = await get(path);
      if (mine === asked.current) set({ answer, error: null, path });
    } catch (error) {
      if (mine === asked.current) set(old => ({ ...old, error, path }));
    }
  }, [path]);
  useEffect(() => {
    again();
    const timer = every ? setInterval(() => document.visibilityState === 'visible' && again(), every) : null;
    return () => { clearInterval(timer); asked.current++; };
  }, [again, every]);
  // What another path answered is no answer to this.
  return state.path === path ? { ...state, again } : { answer: null, error: null, again };
}

/** What to show before there is an answer, or where there is none. None: there is one. */
export const Waiting = ({ error, again }) => (error ? html`<${Fault} error=${error} again=${again} />` : html`<p class="muted" role="status">Loading …</p>`);

/* Messages */

const toasts = new Set();
let shown = [];
const tell = next => { shown = next; toasts.forEach(listener => listener(shown)); };

/** Says something for some seconds. */
export function toast({ tone = 'good', title, text }) {
  const one = { tone, title, text, key: Math.random() };
  tell([...shown.slice(-3), one]);
  setTimeout(() => tell(shown.filter(other => other !== one)), tone === 'good' ? 4000 : 9000);
}

export function Toasts() {
  const [list, set] = useState(shown);
  useEffect(() => { toasts.add(set); return () => toasts.delete(set); }, []);
  return html`<div class="toasts" aria-live="polite">${list.map(one => html`<${Note} key=${one.key} tone=${one.tone} title=${one.title}>${one.text}<//>`)}</div>`;
}

/** Where what had the focus is gone, who uses the keyboard goes on from here: from the page's own part where nothing is named. */
export const keepFocus = element => requestAnimationFrame(() => {
  if (document.activeElement === document.body) (element?.isConnected ? element : document.getElementById('main'))?.focus({ preventScroll: true });
});

/** Does something and says how that went. */
export async function attempt(what, done) {
  try {
    await what();
    if (done) toast({ title: visible(done) });
    return true;
  } catch (error) {
    toast({ tone: 'bad', title: error.message, text: error.hint });
    return false;
  } finally {
    // What is shown anew may have taken the button's place.
    setTimeout(keepFocus, 300);
  }
}

/** A button that asks first. */
export function Confirm({ label, title, children, yes, kind = '', disabled, onYes }) {
  const dialog = useRef(null);
  const close = () => dialog.current.close();
  return html`<button type="button" class=${kind} disabled=${disabled} onClick=${() => dialog.current.showModal()}>${label}</button>
    <dialog ref=${dialog} aria-label=${title} onClick=${event => event.target === dialog.current && close()}>
      <h2>${title}</h2><p>${children}</p>
      <div class="row"><button type="button" onClick=${close}>Cancel</button><button type="button" class="primary" onClick=${() => { close(); onYes(); }}>${yes ?? label}</button></div>
    </dialog>`;
}
