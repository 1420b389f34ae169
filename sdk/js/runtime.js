// What QuickJS lacks, put in place by the build before the plugin's own code.
import { message } from 'toolbay:plugin/log@0.1.0';
import { getRandomU64 } from 'wasi:random/random@0.2.0';

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
    const cause = error.cause === undefined || depth === MOST_CAUSES ? '' : thrown(error.cause, depth + 1);
    return cause && !text.includes(cause) ? `${text}: ${cause}` : text;
  } catch {
    return Object.prototype.toString.call(error);
  }
}

/** A plain function as the host calls it: what it throws is logged before it is lost, or becomes the error of its `result`. */
export function exported(name, run, hasError) {
  return (...args) => {
    try {
      const value = run(...args);
      if (value && typeof value.then === 'function') {
        throw new Error(`${name} is async, which QuickJS cannot wait for: each call has a sandbox of its own, so let it wait where it is`);
      }
      return value;
    } catch (error) {
      if (error instanceof Error) at(hasError ? 'debug' : 'error')(error);
      else if (!hasError) at('error')(`${name} threw ${shown(error)}`);
      throw hasError ? thrown(error) : error;
    }
  };
}
