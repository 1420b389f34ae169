// HTTP by the host: an exchange is one call, which waits where it is.
import { fetch as fetchHost } from 'toolbay:plugin/fetch@0.1.0';
import { decoded, encoded, latin1 } from './text.js';

const REDIRECTS = [301, 302, 303, 307, 308];
// Headers that are for one server only, and not for where it redirects to.
const SECRETS = ['authorization', 'cookie', 'proxy-authorization'];

/** What a server answered, whatever its status. */
class Answer {
  constructor(url, { status, headers, body }) {
    this.url = url;
    this.status = status;
    this.headers = {};
    this.body = Uint8Array.from(body);
    for (const [name, value] of headers) this.headers[name] = name in this.headers ? `${this.headers[name]}, ${latin1(value)}` : latin1(value);
  }
  get ok() {
    return this.status >= 200 && this.status < 300;
  }
  text() {
    return decoded(this.body);
  }
  json() {
    const text = this.text();
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new Error(`${this.url} answered no JSON (${error.message}): ${text.slice(0, 200)}`);
    }
  }
}

/**
 * An HTTP request, redirects and all. It waits where it is; `await` does no harm. The operator grants the hosts: `http` in `[plugin.NAME]`.
 * `body`: text or bytes; `json`: a value; `timeout` in milliseconds for all of it; `maxBody` in bytes; `redirects` that are followed, 0 for none.
 */
export function fetch(address, { method = 'GET', headers = {}, body, json, timeout = 30_000, maxBody = 8 << 20, redirects = 5 } = {}) {
  const end = Date.now() + timeout;
  let url = String(address);
  let sent = { 'user-agent': 'toolbay-plugin/0.1' };
  for (const [name, value] of typeof headers.entries === 'function' ? headers.entries() : Object.entries(headers)) sent[name.toLowerCase()] = String(value);
  if (json !== undefined) {
    body = JSON.stringify(json);
    sent['content-type'] ??= 'application/json';
  }
  let data = body === undefined || body === null ? new Uint8Array() : bytes(body);
  const keep = (wanted) => Object.fromEntries(Object.entries(sent).filter(([name]) => wanted(name)));
  for (let followed = 0; ; followed += 1) {
    const response = exchange(url, method, sent, data, Math.max(end - Date.now(), 1), maxBody);
    const { location } = response.headers;
    if (!REDIRECTS.includes(response.status) || location === undefined || redirects === 0) return response;
    if (followed === redirects) throw new Error(`${address} redirects too often`);
    // As browsers do: after these, the answer is fetched from the other place.
    if (response.status === 303 || (response.status < 303 && method === 'POST')) {
      if (method !== 'HEAD') method = 'GET';
      data = new Uint8Array();
      sent = keep((name) => !name.startsWith('content-'));
    }
    const next = resolved(url, location);
    if (origin(next) !== origin(url)) sent = keep((name) => !SECRETS.includes(name));
    url = next;
  }
}

function exchange(url, method, headers, body, timeoutMs, maxBody) {
  const list = Object.entries(headers).map(([name, value]) => [name, encoded(value)]);
  let answered;
  try {
    answered = fetchHost({ method, url, headers: list, body, timeoutMs: Math.ceil(timeoutMs), maxBody, wanted: undefined });
  } catch (error) {
    const problem = error?.payload ?? error;
    throw new Error(`${url} cannot be fetched: ${problem?.val ?? error}`);
  }
  return new Answer(url, answered);
}

function bytes(body) {
  if (typeof body === 'string') return encoded(body);
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  if (Array.isArray(body)) return Uint8Array.from(body);
  // Such as URLSearchParams.
  return encoded(String(body));
}

/** Scheme and authority. */
function origin(url) {
  return /^[a-z]+:\/\/[^/?#]*/i.exec(url)?.[0].toLowerCase();
}

/** Where a `Location` header leads from a URL. */
function resolved(url, location) {
  const from = /^[a-z]+:\/\/[^/?#]*/i.exec(url)?.[0] ?? '';
  const path = /^[^?#]*/.exec(url.slice(from.length))[0] || '/';
  if (/^[a-z][a-z0-9+.-]*:/i.test(location)) return location;
  if (location.startsWith('//')) return `${from.split(':')[0]}:${location}`;
  if (location.startsWith('?')) return from + path + location;
  const [target, query] = location.split(/(?=[?#])/);
  const base = target.startsWith('/') ? target : path.slice(0, path.lastIndexOf('/') + 1) + target;
  const kept = [];
  const parts = base.split('/').slice(1);
  parts.forEach((part, index) => {
    if (part === '..') kept.pop();
    else if (part !== '.') kept.push(part);
    // A path that ends in a dot is a folder.
    if ((part === '..' || part === '.') && index === parts.length - 1) kept.push('');
  });
  return `${from}/${kept.join('/')}${query ?? ''}`;
}
