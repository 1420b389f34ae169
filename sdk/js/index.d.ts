/** A JSON Schema, or one from its properties, each of which may say `optional: true`. */
export type Schema = Record<string, unknown>;

/** What a tool does to the world. */
export interface Hints {
  readOnly?: boolean;
  destructive?: boolean;
  idempotent?: boolean;
  openWorld?: boolean;
}

export interface Tool<Arguments = any> {
  name: string;
  title?: string;
  /** What it does and when to use it: the model reads this. */
  description?: string;
  input?: Schema;
  /** Of a result that is an object. */
  output?: Schema;
  hints?: Hints;
  /** Answers a text, an object, or what `content`, `image` and `audio` make. What it throws is told to the caller. */
  run(args: Arguments): unknown;
}

/** Offers a tool. */
export function tool<Arguments = any>(definition: Tool<Arguments>): Tool<Arguments>['run'];

export interface Content {
  readonly blocks: unknown[];
}

/** An answer of several pieces. */
export function content(...pieces: (string | Content)[]): Content;
/** A picture, from the bytes of its file. */
export function image(data: ArrayLike<number>, mimeType?: string): Content;
/** A sound, from the bytes of its file. */
export function audio(data: ArrayLike<number>, mimeType?: string): Content;

/** Tells the client how far the call has come. `done` only ever rises. */
export function progress(done: number, total?: number, text?: string): void;
export type Level = 'debug' | 'info' | 'notice' | 'warning' | 'error' | 'critical' | 'alert' | 'emergency';
/** Logs a sentence. */
export function log(level: Level, text: string): void;
/** The name under which the caller was let in, if the host has authentication. */
export function principal(): string | undefined;
/** The roles that the caller was given when it was let in. */
export function roles(): string[];
/** Claims of the caller's token that the operator lets plugins know, if there are any. */
export function claims(): Record<string, unknown> | undefined;
/** Milliseconds until the host ends this call. */
export function remaining(): number;
/** Asks the person to fill in a form. Undefined: the person said no. Ask first and act afterwards. */
export function ask<T = Record<string, unknown>>(text: string, properties?: Schema): T | undefined;
/** Asks the person to visit a page. Whether the person agreed. */
export function askLink(text: string, url: string): boolean;

/** Calls another tool, as the operator grants it. Its structured content, or else its text. A tool that failed throws its text. */
export function call<T = any>(name: string, args?: Record<string, unknown>): T;
/** Calls several at once, 64 at most. */
export function callAll<T = any>(calls: [name: string, args?: Record<string, unknown>][]): { value?: T; error?: Error }[];

/** What the plugin keeps from one call to the next, as JSON. The operator grants it: `store` in `[plugin.NAME]`. */
export const store: {
  get<T = any>(key: string): T | undefined;
  entry<T = any>(key: string): { value: T; version: number } | undefined;
  /** Whether it was set. `ttl` is in milliseconds. */
  set(key: string, value: unknown, options?: { ttl?: number; version?: number; absent?: boolean }): boolean;
  delete(key: string): boolean;
  increment(key: string, by?: number): number;
  keys(prefix?: string): string[];
};

/** The interface `tools` of the contract. The build exports it. */
export const tools: unknown;
