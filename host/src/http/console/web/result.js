// What a tool answered: each block as what it is, structured content, and the whole as JSON.

import { Copy, Json, Note, Pill, bytes, duration } from './ui.js';
import { html, useState } from './vendor/htm-preact.js';

const IMAGE = /^image\/(png|jpeg|gif|webp|avif|svg\+xml|bmp|x-icon)$/;
const AUDIO = /^audio\//;
const size = base64 => Math.floor((base64?.length ?? 0) * 3 / 4);

function Text({ text, type }) {
  let value;
  if (/^\s*[[{]/.test(text)) { try { value = JSON.parse(text); } catch { /* a text */ } }
  return value !== undefined ? html`<${Json} value=${value} />` : html`<pre>${text}</pre>`;
}

function Blob({ data, type }) {
  // An image cannot run anything, also not as SVG.
  if (IMAGE.test(type)) return html`<img src=${`data:${type};base64,${data}`} alt=${`Image from the tool, ${bytes(size(data))}`} />`;
  if (AUDIO.test(type)) return html`<audio controls src=${`data:${type};base64,${data}`}></audio>`;
  return html`<p class="muted">${bytes(size(data))} of ${type || 'unknown type'}, which is not shown.</p>`;
}

const Block = ({ kind, copy, children }) => html`<div class="block"><div class="kind"><span>${kind}</span>${copy && html`<${Copy} text=${copy} />`}</div><div class="body" tabindex="0" role="region" aria-label=${kind}>${children}</div></div>`;

function Content({ block }) {
  switch (block.type) {
    case 'text': return html`<${Block} kind="Text" copy=${block.text}><${Text} text=${block.text ?? ''} /><//>`;
    case 'image': return html`<${Block} kind=${`Image, ${block.mimeType}, ${bytes(size(block.data))}`}><${Blob} data=${block.data} type=${block.mimeType} /><//>`;
    case 'audio': return html`<${Block} kind=${`Audio, ${block.mimeType}, ${bytes(size(block.data))}`}><${Blob} data=${block.data} type=${block.mimeType} /><//>`;
    case 'resource_link': return html`<${Block} kind="Link to a resource" copy=${block.uri}><p><strong>${block.title ?? block.name}</strong></p><p class="mono">${block.uri}</p><p class="muted">${block.description}</p><//>`;
    case 'resource': {
      const held = block.resource ?? {};
      return html`<${Block} kind=${`Resource ${held.uri ?? ''}`} copy=${held.text}>${held.text !== undefined ? html`<${Text} text=${held.text} />` : html`<${Blob} data=${held.blob} type=${held.mimeType} />`}<//>`;
    }
    default: return html`<${Block} kind=${block.type ?? 'Unknown'}><${Json} value=${block} /><//>`;
  }
}

/** Whether a text says the same as the structured content, so that it need not be shown twice. */
function isSame(block, structured) {
  if (block.type !== 'text') return false;
  try { return JSON.stringify(JSON.parse(block.text)) === JSON.stringify(structured); } catch { return false; }
}

export function Result({ result, took }) {
  const [raw, setRaw] = useState(false);
  const structured = result.structuredContent;
  const content = (result.content ?? []).filter(block => structured === undefined || !isSame(block, structured));
  return html`<div class="stack" data-result=${result.isError ? 'error' : 'ok'}>
    <div class="row"><${Pill} tone=${result.isError ? 'bad' : 'good'}>${result.isError ? 'The tool reports an error' : 'Done'}<//><span class="muted small">in ${duration(took)}</span>
      <span class="grow"></span><button type="button" class="quiet" aria-pressed=${raw} onClick=${() => setRaw(!raw)}>${raw ? 'Show as blocks' : 'Show as JSON'}</button></div>
    ${raw ? html`<${Block} kind="Result" copy=${JSON.stringify(result, null, 2)}><${Json} value=${result} /><//>`
      : html`${structured !== undefined && html`<${Block} kind="Structured content" copy=${JSON.stringify(structured, null, 2)}><${Json} value=${structured} /><//>`}
        ${content.map((block, i) => html`<${Content} block=${block} key=${i} />`)}
        ${structured === undefined && content.length === 0 && html`<p class="muted">The answer is empty.</p>`}`}
  </div>`;
}

export const Failure = ({ problem }) => html`<div data-result="failed"><${Note} tone="bad" title=${problem.message}>${problem.hint}${problem.code !== undefined && html`<p class="small muted">JSON-RPC error ${problem.code}</p>`}${problem.data !== undefined && html`<${Json} value=${problem.data} />`}<//></div>`;
