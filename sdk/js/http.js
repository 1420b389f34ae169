// HTTP over WASI: like the web's `fetch`, but it waits where it is, since each call of a tool has a sandbox of its own.
// The build leaves out what nothing names: these names are no others'.
import { handle as httpHandle } from 'wasi:http/outgoing-handler@0.2.12';
import {
  Fields as HttpFields,
  OutgoingBody as HttpOutgoingBody,
  OutgoingRequest as HttpOutgoingRequest,
  RequestOptions as HttpRequestOptions,
} from 'wasi:http/types@0.2.12';

const METHODS = ['get', 'head', 'post', 'put', 'delete', 'connect', 'options', 'trace', 'patch'];
const REDIRECTS = [301, 302, 303, 307, 308];
// As much as WASI lets one write at once.
const PIECE = 4096;
const SECRETS = ['authorization', 'cookie', 'proxy-authorization'];

/**
 * An HTTP request. Answers `{ status, ok, url, headers, text(), json(), bytes() }`. The operator grants the hosts: `http` in `[plugin.NAME]`.
 * Redirects are followed as browsers do. `timeout` is in milliseconds, for each wait; `maxBody` in bytes.
 */
export function fetch(url, options = {}) {
  const { json, timeout = 30_000, maxBody = 8 << 20, redirects = 5 } = options;
  let { method = 'GET', body } = options;
  let headers = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) headers[name.toLowerCase()] = String(value);
  if (json !== undefined) {
    body = JSON.stringify(json);
    headers['content-type'] ??= 'application/json';
  }
  let data = typeof body === 'string' ? encoded(body) : (body ?? new Uint8Array());
  let place = parts(url);
  for (let left = redirects; ; left -= 1) {
    const answer = exchange(place, method, headers, data, timeout, maxBody);
    const { location } = answer.headers;
    if (!REDIRECTS.includes(answer.status) || location === undefined || redirects === 0) return answer;
    if (left === 0) throw new Error(`${url} redirects too often`);
    const next = parts(resolved(place, location));
    if (answer.status === 303 || (answer.status < 303 && method === 'POST')) {
      method = method === 'HEAD' ? 'HEAD' : 'GET';
      data = new Uint8Array();
      headers = without(headers, (name) => name.startsWith('content-'));
    }
    if (next.scheme !== place.scheme || next.authority !== place.authority) headers = without(headers, (name) => SECRETS.includes(name));
    place = next;
  }
}

const without = (headers, leaves) => Object.fromEntries(Object.entries(headers).filter(([name]) => !leaves(name)));

function parts(url) {
  const found = /^(https?):\/\/([^/?#@]+)([^#]*)/i.exec(String(url));
  if (!found) throw new Error(`${JSON.stringify(url)} is no http or https URL`);
  const path = found[3].startsWith('/') ? found[3] : `/${found[3]}`;
  return { scheme: found[1].toLowerCase(), authority: found[2], path, url: `${found[1].toLowerCase()}://${found[2]}${path}` };
}

/** Where a `location` leads from a place. */
function resolved({ scheme, authority, path }, location) {
  if (/^[a-z][a-z0-9+.-]*:/i.test(location)) return location;
  if (location.startsWith('//')) return `${scheme}:${location}`;
  const [bare] = path.split('?');
  if (location.startsWith('?')) return `${scheme}://${authority}${bare}${location}`;
  const [target, query] = location.split(/(?=\?)/);
  const base = target.startsWith('/') ? target : bare.slice(0, bare.lastIndexOf('/') + 1) + target;
  const kept = [];
  for (const part of base.split('/').slice(1)) {
    if (part === '..') kept.pop();
    else if (part !== '.') kept.push(part);
  }
  return `${scheme}://${authority}/${kept.join('/')}${query ?? ''}`;
}

function exchange({ scheme, authority, path, url }, method, headers, data, timeout, maxBody) {
  const sent = { 'user-agent': 'toolbay-plugin/0.1', ...headers };
  if (data.length > 0) sent['content-length'] ??= String(data.length);
  const known = METHODS.includes(method.toLowerCase());
  const limit = Math.round(timeout * 1e6);
  let response;
  try {
    const request = new HttpOutgoingRequest(HttpFields.fromList(Object.entries(sent).map(([name, value]) => [name, encoded(value)])));
    request.setMethod(known ? { tag: method.toLowerCase() } : { tag: 'other', val: method });
    request.setScheme({ tag: scheme === 'https' ? 'HTTPS' : 'HTTP' });
    request.setAuthority(authority);
    request.setPathWithQuery(path);
    const limits = new HttpRequestOptions();
    limits.setConnectTimeout(limit);
    limits.setFirstByteTimeout(limit);
    limits.setBetweenBytesTimeout(limit);
    const outgoing = data.length > 0 ? request.body() : undefined;
    const coming = httpHandle(request, limits);
    if (outgoing) send(outgoing, data);
    const ready = coming.subscribe();
    ready.block();
    ready[Symbol.dispose]();
    response = settled(settled(coming.get()));
  } catch (error) {
    throw new Error(problem(url, error));
  }
  const received = {};
  const fields = response.headers();
  for (const [name, value] of fields.entries()) received[name.toLowerCase()] = latin1(value);
  fields[Symbol.dispose]();
  const bytes = read(url, response, maxBody);
  const status = response.status();
  return {
    status,
    ok: status >= 200 && status < 300,
    url,
    headers: received,
    bytes: () => bytes,
    text: () => decoded(bytes),
    json: () => JSON.parse(decoded(bytes)),
  };
}

/** A `result` that stands in another value. */
function settled(result) {
  if (result?.tag === 'err') throw result.val;
  return result?.tag === 'ok' ? result.val : result;
}

function send(outgoing, data) {
  const stream = outgoing.write();
  try {
    for (let at = 0; at < data.length; at += PIECE) stream.blockingWriteAndFlush(data.slice(at, at + PIECE));
  } catch {
    // A server may answer before it has read everything: then that answer counts.
  }
  stream[Symbol.dispose]();
  HttpOutgoingBody.finish(outgoing, undefined);
}

function read(url, response, maxBody) {
  const body = response.consume();
  const stream = body.stream();
  const pieces = [];
  let length = 0;
  for (;;) {
    let piece;
    try {
      piece = stream.blockingRead(65536);
    } catch (error) {
      const cause = error?.payload ?? error;
      if (cause?.tag !== 'closed') throw new Error(`the answer of ${url} broke off`);
      break;
    }
    length += piece.length;
    if (length > maxBody) throw new Error(`${url} answered more than ${maxBody} bytes`);
    pieces.push(piece);
  }
  stream[Symbol.dispose]();
  body[Symbol.dispose]();
  const whole = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function problem(url, error) {
  const code = error?.payload ?? error;
  if (typeof code?.tag !== 'string') return error instanceof Error ? error.message : String(error);
  const name = code.tag.toLowerCase();
  if (name === 'http-request-denied' || name === 'destination-ip-prohibited') {
    return `the plugin may not reach ${url}: it is not granted in the plugin's configuration`;
  }
  if (name.endsWith('timeout')) return `${url} did not answer in time`;
  return `${url} cannot be reached: ${typeof code.val === 'string' ? code.val : name.replaceAll('-', ' ')}`;
}

// The engine has neither TextEncoder nor TextDecoder.
const encoded = (text) => Uint8Array.from(unescape(encodeURIComponent(text)), (char) => char.charCodeAt(0));

function latin1(bytes) {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function decoded(bytes) {
  const text = latin1(bytes);
  try {
    return decodeURIComponent(escape(text));
  } catch {
    // It is no UTF-8.
    return text;
  }
}
