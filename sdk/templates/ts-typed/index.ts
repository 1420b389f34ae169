export function greet(name: string): string {
  if (!name) throw new Error('whom should I greet?');
  return `Hello, ${name}!`;
}
