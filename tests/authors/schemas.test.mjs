// Schemas of Zod 4 and Zod 3 as the SDK for JavaScript describes and checks them. Run in a project, by tests/e2e/cookbooks.rs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z as zod4 } from 'zod';
import { z as zod3 } from 'zod3';
import { checked, described } from './vendor/toolbay-plugin/schema.js';

/** The types that a value may have, in either way to say it. */
const kinds = ({ type, anyOf }) => anyOf?.map((option) => option.type) ?? type;

for (const [version, z] of [['4', zod4], ['3', zod3]]) {
  const schema = z.object({
    name: z.string().min(1).max(9).describe('Whom.'),
    count: z.number().int().min(1).default(2),
    ratio: z.number().gt(0).optional(),
    tone: z.enum(['plain', 'warm']).optional(),
    fixed: z.literal('x').optional(),
    tags: z.array(z.string()).min(1).optional(),
    note: z.string().nullable(),
    either: z.union([z.string(), z.boolean()]),
    counts: z.record(z.string(), z.number()).optional(),
  });

  test(`Zod ${version}: what is taken is described`, () => {
    const { type, properties, required } = described(schema, 'input');
    assert.equal(type, 'object');
    assert.deepEqual(new Set(required), new Set(['name', 'note', 'either']));
    assert.deepEqual(properties.name, { type: 'string', minLength: 1, maxLength: 9, description: 'Whom.' });
    assert.equal(properties.count.type, 'integer');
    assert.equal(properties.count.minimum, 1);
    assert.equal(properties.count.default, 2);
    assert.equal(properties.ratio.exclusiveMinimum, 0);
    assert.deepEqual(properties.tone, { type: 'string', enum: ['plain', 'warm'] });
    assert.equal(properties.fixed.const, 'x');
    assert.deepEqual(properties.tags, { type: 'array', items: { type: 'string' }, minItems: 1 });
    assert.deepEqual(kinds(properties.note), ['string', 'null']);
    assert.deepEqual(kinds(properties.either), ['string', 'boolean']);
    assert.deepEqual(properties.counts.additionalProperties, { type: 'number' });
  });

  test(`Zod ${version}: values are checked, and get their defaults`, () => {
    assert.deepEqual(checked(schema, { name: 'Ann', note: null, either: true }), { name: 'Ann', note: null, either: true, count: 2 });
    assert.throws(() => checked(schema, { name: '', note: null, either: 1 }), /name: .*\n?either: /s);
    const transformed = z.object({ n: z.string().transform(Number) });
    assert.deepEqual(checked(transformed, { n: '3' }), { n: 3 });
    assert.equal(described(transformed, 'input').properties.n.type, 'string');
  });

  test(`Zod ${version}: what cannot be waited for is told`, () => {
    assert.throws(() => checked(z.string().refine(async () => true), 'x'), /async/i);
  });
}

test('a schema that cannot say what it is tells what to do', () => {
  const mute = { '~standard': { version: 1, vendor: 'mute', validate: (value) => ({ value }) } };
  assert.throws(() => described(mute, 'input'), /mute cannot say .* Zod can from 4\.2/s);
  assert.throws(() => described(zod3.date(), 'input'), /ZodDate of Zod 3 has no JSON Schema/);
});

test('a JSON Schema stays as it is, and properties become one', () => {
  assert.deepEqual(described({ a: { type: 'string' }, b: { type: 'number', optional: true } }, 'input'), {
    type: 'object',
    properties: { a: { type: 'string' }, b: { type: 'number' } },
    required: ['a'],
    additionalProperties: false,
  });
  const own = { type: 'object', properties: {} };
  assert.equal(described(own, 'input'), own);
});

test('what is no object is one for clients, and a property may be called type', () => {
  const wrapped = (result) => ({ type: 'object', properties: { result }, required: ['result'] });
  const list = { type: 'array', items: { type: 'string' } };
  assert.deepEqual(described(list, 'output'), wrapped(list));
  assert.deepEqual(described({ type: ['string', 'null'] }, 'output'), wrapped({ type: ['string', 'null'] }));
  assert.throws(() => described(list, 'input'), /the arguments of a tool are an object/);
  const named = described({ type: { type: 'string' }, anyOf: { type: 'number', optional: true } }, 'input');
  assert.deepEqual([Object.keys(named.properties), named.required], [['type', 'anyOf'], ['type']]);
  for (const z of [zod4, zod3]) assert.equal(described(z.array(z.number()), 'output').properties.result.items.type, 'number');
});
