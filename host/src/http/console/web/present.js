// Who is here: sessions of clients before 2026-07-28, and tasks.

import { Plot } from './plot.js';
import { Empty, Head, Panel, Pill, Table, Waiting, bytes, clock, number, plural, serverLink, span, useAnswer } from './ui.js';
import { html } from './vendor/htm-preact.js';

const TASKS = { working: ['info', 'working'], input_required: ['warn', 'waits for an answer'], completed: ['good', 'completed'], failed: ['bad', 'failed'], cancelled: ['', 'cancelled'] };

export function Present() {
  const { answer, error, again } = useAnswer('present', 3000);
  if (!answer) return html`<${Head} title="Sessions and tasks" /><${Waiting} error=${error} again=${again} />`;
  const nobody = html`<span class="muted">–</span>`;
  return html`<${Head} title="Sessions and tasks" about="Clients of MCP 2026-07-28 need no session: each of their requests stands for itself. Older clients have one, and it is kept while it is used." />
  <div class="stack">
    <div class="cols">
      <${Plot} title="Sessions" format=${value => number(value)} most=${4} height=${130} series=${[{ key: 'sessions', label: 'kept', fill: true }]} />
      <${Plot} title="Connections" format=${value => number(value)} most=${4} height=${130} series=${[{ key: 'connections', label: 'open', fill: true }]} />
    </div>
    <${Panel} title="Sessions" note=${plural(answer.session_count, 'session')} flush=${answer.sessions.length > 0}>
      ${answer.sessions.length ? html`<${Table} caption="Sessions" rows=${answer.sessions.map((one, i) => ({ ...one, i }))} rowKey=${one => one.i} columns=${[
        ['Caller', '', one => one.caller ?? nobody],
        ['Endpoint', '', one => (one.endpoint ? html`<a href=${serverLink(one.endpoint)}>/${one.endpoint}/mcp</a>` : '/mcp')],
        ['Revision', 'nowrap', one => one.revision],
        ['Client can', 'wide', one => (one.capabilities.length ? one.capabilities.join(', ') : nobody)],
        ['Calls', 'num', one => number(one.calls)], ['Streams', 'num wide', one => number(one.streams)], ['Subscriptions', 'num wide', one => number(one.subscriptions)],
        ['Last request', 'num', one => (one.idle < 2 ? 'now' : `${span(one.idle)} ago`)]]} />` : html`<${Empty} title="No sessions">Nobody with an older client is here now.<//>`}
    <//>
    <${Panel} title="Tasks" note=${plural(answer.task_count, 'task')} flush=${answer.tasks.length > 0}>
      ${answer.tasks.length ? html`<${Table} caption="Tasks" rows=${answer.tasks.map((one, i) => ({ ...one, i }))} rowKey=${one => one.i} columns=${[
        ['Began', 'nowrap', one => clock(one.created)], ['Caller', '', one => one.caller ?? nobody],
        ['State', '', one => html`<${Pill} tone=${TASKS[one.status]?.[0]}>${TASKS[one.status]?.[1] ?? one.status}<//>${one.message && html`<div class="small muted">${one.message}</div>`}`],
        ['Result', 'num wide', one => bytes(one.bytes)], ['Forgotten in', 'num', one => span(one.expires)]]} />` : html`<${Empty} title="No tasks">A call that takes long becomes a task where its client can follow one.<//>`}
    <//>
  </div>`;
}
