// Plots of the last five minutes, and small ones for tables.

import uPlot from './vendor/uplot.js';
import { columns, latest, SAMPLES, subscribe, useLive } from './live.js';
import { html, useEffect, useRef, useState } from './vendor/htm-preact.js';

const COLORS = ['--plot-1', '--plot-2', '--plot-3'];
const SYNC = uPlot.sync('live');
/** Seconds that a plot shows, and as long as there are fewer, the least. */
const SHOWN = 300, LEAST = 60;
const isDecade = value => { const log = Math.log10(value); return Math.abs(log - Math.round(log)) < 1e-6; };
const short = text => text.replace(/\.0+(?=\D|$)/, '');

// Colours are in the style sheet, and a canvas has to be given them.
const probe = document.createElement('span');
function color(name) {
  if (!probe.isConnected) { probe.hidden = true; document.body.append(probe); }
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

function faint(text, alpha) {
  const match = text.match(/^rgba?\(([^)]+)\)$/);
  return match ? `rgba(${match[1].split(/[ ,/]+/).slice(0, 3).join(',')},${alpha})` : text;
}

function options({ series, format, log, height, most }, width, onCursor) {
  const [text, line] = [color('--muted'), color('--line')];
  const axis = { stroke: text, font: '11px system-ui, "DejaVu Sans", sans-serif', grid: { stroke: line, width: 1 }, ticks: { show: false }, gap: 6 };
  const y = log
    ? { distr: 3, log: 10, range: (_, low, high) => (low > 0 ? [10 ** Math.floor(Math.log10(low) - .05), 10 ** Math.ceil(Math.log10(high) + .05)] : [1e-5, 1]) }
    : { range: (_, low, high) => [0, Math.max(high > 0 ? high * 1.12 : 0, most ?? 1)] };
  return {
    width, height, legend: { show: false }, padding: [8, 27, 0, 0],
    cursor: { sync: { key: SYNC.key }, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true, range: (_, low, high) => [Math.max(high - SHOWN, Math.min(low, high - LEAST)), high] }, y },
    axes: [
      { ...axis, size: 22, space: 90, values: (_, ticks) => ticks.map(tick => new Date(tick * 1000).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit', second: tick % 60 ? '2-digit' : undefined })) },
      { ...axis, size: 62, space: log ? 22 : 34, values: (_, ticks) => ticks.map(tick => (tick === null ? null : short(format(tick)))), ...(log && { filter: (_, ticks) => ticks.map(tick => (isDecade(tick) ? tick : null)), grid: { ...axis.grid, filter: (_, ticks) => ticks.map(tick => (isDecade(tick) ? tick : null)) } }) },
    ],
    series: [{}, ...series.map((one, i) => {
      const stroke = color(COLORS[i]);
      return { label: one.label, stroke, width: 1.75, fill: one.fill ? faint(stroke, .12) : undefined, spanGaps: false, points: { show: (u, si, i0, i1) => i1 - i0 < 3 } };
    })],
    hooks: { setCursor: [u => onCursor(u.cursor.idx)] },
  };
}

/** A plot. `series`: up to three of {key, label, fill}. */
export function Plot(props) {
  const { title, series, format, height = 170, note } = { ...props };
  const box = useRef(null), chart = useRef(null);
  const [at, setAt] = useState(null);
  const keys = series.map(one => one.key).join('\n');
  useLive();
  useEffect(() => {
    const make = () => {
      chart.current?.destroy();
      chart.current = new uPlot(options({ ...props, height }, box.current.clientWidth || 300, setAt), columns(series.map(one => one.key)), box.current);
    };
    make();
    const draw = () => chart.current.setData(columns(series.map(one => one.key)));
    const undo = subscribe(draw);
    const size = new ResizeObserver(() => box.current && chart.current.setSize({ width: box.current.clientWidth, height }));
    size.observe(box.current);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', make);
    document.addEventListener('theme', make);
    return () => { undo(); size.disconnect(); dark.removeEventListener('change', make); document.removeEventListener('theme', make); chart.current.destroy(); chart.current = null; };
  }, [keys, height]);
  const value = i => { const data = chart.current?.data; return at != null && data?.[0]?.[at] !== undefined ? data[i + 1][at] ?? NaN : latest(series[i].key); };
  const values = series.map((one, i) => `${one.label} ${format(value(i))}`).join(', ');
  return html`<section class="panel plot">
    <header><h2>${title}</h2>${note && html`<span class="muted small">${note}</span>`}
      <div class="legend">${series.map((one, i) => html`<span><i class=${`c${i + 1}`}></i>${one.label}<b>${format(value(i))}</b></span>`)}</div></header>
    <div class="chart" ref=${box} role="img" aria-label=${`${title}, the last five minutes. Now: ${values}`} style=${{ height: `${height}px` }}></div>
  </section>`;
}

/** A line in a table: the last two minutes of a series. */
export function Spark({ id, label }) {
  useLive();
  const values = columns([id], Math.min(120, SAMPLES))[1];
  const count = Math.max(30, values.length);
  const most = Math.max(1e-9, ...values.map(value => value ?? 0));
  let path = '', pen = false;
  values.forEach((value, i) => {
    if (value === null) { pen = false; return; }
    path += `${pen ? 'L' : 'M'}${((count - values.length + i) / (count - 1) * 110).toFixed(1)} ${(22 - value / most * 20).toFixed(1)}`;
    pen = true;
  });
  return html`<svg class="spark" viewBox="0 0 110 24" preserveAspectRatio="none" role="img" aria-label=${label}><path d=${path || 'M0 22'} /></svg>`;
}
