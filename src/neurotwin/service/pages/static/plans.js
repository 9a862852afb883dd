// Plans side by side: their names, their doses in tables.

import { swatch } from "./curves.js";
import { editable } from "./rows.js";
import { get, make } from "./svg.js";

const LETTERS = "ABCDEFGHIJ";
export const MOST = 5;

export class Plans {
  constructor(signature, changed) {
    this.signature = signature;
    this.changed = changed;
    this.host = get("plans");
    this.list = [{ name: "A", doses: [] }];
    this.tables = [];
    const treated = Object.keys(signature.treatments).length > 0;
    if (treated) this.list = [{ name: "A: one dose", doses: [signature.freshDose(1)] }, { name: "B: no treatment", doses: [] }];
    get("add-plan").addEventListener("click", () => this.add(this.list.at(-1)));
    get("add-plan").hidden = !treated;
    this.render();
  }

  render() {
    this.tables = [];
    this.host.replaceChildren(...this.list.map((plan, index) => this.#card(plan, index)));
    get("add-plan").disabled = this.list.length >= MOST;
  }

  sync() {
    for (const table of this.tables) table.sync();
  }

  #card(plan, index) {
    const name = make("input", { value: plan.name, maxlength: "60", "aria-label": `Name of plan ${index + 1}`, class: "name",
      oninput: (event) => {
        plan.name = event.target.value;
        this.changed();
      } });
    const away = make("button", { type: "button", class: "plain", "aria-label": `Remove plan ${plan.name}`,
      onclick: () => this.#remove(index) }, "Remove");
    const host = make("div", {});
    const rows = Object.keys(this.signature.treatments).length
      ? editable(host, {
        name: `${plan.name}, dose`, caption: `Doses of ${plan.name}`, add: "Add a dose", rows: () => plan.doses,
        columns: this.signature.doseColumns(), fresh: () => this.#next(plan),
        change: (row) => {
          if (row) this.signature.adapt(row);
          this.changed();
        },
      }) : null;
    if (rows) this.tables.push(rows);
    return make("section", { class: `plan c${index % 5}`, "aria-label": `Plan ${index + 1}` },
      make("div", { class: "plan-head" }, swatch(index), name, this.list.length > 1 ? away : null), host);
  }

  /** A further dose: like the last one, as long after it as that was after the one before. */
  #next(plan) {
    const [before, last] = plan.doses.slice(-2).length === 2 ? plan.doses.slice(-2) : [undefined, plan.doses.at(-1)];
    if (!last) return this.signature.freshDose(1);
    const gap = before && last.t > before.t ? last.t - before.t : 1;
    return { ...last, t: last.t + gap, ...(last.t_end === undefined ? {} : { t_end: last.t_end + gap }) };
  }

  add(like, name) {
    if (this.list.length >= MOST) this.list.pop();
    const used = new Set(this.list.map((plan) => plan.name));
    const fresh = name ?? [...LETTERS].find((letter) => ![...used].some((one) => one.startsWith(letter))) ?? `plan ${used.size + 1}`;
    const own = used.has(fresh) ? `${fresh} (${this.list.length + 1})` : fresh;
    this.list.push({ name: own, doses: (like?.doses ?? []).map((dose) => ({ ...dose })) });
    this.render();
    this.changed();
    return own;
  }

  #remove(index) {
    this.list.splice(index, 1);
    this.render();
    this.host.querySelector("input")?.focus();
    this.changed();
  }

  change(index, number, patch) {
    Object.assign(this.list[index].doses[number], patch);
    this.sync();
    this.changed();
  }

  remove(index, number) {
    this.list[index].doses.splice(number, 1);
    this.render();
    this.changed();
  }

  /** The documents, asked at `at`. */
  read(at) {
    return this.list.map((plan) => ({
      name: plan.name.trim() || "unnamed", time_unit: this.signature.timeUnit, query: { at },
      treatments: plan.doses.filter((dose) => dose.t !== undefined && dose.size !== undefined).map((dose) => this.signature.fromDose(dose)),
    }));
  }
}
