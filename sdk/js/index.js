// Tools, resources and prompts as plain functions, and what a running tool can do.
import { call as callHost, callAll as callAllHost } from 'toolbay:plugin/calls@0.1.0';
import { ask as askHost } from 'toolbay:plugin/client@0.1.0';
import { claims as claimsOf, principal as principalOf, remainingMs, roles as rolesOf } from 'toolbay:plugin/context@0.1.0';
import { message } from 'toolbay:plugin/log@0.1.0';
import { report } from 'toolbay:plugin/progress@0.1.0';
import { get as storeGet, set as storeSet, delete as storeDelete, increment as storeIncrement, keys as storeKeys } from 'toolbay:plugin/store@0.1.0';
import { checked, described, isStandard, object as schema } from './schema.js';
import { decoded, encoded } from './text.js';
import { settled } from './wait.js';

export { env, files } from './files.js';
export { fetch } from './http.js';

const INVALID_PARAMS = -32602;
const INTERNAL_ERROR = -32603;
// So many causes of an error are told.
const MOST_CAUSES = 4;
const registered = new Map();
const readable = [];
const prompted = new Map();
// They tell the build what the component has to export: they are in the bundle where `resource` and `prompt` are used.
const OFFERS_RESOURCES = 'toolbay:offers-resources';
const OFFERS_PROMPTS = 'toolbay:offers-prompts';

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
      const args = JSON.parse(text);
      return answer(settled(definition.run(isStandard(definition.input) ? checked(definition.input, args) : args)));
    } catch (error) {
      logged(error);
      return { content: [textBlock(thrown(error))], isError: true };
    }
  },
};

/** Offers something to read: at one address, or by a template of many. */
export function resource(definition) {
  const { uri, read } = definition;
  if (typeof uri !== 'string' || !/^[^:]+:./.test(uri)) {
    throw new Error(`a resource needs an address, such as notes://today, and not ${JSON.stringify(uri)}`);
  }
  if (typeof read !== 'function') throw new Error(`the resource ${uri} needs a function: resource({ uri, read(values) { … } })`);
  if (readable.some((known) => known.uri === uri)) throw new Error(`there are two resources at ${uri}`);
  readable.push({ kind: OFFERS_RESOURCES, fits: pattern(uri), ...definition });
  return read;
}

/** Offers a prompt. */
export function prompt(definition) {
  const { name, run } = definition;
  if (typeof name !== 'string' || !/^[A-Za-z0-9_.-]{1,128}$/.test(name)) {
    throw new Error(`a prompt's name must be 1 to 128 of A-Z a-z 0-9 _ - . and not ${JSON.stringify(name)}`);
  }
  if (typeof run !== 'function') throw new Error(`the prompt ${name} needs a function: prompt({ name, run(args) { … } })`);
  if (prompted.has(name)) throw new Error(`there are two prompts of the name ${name}`);
  prompted.set(name, { kind: OFFERS_PROMPTS, ...definition });
  return run;
}

/** The interface `resources` of the contract. The build exports it. */
export const resources = {
  listResources() {
    return readable.filter(({ uri }) => !uri.includes('{')).map(listed);
  },

  listTemplates() {
    return readable.filter(({ uri }) => uri.includes('{')).map((each) => ({ ...listed(each), uriTemplate: each.uri }));
  },

  readResource(uri) {
    for (const { fits, read, mimeType } of readable) {
      const values = fits(uri);
      if (values) return attempt(() => contents(settled(read(values)), uri, mimeType), INTERNAL_ERROR);
    }
    return undefined;
  },
};

const listed = ({ uri, name, title, description, mimeType }) => ({ uri, name: name ?? uri, title, description, mimeType, icons: [] });

function contents(value, uri, mimeType) {
  if (value === undefined || value === null) return undefined;
  const pieces = Array.isArray(value) && value.every((piece) => piece && typeof piece === 'object' && 'body' in piece) ? value : [{ body: value }];
  return pieces.map(({ uri: own, mimeType: type, body }) => {
    const isBytes = body instanceof Uint8Array || body instanceof ArrayBuffer;
    const isText = typeof body === 'string';
    return {
      uri: own ?? uri,
      mimeType: type ?? mimeType ?? (isBytes || isText ? undefined : 'application/json'),
      body: isBytes ? { tag: 'blob', val: new Uint8Array(body) } : { tag: 'text', val: isText ? body : JSON.stringify(body) },
    };
  });
}

/** The interface `prompts` of the contract. The build exports it. */
export const prompts = {
  listPrompts() {
    return [...prompted.values()].map(({ name, title, description, arguments: args }) => ({
      name,
      title,
      description,
      arguments: Object.entries(args ?? {}).map(([argument, { title: label, description: text, optional }]) => ({
        name: argument,
        title: label,
        description: text,
        required: !optional,
      })),
      icons: [],
    }));
  },

  getPrompt(name, args) {
    const found = prompted.get(name);
    if (!found) throw { code: INVALID_PARAMS, message: `there is no prompt ${name}` };
    const given = settledAttempt(() => found.run(Object.fromEntries(args)));
    const messages = (Array.isArray(given) ? given : [given]).flatMap((each) => {
      const { role, content: said } = typeof each === 'object' && 'role' in each ? each : { role: 'user', content: each };
      const blocks = said instanceof Content ? said.blocks : [textBlock(String(said))];
      return blocks.map((content) => ({ role, content }));
    });
    return { description: found.description, messages };
  },
};

/** The interface `completion` of the contract. The build exports it. */
export const completion = {
  complete(what, argument, value, others) {
    const found = what.tag === 'prompt' ? prompted.get(what.val)?.arguments?.[argument]?.complete : readable.find(({ uri }) => uri === what.val)?.complete?.[argument];
    const all = typeof found === 'function' ? settledAttempt(() => found(value, Object.fromEntries(others))) : (found ?? []);
    const fitting = all.map(String).filter((each) => each.toLowerCase().startsWith(value.toLowerCase()));
    return { values: fitting.slice(0, 100), total: fitting.length, hasMore: fitting.length > 100 };
  },
};

/** What a function of the author's throws becomes the contract's `error`. */
function attempt(run, code) {
  try {
    return run();
  } catch (error) {
    logged(error);
    throw { code, message: thrown(error) };
  }
}

const settledAttempt = (run) => attempt(() => settled(run()), INVALID_PARAMS);

/** The values of a template's variables in an address: `{name}` ends at `/`, `?` and `#`, `{+name}` does not. Undefined: it does not fit. */
function pattern(template) {
  const names = [];
  const quoted = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const source = template.split(/(\{[^}]*\})/).map((part) => {
    const variable = /^\{(\+?)([A-Za-z]\w*)\}$/.exec(part);
    if (!variable && part.startsWith('{')) throw new Error(`${part} of ${template} is no variable here: there are {name} and {+name}`);
    if (!variable) return quoted(part);
    names.push(variable[2]);
    return variable[1] ? '(.+)' : '([^/?#]+)';
  });
  const whole = new RegExp(`^${source.join('')}$`, 's');
  return (uri) => {
    const found = whole.exec(uri);
    try {
      return found && Object.fromEntries(names.map((name, index) => [name, decodeURIComponent(found[index + 1])]));
    } catch {
      // It is not encoded as addresses are.
      return undefined;
    }
  };
}

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
    inputSchema: JSON.stringify(described(input ?? {}, 'input')),
    outputSchema: output && JSON.stringify(described(output, 'output')),
    annotations,
    icons: [],
  };
}

const textBlock = (text) => ({ tag: 'text', val: { text } });

/** What was thrown, whatever it is, as the caller reads it, with what caused it. */
function thrown(error, depth = 0) {
  try {
    if (error instanceof Error) {
      const text = error.message || error.name;
      // Causes may lead in a circle.
      const causes = depth === MOST_CAUSES ? [] : [error.cause, ...(Array.isArray(error.errors) ? error.errors : [])].slice(0, MOST_CAUSES);
      const cause = causes.filter((each) => each !== undefined).map((each) => thrown(each, depth + 1)).join('; ');
      return cause && !text.includes(cause) ? `${text}: ${cause}` : text;
    }
    if (typeof error?.message === 'string') return error.message;
    return (typeof error === 'object' && error ? JSON.stringify(error) : undefined) ?? String(error);
  } catch {
    return Object.prototype.toString.call(error);
  }
}

function logged(error) {
  if (error instanceof Error) `${error}\n${error.stack ?? ''}`.trim().split('\n').forEach((line) => message('debug', line));
}

function answer(value) {
  if (value === undefined || value === null) return { content: [], isError: false };
  if (value instanceof Content) return { content: value.blocks, isError: false };
  if (typeof value === 'string') return { content: [textBlock(value)], isError: false };
  const text = JSON.stringify(value);
  if (text === undefined) throw new Error(`the answer is a ${typeof value}, which is nothing in JSON`);
  const structured = typeof value === 'object' && !Array.isArray(value) ? value : { result: value };
  return { content: [textBlock(text)], structuredContent: JSON.stringify(structured), isError: false };
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

const bytes = (value) => encoded(JSON.stringify(value));
const parsed = (value) => JSON.parse(decoded(value));

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
