// A form made of a JSON Schema. What it has no field for is written as JSON; nothing of a schema is out of reach.

import { html, useState } from './vendor/htm-preact.js';

/** Text that is no JSON, where a value should be. */
class Raw { constructor(text) { this.text = text; } }

const isObject = value => value !== null && typeof value === 'object' && !Array.isArray(value);

/** The schema that is meant: references followed, `allOf` put together, null taken out of the types. */
export function plain(schema, root, depth = 0) {
  if (schema === true || schema === undefined || depth > 20) return {};
  if (!isObject(schema)) return {};
  let all = schema;
  if (typeof all.$ref === 'string' && all.$ref.startsWith('#')) {
    const target = all.$ref.slice(1).split('/').slice(1).reduce((at, part) => at?.[decodeURIComponent(part).replace(/~1/g, '/').replace(/~0/g, '~')], root);
    const { $ref, ...rest } = all;
    all = { ...plain(target, root, depth + 1), ...rest };
  }
  if (Array.isArray(all.allOf)) {
    const { allOf, ...rest } = all;
    all = allOf.reduce((sum, part) => { const one = plain(part, root, depth + 1); return { ...sum, ...one, properties: { ...sum.properties, ...one.properties }, required: [...(sum.required ?? []), ...(one.required ?? [])] }; }, rest);
  }
  for (const key of ['anyOf', 'oneOf']) {
    const variants = all[key]?.filter?.(one => !(one?.type === 'null' || one?.const === null));
    if (variants?.length === 1 && all[key].length === 2) { const { [key]: _, ...rest } = all; all = { ...plain(variants[0], root, depth + 1), ...rest }; }
  }
  if (Array.isArray(all.type)) {
    const types = all.type.filter(type => type !== 'null');
    if (types.length === 1) all = { ...all, type: types[0] };
  }
  return all;
}

/** Values to choose from: [value, text]. */
function choices(schema) {
  if (Array.isArray(schema.enum)) return schema.enum.map((value, i) => [value, schema.enumNames?.[i] ?? (typeof value === 'string' ? value : JSON.stringify(value))]);
  for (const key of ['oneOf', 'anyOf']) if (schema[key]?.length && schema[key].every(one => isObject(one) && 'const' in one)) return schema[key].map(one => [one.const, one.title ?? String(one.const)]);
  return null;
}

/** What a form begins with: what has to be there and has only one sensible beginning. */
export function initial(schema, root = schema) {
  const one = plain(schema, root);
  if ('const' in one) return one.const;
  if (one.type !== 'object' && !one.properties) return undefined;
  const value = {};
  for (const name of one.required ?? []) {
    const property = plain(one.properties?.[name], root);
    const first = 'default' in property ? property.default : property.type === 'boolean' && !choices(property) ? false : initial(property, root);
    if (first !== undefined) value[name] = first;
  }
  return value;
}

/** What is wrong with a value, by the path of its field. The host says what else is wrong. */
export function faults(schema, value, root = schema, path = '') {
  const one = plain(schema, root), found = {};
  if (value instanceof Raw) return { [path]: 'This is not JSON.' };
  if (value === undefined) return found;
  if ((one.type === 'number' || one.type === 'integer') && typeof value === 'string' && !choices(one)) found[path] = `This is not ${one.type === 'integer' ? 'a whole number' : 'a number'}.`;
  else if (one.type === 'integer' && typeof value === 'number' && !Number.isInteger(value)) found[path] = 'This is not a whole number.';
  if (isObject(value)) {
    for (const name of one.required ?? []) if (value[name] === undefined) found[`${path}/${name}`] = 'This is required.';
    for (const [name, member] of Object.entries(value)) Object.assign(found, faults(one.properties?.[name] ?? (isObject(one.additionalProperties) ? one.additionalProperties : {}), member, root, `${path}/${name}`));
  }
  if (Array.isArray(value)) value.forEach((item, i) => Object.assign(found, item === undefined ? { [`${path}/${i}`]: 'This is required.' } : faults(one.items ?? {}, item, root, `${path}/${i}`)));
  return found;
}

const LONG = /^(text|body|content|query|prompt|message|description|code|script|sql|html|markdown|source|input)$/i;
const typeText = one => {
  const text = choices(one) ? '' : one.type === 'array' ? 'list' : one.type === 'object' ? '' : [].concat(one.type ?? 'JSON').join(' or ');
  const [low, high] = [one.minimum ?? one.exclusiveMinimum, one.maximum ?? one.exclusiveMaximum];
  const range = low !== undefined && high !== undefined ? `${low} to ${high}` : low !== undefined ? `at least ${low}` : high !== undefined ? `at most ${high}` : '';
  return [text, one.format, range].filter(Boolean).join(', ');
};

function Field({ schema, root, name, path, value, onChange, required, wrong, depth = 0 }) {
  const one = plain(schema, root);
  const id = `f${path.replace(/[^\w]/g, '-')}`;
  const fault = wrong[path];
  const set = { id, 'aria-invalid': fault ? 'true' : undefined, 'aria-describedby': fault ? `${id}-x` : one.description ? `${id}-d` : undefined };
  const pick = choices(one);
  const grouped = (one.type === 'object' && one.properties && !pick) || one.type === 'array';
  const title = one.title ?? name;
  const type = typeText(one);
  // With spaces between, for who hears it.
  const label = html`${title}${required ? html`${' '}<span class="type">required</span>` : ''}${type && html`${' '}<span class="type">${type}</span>`}`;
  const below = html`${fault && html`<div class="fault" id=${`${id}-x`}>${fault}</div>`}`;
  const hint = one.description && html`<div class="hint" id=${`${id}-d`}>${one.description}</div>`;
  const standard = 'default' in one ? `default: ${typeof one.default === 'string' ? one.default : JSON.stringify(one.default)}` : '';
  const example = standard || (one.examples?.length ? `such as ${typeof one.examples[0] === 'string' ? one.examples[0] : JSON.stringify(one.examples[0])}` : '');
  if (grouped && one.type !== 'array') {
    return html`<fieldset class="field"><legend>${label}</legend>${hint}
      ${value === undefined ? html`<button type="button" onClick=${() => onChange(initial(one, root) ?? {})}>Set ${title}</button>`
        : html`<${Fields} schema=${one} root=${root} path=${path} value=${value} onChange=${onChange} wrong=${wrong} depth=${depth + 1} />
          ${!required && html`<p><button type="button" class="quiet" onClick=${() => onChange(undefined)}>Leave ${title} out</button></p>`}`}${below}</fieldset>`;
  }
  if (one.type === 'array') {
    const items = plain(one.items ?? {}, root), list = Array.isArray(value) ? value : [];
    const options = choices(items);
    const change = next => onChange(next.length || required ? next : undefined);
    return html`<fieldset class="field"><legend>${label}</legend>${hint}
      ${options ? html`<div class="row">${options.map(([option, text]) => html`<label class="check" key=${text}><input type="checkbox" checked=${list.includes(option)} onChange=${event => change(event.target.checked ? [...list, option] : list.filter(other => other !== option))} />${text}</label>`)}</div>`
        : html`${list.map((item, i) => html`<div class="item" key=${i}><div class="grow"><${Field} schema=${items} root=${root} name=${`${title} ${i + 1}`} path=${`${path}/${i}`} value=${item} required wrong=${wrong} depth=${depth + 1}
              onChange=${next => change(list.map((other, j) => (j === i ? next : other)))} /></div>
            <button type="button" class="quiet" aria-label=${`Remove ${title} ${i + 1}`} onClick=${() => change(list.filter((_, j) => j !== i))}>Remove</button></div>`)}
          <p><button type="button" onClick=${() => onChange([...list, initial(items, root)])}>Add to ${title}</button></p>`}${below}</fieldset>`;
  }
  const wrap = field => html`<div class="field"><label for=${id}>${label}</label>${hint}${field}${below}</div>`;
  if ('const' in one) return wrap(html`<input ...${set} value=${JSON.stringify(one.const)} readonly />`);
  if (pick) {
    const at = pick.findIndex(([option]) => option === value);
    return wrap(html`<select ...${set} value=${at} onChange=${event => onChange(pick[event.target.value]?.[0])}>
      <option value=${-1}>${required ? 'Choose …' : standard || 'not set'}</option>${pick.map(([, text], i) => html`<option value=${i}>${text}</option>`)}</select>`);
  }
  if (one.type === 'boolean') {
    if (required) return html`<div class="field"><label class="check"><input type="checkbox" ...${set} checked=${value === true} onChange=${event => onChange(event.target.checked)} />${label}</label>${hint}${below}</div>`;
    return wrap(html`<select ...${set} value=${value === undefined ? '' : String(value)} onChange=${event => onChange(event.target.value === '' ? undefined : event.target.value === 'true')}>
      <option value="">${standard || 'not set'}</option><option value="true">yes</option><option value="false">no</option></select>`);
  }
  if (one.type === 'number' || one.type === 'integer') return wrap(html`<${NumberField} set=${set} value=${value} onChange=${onChange} placeholder=${example} />`);
  if (one.type === 'string') {
    const change = event => onChange(event.target.value === '' ? undefined : event.target.value);
    if (LONG.test(name) || one.maxLength > 200 || one.contentMediaType || String(value ?? '').includes('\n')) return wrap(html`<textarea ...${set} rows="4" value=${value ?? ''} placeholder=${example} onInput=${change} spellcheck=${false}></textarea>`);
    const kind = one.format === 'date' ? 'date' : one.format === 'password' || one.writeOnly ? 'password' : 'text';
    return wrap(html`<input ...${set} type=${kind} value=${value ?? ''} placeholder=${example} onInput=${change} autocomplete="off" spellcheck=${false} />`);
  }
  return wrap(html`<${JsonField} set=${set} value=${value} onChange=${onChange} placeholder=${example || 'JSON'} />`);
}

function NumberField({ set, value, onChange, placeholder }) {
  const [text, setText] = useState(value === undefined ? '' : String(value));
  const input = event => {
    const next = event.target.value.trim();
    setText(event.target.value);
    onChange(next === '' ? undefined : Number.isFinite(Number(next)) ? Number(next) : next);
  };
  return html`<input ...${set} inputmode="decimal" value=${text} placeholder=${placeholder} onInput=${input} autocomplete="off" />`;
}

function JsonField({ set, value, onChange, placeholder }) {
  const [text, setText] = useState(value === undefined ? '' : value instanceof Raw ? value.text : JSON.stringify(value, null, 2));
  const input = event => {
    setText(event.target.value);
    onChange(parse(event.target.value));
  };
  return html`<textarea ...${set} rows="3" value=${text} placeholder=${placeholder} onInput=${input} spellcheck=${false}></textarea>`;
}

function parse(text) {
  if (text.trim() === '') return undefined;
  try { return JSON.parse(text); } catch { return new Raw(text); }
}

function Fields({ schema, root, path, value, onChange, wrong, depth }) {
  const required = new Set(schema.required ?? []);
  const entries = Object.entries(schema.properties ?? {});
  // What has to be filled in comes first; everything else in the schema's order.
  const ordered = [...entries.filter(([name]) => required.has(name)), ...entries.filter(([name]) => !required.has(name))];
  const set = (name, next) => {
    const { [name]: _, ...rest } = value ?? {};
    onChange(next === undefined ? rest : { ...value, [name]: next });
  };
  return html`<div class="fields">${ordered.map(([name, property]) => html`<${Field} key=${name} schema=${property} root=${root} name=${name} path=${`${path}/${name}`} value=${value?.[name]} required=${required.has(name)} wrong=${wrong} depth=${depth ?? 0} onChange=${next => set(name, next)} />`)}</div>`;
}

/** Whether there is something to fill in. */
export const hasFields = (schema, root = schema) => Object.keys(plain(schema, root).properties ?? {}).length > 0;

/** The form of an object. `wrong`: by [`faults`]. */
export const Form = ({ schema, value, onChange, wrong = {} }) => html`<${Fields} schema=${plain(schema, schema)} root=${schema} path="" value=${value} onChange=${onChange} wrong=${wrong} />`;
export { JsonField, Raw };
