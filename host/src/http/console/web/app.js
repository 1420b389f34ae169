// The frame: who looks, which page, and what the keyboard does.

import { get, onRefused, token } from './api.js';
import { forget, live, start, useLive } from './live.js';
import { Calls } from './calls.js';
import { Config } from './config.js';
import { Log } from './log.js';
import { Models } from './models.js';
import { Overview } from './overview.js';
import { Present } from './present.js';
import { Roles } from './roles.js';
import { Server, Servers } from './servers.js';
import { ToolPage, Tools } from './tools.js';
import { Empty, Fault, Note, Toasts, span } from './ui.js';
import { html, render, useEffect, useErrorBoundary, useRef, useState } from './vendor/htm-preact.js';

const icon = path => html`<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${path} /></svg>`;

// [path, title, key, icon, page]
const PAGES = [
  ['', 'Overview', 'o', 'M3 13h5l3-8 4 14 3-6h3', Overview],
  ['tools', 'Tools', 't', 'M14.7 6.300a4 4 0 0 0-5.400 5.300L4 17l3 3 5.400-5.300a4 4 0 0 0 5.300-5.400L15 12l-3-3z', Tools],
  ['servers', 'Plugins and servers', 's', 'M4 5h16v6H4zM4 13h16v6H4zM8 8h.01M8 16h.01', Servers],
  ['calls', 'Recent calls', 'c', 'M4 6h16M4 12h16M4 18h10', Calls],
  ['present', 'Sessions and tasks', 'p', 'M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20a6.500 6.500 0 0 1 13 0M16 4.500a3.500 3.500 0 0 1 0 6.500M18 14a6 6 0 0 1 3.500 6', Present],
  ['models', 'Models', 'm', 'M12 3l8 4.500v9L12 21l-8-4.500v-9zM12 12l8-4.500M12 12v9M12 12L4 7.500', Models],
  ['roles', 'Roles', 'r', 'M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6z', Roles],
  ['config', 'Configuration', 'k', 'M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4', Config],
  ['log', 'Log', 'l', 'M5 4h14v16H5zM9 9h6M9 13h6', Log],
];

function useRoute() {
  const read = () => { const [page = '', ...rest] = location.hash.replace(/^#\/?/, '').split('/'); return [page, rest.map(part => { try { return decodeURIComponent(part); } catch { return part; } }).join('/')]; };
  const [route, set] = useState(read);
  useEffect(() => {
    const changed = () => set(read());
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}

const THEMES = ['auto', 'light', 'dark'];
function theme(next) {
  if (next) { localStorage.setItem('toolbay.theme', next); }
  const chosen = localStorage.getItem('toolbay.theme') ?? 'auto';
  if (chosen === 'auto') delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = chosen;
  if (next) document.dispatchEvent(new Event('theme'));
  return chosen;
}
theme();

function Login({ problem, onDone }) {
  const [error, setError] = useState(token.get() ? problem : null);
  const [busy, setBusy] = useState(false);
  const input = useRef(null);
  useEffect(() => input.current.focus(), []);
  const submit = async event => {
    event.preventDefault();
    const value = input.current.value.trim();
    if (!value) { setError({ message: 'Paste a token first.' }); return; }
    setBusy(true);
    const before = token.get();
    token.set(value);
    try { await get('session'); onDone(); } catch (error) { token.set(error.status === 403 ? value : before); setError(error); }
    setBusy(false);
  };
  return html`<main class="login"><div class="panel">
    <div class="row"><img src="console/icon.svg" alt="" width="34" height="34" /><h1>Toolbay</h1></div>
    <form onSubmit=${submit}>
      <p>This host asks who you are. Paste a token of <code>[auth.tokens]</code>, or an access token of your authorization server.</p>
      <div><label for="token"><strong>Token</strong></label>
        <input id="token" ref=${input} type="password" autocomplete="off" spellcheck=${false} aria-invalid=${error ? 'true' : 'false'} aria-describedby="said" /></div>
      <div id="said" aria-live="polite">${error && html`<p class="bad"><strong>${error.message}</strong> ${error.hint}</p>`}</div>
      <button class="primary" disabled=${busy}>${busy ? 'Signing in …' : 'Sign in'}</button>
      <p class="muted small">Only this tab keeps the token, and forgets it when you close it. It is in no cookie.</p>
    </form></div></main>`;
}

function Help({ open, onClose }) {
  const dialog = useRef(null);
  useEffect(() => { if (open) dialog.current.showModal(); else dialog.current.close(); }, [open]);
  return html`<dialog ref=${dialog} aria-label="Keyboard" onClose=${onClose} onClick=${event => event.target === dialog.current && onClose()}>
    <h2>Keyboard</h2>
    <dl><dt><kbd>/</kbd></dt><dd>Search on this page</dd>${PAGES.map(([, title, key]) => html`<dt><kbd>g</kbd> <kbd>${key}</kbd></dt><dd>${title}</dd>`)}<dt><kbd>?</kbd></dt><dd>This list</dd></dl>
    <div class="row"><button type="button" onClick=${onClose}>Close</button></div>
  </dialog>`;
}

function useKeys(onHelp) {
  useEffect(() => {
    let g = 0;
    const pressed = event => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select, dialog')) return;
      if (event.key === '/') {
        const search = document.querySelector('[data-search]');
        if (search) { event.preventDefault(); search.focus(); }
      } else if (event.key === '?') {
        onHelp();
      } else if (event.key === 'g') {
        g = Date.now();
        return;
      } else if (Date.now() - g < 1500) {
        const page = PAGES.find(([, , key]) => key === event.key);
        if (page) location.hash = `#/${page[0]}`;
      }
      g = 0;
    };
    document.addEventListener('keydown', pressed);
    return () => document.removeEventListener('keydown', pressed);
  }, []);
}

function Page({ page, rest }) {
  const [error, reset] = useErrorBoundary(error => console.error(error));
  const route = `${page}/${rest}`;
  useEffect(() => { if (error) reset(); }, [route]);
  if (error) return html`<${Note} tone="bad" title="This page failed." actions=${html`<button onClick=${reset}>Try again</button>`}>Reload it. If that does not help, please report this: <code>${String(error)}</code><//>`;
  if (page === 'tools' && rest) return html`<${ToolPage} key=${rest} name=${rest} />`;
  if (page === 'servers' && rest) return html`<${Server} key=${rest} name=${rest} />`;
  const known = PAGES.find(([path]) => path === page);
  return known ? html`<${known[4]} />` : html`<${Empty} title="There is no such page."><a href="#/">Go to the overview</a><//>`;
}

function Lost() {
  const { error, now } = useLive();
  if (!error || !now) return null;
  return html`<div class="lost" role="alert"><strong>${error.message}</strong> ${error.hint} What you see is from ${new Date(now.time).toLocaleTimeString('en-GB')}.</div>`;
}

function Frame({ onSignOut }) {
  const [page, rest] = useRoute();
  const [help, setHelp] = useState(false);
  const [chosen, setChosen] = useState(theme());
  const { now, session } = useLive();
  const main = useRef(null);
  const nav = useRef(null);
  const first = useRef(true);
  useKeys(() => setHelp(true));
  const title = PAGES.find(([path]) => path === page)?.[1] ?? 'Toolbay';
  useEffect(() => {
    document.title = `${rest || title} · Toolbay`;
    scrollTo(0, 0);
    // Who uses a screen reader hears that there is another page.
    if (!first.current) main.current.focus({ preventScroll: true });
    // On a narrow screen the pages stand in one line, longer than the screen.
    const link = nav.current.querySelector('[aria-current]');
    if (link) nav.current.scrollTo({ left: link.offsetLeft - (nav.current.clientWidth - link.offsetWidth) / 2 });
    first.current = false;
  }, [page, rest]);
  const broken = now?.providers.filter(one => one.state === 'broken').length ?? 0;
  const marks = {
    servers: broken ? html`<span class="alert" title=${`${broken} not running`}>${broken}<span class="hidden"> not running</span></span>` : html`<span class="count">${now?.providers.length ?? ''}</span>`,
    config: now?.configuration === 'rejected' ? html`<span class="alert">!<span class="hidden"> rejected</span></span>` : null,
    present: html`<span class="count">${now ? now.sessions + now.tasks || '' : ''}</span>`,
  };
  const toggle = () => { const next = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length]; theme(next); setChosen(next); };
  return html`<a class="skip" href="#main" onClick=${event => { event.preventDefault(); main.current.focus(); }}>Skip to the page</a>
  <div class="frame">
    <header class="side">
      <a class="brand" href="#/"><img src="console/icon.svg" alt="" />Toolbay</a>
      <nav class="nav" aria-label="Pages" ref=${nav}>${PAGES.map(([path, text, key, shape]) => html`
        <a key=${path} href=${`#/${path}`} aria-current=${path === page ? 'page' : undefined} title=${`g ${key}`}>${icon(shape)}${text}${marks[path]}</a>`)}</nav>
      <div class="foot">
        ${session && html`<div>${session.caller ? html`<strong>${session.caller}</strong>${session.roles.length ? ` · ${session.roles.join(', ')}` : ''}` : 'No authentication'}<br />${session.may_operate ? 'May act' : 'May look, not act'}</div>`}
        <div class="row">
          <button class="quiet" onClick=${toggle} aria-label=${`Colours: ${chosen}. Change`}>${{ auto: 'Auto', light: 'Light', dark: 'Dark' }[chosen]}</button>
          <button class="quiet" onClick=${() => setHelp(true)} aria-label="Keyboard shortcuts">?</button>
          ${token.get() && html`<button class="quiet" onClick=${onSignOut}>Sign out</button>`}
        </div>
        ${session && html`<div>Toolbay ${session.version}${now ? html`<br />up ${span((now.time - session.started) / 1000)}` : ''}</div>`}
      </div>
    </header>
    <main id="main" tabindex="-1" ref=${main}><${Lost} /><${Page} page=${page} rest=${rest} /></main>
  </div><${Help} open=${help} onClose=${() => setHelp(false)} />`;
}

function App() {
  const [problem, setProblem] = useState(null);
  const { now, error } = useLive();
  useEffect(() => { onRefused(setProblem); start(); }, []);
  const again = () => { setProblem(null); forget(); start(); };
  const signOut = () => { token.set(null); forget(); setProblem({ message: '' }); start(); };
  if (problem) return html`<${Login} problem=${problem} onDone=${again} />`;
  if (!now && error) return html`<main class="login"><${Fault} error=${error} again=${again} />${error.status === 403 && token.get() && html`<p class="row"><button onClick=${signOut}>Sign in with another token</button></p>`}</main>`;
  if (!now) return html`<p class="lonely muted" role="status">Loading …</p>`;
  return html`<${Frame} onSignOut=${signOut} />`;
}

const Root = () => html`<${App} /><${Toasts} />`;
render(html`<${Root} />`, document.getElementById('app'));

// For the tests: nothing here changes anything.
globalThis.toolbayConsole = { live };
