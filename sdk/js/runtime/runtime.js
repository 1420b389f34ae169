// What QuickJS lacks, put in place by the build before the plugin's own code.
import { getRandomU64 } from 'wasi:random/random@0.2.0';
import { message } from './log.js';
import { Promise, settled, whole } from './promise.js';

globalThis.Promise = Promise;
// By this the SDK waits for what an async tool comes to.
globalThis[Symbol.for('toolbay.settled')] = settled;

// The engine's own generator is frozen in the built component: every sandbox would draw the same numbers.
Math.random = () => Math.min(Number(getRandomU64()) / 2 ** 64, 1 - 2 ** -53);

const shown = (value) => {
  if (typeof value === 'string') return value;
  if (value instanceof Error) return value.stack ? `${value}\n${value.stack}` : String(value);
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
};
const at = (level) => (...values) => values.map(shown).join(' ').trimEnd().split('\n').forEach((line) => message(level, line));
globalThis.console = { log: at('info'), info: at('info'), debug: at('debug'), warn: at('warning'), error: at('error') };

// So many causes of an error are told.
const MOST_CAUSES = 4;

/** The text of what was thrown, whatever it is, with what caused it. */
function thrown(error, depth = 0) {
  try {
    if (!(error instanceof Error)) return typeof error?.message === 'string' ? error.message : shown(error);
    const text = error.message || error.name;
    // Causes may lead in a circle.
    const causes = depth === MOST_CAUSES ? [] : [error.cause, ...(Array.isArray(error.errors) ? error.errors : [])].slice(0, MOST_CAUSES);
    const cause = causes.filter((each) => each !== undefined).map((each) => thrown(each, depth + 1)).join('; ');
    return cause && !text.includes(cause) ? `${text}: ${cause}` : text;
  } catch {
    return Object.prototype.toString.call(error);
  }
}

/**
 * A plain function as the host calls it: what it throws is logged before it is lost, or becomes the error of its `result`.
 * `kind`: what that is: a 'text', an 'other' value, or 'none'.
 */
export function exported(name, run, kind) {
  return (...args) => {
    try {
      return whole(() => run(...args));
    } catch (error) {
      if (error instanceof Error) at(kind === 'text' ? 'debug' : 'error')(error);
      else if (kind === 'none') at('error')(`${name} threw ${shown(error)}`);
      throw kind === 'text' ? thrown(error) : error;
    }
  };
}

/** The plugin's code has been read, when it is built: what it left to do is done, as engines do it. A timer would run in a later call, and does not. */
export function evaluated() {
  whole(() => {});
}

// JSON-RPC's "internal error".
const INTERNAL_ERROR = -32603;

/**
 * An interface as the host calls it: its functions may be async, and what they throw is logged. `ofContract`: what is thrown becomes the contract's
 * `error`, where it is none.
 */
export function exportedInterface(given, ofContract = false) {
  if (typeof given !== 'object' || given === null) return given;
  const logged = (run) =>
    function (...args) {
      try {
        return whole(() => run.apply(given, args));
      } catch (error) {
        if (error instanceof Error) at(ofContract ? 'debug' : 'error')(error);
        const isContracts = typeof error?.code === 'number' && typeof error.message === 'string' && !(error instanceof Error);
        throw ofContract && !isContracts ? { code: INTERNAL_ERROR, message: thrown(error) } : error;
      }
    };
  // A class has resources of its own.
  const isClass = (value) => /^class\b/.test(Function.prototype.toString.call(value));
  return new Proxy(given, {
    get(target, name) {
      const value = target[name];
      return typeof value === 'function' && !isClass(value) ? logged(value) : value;
    },
  });
}
