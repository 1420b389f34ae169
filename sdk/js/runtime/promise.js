// Promises whose work is done by whoever waits for one. The engine works off its own only between calls, so that an async tool would never end. The build
// writes `async` and `await` out as these promises.

const jobs = [];
let next = 0;
// Asked when nothing is left to do: whether something came of waiting, such as a timer.
const sleepers = [];
let depth = 0;

/** Does something when the code that runs now has come to its end. */
export function enqueue(job) {
  jobs.push(job);
}

/** Has a function asked when nothing is left to do: it waits, and says whether something came of it. With `true` it forgets what it would wait for. */
export function sleeps(wait) {
  if (!sleepers.includes(wait)) sleepers.push(wait);
}

/** Does what is left to do, up to the end. */
function work(isDone) {
  while (!isDone() && next < jobs.length) {
    const job = jobs[next];
    next += 1;
    if (next === jobs.length) next = jobs.length = 0;
    job();
  }
}

/** A whole call: what it comes to, with what it began and nobody waits for. */
export function whole(run) {
  depth += 1;
  try {
    const value = settled(run());
    if (depth === 1) work(() => false);
    return value;
  } finally {
    depth -= 1;
    if (depth === 0) forget();
  }
}

/** What a call has not waited for is not for the next one, where the instance serves several. */
function forget() {
  next = jobs.length = 0;
  for (const wait of sleepers) wait(true);
}

/** What a promise comes to. */
export function settled(value) {
  return value && typeof value.then === 'function' ? awaited(value) : value;
}

function awaited(value) {
  let outcome;
  Promise.resolve(value).then(
    (value) => (outcome = { value }),
    (error) => (outcome = { error }),
  );
  for (;;) {
    work(() => outcome);
    if (outcome) break;
    if (!sleepers.some((wait) => wait())) throw new Error('it awaits something that never comes: nothing is left that could settle it');
  }
  // What nobody waits for is begun at least.
  work(() => false);
  if ('error' in outcome) throw outcome.error;
  return outcome.value;
}

export class Promise {
  #state = 'pending';
  #value;
  #waiting = [];

  constructor(run) {
    if (typeof run !== 'function') throw new TypeError('a Promise is made with a function');
    const [resolve, reject] = this.#ends();
    try {
      run(resolve, reject);
    } catch (error) {
      reject(error);
    }
  }

  /** Two functions, of which the first that is called counts. */
  #ends() {
    let isDone = false;
    const once = (end) => (value) => {
      if (isDone) return;
      isDone = true;
      end(value);
    };
    return [once((value) => this.#follow(value)), once((why) => this.#settle('rejected', why))];
  }

  #follow(value) {
    if (value === this) return this.#settle('rejected', new TypeError('a Promise cannot wait for itself'));
    let then;
    try {
      then = (typeof value === 'object' && value !== null) || typeof value === 'function' ? value.then : undefined;
    } catch (error) {
      return this.#settle('rejected', error);
    }
    if (typeof then !== 'function') return this.#settle('fulfilled', value);
    enqueue(() => {
      const [resolve, reject] = this.#ends();
      try {
        then.call(value, resolve, reject);
      } catch (error) {
        reject(error);
      }
    });
  }

  #settle(state, value) {
    this.#state = state;
    this.#value = value;
    for (const job of this.#waiting) enqueue(job);
    this.#waiting = [];
  }

  then(onFulfilled, onRejected) {
    return new this.constructor((resolve, reject) => {
      const job = () => {
        const isWell = this.#state === 'fulfilled';
        const handler = isWell ? onFulfilled : onRejected;
        if (typeof handler !== 'function') return isWell ? resolve(this.#value) : reject(this.#value);
        try {
          resolve(handler(this.#value));
        } catch (error) {
          reject(error);
        }
      };
      if (this.#state === 'pending') this.#waiting.push(job);
      else enqueue(job);
    });
  }

  catch(onRejected) {
    return this.then(undefined, onRejected);
  }

  finally(run) {
    if (typeof run !== 'function') return this.then(run, run);
    const own = this.constructor;
    return this.then(
      (value) => own.resolve(run()).then(() => value),
      (error) =>
        own.resolve(run()).then(() => {
          throw error;
        }),
    );
  }

  get [Symbol.toStringTag]() {
    return 'Promise';
  }

  static resolve(value) {
    return value instanceof this ? value : new this((resolve) => resolve(value));
  }

  static reject(why) {
    return new this((_, reject) => reject(why));
  }

  static withResolvers() {
    const made = {};
    made.promise = new this((resolve, reject) => Object.assign(made, { resolve, reject }));
    return made;
  }

  static try(run, ...args) {
    return new this((resolve) => resolve(run(...args)));
  }

  /** Each of several: `take` is told how each ends, and ends all. */
  static #of(own, values, take) {
    return new own((resolve, reject) => {
      const list = [...values];
      const results = [];
      let left = list.length;
      const put = (index) => (value) => {
        results[index] = value;
        left -= 1;
        if (left === 0) take.whole(results, resolve, reject);
      };
      if (left === 0) take.whole(results, resolve, reject);
      list.forEach((value, index) => take.each(own.resolve(value), put(index), resolve, reject));
    });
  }

  static all(values) {
    return Promise.#of(this, values, { each: (one, put, _, reject) => one.then(put, reject), whole: (all, resolve) => resolve(all) });
  }

  static allSettled(values) {
    const each = (one, put) =>
      one.then(
        (value) => put({ status: 'fulfilled', value }),
        (reason) => put({ status: 'rejected', reason }),
      );
    return Promise.#of(this, values, { each, whole: (all, resolve) => resolve(all) });
  }

  static any(values) {
    const whole = (errors, _, reject) => reject(new AggregateError(errors, 'each of the promises was rejected'));
    return Promise.#of(this, values, { each: (one, put, resolve) => one.then(resolve, put), whole });
  }

  static race(values) {
    return new this((resolve, reject) => {
      for (const value of values) this.resolve(value).then(resolve, reject);
    });
  }
}
