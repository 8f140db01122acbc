// Walks through a state machine on every path that the results of its Tasks open, as Step Functions would. It evaluates
// each expression with the input and the variables that the states before it left. least/<machine>.json has results
// without the fields that AWS may leave out, so an expression that needs such a field is undefined here, as on AWS.

import jsonata from 'jsonata';

/** The most times that a walk enters one state. It is enough to go around each loop and see its counters change. */
const ROUNDS = 3;
/** The number of characters of an expression's input that a problem shows. */
const SHOWN = 600;
/** The least error that the Catch of a Task may get. */
const LEAST_ERROR = { Error: 'States.Timeout' };
const CONTEXT = {
  Execution: {
    Id: 'arn:aws:states:us-east-1:123456789012:execution:bcce-dev-machine:name',
    Name: 'name',
    StartTime: '2026-11-01T12:00:00.123Z',
  },
};
/** The fields that a state evaluates before its work. */
const BEFORE = ['Arguments', 'Items', 'ItemSelector', 'MaxConcurrency', 'Seconds', 'TimeoutSeconds'];
/** The fields that the walk evaluates by name. It evaluates all other fields when it enters the state. */
const WALKED = ['Choices', 'Catch', 'ItemProcessor', 'Output', 'Assign', ...BEFORE];

export class Walk {
  constructor(definition, least) {
    this.definition = definition;
    this.least = least;
    /** The problems, by their place. The first problem of a place is kept. */
    this.problems = new Map();
    this.evaluated = new Set();
    this.unused = new Set([...Object.keys(least.results ?? {}), ...Object.keys(least.items ?? {})]);
  }

  /** Returns the problems as sentences. Without a problem, each expression was evaluated and has a value. */
  async run() {
    for (const input of this.least.inputs) {
      await this.scope(this.definition, input, {}, CONTEXT);
    }
    for (const place of expressions(this.definition)) {
      if (!this.evaluated.has(place)) this.problems.set(place, 'no path reaches it: add results to least/');
    }
    for (const name of this.unused) this.problems.set(name, 'least/ lists it, but no such state was reached');
    return [...this.problems].map(([place, what]) => `${place}: ${what}`).sort();
  }

  /** Walks through a machine or a Map's processor, and returns the outputs with which it may end. */
  async scope(machine, input, variables, context) {
    const scope = { machine, context, seen: new Set(), ends: new Map() };
    await this.enter(scope, machine.StartAt, input, variables, {});
    return [...scope.ends.values()];
  }

  /** Enters a state. It does nothing for an input and variables with which the state was entered before. */
  async enter(scope, name, input, variables, rounds) {
    const key = JSON.stringify([name, input, variables]);
    if (scope.seen.has(key) || rounds[name] === ROUNDS) return;
    scope.seen.add(key);
    const state = scope.machine.States[name];
    if (!state) throw new Error(`there is no state ${name}`);
    const language = state.QueryLanguage ?? this.definition.QueryLanguage ?? 'JSONPath';
    const entered = { ...rounds, [name]: (rounds[name] ?? 0) + 1 };
    const at = { scope, name, state, language, input, variables, rounds: entered };
    for (const field of Object.keys(state).filter((field) => !WALKED.includes(field))) {
      await this.value(at, field, state[field], { input });
    }
    switch (state.Type) {
      case 'Choice': return this.choose(at);
      case 'Map': return this.map(at);
      case 'Task': return this.task(at);
      case 'Wait': await this.number(at, 'Seconds'); return this.leave(at, state, '', { input }, input);
      case 'Pass': return this.leave(at, state, '', { input }, input);
      case 'Succeed': return this.leave(at, state, '', { input }, input);
      case 'Fail': return undefined;
      default: throw new Error(`${name}: states of type ${state.Type} are not implemented`);
    }
  }

  async task(at) {
    const { name, state, input, language } = at;
    if (language !== 'JSONata') throw new Error(`${name}: only Tasks of JSONata are implemented`);
    await this.value(at, 'Arguments', state.Arguments, { input });
    await this.number(at, 'TimeoutSeconds');
    const results = this.listed('results', name);
    for (const result of results) await this.leave(at, state, '', { input, result }, result);
    return this.caught(at);
  }

  async caught(at) {
    for (const [n, handler] of (at.state.Catch ?? []).entries()) {
      const states = { input: at.input, errorOutput: LEAST_ERROR };
      await this.leave(at, handler, `Catch/${n}/`, states, this.placed(at, handler, LEAST_ERROR));
    }
  }

  async choose(at) {
    const { state, input } = at;
    for (const [n, rule] of state.Choices.entries()) {
      const place = `Choices/${n}/Condition`;
      const holds = await this.value(at, place, rule.Condition, { input });
      if (typeof holds !== 'boolean') this.problem(at, place, `is ${JSON.stringify(holds)}, expected a boolean`);
      if (holds !== true) continue;
      // The documentation does not say clearly whether the fields of the state are evaluated here, or only those of the
      // rule. So both are evaluated.
      await this.left(at, state, '', { input }, input);
      return this.leave(at, rule, `Choices/${n}/`, { input }, input);
    }
    return this.leave(at, { ...state, Next: state.Default }, '', { input }, input);
  }

  async map(at) {
    const { name, state, scope, input, variables, language } = at;
    await this.number(at, 'MaxConcurrency');
    let children;
    const context = (item) => ({ ...scope.context, Map: { Item: { Value: item } } });
    if (language === 'JSONata') {
      const items = await this.value(at, 'Items', state.Items, { input });
      if (!Array.isArray(items)) this.problem(at, 'Items', 'is not an array');
      children = Array.isArray(items) ? items : [];
      if (state.ItemSelector) {
        const within = (item) => ({ ...at, scope: { ...scope, context: context(item) } });
        const child = (item) => this.value(within(item), 'ItemSelector', state.ItemSelector, { input });
        children = await Promise.all(children.map(child));
      }
    } else {
      for (const field of ['ItemReader', 'ResultWriter']) this.paths(at, field, state[field], context(null));
      this.path(at, 'MaxConcurrencyPath', state.MaxConcurrencyPath ?? '$', scope.context);
      const child = (item) => this.paths(at, 'ItemSelector', state.ItemSelector, context(item));
      children = this.listed('items', name).map(child);
    }
    const outputs = [];
    for (const child of children) {
      outputs.push(await this.scope(state.ItemProcessor, child, variables, scope.context));
    }
    // Each item appears with each of its outputs, and the other items with their first one.
    const firsts = outputs.map(([first]) => first);
    const results = outputs.flatMap((ends, n) => ends.map((end) => firsts.with(n, end)));
    for (const result of results.length > 0 ? results : [[]]) {
      await this.leave(at, state, '', { input, result }, this.placed(at, state, result));
    }
    return this.caught(at);
  }

  /** Returns a result as ResultPath places it in the input. A state of JSONata gets the result unchanged. */
  placed({ input, language }, { ResultPath: path }, result) {
    if (language === 'JSONata' || path === undefined) return result;
    return path === null ? input : { ...input, [path.slice('$.'.length)]: result };
  }

  /** Leaves a state by its Next, or records the output with which the machine ends. */
  async leave(at, way, prefix, states, output) {
    const next = await this.left(at, way, prefix, states, output);
    if (way.Next) return this.enter(at.scope, way.Next, next.output, next.variables, at.rounds);
    at.scope.ends.set(JSON.stringify(next.output), next.output);
    return undefined;
  }

  /** Returns the output and the variables that the fields Output and Assign leave. */
  async left(at, way, prefix, states, output) {
    const field = async (name, otherwise) =>
      Object.hasOwn(way, name) ? this.value(at, `${prefix}${name}`, way[name], states) : otherwise;
    return {
      output: await field('Output', output),
      variables: { ...at.variables, ...(await field('Assign', {})) },
    };
  }

  async number(at, field) {
    if (!Object.hasOwn(at.state, field)) return;
    const value = await this.value(at, field, at.state[field], { input: at.input });
    if (Number.isInteger(value) && value >= 0) return;
    this.problem(at, field, `is ${JSON.stringify(value)}, expected a whole number`);
  }

  listed(kind, name) {
    this.unused.delete(name);
    const listed = this.least[kind]?.[name];
    if (!listed) this.problems.set(name, `least/ has no ${kind} for it`);
    return listed ?? [];
  }

  problem({ name }, field, what) {
    const place = `${name}/${field}`;
    if (!this.problems.has(place)) this.problems.set(place, what);
  }

  /** Returns a field with each expression in it evaluated. */
  async value(at, place, value, states) {
    if (typeof value === 'string') return isExpression(value) ? this.evaluate(at, place, value, states) : value;
    if (value === null || typeof value !== 'object') return value;
    const entries = [];
    for (const [key, inner] of Object.entries(value)) {
      entries.push([key, await this.value(at, `${place}/${key}`, inner, states)]);
    }
    return Array.isArray(value) ? entries.map(([, inner]) => inner) : Object.fromEntries(entries);
  }

  async evaluate(at, place, text, states) {
    this.evaluated.add(`${at.name}/${place}`);
    try {
      const expression = jsonata(text.slice(2, -2));
      const isUnknown = (name) => name !== 'states' && !Object.hasOwn(at.variables, name);
      const unknown = variablesOf(expression.ast()).filter(isUnknown);
      if (unknown.length > 0) throw new Error(`no value was assigned to $${unknown.join(', $')} on this path`);
      expression.registerFunction('parse', (json) => JSON.parse(json), '<s:x>');
      const bindings = { ...at.variables, states: { ...states, context: at.scope.context } };
      const value = await expression.evaluate(undefined, structuredClone(bindings));
      if (value === undefined) throw new Error('is undefined');
      return JSON.parse(JSON.stringify(value));
    } catch (error) {
      const having = JSON.stringify({ ...states, ...at.variables }).slice(0, SHOWN);
      this.problem(at, place, `${error.message}, with ${having}`);
      return null;
    }
  }

  /** Does the same for a field of JSONPath, in which a key that ends in `.$` has a path. */
  paths(at, place, value, context) {
    if (value === null || typeof value !== 'object') return value;
    const entries = Object.entries(value).map(([key, inner]) => {
      const within = `${place}/${key}`;
      if (key.endsWith('.$')) return [key.slice(0, -2), this.path(at, within, inner, context)];
      return [key, this.paths(at, within, inner, context)];
    });
    return Array.isArray(value) ? entries.map(([, inner]) => inner) : Object.fromEntries(entries);
  }

  path(at, place, path, context) {
    const [root, ...names] = path.split('.');
    let value = { $: at.input, $$: context }[root];
    for (const name of names) value = value?.[name];
    if (value === undefined) this.problem(at, place, `${path} is not in ${JSON.stringify(at.input)}`);
    return value;
  }
}

export function isExpression(text) {
  return text.startsWith('{%') && text.endsWith('%}');
}

/** Yields the place of each expression, `<state>/<field>/…`, including those in the states of a Map. */
export function* expressions(machine) {
  for (const [name, { ItemProcessor: inner, ...state }] of Object.entries(machine.States)) {
    yield* within(name, state);
    if (inner) yield* expressions(inner);
  }
}

function* within(place, value) {
  if (typeof value === 'string' && isExpression(value)) yield place;
  if (value === null || typeof value !== 'object') return;
  for (const [key, inner] of Object.entries(value)) yield* within(`${place}/${key}`, inner);
}

/** Returns the variables that an expression does not bind. Step Functions refuses one that was never assigned. */
function variablesOf(ast) {
  const [used, bound] = [new Set(), new Set()];
  const look = (node) => {
    if (node === null || typeof node !== 'object') return;
    if (node.type === 'variable' && node.value !== '' && node.value !== '$') used.add(node.value);
    if (node.type === 'bind') bound.add(node.lhs.value);
    if (node.type === 'lambda') node.arguments.forEach((argument) => bound.add(argument.value));
    for (const [key, inner] of Object.entries(node)) if (key !== 'procedure') look(inner);
  };
  look(ast);
  return [...used].filter((name) => !bound.has(name));
}
