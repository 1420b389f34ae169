// Who may do what: the roles, who has them, and what somebody with them sees, by which rule.

import { useLive } from './live.js';
import { Choices, Empty, Head, Note, Panel, Pill, Search, Table, Waiting, plural, useAnswer, visible } from './ui.js';
import { html, useState } from './vendor/htm-preact.js';

const Patterns = ({ list }) => (list.length ? html`<span class="mono">${list.join(', ')}</span>` : html`<span class="muted">–</span>`);

export function Roles() {
  const { session } = useLive();
  const { answer, error, again } = useAnswer('roles', 10000);
  const [whose, setWhose] = useState('');
  if (!answer) return html`<${Head} title="Roles" /><${Waiting} error=${error} again=${again} />`;
  const may = role => [answer.operate.includes(role.name) ? 'act in the console' : answer.view.includes(role.name) ? 'see the console' : ''].filter(Boolean);
  return html`<${Head} title="Roles" about="What callers with a role may list and call. What a role does not allow is not there for them: in no list, error or suggestion." />
  <div class="stack">
    ${!session.authentication && html`<${Note} title="Nobody has to authenticate here">Whoever reaches this host has the default roles${answer.default_roles.length ? `: ${answer.default_roles.join(', ')}` : ''}. Tokens are set in <code>[auth.tokens]</code>.<//>`}
    ${answer.roles.length === 0 ? html`<section class="panel"><${Empty} title="No roles">Everybody who is let in may use everything. Add a <code>[role.NAME]</code> to toolbay.toml to say who may use what.<//></section>` : html`
      <${Panel} title="Roles" flush note=${plural(answer.roles.length, 'role')}>
        <${Table} caption="Roles" rows=${answer.roles} rowKey=${role => role.name} columns=${[
          ['Role', '', role => html`<button class="link" onClick=${() => { setWhose(`roles=${role.name}`); requestAnimationFrame(() => document.getElementById('seen')?.scrollIntoView()); }}><strong>${role.name}</strong></button>${may(role).map(text => html`<div key=${text}><${Pill} flat tone="info">${text}<//></div>`)}`],
          ['Servers', '', role => html`<${Patterns} list=${role.servers} />`], ['Tools', '', role => html`<${Patterns} list=${role.tools} />`],
          ['Resources', 'wide', role => html`<${Patterns} list=${role.resources} />`], ['Prompts', 'wide', role => html`<${Patterns} list=${role.prompts} />`],
          ['Never', '', role => html`<${Patterns} list=${role.deny} />`], ['Limits', 'wide', role => html`<${Patterns} list=${role.limits} />`]]} />
      <//>
      <${Panel} title="Tokens" flush=${answer.tokens.length > 0} note=${plural(answer.tokens.length, 'token')}>
        ${answer.tokens.length ? html`<${Table} caption="Tokens" rows=${answer.tokens} rowKey=${one => one.name} columns=${[
          ['Name', '', one => html`<button class="link" onClick=${() => setWhose(`token=${one.name}`)}>${one.name}</button>`],
          ['Roles', '', one => (one.roles.length ? one.roles.join(', ') : answer.default_roles.length ? html`${answer.default_roles.join(', ')} <span class="muted small">by default</span>` : html`<span class="warn">none: may use nothing</span>`)]]} />`
          : html`<p class="muted">There are no static tokens. Roles may come from the tokens of an authorization server.</p>`}
      <//>
      <${Seen} roles=${answer.roles} tokens=${answer.tokens} whose=${whose || `roles=${answer.roles[0].name}`} onWhose=${setWhose} />`}
  </div>`;
}

function Seen({ roles, tokens, whose, onWhose }) {
  const [key, value] = [whose.split('=')[0], whose.slice(whose.indexOf('=') + 1)];
  const { answer, error, again } = useAnswer(`seen?${new URLSearchParams({ [key]: value })}`);
  const [show, setShow] = useState('all');
  const [text, setText] = useState('');
  const word = text.toLowerCase();
  const list = (answer?.offers ?? []).filter(one => (show === 'all' || one.allowed === (show === 'seen')) && (!word || `${one.name} ${one.provider} ${one.why}`.toLowerCase().includes(word)));
  const seen = answer?.offers.filter(one => one.allowed).length;
  return html`<section class="panel flush" id="seen">
    <header><h2>What they see</h2>${answer && html`<span class="muted small">${seen} of ${answer.offers.length}${key === 'token' ? `, by ${answer.roles.length ? answer.roles.join(', ') : 'no role'}` : ''}</span>`}
      <div class="row"><label><span class="hidden">Whose view</span><select value=${whose} onChange=${event => onWhose(event.target.value)}>
        <optgroup label="Role">${roles.map(role => html`<option key=${role.name} value=${`roles=${role.name}`}>${role.name}</option>`)}</optgroup>
        ${tokens.length > 0 && html`<optgroup label="Token">${tokens.map(one => html`<option key=${one.name} value=${`token=${one.name}`}>${one.name}</option>`)}</optgroup>`}</select></label>
        <${Choices} label="Show" value=${show} onChange=${setShow} options=${[['all', 'All'], ['seen', 'Seen'], ['hidden', 'Hidden']]} /></div></header>
    <div class="row" style=${{ padding: '0 18px 8px' }}><${Search} label="Search what they see" value=${text} onInput=${setText} /></div>
    ${!answer ? html`<div class="empty"><${Waiting} error=${error} again=${again} /></div>` : list.length ? html`<${Table} caption="What they see" rows=${list.slice(0, 400)} rowKey=${one => `${one.kind} ${one.name}`} columns=${[
      ['', '', one => html`<${Pill} tone=${one.allowed ? 'good' : ''}>${one.allowed ? 'sees' : 'hidden'}<//>`],
      ['Name', 'mono', one => visible(one.name)], ['Kind', 'wide', one => one.kind], ['Of', 'wide', one => one.provider], ['Why', 'muted', one => visible(one.why)]]} />` : html`<${Empty} title="Nothing fits" />`}
  </section>`;
}
