// A lesson: decide, wait, see; then the truth.

import { ask, lastOf, told } from "./asking.js";
import { drawCurves, swatch } from "./curves.js";
import { limits } from "./doses.js";
import { trouble, verdicts } from "./said.js";
import { Signature } from "./signature.js";
import { get, make, short, table, tidy, unitText, words } from "./svg.js";

const data = told();
const signature = new Signature(data.signature);
const { horizon, interval } = data.lesson;
const base = `/v1/twins/${encodeURIComponent(data.model)}`;
const path = `/teach/${encodeURIComponent(data.model)}`;
const MINE = "your choice";
const NONE = "nothing given";
let lesson;

function begin() {
  const first = Array.from({ length: Math.max(signature.told.min_visits, 1) }, (_, number) => tidy(number * interval, 8));
  lesson = { number: get("number").valueAsNumber || 0, visits: first, treatments: [], decisions: [], over: false };
  get("decide").hidden = false;
  see();
}

const clock = () => lesson.visits.at(-1);
const stepOf = () => Math.min(get("step")?.valueAsNumber || interval, horizon - clock());

/** What the form says is given from now until the next visit, on the plan's clock. */
function chosen() {
  const step = stepOf();
  return Object.keys(signature.treatments).flatMap((name) => {
    const size = get(`size-${name}`).valueAsNumber;
    const unit = signature.treatments[name].unit;
    if (!(size > 0)) return [];
    if (signature.lasts(name)) return [{ t: 0, treatment: name, size, unit, t_end: step }];
    const count = Math.min(Math.max(Math.round(get(`count-${name}`).valueAsNumber || 1), 1), 20);
    return Array.from({ length: count }, (_, number) => ({ t: tidy((number * step) / count, 6), treatment: name, size, unit }));
  });
}

function form() {
  const rows = Object.entries(signature.treatments).map(([name, channel]) => {
    const { step, most } = limits(channel, channel.unit);
    const input = (id, attributes) => make("input", { id, type: "number", min: "0", oninput: () => foresee(), ...attributes });
    const field = (label, hint, control) => make("label", { class: "field" }, make("span", {}, `${label} `, make("span", { class: "hint" }, `(${hint})`)), control);
    const trained = channel.trained ? `${unitText(channel.unit)}, trained to ${short(channel.trained[1])}` : unitText(channel.unit);
    return make("div", { class: "row" }, field(words(name), trained, input(`size-${name}`, { step, max: Number.isFinite(most) ? most : null, value: 0 })),
      signature.lasts(name) ? "" : field("How many", "until the next visit", input(`count-${name}`, { step: 1, min: 1, max: 20, value: 1 })));
  });
  const wait = make("label", { class: "field" }, make("span", {}, "Next visit after ", make("span", { class: "hint" }, `(${signature.timeUnit})`)),
    make("input", { id: "step", type: "number", step: "any", min: tidy(interval / 10, 3), max: tidy(horizon, 6), value: interval, oninput: () => foresee() }));
  get("choices").replaceChildren(...rows, wait);
}

const question = (reveal) => ({ number: lesson.number, visits: lesson.visits, reveal, treatments: lesson.treatments.map((dose) => signature.fromDose(dose)) });

async function see() {
  try {
    lesson.seen = (await ask(path, question(false))).patient;
    who();
    past();
    get("fault").hidden = true;
    if (horizon - clock() < 1e-6) await finish();
    else await foresee();
  } catch (error) {
    fail(error);
  }
}

function fail(error) {
  get("fault").hidden = false;
  get("fault").textContent = error.message;
}

function who() {
  get("who").replaceChildren(...Object.entries(lesson.seen.static).map(([name, told]) => make("div", {}, make("dt", {}, words(name)),
    make("dd", {}, typeof told === "object" ? `${short(told.value)} ${unitText(told.unit)}` : told))));
  get("clock").textContent = lesson.over ? "The lesson is over." : `Now: ${short(clock())} of ${short(horizon, 4)} ${signature.timeUnit}`;
}

const foresee = lastOf(async () => {
  if (lesson.over) return;
  const [step, rest] = [stepOf(), horizon - clock()];
  const at = [...new Set([...[0.25, 0.5, 0.75, 1].map((part) => tidy(part * step, 8)), ...Array.from({ length: 30 }, (_, number) => tidy((rest * (number + 1)) / 30, 8))])]
    .filter((t) => t > 0 && t <= rest).sort((a, b) => a - b);
  const plan = (name, doses) => ({ name, time_unit: signature.timeUnit, query: { at }, treatments: doses.map((dose) => signature.fromDose(dose)) });
  try {
    const answer = await ask(`${base}/compare`, { patient: lesson.seen, plans: [plan(MINE, chosen()), plan(NONE, [])] });
    lesson.foreseen = answer.plans[0];
    draw(answer.plans.map((one, index) => [[MINE, NONE][index], one]));
  } catch (error) {
    get("said").replaceChildren(trouble(error));
  }
});

const points = (name) => lesson.seen.observations.filter((row) => row.variable === name).map((row) => ({ t: row.t, value: row.value }));
const course = (rows, name) => (rows ?? []).filter((row) => row.channel === name).map((row) => ({ t: row.t, median: row.median, lo: row.interval?.lo, hi: row.interval?.hi }));

function boxes(drawOne) {
  const names = Object.keys(signature.variables);
  const host = get("curves");
  while (host.children.length < names.length) host.append(make("div", { class: "plot-box" }));
  names.forEach((name, number) => drawOne(host.children[number], name, signature.variables[name].unit));
}

function draw(named) {
  get("said").replaceChildren(...verdicts(named, data.reasons));
  get("legend").replaceChildren(...named.map(([name], index) => make("li", {}, swatch(index), name)));
  boxes((host, name, unit) => drawCurves(host, { name, unit, timeUnit: signature.timeUnit, span: [0, horizon], now: clock(), points: points(name),
    courses: named.filter(([, one]) => one.prediction).map(([plan, one], index) => ({ name: plan, index, rows: course(one.prediction, name) })),
    label: `${words(name)}: ${points(name).length} measurements and the twin’s forecast` }));
}

function decide(event) {
  event.preventDefault();
  if (!get("decide").reportValidity()) return;
  const now = clock();
  const doses = chosen().map((dose) => ({ ...dose, t: tidy(now + dose.t, 8), ...(dose.t_end === undefined ? {} : { t_end: tidy(now + dose.t_end, 8) }) }));
  lesson.treatments.push(...doses);
  lesson.decisions.push({ t: now, doses, rows: lesson.foreseen?.prediction ?? null });
  const next = tidy(now + stepOf(), 8);
  lesson.visits.push(horizon - next < 1e-6 ? horizon : next);
  see();
}

function past() {
  const first = Object.keys(signature.variables)[0];
  const unit = unitText(signature.variables[first].unit);
  const rows = lesson.decisions.map((one, number) => {
    const visit = lesson.visits[lesson.visits.length - lesson.decisions.length + number];
    const said = course(one.rows, first).find((row) => Math.abs(row.t - visit) < 1e-4);
    const seen = points(first).find((point) => Math.abs(point.t - visit) < 1e-6);
    const truth = lesson.truth?.[first]?.reduce((best, row) => (Math.abs(row[0] - visit) < Math.abs(best[0] - visit) ? row : best));
    one.inside = said && seen ? seen.value >= said.lo && seen.value <= said.hi : undefined;
    one.visit = visit;
    const gave = one.doses.map((dose) => `${words(dose.treatment)} ${short(dose.size)} ${unitText(dose.unit)}`);
    return [short(one.t), [...new Set(gave)].map((dose) => `${gave.filter((other) => other === dose).length} × ${dose}`).join(", ") || "nothing", short(visit),
      said ? `${short(said.median)} (${short(said.lo)} to ${short(said.hi)})` : "silent", `${short(seen?.value)} ${unit}`,
      one.inside === undefined ? "–" : one.inside ? "yes" : "no", ...(truth ? [short(truth[1])] : [])];
  });
  const head = [`Decided (${signature.timeUnit})`, "Given", "Seen again", "The twin expected", "Measured", "Inside", ...(lesson.truth ? ["Truth"] : [])];
  get("past").replaceChildren(rows.length ? table(`Decisions and ${words(first)} at the next visit`, head, rows, true) : make("p", { class: "hint" }, "None yet."));
}

async function finish() {
  try {
    const found = await ask(path, question(true));
    Object.assign(lesson, { truth: found.truth, untreated: found.untreated, over: true });
  } catch (error) {
    fail(error);
    return;
  }
  get("decide").hidden = true;
  who();
  past();
  const told = lesson.decisions.filter((one) => one.inside !== undefined);
  const inside = told.filter((one) => one.inside).length;
  const summary = told.length ? `${inside} of ${told.length} new measurements were inside the twin’s ${Math.round(100 * data.level)} % interval.` : "The twin made no forecast that could be checked.";
  get("said").replaceChildren(make("p", { class: "calm" }, `The lesson is over. ${summary} Lines in black: the mechanistic truth, without measurement error; dotted, had nothing been given.`));
  get("news").textContent = summary;
  get("legend").replaceChildren(make("li", {}, swatch(0), "what the twin expected up to each next visit"));
  boxes((host, name, unit) => drawCurves(host, { name, unit, timeUnit: signature.timeUnit, span: [0, clock()], points: points(name),
    courses: lesson.decisions.filter((one) => one.rows).map((one) => ({ name: "expected", index: 0, rows: course(one.rows, name).filter((row) => row.t <= one.visit + 1e-6) })),
    truths: [{ rows: lesson.truth[name], index: 0 }, { rows: lesson.untreated[name], index: 1 }],
    label: `${words(name)}: measurements, forecasts and the truth` }));
}

get("begin").addEventListener("submit", (event) => {
  event.preventDefault();
  begin();
});
get("decide").addEventListener("submit", decide);
get("finish").addEventListener("click", finish);
form();
begin();
