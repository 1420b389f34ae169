// The environment and the files that the operator grants: `env` and `dirs` in `[plugin.NAME]`.
import { getEnvironment } from 'wasi:cli/environment@0.2.0';
import { getDirectories } from 'wasi:filesystem/preopens@0.2.0';
import { decoded, encoded } from './text.js';

// As much as is read at once.
const PIECE = 1 << 20;

/** A variable of the environment, or undefined. */
export function env(name) {
  return getEnvironment().find(([known]) => known === name)?.[1];
}

/** Files and folders below granted ones, by their paths, such as `/data/a.txt`. */
export const files = {
  /** The bytes of a file. */
  read(path) {
    return opened(path, {}, { read: true }, (file) => {
      const pieces = [];
      let length = 0;
      for (;;) {
        const [piece, isEnd] = file.read(PIECE, length);
        pieces.push(piece);
        length += piece.length;
        if (isEnd || piece.length === 0) break;
      }
      const whole = new Uint8Array(length);
      let at = 0;
      for (const piece of pieces) {
        whole.set(piece, at);
        at += piece.length;
      }
      return whole;
    });
  },
  /** The text of a file. */
  text(path) {
    return decoded(files.read(path));
  },
  /** Writes a file, whether it is there or not: a text or bytes. */
  write(path, content) {
    const data = typeof content === 'string' ? encoded(content) : Uint8Array.from(content);
    opened(path, { create: true, truncate: true }, { write: true }, (file) => {
      for (let at = 0; at < data.length; ) at += Number(file.write(data.slice(at, at + PIECE), at));
    });
  },
  /** The names of what is in a folder, those of folders with a slash at their ends, in order. */
  list(path) {
    return opened(path, { directory: true }, { read: true }, (folder) => {
      const stream = folder.readDirectory();
      const names = [];
      for (let entry = stream.readDirectoryEntry(); entry; entry = stream.readDirectoryEntry()) {
        names.push(entry.type === 'directory' ? `${entry.name}/` : entry.name);
      }
      stream[Symbol.dispose]?.();
      return names.sort();
    });
  },
  /** Makes a folder. */
  makeFolder(path) {
    within(path, (folder, rest) => folder.createDirectoryAt(rest));
  },
  /** Deletes a file. */
  delete(path) {
    within(path, (folder, rest) => folder.unlinkFileAt(rest));
  },
};

const OPEN = { create: false, directory: false, exclusive: false, truncate: false };
const USE = { read: false, write: false, fileIntegritySync: false, dataIntegritySync: false, requestedWriteSync: false, mutateDirectory: false };

function opened(path, how, use, run) {
  return within(path, (folder, rest) => {
    const file = folder.openAt({ symlinkFollow: true }, rest, { ...OPEN, ...how }, { ...USE, ...use });
    try {
      return run(file);
    } finally {
      file[Symbol.dispose]?.();
    }
  });
}

/** Does something in the granted folder that holds a path, with the rest of the path. */
function within(path, run) {
  const wanted = parts(path);
  let best;
  const folders = getDirectories();
  for (const [folder, name] of folders) {
    const own = parts(name);
    if (own.every((part, index) => part === wanted[index]) && !(best?.own.length > own.length)) best = { folder, own };
  }
  try {
    if (!best) throw new Error('no folder that holds it is granted');
    return run(best.folder, wanted.slice(best.own.length).join('/') || '.');
  } catch (error) {
    const why = error?.payload ?? error;
    throw new Error(`${path}: ${why instanceof Error ? why.message : WORDS[why] ?? String(why).replaceAll('-', ' ')}`);
  } finally {
    for (const [folder] of folders) folder[Symbol.dispose]?.();
  }
}

const WORDS = {
  'no-entry': 'there is no such file or folder',
  'not-permitted': 'this is not granted',
  'is-directory': 'this is a folder',
  'bad-descriptor': 'this is a folder',
  'not-directory': 'this is not a folder',
  'read-only': 'the folder is granted for reading only',
};

function parts(path) {
  const kept = [];
  for (const part of String(path).split('/')) {
    if (part === '..') kept.pop();
    else if (part && part !== '.') kept.push(part);
  }
  return kept;
}
