// Tests that no expression of a state machine needs a value that AWS may leave out (`make lint`). In Step Functions an
// undefined expression is a States.QueryEvaluationError, which ends the execution.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import test from 'node:test';

import { Walk, expressions } from './walk.mjs';

const MACHINES = new URL('../../statemachines/', import.meta.url);
const SUFFIX = '.asl.json';

const json = (url) => JSON.parse(readFileSync(url, 'utf8'));
const files = readdirSync(MACHINES).filter((file) => file.endsWith(SUFFIX));
const names = files.map((file) => file.slice(0, -SUFFIX.length));
const machine = (name) => json(new URL(`${name}${SUFFIX}`, MACHINES));

for (const name of names) {
  test(`every expression of ${name} has a value for the least results that AWS may return`, async () => {
    const least = json(new URL(`least/${name}.json`, import.meta.url));
    assert.deepEqual(await new Walk(machine(name), least).run(), []);
  });
}

// Implementations of JSONata differ in how many digits of a second they read. So the machines get numbers.
test('no expression parses a time', () => {
  for (const name of names) assert.ok(!JSON.stringify(machine(name)).includes('$toMillis'), name);
});

/** Returns a small machine: a Task, and a Choice after it. */
const small = ({ condition = '{% $found.outcome = \'a\' %}', output = 'as it is', choice = {} }) => ({
  QueryLanguage: 'JSONata',
  StartAt: 'Ask',
  States: {
    Ask: { Type: 'Task', Arguments: {}, Assign: { found: '{% $states.result %}' }, Next: 'Found' },
    Found: { Type: 'Choice', Choices: [{ Condition: condition, Next: 'Over' }], Default: 'Over', ...choice },
    Over: { Type: 'Pass', Output: output, End: true },
  },
});
const results = { Ask: [{ outcome: 'a' }, { outcome: 'b', error: 'e' }] };
const problems = async (parts, least = {}) => new Walk(small(parts), { inputs: [{}], results, ...least }).run();

test('the walk finds each kind of problem', async () => {
  assert.deepEqual(await problems({}), []);
  const finds = async (expected, parts, least) => {
    const found = await problems(parts, least);
    assert.ok(found.some((problem) => problem.startsWith(expected)), `${expected} is not in ${JSON.stringify(found)}`);
  };
  await finds('Over/Output: is undefined', { output: '{% $found.error %}' });
  await finds('Found/Assign/error: is undefined', { choice: { Assign: { error: '{% $found.error %}' } } });
  await finds('Over/Output: no value was assigned to $other', { output: '{% $exists($other) %}' });
  await finds('Over/Output/deep/0: Argument 1', { output: { deep: ['{% $number({}) %}'] } });
  await finds('Found/Choices/0/Condition: is "a", expected a boolean', { condition: '{% $found.outcome %}' });
  await finds('Found/Choices/0/Output: no path reaches it', {
    condition: '{% false %}', choice: { Choices: [{ Condition: '{% false %}', Output: '{% 1 %}', Next: 'Over' }] },
  });
  await finds('Ask: least/ has no results for it', {}, { results: {} });
  await finds('Gone: least/ lists it, but no such state was reached', {}, { results: { Ask: [{}], Gone: [{}] } });
});

test('expressions within Maps are found', () => {
  const inner = { StartAt: 'In', States: { In: { Type: 'Pass', Output: { a: ['{% 1 %}'] }, End: true } } };
  const each = { Type: 'Map', Items: '{% [] %}', ItemProcessor: inner, End: true };
  const outer = { StartAt: 'Each', States: { Each: each } };
  assert.deepEqual([...expressions(outer)], ['Each/Items', 'In/Output/a/0']);
});
