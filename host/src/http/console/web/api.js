// Requests to this host: with the token that was pasted, if any, and errors as sentences that say what to do.

const KEY = 'toolbay.token';
const here = new URL('.', import.meta.url);
export const MCP = new URL('../mcp', here);

/** An answer that says no: what is wrong, and what to do about it. */
export class Problem extends Error {
  constructor(message, hint, status) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

// Only this tab knows it, and forgets it when it is closed. It is in no cookie, so that no other page can send it.
export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: value => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

export function headers(more) {
  const known = token.get();
  return known ? { authorization: `Bearer ${known}`, ...more } : { ...more };
}

const refused = new Set();
/** Calls back when the host wants a token, or another one. */
export const onRefused = listener => refused.add(listener);

async function ask(path, options) {
  let response;
  try {
    response = await fetch(new URL(`api/${path}`, here), { cache: 'no-store', credentials: 'omit', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem('The host cannot be reached.', 'Look whether it runs, and whether this machine is connected. This page tries again by itself.', 0);
  }
  const text = await response.text();
  let body = null;
  try { body = text ? JSON.parse(text) : null; } catch { /* said below */ }
  if (response.ok && body !== null) return body;
  const problem = new Problem(sentence(body?.error ?? `The host answered ${response.status}.`), sentence(body?.try ?? ''), response.status);
  if (response.status === 401) refused.forEach(listener => listener(problem));
  throw problem;
}

const sentence = text => (text && /[\w)"'\]]$/.test(text) ? `${text[0].toUpperCase()}${text.slice(1)}.` : text);

export const get = (path, options = {}) => ask(path, { ...options, headers: headers() });
export const act = (path, body = {}) =>
  ask(path, { method: 'POST', headers: headers({ 'content-type': 'application/json' }), body: JSON.stringify(body) });
