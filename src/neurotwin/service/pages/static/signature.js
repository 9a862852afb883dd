// What the model's signature tells: channels, units, times.

import { below } from "./svg.js";

export class Signature {
  constructor(told) {
    this.told = told;
    this.timeUnit = told.time_unit;
    this.horizon = told.trained_horizon;
    const named = (group) => Object.fromEntries(told.channels[group].map((channel) => [channel.name, channel]));
    this.variables = named("observations");
    this.treatments = named("treatments");
    this.statics = named("statics");
  }

  /** A value in the channel's own unit; undefined where the unit is not one of its. */
  value(channel, value, unit) {
    const way = channel?.units?.[unit];
    return way ? value * way.factor + way.offset : undefined;
  }

  /** A time in the model's unit. */
  time(t, unit) {
    return t * (this.told.time_units[unit]?.factor ?? NaN);
  }

  /** Where a treatment's size stands in a record. */
  sizeOf(treatment) {
    return { bolus: "amount", infusion: "rate", setting: "level" }[this.treatments[treatment]?.kind] ?? "amount";
  }

  lasts(treatment) {
    return (this.treatments[treatment]?.kind ?? "bolus") !== "bolus";
  }

  /** A record of a document -> a row of a table, in the model's time unit. */
  toDose(record, unit) {
    const size = record.amount ?? record.rate ?? record.level ?? undefined;
    const end = record.t_end ?? undefined;
    return { t: this.time(record.t, unit), treatment: record.treatment, size, unit: record.unit ?? "",
      ...(end === undefined ? {} : { t_end: this.time(end, unit) }) };
  }

  /** A row of a table -> a record of a document. */
  fromDose(dose) {
    const end = this.lasts(dose.treatment) && dose.t_end !== undefined ? { t_end: dose.t_end } : {};
    return { t: dose.t, treatment: dose.treatment, [this.sizeOf(dose.treatment)]: dose.size, unit: dose.unit, ...end };
  }

  freshDose(t) {
    const name = Object.keys(this.treatments)[0];
    const channel = this.treatments[name];
    const size = below(channel.trained?.[1] ?? undefined);
    return { t, treatment: name, size, unit: channel.unit, ...(this.lasts(name) ? { t_end: t + 1 } : {}) };
  }

  /** The columns of a table of doses. */
  doseColumns() {
    const columns = [
      { key: "t", label: `Time (${this.timeUnit})`, kind: "number" },
      { key: "treatment", label: "Treatment", kind: "choice", wide: true, choices: () => Object.keys(this.treatments),
        show: (name) => name.replaceAll("_", " ") },
      { key: "size", label: "Amount", kind: "number" },
      { key: "unit", label: "Unit", kind: "choice", choices: (row) => Object.keys(this.treatments[row.treatment]?.units ?? {}) },
    ];
    const lasting = Object.keys(this.treatments).some((name) => this.lasts(name));
    return lasting ? [...columns, { key: "t_end", label: `Until (${this.timeUnit})`, kind: "number" }] : columns;
  }

  /** A treatment was changed: its unit and its end follow. */
  adapt(dose) {
    const channel = this.treatments[dose.treatment];
    if (channel && !(dose.unit in channel.units)) dose.unit = channel.unit;
    if (!this.lasts(dose.treatment)) delete dose.t_end;
  }
}
