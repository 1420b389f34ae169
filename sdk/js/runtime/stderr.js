// The log of a server of MCP by itself, which may run in other hosts too: the standard error.
import { getStderr } from 'wasi:cli/stderr@0.2.0';
import { encoded } from '../text.js';

// As much as WASI lets one write at once.
const PIECE = 4096;

export function message(level, text) {
  const stream = getStderr();
  const bytes = encoded(level === 'info' ? `${text}\n` : `${level}: ${text}\n`);
  for (let at = 0; at < bytes.length; at += PIECE) stream.blockingWriteAndFlush(bytes.slice(at, at + PIECE));
  stream[Symbol.dispose]?.();
}
