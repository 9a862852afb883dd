// The forecast as it stands: verdict, headline, curves, paired differences, table.

import { drawCurves, swatch } from "./curves.js";
import { leftOut, verdicts } from "./said.js";
import { get, make, short, signed, table, unitText, words } from "./svg.js";

const ORIGIN = {
  "simulated-only": "How plans differ was learned from simulated patients only.",
  observational: "How plans differ was learned from records of care, which may carry the reasons for which treatments were given.",
};

/** What the bands of differences rest on. */
function basis(pairs) {
  const intervals = pairs.flatMap((pair) => pair.rows.map((row) => row.interval));
  const level = `${Math.round(100 * intervals[0].level)} %`;
  const shares = intervals.filter((one) => one.calib_n > 0 && one.empirical_coverage != null).map((one) => one.empirical_coverage);
  if (!shares.length) return `The bands (${level}) are the spread of the model’s joint draws; the model’s own error is not in them.`;
  const [low, high] = [Math.min(...shares), Math.max(...shares)].map((share) => Math.round(100 * share));
  return `The bands (${level}) were calibrated on virtual patients whose true difference is known; they held it in ${low === high ? low : `${low} to ${high}`} % of others.`;
}

/** Where two plans lie outside what the bands were calibrated on. */
function untried(answer) {
  const details = (answer.difference_details ?? []).map((one) => one.replace(/^extrapolation: /, ""));
  return details.length ? [`Outside what was tried, so trust the bands less: ${details.slice(0, 3).join("; ")}.`] : [];
}

export class Stage {
  constructor(signature, data) {
    this.signature = signature;
    this.data = data;
    this.timer = undefined;
    get("log").addEventListener("change", () => this.again());
  }

  wait() {
    const least = this.signature.told.min_visits;
    this.#clear();
    get("said").replaceChildren(make("p", { class: "empty" },
      `Type in the patient’s measurements. This model speaks from ${least} visit${least === 1 ? "" : "s"} on.`));
  }

  fail(box) {
    this.#clear();
    get("said").replaceChildren(box);
  }

  #clear() {
    this.last = undefined;
    for (const id of ["headline", "legend", "curves", "differences", "table"]) get(id).replaceChildren();
    get("numbers").hidden = true;
  }

  span(rows, now, until) {
    const times = rows.observations.map((row) => row.t).filter(Number.isFinite);
    return [Math.max(Math.min(now, ...times), now - 2 * until), now + until];
  }

  again() {
    if (this.last) this.show(...this.last);
  }

  show(rows, named, answer, now, until, mark) {
    this.last = [rows, named, answer, now, until, mark];
    const spoken = named.map(([name, one], index) => ({ name, index, rows: one.prediction })).filter((one) => one.rows);
    get("said").replaceChildren(...verdicts(named, this.data.reasons, this.data.patient !== null), ...[leftOut(named[0][1])].filter(Boolean));
    get("legend").replaceChildren(...named.map(([name], index) => make("li", {}, swatch(index), name)),
      ...(spoken.length ? [make("li", { class: "hint" }, `bands: ${Math.round(this.data.level * 100)} % intervals`)] : []));
    const names = Object.keys(this.signature.variables);
    const span = this.span(rows, now, until);
    this.#each(get("curves"), names, (host, name) => this.#curves(host, name, rows, spoken, span, now, mark));
    const pairs = this.#pairs(answer, spoken);
    this.#each(get("differences"), pairs.length ? names : [], (host, name) => this.#differences(host, name, pairs, span, now));
    const notes = pairs.length ? [ORIGIN[answer.counterfactual], basis(pairs), ...untried(answer)]
      : answer.difference_reasons?.length ? [this.data.reasons.not_identified[0]] : [];
    for (const note of notes) get("differences").append(make("p", { class: "hint" }, note));
    this.#headline(spoken, pairs, names);
    this.#numbers(spoken, pairs, names);
    this.#tell(named);
  }

  #each(host, names, drawOne) {
    while (host.children.length > names.length) host.lastChild.remove();
    while (host.children.length < names.length) host.append(make("div", { class: "plot-box" }));
    names.forEach((name, number) => drawOne(host.children[number], name));
  }

  #curves(host, name, rows, spoken, span, now, mark) {
    const channel = this.signature.variables[name];
    const points = rows.observations.filter((row) => row.variable === name && row.t >= span[0])
      .map((row) => ({ t: row.t, value: this.signature.value(channel, row.value, row.unit) })).filter((point) => Number.isFinite(point.value));
    const courses = spoken.map((one) => ({ ...one, rows: course(one.rows, name) }));
    const ends = courses.map((one) => `${one.name} ${short(one.rows.at(-1)?.median)}`).join(", ");
    drawCurves(host, { name, unit: channel.unit, timeUnit: this.signature.timeUnit, span, now, points, courses,
      log: get("log").checked && channel.plausible?.[0] >= 0, marks: mark?.channel === name ? [mark] : [],
      label: `${words(name)} in ${unitText(channel.unit)}: ${points.length} measurements${ends ? `; at the end of the forecast ${ends}` : "; no forecast"}` });
  }

  #pairs(answer, spoken) {
    const first = spoken[0]?.name;
    const index = Object.fromEntries(spoken.map((one) => [one.name, one.index]));
    const found = new Map();
    for (const row of answer.differences ?? []) {
      if (row.a !== first) continue;
      if (!found.has(row.b)) found.set(row.b, { name: `${row.b} minus ${row.a}`, index: index[row.b], rows: [] });
      found.get(row.b).rows.push(row);
    }
    return [...found.values()];
  }

  #differences(host, name, pairs, span, now) {
    const channel = this.signature.variables[name];
    const courses = pairs.map((pair) => ({ ...pair, rows: course(pair.rows, name) }));
    const ends = courses.map((one) => `${one.name} ${signed(one.rows.at(-1)?.median)}`).join(", ");
    drawCurves(host, { name: `Paired difference of ${words(name)}`, unit: channel.unit, timeUnit: this.signature.timeUnit, span, now,
      courses, difference: true, height: 170, label: `Paired differences of ${words(name)}; at the end of the forecast ${ends}` });
  }

  #headline(spoken, pairs, names) {
    const name = names[0];
    const unit = unitText(this.signature.variables[name].unit);
    const facts = spoken.map((one) => [one, course(one.rows, name).at(-1), short]);
    const gaps = pairs.map((pair) => [pair, course(pair.rows, name).at(-1), signed]);
    get("headline").replaceChildren(...[...facts, ...gaps].filter(([, row]) => row && row.median !== null).map(([one, row, show]) =>
      make("div", { class: `fact c${one.index % 5}` }, make("span", { class: "fact-name" }, one.name),
        make("span", { class: "fact-value" }, `${show(row.median)} `, make("small", {}, unit)),
        make("span", { class: "hint" }, `${show(row.lo)} to ${show(row.hi)}, at ${short(row.t)} ${this.signature.timeUnit}`))));
  }

  #numbers(spoken, pairs, names) {
    const seen = [...this.last[0].observations].sort((a, b) => a.t - b.t).map((row) => [short(row.t, 4), words(row.variable), `${short(row.value, 4)} ${unitText(row.unit)}`]);
    const given = [...this.last[0].treatments].sort((a, b) => a.t - b.t).map((row) => [short(row.t, 4), words(row.treatment), `${short(row.size, 4)} ${unitText(row.unit)}`]);
    const head = (what) => [`Time (${this.signature.timeUnit})`, what, "Value"];
    get("numbers").hidden = false;
    get("record").replaceChildren(table("Measurements so far", head("Quantity"), seen, true), ...(given.length ? [table("Treatments so far", head("Treatment"), given, true)] : []));
    get("table").replaceChildren(...(spoken.length ? names : []).map((name) => {
      const columns = [...spoken, ...pairs].map((one) => [one, course(one.rows, name)]);
      const all = columns[0]?.[1] ?? [];
      const some = all.filter((_, at) => (at + 1) % Math.ceil(all.length / 10) === 0);
      const cell = (row, show) => (row && row.median !== null ? `${show(row.median)} (${show(row.lo)} to ${show(row.hi)})` : "–");
      const show = (one) => (pairs.includes(one) ? signed : short);
      return table(`Forecast of ${words(name)} in ${unitText(this.signature.variables[name].unit)}, median and interval`,
        [`Time (${this.signature.timeUnit})`, ...columns.map(([one]) => one.name)],
        some.map((row) => [short(row.t, 4), ...columns.map(([one, rows]) => cell(rows.find((own) => own.t === row.t), show(one)))]));
    }));
  }

  /** For those who do not see the plots, once changes have come to rest. */
  #tell(named) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const silent = named.filter(([, one]) => one.status === "abstain").map(([name]) => name);
      const facts = [...get("headline").children].map((fact) => [...fact.children].map((part) => part.textContent).join(" "));
      get("news").textContent = [...(silent.length ? [`The model stays silent about ${silent.join(", ")}.`] : []), ...facts].join(". ");
    }, 700);
  }
}

/** The rows of one channel, ready to be drawn. */
function course(rows, name) {
  return rows.filter((row) => row.channel === name).map((row) => ({ t: row.t, median: row.median, lo: row.interval?.lo ?? null, hi: row.interval?.hi ?? null }));
}
