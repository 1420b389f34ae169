import { ask, call, fetch, files, log, progress, store, tool } from 'toolbay-plugin';

tool({
  name: 'length',
  description: 'Counts the characters of a page.',
  input: { url: { type: 'string' } },
  hints: { readOnly: true, openWorld: true },
  run({ url }) {
    const page = fetch(url);
    if (!page.ok) throw new Error(`${url} answered with status ${page.status}`);
    return [...page.text()].length;
  },
});

tool({
  name: 'order',
  description: 'Orders a cake.',
  run() {
    const order = ask('Which cake?', { cake: { type: 'string' }, pieces: { type: 'integer' } });
    return order ? `${order.pieces} pieces of ${order.cake}` : 'no cake';
  },
});

tool({
  name: 'double',
  description: 'Doubles a number by the tool `add`.',
  input: { number: { type: 'number' } },
  hints: { readOnly: true },
  run({ number }) {
    progress(1, 2, 'adding');
    return call('add', { a: number, b: number }).result;
  },
});

tool({
  name: 'visit',
  description: 'Counts the visits of somebody.',
  input: { name: { type: 'string' } },
  run({ name }) {
    log('info', `${name} is here`);
    return store.increment(name);
  },
});

tool({
  name: 'note',
  description: 'Reads a note.',
  input: { name: { type: 'string' } },
  hints: { readOnly: true },
  run: ({ name }) => files.text(`/notes/${name}.txt`),
});
