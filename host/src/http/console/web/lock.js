// What plugins and servers say now and nobody has accepted in toolbay.lock, and accepting it.

import { act } from './api.js';
import { useLive } from './live.js';
import { Confirm, Empty, Note, Panel, attempt, plural, serverLink, useAnswer } from './ui.js';
import { html } from './vendor/htm-preact.js';

/** What differs from the lock file: of one of them, or of all. */
export function Unaccepted({ of }) {
  const { session } = useLive();
  const { answer, error, again } = useAnswer('lock', 3000);
  if (!answer?.locked && !error) return null;
  const list = answer?.unaccepted.filter(one => !of || one.provider === of) ?? [];
  if (of && list.length === 0) return null;
  const accept = one => attempt(() => act('accept', { provider: one.provider, print: one.print }), 'Accepted in toolbay.lock').then(again);
  return html`<${Panel} title="Not accepted in toolbay.lock" note=${plural(list.length, 'difference')} data-unaccepted>
    ${error && html`<${Note} tone="warn" title=${error.message}>${error.hint}<//>`}
    ${list.length === 0 ? html`<${Empty} title="Everything is as it was accepted" />` : html`<ul class="stack plain">${list.map(one => html`<li key=${one.print}>
      <div class="row"><span class="grow">${one.sentence}${!of && html` <a class="small" href=${serverLink(one.provider)}>${one.provider}</a>`}</span>
        <${Confirm} label="Accept" title="Accept this?" disabled=${!session?.may_operate} onYes=${() => accept(one)}>It is written into toolbay.lock as it is shown here, and offered from then on.<//></div>
      <pre class="diff">${one.text}</pre></li>`)}</ul>`}
  <//>`;
}
