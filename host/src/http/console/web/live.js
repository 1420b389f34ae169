// The figures that move: asked for once a second while somebody looks, and kept for five minutes. What is kept has an end, however long the page is open.

import { get } from './api.js';
import { useEffect, useState } from './vendor/htm-preact.js';

export const SAMPLES = 300;
const EVERY = 1000;
/** Quantiles are of the calls of so many samples: of one second alone they would jump. */
const WINDOW = 5;
/** A series that has no value for so long is dropped: its tool is gone. */
const FORGET = SAMPLES;
const MOST_SERIES = 1500;

/** What is known now. `now`: the last answer; `error`: why there is no newer one. */
export const live = { now: null, error: null, session: null, ticks: 0 };

const times = new Float64Array(SAMPLES).fill(NaN);
const series = new Map();
let before = [];
let timer = null;
let failures = 0;
const listeners = new Set();

export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Draws a component again with each answer. */
export function useLive() {
  const [, set] = useState(0);
  useEffect(() => subscribe(() => set(count => count + 1)), []);
  return live;
}

function put(key, value) {
  let one = series.get(key);
  if (!one) {
    if (!Number.isFinite(value) || series.size >= MOST_SERIES) return;
    one = { values: new Float64Array(SAMPLES).fill(NaN), used: live.ticks };
    series.set(key, one);
  }
  if (Number.isFinite(value)) one.used = live.ticks;
  one.values[live.ticks % SAMPLES] = value;
}

/** The duration, in seconds, below which a part of the calls were. Times are spread evenly by their logarithm within a bucket. */
export function quantile(part, counts, ends) {
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (all <= 0) return NaN;
  let left = part * all;
  for (let i = 0; i < counts.length; i++) {
    if (counts[i] <= 0 || left > counts[i]) { left -= Math.max(0, counts[i]); continue; }
    const top = (ends[i] ?? ends.at(-1) * 2) / 1e9;
    const bottom = i > 0 ? ends[i - 1] / 1e9 : top / 2;
    return bottom * (top / bottom) ** (left / counts[i]);
  }
  return ends.at(-1) / 1e9;
}

const minus = (a, b) => a.map((count, i) => count - (b?.[i] ?? 0));

function of(prefix, now, last, first, seconds, ends) {
  put(`${prefix}rate`, last ? (now.count - last.count) / seconds : NaN);
  put(`${prefix}errors`, last ? (now.bad - last.bad) / seconds : NaN);
  const counts = first ? minus(now.buckets, first.buckets) : [];
  for (const [name, part] of [['p50', .5], ['p95', .95], ['p99', .99]]) put(`${prefix}${name}`, quantile(part, counts, ends));
}

function take(answer) {
  const last = before.at(-1);
  // Another process, or another host: its counts began anew.
  if (last && (answer.time <= last.time || answer.calls.count < last.calls.count)) before = [];
  const previous = before.at(-1);
  const gap = previous ? (answer.time - previous.time) / 1000 : 0;
  if (gap > 4) { step(NaN, () => {}); before = []; }
  const one = before.at(-1), first = before[0];
  const ends = live.session?.buckets ?? [];
  step(answer.time / 1000, () => {
    const seconds = one ? (answer.time - one.time) / 1000 : 1;
    of('', answer.calls, one?.calls, first?.calls, seconds, ends);
    put('in_flight', answer.in_flight);
    put('queued', answer.queued);
    put('sessions', answer.sessions);
    put('tasks', answer.tasks);
    put('connections', answer.connections);
    put('pool', answer.pool.used);
    put('pool_waiting', answer.pool.waiting);
    put('resident', answer.process?.resident ?? NaN);
    put('cpu', one?.process && answer.process ? (answer.process.cpu - one.process.cpu) / seconds * 100 : NaN);
    const by = (list, name) => new Map(list.map(item => [name(item), item]));
    const [p1, p0] = [by(one?.providers ?? [], item => item.name), by(first?.providers ?? [], item => item.name)];
    for (const item of answer.providers) {
      const prefix = `p:${item.name}:`;
      of(prefix, item.calls, p1.get(item.name)?.calls, p0.get(item.name)?.calls, seconds, ends);
      put(`${prefix}in_flight`, item.in_flight);
      put(`${prefix}queued`, item.queued);
      if (item.replicas) put(`${prefix}replicas`, item.replicas[0]);
    }
    const name = item => `${item.provider}/${item.name}`;
    const [t1, t0] = [by(one?.tools ?? [], name), by(first?.tools ?? [], name)];
    for (const item of answer.tools) {
      // One that had no call when it was asked for last is not in the list.
      const none = { count: 0, bad: 0, buckets: [] };
      of(`t:${name(item)}:`, item.calls, t1.get(name(item))?.calls ?? (one && none), t0.get(name(item))?.calls ?? (first && none), seconds, ends);
    }
    const m1 = by(one?.models ?? [], item => item.name);
    for (const item of answer.models) {
      const past = m1.get(item.name);
      put(`m:${item.name}:rate`, past ? (item.computes - past.computes) / seconds : NaN);
      put(`m:${item.name}:errors`, past ? (item.failed - past.failed) / seconds : NaN);
      put(`m:${item.name}:queued`, item.queued);
    }
  });
  before.push(answer);
  if (before.length > WINDOW) before.shift();
  live.now = answer;
}

function step(time, fill) {
  live.ticks++;
  const at = live.ticks % SAMPLES;
  times[at] = time;
  for (const one of series.values()) one.values[at] = NaN;
  fill();
  for (const [key, one] of series) if (live.ticks - one.used > FORGET) series.delete(key);
}

/** The newest value of a series. NaN: there is none. */
export const latest = key => series.get(key)?.values[live.ticks % SAMPLES] ?? NaN;

/** The mean of the last values. */
export function recent(key, count = 5) {
  const values = series.get(key)?.values;
  let sum = 0, found = 0;
  for (let back = 0; values && back < count; back++) {
    const value = values[(live.ticks - back + SAMPLES) % SAMPLES];
    if (Number.isFinite(value)) { sum += value; found++; }
  }
  return found ? sum / found : NaN;
}

/** Columns for a plot, the oldest first: times, then each series. */
export function columns(keys, count = SAMPLES) {
  const order = [];
  for (let back = Math.min(count, SAMPLES) - 1; back >= 0; back--) {
    const at = (live.ticks - back + SAMPLES * 2) % SAMPLES;
    if (live.ticks - back > 0 && Number.isFinite(times[at])) order.push(at);
  }
  const column = values => order.map(at => (values && Number.isFinite(values[at]) ? values[at] : null));
  return [order.map(at => times[at]), ...keys.map(key => column(series.get(key)?.values))];
}

/** How many series are kept: for the test that says that this has an end. */
export const kept = () => series.size;

/** What the host has kept of the time before the page was opened. It knows no single tools, so rates begin anew behind it. */
async function remember() {
  const { samples } = await get('history');
  samples.forEach(take);
  live.now = null;
  before = [];
}

async function poll() {
  timer = null;
  try {
    live.session ??= await get('session');
    if (!live.ticks) await remember();
    const answer = await get('live');
    if (live.error) live.session = await get('session');
    take(answer);
    [live.error, failures] = [null, 0];
  } catch (error) {
    live.error = error;
    failures++;
    if (error.status === 401 || error.status === 403) return stop();
  } finally {
    listeners.forEach(listener => listener());
  }
  next(Math.min(EVERY * 2 ** Math.min(failures, 4), 15000));
}

let running = false;
function next(after) {
  clearTimeout(timer);
  if (running && document.visibilityState === 'visible') timer = setTimeout(poll, after);
}

/** Asks from now on. */
export function start() {
  if (running) return;
  running = true;
  live.error = null;
  poll();
}

export function stop() {
  running = false;
  clearTimeout(timer);
}

/** Forgets who looks: another token is another caller. */
export function forget() {
  stop();
  Object.assign(live, { now: null, error: null, session: null });
  before = [];
}

// Nobody looks at a page in the background.
document.addEventListener('visibilitychange', () => next(0));
