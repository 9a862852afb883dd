// The probability that a quantity crosses a threshold, under each plan.

import { ask } from "./asking.js";
import { sentences, trouble } from "./said.js";
import { get, make, short, table, unitText } from "./svg.js";

const percent = (share) => (share === null || share === undefined ? "–" : `${short(100 * share, 2)} %`);

export class Risk {
  constructor(signature, data, changed) {
    this.signature = signature;
    this.data = data;
    this.#units();
    get("risk-channel").addEventListener("change", () => {
      this.#units();
      changed();
    });
    for (const id of ["risk-side", "risk-value", "risk-unit", "risk-alarm"]) get(id).addEventListener("input", changed);
  }

  #units() {
    const channel = this.signature.variables[get("risk-channel").value];
    get("risk-unit").replaceChildren(...Object.keys(channel.units).map((unit) => make("option", { value: unit, selected: unit === channel.unit }, unitText(unit) || "1")));
  }

  event() {
    const value = get("risk-value").valueAsNumber;
    if (!Number.isFinite(value)) return null;
    const alarm = get("risk-alarm").valueAsNumber / 100;
    return { channel: get("risk-channel").value, [get("risk-side").value]: value, unit: get("risk-unit").value,
      ...(alarm > 0 && alarm < 1 ? { alarm } : {}) };
  }

  /** The threshold as a line in the plot. */
  mark() {
    const event = this.event();
    if (!event) return null;
    const channel = this.signature.variables[event.channel];
    return { channel: event.channel, value: this.signature.value(channel, event.above ?? event.below, event.unit), label: "threshold" };
  }

  async show(base, patient, plans, until) {
    const event = this.event();
    if (!event) {
      get("risk").replaceChildren(make("p", { class: "hint" }, "Type a threshold to see the probability under each plan."));
      return;
    }
    const horizon = { time_unit: this.signature.timeUnit, every: until / 20, until };
    try {
      const answers = await Promise.all(plans.map((plan) => ask(`${base}/risk`, { patient, plan, event, horizon })));
      get("risk").replaceChildren(...this.#parts(plans, answers, event));
    } catch (error) {
      get("risk").replaceChildren(trouble(error));
    }
  }

  #parts(plans, answers, event) {
    const rows = answers.map((answer, number) => {
      const { risk, early_warning: early } = answer;
      const unit = this.signature.timeUnit;
      const first = early === null || early === undefined ? "–" : early.t === null ? "not reached" : `${short(early.after)} ${unit} after the start`;
      return [plans[number].name, percent(risk?.probability), risk ? `${percent(risk.interval.lo)} to ${percent(risk.interval.hi)}` : "–", first];
    });
    const silent = answers.find((answer) => answer.status === "abstain");
    const head = ["Plan", "Probability", "Interval of the draws", event.alarm ? `First reaches ${percent(event.alarm)}` : "Warning"];
    return [table("Probability of crossing the threshold by the end of the forecast", head, rows),
      ...(silent ? [make("div", { class: "verdict silent" }, make("p", { class: "verdict-title" }, "No risk is told"), sentences(silent, this.data.reasons))] : []),
      make("p", { class: "hint" }, "A crossing counts at any time of the forecast. The interval says how far the model’s draws can tell the probability, not whether the model is right.")];
  }
}
