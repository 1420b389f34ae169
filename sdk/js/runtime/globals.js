// Names that every engine but QuickJS knows. The build brings in those that the plugin's code uses.
import { subscribeDuration } from 'wasi:clocks/monotonic-clock@0.2.0';
import { fetch as waitingFetch } from '../http.js';
import { decoded, encoded } from '../text.js';
import { Promise as Waiting, enqueue, sleeps } from './promise.js';

export class TextEncoder {
  get encoding() {
    return 'utf-8';
  }
  encode(text = '') {
    return encoded(text);
  }
}

export class TextDecoder {
  constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
    if (!/^utf-?8$/i.test(label)) throw new RangeError(`there is no decoder of ${label} here, only of utf-8`);
    Object.assign(this, { encoding: 'utf-8', fatal, ignoreBOM });
  }
  decode(bytes = new Uint8Array()) {
    const view = bytes instanceof ArrayBuffer ? new Uint8Array(bytes) : new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const text = decoded(view, this.fatal);
    return !this.ignoreBOM && text.startsWith('\ufeff') ? text.slice(1) : text;
  }
}

export function queueMicrotask(run) {
  enqueue(run);
}

const timers = new Map();
let count = 0;

export function setTimeout(run, delay = 0, ...args) {
  sleeps(wait);
  count += 1;
  timers.set(count, { at: Date.now() + Math.max(Number(delay) || 0, 0), run: () => run(...args) });
  return count;
}

export function clearTimeout(timer) {
  timers.delete(timer);
}

/** Sleeps until the next timer, and runs it; or forgets all of them. */
function wait(forgets = false) {
  if (forgets) {
    timers.clear();
    return false;
  }
  const [id, timer] = [...timers].reduce((one, other) => (other[1].at < one[1].at ? other : one), [undefined, { at: Infinity }]);
  if (id === undefined) return false;
  const left = timer.at - Date.now();
  if (left > 0) {
    const pollable = subscribeDuration(Math.ceil(left * 1e6));
    pollable.block();
    pollable[Symbol.dispose]?.();
  }
  timers.delete(id);
  enqueue(timer.run);
  return true;
}

/** Headers, whose names are in small letters. */
export class Headers {
  #values = {};
  constructor(given = {}) {
    const entries = typeof given.entries === 'function' ? given.entries() : Object.entries(given);
    for (const [name, value] of entries) this.append(name, value);
  }
  append(name, value) {
    const own = this.get(name);
    this.set(name, own === null ? value : `${own}, ${value}`);
  }
  set(name, value) {
    this.#values[name.toLowerCase()] = String(value);
  }
  get(name) {
    return this.#values[name.toLowerCase()] ?? null;
  }
  has(name) {
    return name.toLowerCase() in this.#values;
  }
  delete(name) {
    delete this.#values[name.toLowerCase()];
  }
  entries() {
    return Object.entries(this.#values).values();
  }
  keys() {
    return Object.keys(this.#values).values();
  }
  values() {
    return Object.values(this.#values).values();
  }
  forEach(run) {
    for (const [name, value] of this.entries()) run(value, name, this);
  }
  [Symbol.iterator]() {
    return this.entries();
  }
}

/** The web's `fetch`, as far as it makes sense where the answer comes whole. That of `toolbay-plugin` waits where it is. */
export function fetch(url, { redirect = 'follow', ...options } = {}) {
  return new Waiting((resolve) => {
    const answer = waitingFetch(url, { ...options, redirects: redirect === 'follow' ? 20 : 0 });
    const { status, ok } = answer;
    if (redirect === 'error' && status >= 300 && status < 400) throw new TypeError(`${url} redirects`);
    resolve({
      status,
      ok,
      url: answer.url,
      redirected: answer.url !== String(url),
      headers: new Headers(answer.headers),
      text: async () => answer.text(),
      json: async () => answer.json(),
      bytes: async () => answer.body,
      arrayBuffer: async () => answer.body.slice().buffer,
    });
  });
}
