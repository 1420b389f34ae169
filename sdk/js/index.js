// Tools as plain functions: `tool({ name, description, input, run })`, and what a running tool can do.
import { call as callHost, callAll as callAllHost } from 'toolbay:plugin/calls@0.1.0';
import { ask as askHost } from 'toolbay:plugin/client@0.1.0';
import { claims as claimsOf, principal as principalOf, remainingMs, roles as rolesOf } from 'toolbay:plugin/context@0.1.0';
import { fetch as fetchHost } from 'toolbay:plugin/fetch@0.1.0';
import { message } from 'toolbay:plugin/log@0.1.0';
import { report } from 'toolbay:plugin/progress@0.1.0';
import { get as storeGet, set as storeSet, delete as storeDelete, increment as storeIncrement, keys as storeKeys } from 'toolbay:plugin/store@0.1.0';

const INVALID_PARAMS = -32602;
const registered = new Map();

/** Offers a tool. */
export function tool(definition) {
  const { name, run } = definition;
  if (typeof name !== 'string' || !/^[A-Za-z0-9_.-]{1,128}$/.test(name)) {
    throw new Error(`a tool's name must be 1 to 128 of A-Z a-z 0-9 _ - . and not ${JSON.stringify(name)}`);
  }
  if (typeof run !== 'function') throw new Error(`the tool ${name} needs a function: tool({ name, run(args) { … } })`);
  if (registered.has(name)) throw new Error(`there are two tools of the name ${name}`);
  registered.set(name, definition);
  return run;
}

/** The interface `tools` of the contract. The build exports it. */
export const tools = {
  listTools() {
    return [...registered.values()].map(published);
  },

  callTool(name, text) {
    const definition = registered.get(name);
    // A thrown object of this form is the contract's `error`.
    if (!definition) throw { code: INVALID_PARAMS, message: `there is no tool ${name}` };
    try {
      return answer(definition.run(JSON.parse(text)));
    } catch (error) {
      if (error instanceof Error) `${error}\n${error.stack ?? ''}`.trim().split('\n').forEach((line) => message('debug', line));
      return { content: [textBlock(error instanceof Error ? error.message : String(error))], isError: true };
    }
  },
};

function published({ name, title, description, input, output, hints }) {
  const annotations = hints && {
    readOnlyHint: hints.readOnly,
    destructiveHint: hints.destructive,
    idempotentHint: hints.idempotent,
    openWorldHint: hints.openWorld,
  };
  return {
    name,
    title,
    description,
    inputSchema: JSON.stringify(schema(input ?? {})),
    outputSchema: output && JSON.stringify(schema(output)),
    annotations,
    icons: [],
  };
}

/** A JSON Schema as it is, or one from its properties, each of which may say `optional: true`. */
function schema(given) {
  if (given.type === 'object' || given.$ref || given.anyOf || given.oneOf || given.allOf) return given;
  const properties = {};
  const required = [];
  for (const [name, { optional, ...property }] of Object.entries(given)) {
    properties[name] = property;
    if (!optional) required.push(name);
  }
  return { type: 'object', properties, required, additionalProperties: false };
}

const textBlock = (text) => ({ tag: 'text', val: { text } });

function answer(value) {
  if (value && typeof value.then === 'function') {
    throw new Error('this tool is async, which QuickJS cannot wait for: each call has a sandbox of its own, so let it wait where it is');
  }
  if (value === undefined || value === null) return { content: [], isError: false };
  if (value instanceof Content) return { content: value.blocks, isError: false };
  if (typeof value === 'string') return { content: [textBlock(value)], isError: false };
  const structured = typeof value === 'object' && !Array.isArray(value) ? value : { result: value };
  return { content: [textBlock(JSON.stringify(value))], structuredContent: JSON.stringify(structured), isError: false };
}

class Content {
  constructor(blocks) {
    this.blocks = blocks;
  }
}

/** An answer of several pieces: texts and what `image` and `audio` make. */
export function content(...pieces) {
  return new Content(pieces.flatMap((piece) => (piece instanceof Content ? piece.blocks : [textBlock(String(piece))])));
}

/** A picture, from the bytes of its file. */
export function image(data, mimeType = 'image/png') {
  return new Content([{ tag: 'image', val: { data: Uint8Array.from(data), mimeType } }]);
}

/** A sound, from the bytes of its file. */
export function audio(data, mimeType = 'audio/wav') {
  return new Content([{ tag: 'audio', val: { data: Uint8Array.from(data), mimeType } }]);
}

/** Tells the client how far the call has come. `done` only ever rises. */
export function progress(done, total, text) {
  report(done, total, text);
}

/** Logs a sentence. `level`: debug, info, notice, warning, error, … */
export function log(level, text) {
  message(level, text);
}

/** The name under which the caller was let in, if the host has authentication. */
export function principal() {
  return principalOf();
}

/** The roles that the caller was given when it was let in. */
export function roles() {
  return rolesOf();
}

/** Claims of the caller's token that the operator lets plugins know, if there are any. */
export function claims() {
  const text = claimsOf();
  return text === undefined ? undefined : JSON.parse(text);
}

/** Milliseconds until the host ends this call. */
export function remaining() {
  return Number(remainingMs());
}

/**
 * Asks the person to fill in a form. What was filled in, or undefined where the person said no.
 * What stands before a question may run twice: ask first and act afterwards.
 */
export function ask(text, properties) {
  const form = { message: text, schema: JSON.stringify(schema(properties ?? {})) };
  return replied(askOne({ tag: 'form', val: form }), (given) => JSON.parse(given ?? '{}'));
}

/** Asks the person to visit a page. Whether the person agreed. */
export function askLink(text, url) {
  return replied(askOne({ tag: 'link', val: { message: text, url } }), () => true) ?? false;
}

function askOne(question) {
  let answers;
  try {
    answers = askHost([{ question }]);
  } catch (error) {
    throw new Error(askProblem(error));
  }
  return answers[0].val;
}

function replied(reply, read) {
  return reply.action === 'accept' ? read(reply.content) : undefined;
}

/**
 * Calls another tool, of any plugin or server. The operator grants it: `calls` in `[plugin.NAME]`.
 * Answers its structured content, or else its text. A tool that failed throws its text.
 */
export function call(name, args) {
  return answered(() => callHost(name, JSON.stringify(args ?? {})));
}

/** Calls several at once, each by `[name, args]`. For each of them `{ value }`, or `{ error }`. */
export function callAll(calls) {
  const answers = callAllHost(calls.map(([name, args]) => ({ name, arguments: JSON.stringify(args ?? {}) })));
  return answers.map((each) => {
    try {
      return { value: answered(() => unwrapped(each)) };
    } catch (error) {
      return { error };
    }
  });
}

function answered(make) {
  let given;
  try {
    given = make();
  } catch (error) {
    throw new Error(problemText(error));
  }
  const text = given.content.filter(({ tag }) => tag === 'text').map(({ val }) => val.text).join('\n');
  if (given.isError) throw new Error(text);
  const structured = given.structuredContent;
  return structured === undefined || structured === null ? text : JSON.parse(structured);
}

/** A `result` that stands in a list. */
function unwrapped(result) {
  if (result.tag === 'err') throw result.val;
  return result.val;
}

function problemText(error) {
  const problem = error?.payload ?? error;
  const why = typeof problem?.val === 'string' ? problem.val : problem?.val?.message;
  return why ?? String(error);
}

function kept(run) {
  try {
    return run();
  } catch (error) {
    throw new Error(problemText(error));
  }
}

const encoded = (text) => {
  // The engine has no TextEncoder.
  return Uint8Array.from(unescape(encodeURIComponent(text)), (char) => char.charCodeAt(0));
};
const decoded = (value) => {
  let text = '';
  for (const byte of value) text += String.fromCharCode(byte);
  try {
    return decodeURIComponent(escape(text));
  } catch {
    // Not UTF-8: each byte is a character.
    return text;
  }
};
const bytes = (value) => encoded(JSON.stringify(value));
const parsed = (value) => JSON.parse(decoded(value));

/** Headers that are for one server only, and not for where it redirects to. */
const SECRET_HEADERS = ['authorization', 'cookie', 'proxy-authorization'];

/** What a server answered, whatever its status. */
class Response {
  constructor(url, { status, headers, body }) {
    Object.assign(this, { url, status, body, headers: {} });
    for (const [name, value] of headers) this.headers[name] ??= decoded(value);
  }
  /** Whether the status is a success. */
  get ok() {
    return this.status >= 200 && this.status < 300;
  }
  text() {
    return decoded(this.body);
  }
  json() {
    return JSON.parse(this.text());
  }
}

/**
 * An HTTP request, redirects and all. It waits: there is nothing to await. The operator grants the hosts: `http` in `[plugin.NAME]`.
 * `body`: text or bytes, `json`: a value; `timeout` in milliseconds for all of it; `maxBody` in bytes; `redirects` that are followed, 0 for none.
 */
export function fetch(url, { method = 'GET', headers = {}, body, json, timeout = 30_000, maxBody = 8 << 20, redirects = 5 } = {}) {
  const end = Date.now() + timeout;
  let sent = { 'user-agent': 'toolbay-plugin/0.1' };
  for (const [name, value] of Object.entries(headers)) sent[name.toLowerCase()] = String(value);
  if (json !== undefined) {
    body = JSON.stringify(json);
    sent['content-type'] ??= 'application/json';
  }
  let data = typeof body === 'string' ? encoded(body) : Uint8Array.from(body ?? []);
  const without = (unwanted) => Object.fromEntries(Object.entries(sent).filter(([name]) => !unwanted(name)));
  for (let followed = 0; ; followed += 1) {
    const request = {
      method,
      url,
      headers: Object.entries(sent).map(([name, value]) => [name, encoded(value)]),
      body: data,
      timeoutMs: Math.max(end - Date.now(), 1),
      maxBody,
      wanted: undefined,
    };
    let answered;
    try {
      answered = fetchHost(request);
    } catch (error) {
      const problem = error?.payload ?? error;
      throw new Error(problem?.tag ? `${url} cannot be fetched (${problem.tag}): ${problem.val}` : `${url} cannot be fetched: ${error}`);
    }
    const response = new Response(url, answered);
    const { location } = response.headers;
    if (![301, 302, 303, 307, 308].includes(response.status) || location === undefined || redirects === 0) return response;
    if (followed === redirects) throw new Error(`${url} redirects too often`);
    // As browsers do: after these, the answer is fetched from the other place.
    if (response.status === 303 || (response.status < 303 && method === 'POST')) {
      if (method !== 'HEAD') method = 'GET';
      data = new Uint8Array();
      sent = without((name) => name.startsWith('content-'));
    }
    const next = joined(url, location);
    if (origin(next) !== origin(url)) sent = without((name) => SECRET_HEADERS.includes(name));
    url = next;
  }
}

/** Scheme and authority. */
function origin(url) {
  return /^[a-z]+:\/\/[^/?#]*/i.exec(url)?.[0].toLowerCase();
}

/** Where a `Location` header leads from a URL. */
function joined(url, location) {
  const from = origin(url) ?? '';
  const path = /^[^?#]*/.exec(url.slice(from.length))[0] || '/';
  if (/^[a-z][a-z0-9+.-]*:/i.test(location)) return location;
  if (location.startsWith('//')) return from.split(':')[0] + ':' + location;
  if (location.startsWith('/')) return from + location;
  if (location.startsWith('?')) return from + path + location;
  return from + path.slice(0, path.lastIndexOf('/') + 1) + location;
}

/** What the plugin keeps from one call to the next, as JSON. The operator grants it: `store` in `[plugin.NAME]`. */
export const store = {
  /** A value, or undefined. */
  get(key) {
    return store.entry(key)?.value;
  },
  /** A value with its version, for `set`. */
  entry(key) {
    const found = kept(() => storeGet(key));
    return found === undefined || found === null ? undefined : { value: parsed(found.value), version: found.version };
  },
  /** Sets a value. `ttl`: for so many milliseconds; `version`: only if it is still that one; `absent`: only if there is none. Whether it was set. */
  set(key, value, { ttl, version, absent } = {}) {
    const when = absent ? { tag: 'absent' } : version === undefined ? { tag: 'always' } : { tag: 'version', val: version };
    const set = kept(() => storeSet(key, bytes(value), ttl, when));
    return set !== undefined && set !== null;
  },
  /** Deletes a value. Whether there was one. */
  delete(key) {
    return kept(() => storeDelete(key, { tag: 'always' }));
  },
  /** Adds to a number in one step, and answers what it is then. */
  increment(key, by = 1) {
    return Number(kept(() => storeIncrement(key, by)));
  },
  /** All keys that begin so, in order. */
  keys(prefix = '') {
    const all = [];
    for (;;) {
      const part = kept(() => storeKeys(prefix, all.at(-1), 1000));
      if (part.length === 0) return all;
      all.push(...part);
    }
  },
};

function askProblem(error) {
  const problem = error?.payload ?? error;
  const why = typeof problem?.val === 'string' ? problem.val : problem?.val?.message;
  return why ? `there is no answer (${problem.tag}): ${why}` : `there is no answer: ${error}`;
}
