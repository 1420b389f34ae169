// Trying a tool: arguments by form or as JSON, the call, what comes meanwhile, questions, and what came of it.

import { Form, JsonField, Raw, faults, hasFields, initial } from './form.js';
import { call } from './mcp.js';
import { Failure, Result } from './result.js';
import { Choices, Copy, Note, Panel, duration, keepFocus } from './ui.js';
import { MCP } from './api.js';
import { html, useEffect, useRef, useState } from './vendor/htm-preact.js';

/** Log lines of one call that are kept. */
const LINES = 200;
/** What was filled in is there again when one comes back. */
const filled = new Map();
const MOST_FILLED = 50;

const quoted = text => `'${text.replaceAll("'", "'\\''")}'`;

export function Try({ tool, disabled }) {
  const schema = tool.inputSchema ?? {};
  const canForm = hasFields(schema);
  const [mode, setMode] = useState(canForm ? 'form' : 'json');
  const [value, setValue] = useState(() => filled.get(tool.name) ?? initial(schema) ?? {});
  const [wrong, setWrong] = useState({});
  const [state, setState] = useState({ step: 'idle' });
  const [progress, setProgress] = useState(null);
  const [lines, setLines] = useState([]);
  const [elapsed, setElapsed] = useState(0);
  const running = useRef(null);
  const output = useRef(null);
  const button = useRef(null);
  useEffect(() => () => running.current?.abort(), []);
  useEffect(() => {
    if (state.step !== 'running') return undefined;
    const timer = setInterval(() => setElapsed((performance.now() - state.begin) / 1000), 100);
    return () => clearInterval(timer);
  }, [state]);
  const change = next => {
    setValue(next);
    filled.delete(tool.name);
    filled.set(tool.name, next);
    if (filled.size > MOST_FILLED) filled.delete(filled.keys().next().value);
    if (Object.keys(wrong).length) setWrong(faults(schema, next));
  };

  const onMessage = ({ method, params }) => {
    if (method === 'notifications/progress') setProgress(params);
    if (method === 'notifications/message') setLines(old => [...old.slice(1 - LINES), { level: params.level, text: typeof params.data === 'string' ? params.data : JSON.stringify(params.data), logger: params.logger }]);
  };

  const run = async (args, more) => {
    const abort = new AbortController();
    running.current = abort;
    const begin = performance.now();
    if (!more) { setProgress(null); setLines([]); }
    setElapsed(0);
    setState({ step: 'running', begin });
    const took = () => (performance.now() - begin) / 1000;
    try {
      const result = await call(tool, args, { signal: abort.signal, onMessage, more });
      setState(result.resultType === 'input_required' ? { step: 'asked', result, args } : { step: 'done', result, took: took() });
    } catch (problem) {
      setState(problem.name === 'AbortError' ? { step: 'cancelled', took: took() } : { step: 'failed', problem });
    }
    setProgress(null);
    running.current = null;
    requestAnimationFrame(() => output.current?.scrollIntoView({ block: 'nearest' }));
    keepFocus(button.current);
  };
  const submit = event => {
    event.preventDefault();
    if (running.current) return;
    const found = mode === 'form' ? faults(schema, value) : value instanceof Raw ? { '': 'This is not JSON.' } : value !== undefined && (typeof value !== 'object' || value === null || Array.isArray(value)) ? { '': 'Arguments are an object: { … }.' } : {};
    setWrong(found);
    const first = Object.keys(found)[0];
    if (first !== undefined) { document.getElementById(mode === 'form' ? `f${first.replace(/[^\w]/g, '-')}` : 'arguments')?.focus(); return; }
    run(value ?? {});
  };
  const isRunning = state.step === 'running';
  const args = value instanceof Raw ? value.text : JSON.stringify(value ?? {});
  const shell = `toolbay call --url ${MCP.href} ${tool.name} ${quoted(args)}`;
  const done = progress?.total > 0 ? Math.min(100, progress.progress / progress.total * 100) : null;
  return html`<div class="stack">
    <${Panel} title="Try it" note="a real call, with your own rights" actions=${canForm && html`<${Choices} label="Arguments as" value=${mode} onChange=${next => { if (!(value instanceof Raw)) setMode(next); }} options=${[['form', 'Form'], ['json', 'JSON']]} />`}>
      <form class="stack" onSubmit=${submit} noValidate>
        ${mode === 'form' ? html`<${Form} schema=${schema} value=${value} onChange=${change} wrong=${wrong} />`
          : html`<div class="field"><label for="arguments">Arguments</label>${!canForm && html`<div class="hint">This tool declares no arguments.</div>`}
              <${JsonField} set=${{ id: 'arguments', 'aria-invalid': wrong[''] ? 'true' : undefined }} value=${value} onChange=${next => change(next ?? {})} placeholder="{}" />${wrong[''] && html`<div class="fault">${wrong['']}</div>`}</div>`}
        <div class="row">
          <button class="primary" ref=${button} disabled=${disabled} aria-disabled=${isRunning}>${isRunning ? 'Running …' : 'Call'}</button>
          ${isRunning && html`<button type="button" onClick=${() => running.current?.abort()}>Cancel</button>`}
          <button type="button" class="quiet" disabled=${isRunning} onClick=${() => { change(initial(schema) ?? {}); setWrong({}); setState({ step: 'idle' }); setMode('json'); requestAnimationFrame(() => setMode(canForm ? 'form' : 'json')); }}>Clear</button>
          <span class="grow"></span><${Copy} text=${shell} label="Copy as a command" />
        </div>
        ${disabled && html`<p class="muted small">The tool is disabled, so it cannot be called.</p>`}
        ${tool.annotations?.destructiveHint && !tool.annotations?.readOnlyHint && html`<p class="warn small">This tool may delete or overwrite things, and a call here really does.</p>`}
      </form>
    <//>
    <div ref=${output} aria-live="polite">
      ${state.step !== 'idle' && html`<${Panel} title="Result">
        <div class="stack">
          ${isRunning && html`<div role="status"><div class="row"><span>${progress?.message ?? 'Running'}</span><span class="muted small num">${progress && done !== null ? `${progress.progress} of ${progress.total}, ` : ''}${duration(elapsed)}</span></div>
            <div class=${`progress ${done === null ? 'endless' : ''}`}><i style=${done === null ? {} : { width: `${done}%` }}></i></div></div>`}
          ${lines.length > 0 && html`<details open=${isRunning}><summary>${lines.length} log ${lines.length === 1 ? 'message' : 'messages'} from the tool</summary>
            <div class="code" tabindex="0" role="region" aria-label="Log messages">${lines.map((line, i) => html`<pre key=${i}><span class="muted">${line.level}${line.logger ? ` ${line.logger}` : ''}</span> ${line.text}</pre>`)}</div></details>`}
          ${state.step === 'asked' && html`<${Questions} asked=${state.result} onAnswer=${responses => run(state.args, { inputResponses: responses, requestState: state.result.requestState })} onCancel=${() => setState({ step: 'cancelled', took: 0 })} />`}
          ${state.step === 'done' && html`<${Result} result=${state.result} took=${state.took} />`}
          ${state.step === 'failed' && html`<${Failure} problem=${state.problem} />`}
          ${state.step === 'cancelled' && html`<${Note} title="Cancelled">${state.took ? `After ${duration(state.took)}. The call was ended at the host too.` : 'The question was not answered.'}<//>`}
        </div>
      <//>`}
    </div>
  </div>`;
}

/** The tool asks something before it goes on. */
function Questions({ asked, onAnswer, onCancel }) {
  const requests = Object.entries(asked.inputRequests ?? {});
  const [values, setValues] = useState(() => Object.fromEntries(requests.map(([key, one]) => [key, initial(one.params?.requestedSchema ?? {}) ?? {}])));
  const [wrong, setWrong] = useState({});
  const foreign = requests.find(([, one]) => one.method !== 'elicitation/create' || one.params?.mode === 'url');
  const answer = action => {
    const found = action === 'accept' ? Object.assign({}, ...requests.map(([key, one]) => faults(one.params?.requestedSchema ?? {}, values[key]))) : {};
    setWrong(found);
    if (Object.keys(found).length) return;
    onAnswer(Object.fromEntries(requests.map(([key]) => [key, action === 'accept' ? { action, content: values[key] } : { action }])));
  };
  if (foreign) return html`<${Note} tone="warn" title="The tool asks for something that this page cannot give" actions=${html`<button onClick=${onCancel}>Close</button>`}><code>${foreign[1].method}</code>: use a client that can.<//>`;
  return html`<form class="stack" data-question onSubmit=${event => { event.preventDefault(); answer('accept'); }} noValidate>
    <p><strong>The tool asks</strong></p>
    ${requests.map(([key, one]) => html`<div class="stack" key=${key}><p class="prose">${one.params?.message}</p><${Form} schema=${one.params?.requestedSchema ?? {}} value=${values[key]} wrong=${wrong} onChange=${next => setValues({ ...values, [key]: next })} /></div>`)}
    <div class="row"><button class="primary">Answer</button><button type="button" onClick=${() => answer('decline')}>Decline</button><button type="button" class="quiet" onClick=${onCancel}>Stop here</button></div>
  </form>`;
}
