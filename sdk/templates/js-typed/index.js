export function greet(name) {
  if (!name) throw new Error('whom should I greet?');
  return `Hello, ${name}!`;
}
