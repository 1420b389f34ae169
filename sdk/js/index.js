// Tools as plain functions: `tool({ name, description, input, run })`, and what a running tool can do.
import { call as callHost, callAll as callAllHost } from 'toolbay:plugin/calls@0.1.0';
import { ask as askHost } from 'toolbay:plugin/client@0.1.0';
import { claims as claimsOf, principal as principalOf, remainingMs, roles as rolesOf } from 'toolbay:plugin/context@0.1.0';
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

const bytes = (value) => {
  // The engine has no TextEncoder.
  const text = unescape(encodeURIComponent(JSON.stringify(value)));
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
};
const parsed = (value) => {
  let text = '';
  for (const byte of value) text += String.fromCharCode(byte);
  return JSON.parse(decodeURIComponent(escape(text)));
};

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
