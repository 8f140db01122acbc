// Walks a state machine along every way that its tasks' results open, as Step Functions would, and evaluates each
// expression with exactly what the states before it left. What AWS may leave out of a result is left out in
// least/<machine>.json, so an expression that needs it comes to nothing here, as it would there.

import jsonata from 'jsonata';

/** How often a walk enters one state: once around each loop shows what its counters do. */
const ROUNDS = 3;
/** Characters of what an expression had, where it came to nothing. */
const SHOWN = 600;
/** What a Catch gets at least, of any task. */
const LEAST_ERROR = { Error: 'States.Timeout' };
const CONTEXT = {
  Execution: {
    Id: 'arn:aws:states:us-east-1:123456789012:execution:bcce-dev-machine:name',
    Name: 'name',
    StartTime: '2026-11-01T12:00:00.123Z',
  },
};
/** What a state has before its work, and after it. `Choices`, `Catch` and `ItemProcessor` are walked by themselves. */
const BEFORE = ['Arguments', 'Items', 'ItemSelector', 'MaxConcurrency', 'Seconds', 'TimeoutSeconds'];
const WALKED = ['Choices', 'Catch', 'ItemProcessor', 'Output', 'Assign', ...BEFORE];

export class Walk {
  constructor(definition, least) {
    this.definition = definition;
    this.least = least;
    /** By their places: the first way that leads to one is enough. */
    this.problems = new Map();
    this.evaluated = new Set();
    this.unused = new Set([...Object.keys(least.results ?? {}), ...Object.keys(least.items ?? {})]);
  }

  /** Problems as sentences; none: every expression of the machine was evaluated and came to something. */
  async run() {
    for (const input of this.least.inputs) {
      await this.scope(this.definition, input, {}, CONTEXT);
    }
    for (const place of expressions(this.definition)) {
      if (!this.evaluated.has(place)) this.problems.set(place, 'no way leads to it; least/ lists too few results');
    }
    for (const name of this.unused) this.problems.set(name, 'least/ has it, and no such state was reached');
    return [...this.problems].map(([place, what]) => `${place}: ${what}`).sort();
  }

  /** The outputs that a machine or a Map's processor ends with. */
  async scope(machine, input, variables, context) {
    const scope = { machine, context, seen: new Set(), ends: new Map() };
    await this.enter(scope, machine.StartAt, input, variables, {});
    return [...scope.ends.values()];
  }

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
      default: throw new Error(`${name}: the walk knows no ${state.Type}`);
    }
  }

  async task(at) {
    const { name, state, input, language } = at;
    if (language !== 'JSONata') throw new Error(`${name}: the walk knows Tasks of JSONata only`);
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
      if (typeof holds !== 'boolean') this.problem(at, place, `comes to ${JSON.stringify(holds)}, no boolean`);
      if (holds !== true) continue;
      // Which of them Step Functions evaluates then is not documented in so many words.
      await this.left(at, state, '', { input }, input);
      return this.leave(at, rule, `Choices/${n}/`, { input }, input);
    }
    return this.leave(at, { ...state, Next: state.Default }, '', { input }, input);
  }

  async map(at) {
    const { name, state, scope, input, variables, language } = at;
    await this.number(at, 'MaxConcurrency');
    let children;
    if (language === 'JSONata') {
      const items = await this.value(at, 'Items', state.Items, { input });
      if (!Array.isArray(items)) this.problem(at, 'Items', 'is no array');
      children = Array.isArray(items) ? items : [];
    } else {
      const context = (item) => ({ ...scope.context, Map: { Item: { Value: item } } });
      for (const field of ['ItemReader', 'ResultWriter']) this.paths(at, field, state[field], context(null));
      this.path(at, 'MaxConcurrencyPath', state.MaxConcurrencyPath ?? '$', scope.context);
      const child = (item) => this.paths(at, 'ItemSelector', state.ItemSelector, context(item));
      children = this.listed('items', name).map(child);
    }
    const outputs = [];
    for (const child of children) {
      outputs.push(await this.scope(state.ItemProcessor, child, variables, scope.context));
    }
    // Each item by each of its ends, the others by their first.
    const firsts = outputs.map(([first]) => first);
    const results = outputs.flatMap((ends, n) => ends.map((end) => firsts.with(n, end)));
    for (const result of results.length > 0 ? results : [[]]) {
      await this.leave(at, state, '', { input, result }, this.placed(at, state, result));
    }
    return this.caught(at);
  }

  /** What a state or a handler of JSONPath makes of a result; one of JSONata has it as it is. */
  placed({ input, language }, { ResultPath: path }, result) {
    if (language === 'JSONata' || path === undefined) return result;
    return path === null ? input : { ...input, [path.slice('$.'.length)]: result };
  }

  async leave(at, way, prefix, states, output) {
    const next = await this.left(at, way, prefix, states, output);
    if (way.Next) return this.enter(at.scope, way.Next, next.output, next.variables, at.rounds);
    at.scope.ends.set(JSON.stringify(next.output), next.output);
    return undefined;
  }

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
    this.problem(at, field, `comes to ${JSON.stringify(value)}, no whole number`);
  }

  listed(kind, name) {
    this.unused.delete(name);
    const listed = this.least[kind]?.[name];
    if (!listed) this.problems.set(name, `least/ has no ${kind} of it`);
    return listed ?? [];
  }

  problem({ name }, field, what) {
    const place = `${name}/${field}`;
    if (!this.problems.has(place)) this.problems.set(place, what);
  }

  /** A field with each expression in it evaluated. */
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
      if (unknown.length > 0) throw new Error(`nothing was assigned to $${unknown.join(', $')} on this way`);
      expression.registerFunction('parse', (json) => JSON.parse(json), '<s:x>');
      const bindings = { ...at.variables, states: { ...states, context: at.scope.context } };
      const value = await expression.evaluate(undefined, structuredClone(bindings));
      if (value === undefined) throw new Error('comes to nothing');
      return JSON.parse(JSON.stringify(value));
    } catch (error) {
      const having = JSON.stringify({ ...states, ...at.variables }).slice(0, SHOWN);
      this.problem(at, place, `${error.message}, having ${having}`);
      return null;
    }
  }

  /** The same for fields of JSONPath: what ends in `.$` is a path. */
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

/** `<state>/<field>/…` of each expression, those of a Map's states included. */
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

/** Variables that an expression takes from outside. Step Functions refuses one that was never assigned. */
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
