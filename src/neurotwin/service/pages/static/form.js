// The form of a patient who is typed in, and the document that it makes.

import { editable } from "./rows.js";
import { get } from "./svg.js";

export class PatientForm {
  constructor(signature, changed) {
    this.signature = signature;
    this.observations = [];
    this.given = [];
    const names = Object.keys(signature.variables);
    this.seen = editable(get("observations"), {
      name: "measurement", caption: "Measurements", add: "Add a measurement", rows: () => this.observations,
      columns: [
        { key: "t", label: `Time (${signature.timeUnit})`, kind: "number" },
        { key: "variable", label: "Quantity", kind: "choice", wide: true, choices: () => names, show: (name) => name.replaceAll("_", " ") },
        { key: "value", label: "Value", kind: "number" },
        { key: "unit", label: "Unit", kind: "choice", choices: (row) => Object.keys(signature.variables[row.variable]?.units ?? {}) },
      ],
      fresh: () => this.#fresh(),
      change: (row) => {
        const channel = signature.variables[row?.variable];
        if (channel && !(row.unit in channel.units)) row.unit = channel.unit;
        changed();
      },
    });
    this.doses = editable(get("given"), {
      name: "treatment", caption: "Treatments so far", add: "Add a treatment", rows: () => this.given,
      columns: signature.doseColumns(), fresh: () => ({ ...signature.freshDose(this.last()), t: this.last() }),
      change: (row) => {
        if (row) signature.adapt(row);
        changed();
      },
    });
    if (!Object.keys(signature.treatments).length) get("given").parentElement.hidden = true;
    for (const control of document.querySelectorAll("[data-static], [data-static-unit], #id")) {
      control.addEventListener("input", changed);
    }
  }

  #fresh() {
    const before = this.observations.at(-1);
    const variable = before?.variable ?? Object.keys(this.signature.variables)[0];
    return { t: undefined, variable, value: undefined, unit: before?.unit ?? this.signature.variables[variable].unit };
  }

  last() {
    const times = [...this.observations, ...this.given].map((row) => row.t).filter(Number.isFinite);
    return times.length ? Math.max(...times) : 0;
  }

  /** Rows that lack something: [kind, number from 1]. */
  unfinished() {
    const holes = (rows, keys, kind) => rows.flatMap((row, at) => (keys.some((key) => row[key] === undefined) ? [`${kind} ${at + 1}`] : []));
    return [...holes(this.observations, ["t", "value"], "measurement"), ...holes(this.given, ["t", "size"], "treatment")];
  }

  /** Nothing is told that a model could use. */
  get empty() {
    return !this.observations.some((row) => row.t !== undefined && row.value !== undefined) && !this.given.some((row) => row.t !== undefined);
  }

  /** The document; rows that are not finished are left out. */
  read(id) {
    const whole = (row, ...keys) => keys.every((key) => row[key] !== undefined);
    const fixed = {};
    for (const control of document.querySelectorAll("[data-static]")) {
      if (control.value === "") continue;
      const name = control.dataset.static;
      const unit = document.querySelector(`[data-static-unit="${CSS.escape(name)}"]`);
      fixed[name] = unit ? { value: control.valueAsNumber, unit: unit.value } : control.value;
    }
    this.sent = this.observations.filter((row) => whole(row, "t", "value"));
    this.sentDoses = this.given.filter((row) => whole(row, "t", "size"));
    return {
      id: id ?? (get("id").value.trim() || "new-patient"), time_unit: this.signature.timeUnit, static: fixed,
      observations: this.sent.map(({ t, variable, value, unit }) => ({ t, variable, value, unit })),
      treatments: this.sentDoses.map((dose) => this.signature.fromDose(dose)),
    };
  }

  /** Put a document into the form. Throws a sentence where it is no such document. */
  write(content) {
    if (content === null || typeof content !== "object" || Array.isArray(content)) throw new Error("This is not a patient document.");
    const unit = content.time_unit ?? this.signature.timeUnit;
    if (!(unit in this.signature.told.time_units)) throw new Error("The time unit is not one that the model knows.");
    if (get("id") && typeof content.id === "string") get("id").value = content.id;
    for (const control of document.querySelectorAll("[data-static]")) {
      const found = content.static?.[control.dataset.static];
      control.value = (typeof found === "object" ? found?.value : found) ?? "";
      const units = document.querySelector(`[data-static-unit="${CSS.escape(control.dataset.static)}"]`);
      if (units && found?.unit) units.value = found.unit;
    }
    this.observations = (content.observations ?? []).map((row) => ({ ...row, t: this.signature.time(row.t, unit), unit: row.unit ?? "" }));
    this.given = (content.treatments ?? []).map((row) => this.signature.toDose(row, unit));
    this.seen.render();
    this.doses.render();
  }

  /** Mark the rows that an answer names, such as `observations.3.unit`. */
  mark(places) {
    for (const input of document.querySelectorAll("#form [aria-invalid]")) input.removeAttribute("aria-invalid");
    for (const place of places) {
      const [, group, key, part] = /^(?:patient: )?(observations|treatments|static)\.([^.:]+)(?:\.(\w+))?/.exec(place) ?? [];
      if (group === "static") document.querySelector(`[data-static="${CSS.escape(key)}"]`)?.setAttribute("aria-invalid", "true");
      else if (group) this.#markRow(group, Number(key), part);
    }
  }

  #markRow(group, number, part) {
    const [host, rows, sent] = group === "observations" ? [get("observations"), this.observations, this.sent] : [get("given"), this.given, this.sentDoses];
    const cells = host.querySelectorAll(`tr[data-row="${rows.indexOf(sent?.[number])}"] :is(input, select)`);
    const place = { t: 0, unit: 3, t_end: 4 }[part] ?? 2;
    cells[place]?.setAttribute("aria-invalid", "true");
  }
}

/** What was told of a patient of the store, document by document, as one document in the model's time unit. */
export function merged(history, signature) {
  const found = { static: {}, observations: [], treatments: [] };
  for (const { document, retracted } of history) {
    if (retracted) continue;
    Object.assign(found.static, document.static);
    found.observations.push(...document.observations.map((row) => ({ ...row, t: signature.time(row.t, document.time_unit) })));
    found.treatments.push(...document.treatments.map((row) => signature.toDose(row, document.time_unit)));
  }
  return found;
}
