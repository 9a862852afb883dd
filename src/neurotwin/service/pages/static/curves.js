// A quantity over time: what was measured, what each plan leads to with its interval, or a paired difference.

import { decades, draw, make, scale, short, ticks, unitText, words } from "./svg.js";

export const EDGE = { left: 52, right: 14, top: 12, bottom: 26 };
const kept = new WeakMap();

/**
 * Draw into `host`.
 * about: {name, unit, timeUnit, span: [from, to], now, points: [{t, value}], courses: [{name, index, rows}],
 *   log, marks: [{value, label}], truths: [{name, rows: [[t, value]]}], label, height, difference}
 */
export function drawCurves(host, about) {
  const width = Math.max(host.clientWidth, 260);
  const height = about.height ?? 250;
  const x = scale(about.span, [EDGE.left, width - EDGE.right]);
  const [low, high] = range(host, about);
  const y = axis(low, high, [height - EDGE.bottom, EDGE.top], about.log);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": about.label, class: "plot" });
  if (about.now > about.span[0] && !about.difference) {
    svg.append(draw("rect", { class: "past", x: x(about.span[0]), y: EDGE.top, width: x(about.now) - x(about.span[0]),
      height: height - EDGE.top - EDGE.bottom }));
  }
  axes(svg, about, x, y, width, height);
  for (const course of about.courses) band(svg, course, x, y);
  for (const course of about.courses) line(svg, course, x, y);
  for (const truth of about.truths ?? []) {
    svg.append(draw("path", { class: `truth t${truth.index ?? 0}`, d: path(truth.rows.map(([t, value]) => [x(t), y(value)])) }));
  }
  for (const mark of about.marks ?? []) {
    if (mark.value < low || mark.value > high) continue;
    svg.append(draw("line", { class: "mark", x1: EDGE.left, x2: width - EDGE.right, y1: y(mark.value), y2: y(mark.value) }));
    svg.append(draw("text", { class: "tick halo", x: EDGE.left + 6, y: y(mark.value) - 4 }, mark.label));
  }
  for (const point of about.points ?? []) svg.append(draw("circle", { class: "seen", cx: x(point.t), cy: y(point.value), r: 4 }));
  const readout = make("p", { class: "readout", "aria-hidden": "true" }, "\u00a0");
  const heading = make("p", { class: "plot-title" }, words(about.name), make("span", { class: "hint" }, ` ${unitText(about.unit)}`));
  host.replaceChildren(heading, svg, readout);
  follow(svg, readout, about, x, width, height);
}

/** From values to places; on a logarithmic axis what is not positive lies at its foot. */
function axis(low, high, places, log) {
  if (!log) return scale([low, high], places);
  const along = scale([Math.log10(low), Math.log10(high)], places);
  const found = (value) => along(Math.log10(Math.max(value, low)));
  found.back = (place) => 10 ** along.back(place);
  return found;
}

function range(host, about) {
  const values = [...(about.points ?? []).map((point) => point.value), ...(about.difference ? [0] : []),
    ...(about.truths ?? []).flatMap((truth) => truth.rows.map((row) => row[1])),
    ...about.courses.flatMap((course) => course.rows.flatMap((row) => [row.median, row.lo, row.hi]))]
    .filter((value) => Number.isFinite(value) && (!about.log || value > 0));
  if (about.log) return values.length ? [Math.min(...values) / 1.3, Math.max(...values) * 1.3] : [0.1, 10];
  const inner = [Math.min(...values), Math.max(...values)];
  for (const mark of about.marks ?? []) {
    const reach = 1.5 * (inner[1] - inner[0] || Math.abs(inner[1]) || 1);
    if (mark.value > inner[0] - reach && mark.value < inner[1] + reach) values.push(mark.value);
  }
  let [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
  if (!about.difference && low >= 0 && low < 0.4 * high) low = 0;
  const gap = 0.06 * (high - low || Math.abs(high) || 1);
  [low, high] = [low === 0 ? 0 : low - gap, high + gap];
  const before = kept.get(host); // a scale that jumped with each change would hide what the change does
  const key = `${about.name} ${about.span[0]}`;
  if (before?.key === key && before.low <= low && before.high >= high && high - low > 0.5 * (before.high - before.low)) {
    return [before.low, before.high];
  }
  kept.set(host, { key, low, high });
  return [low, high];
}

function axes(svg, about, x, y, width, height) {
  const [low, high] = [y.back(height - EDGE.bottom), y.back(EDGE.top)];
  for (const value of about.log ? decades(low, high) : ticks(low, high, 4)) {
    const kind = about.difference && value === 0 ? "zero" : "grid";
    svg.append(draw("line", { class: kind, x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { class: "tick end", x: EDGE.left - 6, y: y(value) + 4 }, short(value)));
  }
  drawTime(svg, about, x, width, height);
  if (about.now !== undefined) {
    svg.append(draw("line", { class: "now", x1: x(about.now), x2: x(about.now), y1: EDGE.top - 8, y2: height - EDGE.bottom }));
    svg.append(draw("text", { class: "tick", x: x(about.now) + 4, y: EDGE.top }, "now"));
  }
}

export function drawTime(svg, about, x, width, height) {
  for (const t of ticks(...about.span, width / 90)) {
    svg.append(draw("line", { class: "grid", x1: x(t), x2: x(t), y1: height - EDGE.bottom, y2: height - EDGE.bottom + 4 }));
    const last = x(t) > width - EDGE.right - 24;
    svg.append(draw("text", { class: last ? "tick end" : "tick middle", x: last ? width : x(t), y: height - 6 },
      last ? `${short(t)} ${about.timeUnit}` : short(t)));
  }
}

function band(svg, course, x, y) {
  const rows = course.rows.filter((row) => Number.isFinite(row.lo) && Number.isFinite(row.hi));
  if (rows.length < 2) return;
  const up = rows.map((row) => [x(row.t), y(row.hi)]);
  const down = rows.map((row) => [x(row.t), y(row.lo)]).reverse();
  svg.append(draw("path", { class: `band c${course.index % 5}`, d: `${path([...up, ...down])}Z` }));
}

function line(svg, course, x, y) {
  const rows = course.rows.filter((row) => Number.isFinite(row.median));
  svg.append(draw("path", { class: `line c${course.index % 5}`, "data-course": course.name,
    d: path(rows.map((row) => [x(row.t), y(row.median)])) }));
}

const path = (points) => points.map(([px, py], at) => `${at ? "L" : "M"}${px.toFixed(1)},${py.toFixed(1)}`).join("");

function follow(svg, readout, about, x, width, height) {
  const cursor = draw("line", { class: "cursor", y1: EDGE.top, y2: height - EDGE.bottom, visibility: "hidden" });
  svg.append(cursor);
  svg.addEventListener("pointermove", (event) => {
    const t = x.back(((event.clientX - svg.getBoundingClientRect().left) * width) / svg.getBoundingClientRect().width);
    const near = about.courses.map((course) => [course, nearest(course.rows, t)]).filter(([, row]) => row);
    if (!near.length || t < about.now) return;
    const at = near[0][1].t;
    cursor.setAttribute("visibility", "visible");
    cursor.setAttribute("x1", x(at));
    cursor.setAttribute("x2", x(at));
    const parts = near.map(([course, row]) => `${course.name} ${short(row.median)} (${short(row.lo)} to ${short(row.hi)})`);
    readout.textContent = `${short(at)} ${about.timeUnit}: ${parts.join(" · ")}`;
  });
  svg.addEventListener("pointerleave", () => {
    readout.textContent = "\u00a0";
    cursor.setAttribute("visibility", "hidden");
  });
}

function nearest(rows, t) {
  return rows.reduce((best, row) => (!best || Math.abs(row.t - t) < Math.abs(best.t - t) ? row : best), undefined);
}

/** A swatch as the plots draw a plan. */
export function swatch(index) {
  return draw("svg", { viewBox: "0 0 24 12", "aria-hidden": "true" }, draw("path", { class: `band c${index % 5}`, d: "M0 1h24v10H0z" }),
    draw("path", { class: `line c${index % 5}`, d: "M0 6h24" }));
}
