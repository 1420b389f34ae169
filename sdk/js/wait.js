// Promises: the build puts an engine for them before the plugin's code, which waits for one where it is.

/** What a promise comes to; any other value as it is. */
export function settled(value) {
  if (!value || typeof value.then !== 'function') return value;
  const wait = globalThis[Symbol.for('toolbay.settled')];
  if (!wait) throw new Error('this function is async, and this build of the plugin cannot wait for it: build it again with `toolbay build`');
  return wait(value);
}
