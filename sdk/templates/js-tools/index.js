import { tool } from 'toolbay-plugin';

tool({
  name: 'greet',
  description: 'Greets somebody.',
  input: { name: { type: 'string', description: 'Whom.' } },
  hints: { readOnly: true },
  run({ name }) {
    if (!name) throw new Error('whom should I greet?');
    return `Hello, ${name}!`;
  },
});
