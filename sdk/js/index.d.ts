/** A JSON Schema, or one from its properties, each of which may say `optional: true`. */
export type Schema = Record<string, unknown>;

/** A schema that checks values by itself: of Zod (3.24 or later), Valibot, ArkType, … */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown, ...rest: any[]) => unknown;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a schema makes of a value. */
export type Checked<S extends StandardSchema> = NonNullable<S['~standard']['types']>['output'];

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
  output?: Schema | StandardSchema;
  hints?: Hints;
  /** Answers a text, an object, what `content`, `image` and `audio` make, or a promise of these. What it throws is told to the caller. */
  run(args: Arguments): unknown;
}

/** A tool whose arguments a schema checks: `run` gets what the schema makes of them. */
export interface CheckedTool<S extends StandardSchema> extends Omit<Tool, 'input' | 'output' | 'run'> {
  input: S;
  output?: Schema | StandardSchema;
  run(args: Checked<S>): unknown;
}

/** Offers a tool. */
export function tool<S extends StandardSchema>(definition: CheckedTool<S>): CheckedTool<S>['run'];
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

/** Values that are offered while a person types: those that begin so are sent. */
export type Values = string[] | ((typed: string, others: Record<string, string>) => string[] | Promise<string[]>);

/** A piece of what was read. */
export interface Piece {
  uri?: string;
  mimeType?: string;
  body: string | Uint8Array | object;
}

export interface Resource<V = Record<string, string>> {
  /** An address, such as `notes://today`, or a template of many: `note:///{name}`. `{+path}` may have `/` in it. */
  uri: string;
  name?: string;
  title?: string;
  description?: string;
  mimeType?: string;
  /** Values for the variables of a template. */
  complete?: Record<string, Values>;
  /** Answers a text, bytes, an object (JSON), or several pieces. Undefined: there is no such resource. */
  read(values: V): string | Uint8Array | object | Piece[] | undefined | Promise<string | Uint8Array | object | Piece[] | undefined>;
}

/** Offers something to read. */
export function resource<V = Record<string, string>>(definition: Resource<V>): Resource<V>['read'];

export interface Message {
  role: 'user' | 'assistant';
  content: string | Content;
}

export interface Prompt<A = Record<string, string>> {
  name: string;
  title?: string;
  description?: string;
  /** What it can be told: texts. */
  arguments?: Record<string, { title?: string; description?: string; optional?: boolean; complete?: Values }>;
  /** Answers what the person says, or a conversation. */
  run(args: A): string | Message | (string | Message)[] | Promise<string | Message | (string | Message)[]>;
}

/** Offers messages that a person can start a conversation with. */
export function prompt<A = Record<string, string>>(definition: Prompt<A>): Prompt<A>['run'];

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

/** What a server answered, whatever its status. */
export interface Answer {
  /** Where it came from, after redirects. */
  readonly url: string;
  readonly status: number;
  /** Whether the status is a success. */
  readonly ok: boolean;
  /** By names in small letters. */
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
  text(): string;
  json<T = any>(): T;
}

export interface RequestOptions {
  method?: string;
  headers?: Record<string, string>;
  /** Text or bytes. */
  body?: string | ArrayBuffer | ArrayBufferView | number[];
  /** A value that is sent as JSON. */
  json?: unknown;
  /** Milliseconds for all of it, redirects too. */
  timeout?: number;
  /** Bytes that the answer may have. */
  maxBody?: number;
  /** As many as are followed; 0: the answer that redirects is the answer. */
  redirects?: number;
}

/** An HTTP request. It waits where it is; `await` does no harm. The operator grants the hosts: `http` in `[plugin.NAME]`. */
export function fetch(url: string | { toString(): string }, options?: RequestOptions): Answer;

/** A variable of the environment. The operator grants it: `env` in `[plugin.NAME]`. */
export function env(name: string): string | undefined;

/** Files below folders that the operator grants: `dirs` in `[plugin.NAME]`. */
export const files: {
  read(path: string): Uint8Array;
  text(path: string): string;
  write(path: string, content: string | ArrayLike<number>): void;
  /** Names in order, those of folders with a slash at their ends. */
  list(path: string): string[];
  makeFolder(path: string): void;
  delete(path: string): void;
};

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

/** The interfaces of the contract. The build exports them. */
export const tools: unknown;
export const resources: unknown;
export const prompts: unknown;
export const completion: unknown;
