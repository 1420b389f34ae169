import { tool } from 'toolbay-plugin';

tool({
  name: 'add',
  description: 'Adds two numbers.',
  input: { a: { type: 'number' }, b: { type: 'number' } },
  output: { result: { type: 'number' } },
  run: ({ a, b }) => a + b,
});
