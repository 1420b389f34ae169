import { ask, call, files, log, progress, store, tool } from 'toolbay-plugin';

tool<{ url: string }>({
  name: 'length',
  description: 'Counts the characters of a page.',
  input: { url: { type: 'string' } },
  hints: { readOnly: true, openWorld: true },
  // Here by the `fetch` of the web, which libraries use too.
  async run({ url }) {
    const page = await fetch(url);
    if (!page.ok) throw new Error(`${url} answered with status ${page.status}`);
    return [...(await page.text())].length;
  },
});

tool({
  name: 'order',
  description: 'Orders a cake.',
  run() {
    const order = ask<{ cake: string; pieces: number }>('Which cake?', {
      cake: { type: 'string' },
      pieces: { type: 'integer' },
    });
    return order ? `${order.pieces} pieces of ${order.cake}` : 'no cake';
  },
});

tool<{ number: number }>({
  name: 'double',
  description: 'Doubles a number by the tool `add`.',
  input: { number: { type: 'number' } },
  hints: { readOnly: true },
  run({ number }) {
    progress(1, 2, 'adding');
    return call<{ result: number }>('add', { a: number, b: number }).result;
  },
});

tool<{ name: string }>({
  name: 'visit',
  description: 'Counts the visits of somebody.',
  input: { name: { type: 'string' } },
  run({ name }) {
    log('info', `${name} is here`);
    return store.increment(name);
  },
});

tool<{ name: string }>({
  name: 'note',
  description: 'Reads a note.',
  input: { name: { type: 'string' } },
  hints: { readOnly: true },
  run: ({ name }) => files.text(`/notes/${name}.txt`),
});
