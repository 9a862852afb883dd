// Doses along the time axis, one lane for each plan: dragged with a pointer, moved and changed with keys.

import { EDGE } from "./curves.js";
import { draw, make, niceStep, scale, short, tidy, unitText, words } from "./svg.js";

const HEIGHT = 54;
const FLOOR = 40;

/**
 * about: {span, now, until, timeUnit, plans: [{name, doses}], given: [{t, end, treatment, share}], channels: {name: channel},
 *   change(plan, dose, patch), remove(plan, dose)}
 */
export function drawLanes(host, about) {
  const focus = host.contains(document.activeElement) ? document.activeElement.dataset?.key : undefined;
  host.replaceChildren(...about.plans.map((plan, index) => lane(host, about, plan, index)));
  if (focus) host.querySelector(`[data-key="${focus}"]`)?.focus({ preventScroll: true });
}

function lane(host, about, plan, index) {
  const width = Math.max(host.clientWidth, 260);
  const x = scale(about.span, [EDGE.left, width - EDGE.right]);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, class: "lane", role: "group",
    "aria-label": `Doses of ${plan.name}` });
  svg.append(draw("line", { class: "floor", x1: EDGE.left, x2: width - EDGE.right, y1: FLOOR, y2: FLOOR }));
  svg.append(draw("line", { class: "now", x1: x(about.now), x2: x(about.now), y1: 4, y2: FLOOR }));
  for (const dose of about.given) svg.append(stem(x, dose, "given"));
  const title = make("p", { class: `lane-title c${index % 5}` }, plan.name);
  plan.doses.forEach((dose, number) => svg.append(handle(host, about, plan, index, dose, number, x)));
  return make("div", { class: "lane-box" }, title, svg);
}

function stem(x, dose, kind) {
  const top = FLOOR - 6 - 22 * Math.min(dose.share, 1);
  if (dose.end !== undefined && Number.isFinite(dose.end)) {
    return draw("rect", { class: kind, x: x(dose.t), y: top, width: Math.max(x(dose.end) - x(dose.t), 2), height: FLOOR - top });
  }
  return draw("g", { class: kind }, draw("line", { x1: x(dose.t), x2: x(dose.t), y1: FLOOR, y2: top }),
    draw("circle", { cx: x(dose.t), cy: top, r: 3 }));
}

/** What keys and labels need of a dose's treatment. */
export function limits(channel, unit) {
  const [factor] = [channel?.units?.[unit]?.factor ?? 1];
  const trained = (channel?.trained?.[1] ?? channel?.plausible?.[1] ?? 1) / factor;
  return { most: (channel?.plausible?.[1] ?? Infinity) / factor, trained, step: niceStep(trained, 10) };
}

function handle(host, about, plan, index, dose, number, x) {
  const channel = about.channels[dose.treatment];
  const { most, trained, step } = limits(channel, dose.unit);
  const t = about.now + dose.t;
  const share = Math.min((dose.size ?? 0) / trained, 1);
  const top = FLOOR - 6 - 22 * share;
  const size = `${short(dose.size)} ${unitText(dose.unit)}`;
  const what = `${words(dose.treatment)} ${size}, ${short(dose.t)} ${about.timeUnit} after the start`;
  const end = dose.t_end === undefined ? undefined : about.now + dose.t_end;
  const group = draw("g", { class: `dose c${index % 5}`, tabindex: "0", role: "slider", "data-key": `${index}-${number}`,
    "aria-label": `${plan.name}: dose ${number + 1}`, "aria-valuemin": 0, "aria-valuemax": tidy(about.until, 6),
    "aria-valuenow": tidy(dose.t, 6), "aria-valuetext": what });
  group.append(draw("title", {}, what), draw("rect", { class: "hit", x: x(t) - 13, y: 0, width: 26, height: HEIGHT }));
  if (end !== undefined) group.append(draw("rect", { class: "period", x: x(t), y: top, width: Math.max(x(end) - x(t), 2), height: FLOOR - top }));
  group.append(draw("line", { class: "stem", x1: x(t), x2: x(t), y1: FLOOR, y2: top }), mark(about, dose, x(t), top),
    draw("text", { class: "tick middle", x: x(t), y: FLOOR + 12 }, short(dose.size)));
  const move = (by) => {
    const to = tidy(Math.min(Math.max(dose.t + by, 0), about.until), 8);
    const shift = to - dose.t;
    about.change(index, number, { t: to, ...(dose.t_end === undefined ? {} : { t_end: tidy(dose.t_end + shift, 8) }) });
  };
  const resize = (by) => about.change(index, number, { size: tidy(Math.min(Math.max((dose.size ?? 0) + by, 0), most), 6) });
  const tick = niceStep(about.until, 60);
  group.addEventListener("keydown", (event) => {
    const big = event.shiftKey ? 5 : 1;
    const acts = {
      ArrowLeft: () => move(-tick * big), ArrowRight: () => move(tick * big), Home: () => move(-dose.t),
      End: () => move(about.until - dose.t), ArrowUp: () => resize(step), ArrowDown: () => resize(-step), "+": () => resize(step),
      "=": () => resize(step), "-": () => resize(-step), Delete: () => about.remove(index, number), Backspace: () => about.remove(index, number),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  });
  group.addEventListener("pointerdown", (event) => drag(host, event, about, index, number, dose, x, tick));
  return group;
}

/** Treatments differ by shape too, not by place alone. */
function mark(about, dose, cx, cy) {
  const kind = Math.max(Object.keys(about.channels).indexOf(dose.treatment), 0) % 3;
  if (kind === 0) return draw("circle", { class: "head", cx, cy, r: 6 });
  if (kind === 1) return draw("rect", { class: "head", x: cx - 5.5, y: cy - 5.5, width: 11, height: 11 });
  return draw("path", { class: "head", d: `M${cx},${cy - 7}l7,12h-14z` });
}

function drag(host, event, about, index, number, dose, x, tick) {
  if (event.button > 0) return;
  event.preventDefault();
  event.currentTarget.focus({ preventScroll: true });
  const width = host.clientWidth / Math.max(host.clientWidth, 260);
  const [from, length] = [dose.t, dose.t_end === undefined ? undefined : dose.t_end - dose.t];
  const begin = event.clientX;
  host.setPointerCapture(event.pointerId);
  const onmove = (moved) => {
    const by = x.back(x(0) + (moved.clientX - begin) / width) - 0;
    const t = tidy(Math.min(Math.max(Math.round((from + by) / tick) * tick, 0), about.until), 8);
    about.change(index, number, { t, ...(length === undefined ? {} : { t_end: tidy(t + length, 8) }) });
  };
  const stop = () => {
    host.removeEventListener("pointermove", onmove);
    host.removeEventListener("pointerup", stop);
    host.removeEventListener("pointercancel", stop);
  };
  host.addEventListener("pointermove", onmove);
  host.addEventListener("pointerup", stop);
  host.addEventListener("pointercancel", stop);
}
