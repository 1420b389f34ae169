// Schemas as authors write them: JSON Schema, its properties, or a schema of Zod and its like (Standard Schema).

import { settled } from './wait.js';

const DRAFT = 'draft-2020-12';

/** Whether it can check values by itself: a schema of Zod, Valibot, ArkType, … */
export const isStandard = (given) => typeof given?.['~standard']?.validate === 'function';

/** JSON Schema of what is taken (`input`) or answered (`output`). */
export function described(given, io) {
  return rooted(schemaOf(given, io), io);
}

/** By MCP's rules an object: of other answers it is the member `result`. */
function rooted(schema, io) {
  if (schema.type === undefined || schema.type === 'object') return schema;
  if (io === 'input') throw new Error(`the arguments of a tool are an object, and this schema is one of ${JSON.stringify(schema.type)}: name each of them`);
  const { $defs, ...result } = schema;
  return { type: 'object', properties: { result }, required: ['result'], ...($defs && { $defs }) };
}

function schemaOf(given, io) {
  if (!isStandard(given)) return object(given);
  const { jsonSchema, vendor } = given['~standard'];
  if (typeof jsonSchema?.[io] === 'function') return tidy(jsonSchema[io]({ target: DRAFT }));
  if (typeof given.toJSONSchema === 'function') return tidy(given.toJSONSchema({ target: DRAFT, io }));
  if (given._def?.typeName) return tidy(zod3(given));
  throw new Error(
    `this schema of ${vendor} cannot say what it is as JSON Schema; Zod can from 4.2 on. Or write the JSON Schema into \`${io}\` yourself`,
  );
}

/** A value as the schema makes it: with defaults, and changed as it says. */
export function checked(given, value) {
  const result = settled(given['~standard'].validate(value));
  if (!result.issues) return result.value;
  const lines = result.issues.map(({ path, message }) => {
    const at = (path ?? []).map((part) => (typeof part === 'object' ? part.key : part)).join('.');
    return at ? `${at}: ${message}` : message;
  });
  throw new Error(lines.join('\n'));
}

/** A JSON Schema as it is, or one from its properties, each of which may say `optional: true`. */
export function object(given) {
  // Where `type` is a property, it has a schema.
  const isSchema = typeof given.type === 'string' || Array.isArray(given.type);
  if (isSchema || given.$ref || Array.isArray(given.anyOf) || Array.isArray(given.oneOf) || Array.isArray(given.allOf)) return given;
  const properties = {};
  const required = [];
  for (const [name, { optional, ...property }] of Object.entries(given)) {
    properties[name] = property;
    if (!optional) required.push(name);
  }
  return { type: 'object', properties, required, additionalProperties: false };
}

function tidy({ $schema, ...schema }) {
  return schema;
}

/** Zod 3 says nothing of JSON Schema: this walks through its definition. */
function zod3(schema) {
  const { _def: def } = schema;
  const found = KINDS[def.typeName]?.(def);
  if (!found) throw new Error(`${def.typeName} of Zod 3 has no JSON Schema here: use Zod 4.2 or later, or write the JSON Schema yourself`);
  return def.description ? { ...found, description: def.description } : found;
}

const FORMATS = { email: 'email', url: 'uri', uuid: 'uuid', datetime: 'date-time', date: 'date', time: 'time' };
const LIMITS = {
  string: { min: 'minLength', max: 'maxLength' },
  number: { min: ['minimum', 'exclusiveMinimum'], max: ['maximum', 'exclusiveMaximum'], multipleOf: 'multipleOf' },
};

function text(def) {
  const schema = { type: 'string' };
  for (const { kind, value, regex } of def.checks ?? []) {
    if (LIMITS.string[kind]) schema[LIMITS.string[kind]] = value;
    else if (kind === 'length') schema.minLength = schema.maxLength = value;
    else if (kind === 'regex') schema.pattern = regex.source;
    else if (FORMATS[kind]) schema.format = FORMATS[kind];
  }
  return schema;
}

function number(def) {
  const schema = { type: 'number' };
  for (const { kind, value, inclusive } of def.checks ?? []) {
    const limit = LIMITS.number[kind];
    if (kind === 'int') schema.type = 'integer';
    else if (Array.isArray(limit)) schema[limit[inclusive === false ? 1 : 0]] = value;
    else if (limit) schema[limit] = value;
  }
  return schema;
}

function array(def) {
  const schema = { type: 'array', items: zod3(def.type) };
  if (def.minLength) schema.minItems = def.minLength.value;
  if (def.maxLength) schema.maxItems = def.maxLength.value;
  if (def.exactLength) schema.minItems = schema.maxItems = def.exactLength.value;
  return schema;
}

function members(def) {
  const properties = {};
  const required = [];
  for (const [name, member] of Object.entries(def.shape())) {
    properties[name] = zod3(member);
    if (!member.isOptional()) required.push(name);
  }
  const schema = { type: 'object', properties, required };
  if (def.catchall._def.typeName !== 'ZodNever') schema.additionalProperties = zod3(def.catchall);
  else if (def.unknownKeys !== 'passthrough') schema.additionalProperties = false;
  return schema;
}

function either(options) {
  return { anyOf: options.map(zod3) };
}

const inner = (def) => zod3(def.innerType);

const KINDS = {
  ZodString: text,
  ZodNumber: number,
  ZodBoolean: () => ({ type: 'boolean' }),
  ZodNull: () => ({ type: 'null' }),
  ZodAny: () => ({}),
  ZodUnknown: () => ({}),
  ZodLiteral: ({ value }) => ({ const: value }),
  ZodEnum: ({ values }) => ({ type: 'string', enum: values }),
  ZodNativeEnum: ({ values }) => ({ enum: Object.entries(values).filter(([key]) => Number.isNaN(Number(key))).map(([, value]) => value) }),
  ZodArray: array,
  ZodTuple: ({ items }) => ({ type: 'array', prefixItems: items.map(zod3), minItems: items.length, maxItems: items.length }),
  ZodObject: members,
  ZodRecord: ({ valueType }) => ({ type: 'object', additionalProperties: zod3(valueType) }),
  ZodUnion: ({ options }) => either(options),
  ZodDiscriminatedUnion: ({ options }) => either([...options.values()]),
  ZodIntersection: ({ left, right }) => ({ allOf: [zod3(left), zod3(right)] }),
  ZodOptional: inner,
  ZodReadonly: inner,
  ZodCatch: inner,
  ZodBranded: ({ type }) => zod3(type),
  ZodNullable: ({ innerType }) => either([innerType, { _def: { typeName: 'ZodNull' } }]),
  ZodDefault: ({ innerType, defaultValue }) => ({ ...zod3(innerType), default: defaultValue() }),
  ZodEffects: ({ schema }) => zod3(schema),
  ZodPipeline: ({ in: first }) => zod3(first),
};
