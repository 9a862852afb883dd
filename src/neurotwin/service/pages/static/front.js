// The optimiser: limits in, a front of plans out. A point of it can be taken as a plan.

import { ask } from "./asking.js";
import { EDGE, drawTime } from "./curves.js";
import { sentences, trouble } from "./said.js";
import { below, draw, get, make, scale, short, signed, table, ticks, tidy, unitText, words } from "./svg.js";

const BUDGET = { evaluations: 300, seconds: 15, points: 8 };

export class Front {
  constructor(signature, data, plans, patient) {
    this.signature = signature;
    this.data = data;
    this.plans = plans;
    this.patient = patient;
    if (!get("front-form")) return;
    get("front-plan").addEventListener("change", () => this.#limits());
    get("front-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#search();
    });
  }

  /** Plans came, went, or changed their treatments. */
  offer() {
    if (!get("front-form")) return;
    const chosen = get("front-plan").value;
    const names = this.plans.list.filter((plan) => plan.doses.length).map((plan) => plan.name);
    get("front-plan").replaceChildren(...names.map((name) => make("option", { value: name, selected: name === chosen }, name)));
    get("search").disabled = !names.length;
    this.#limits();
  }

  #treatments() {
    const plan = this.plans.list.find((one) => one.name === get("front-plan").value);
    return [...new Set((plan?.doses ?? []).map((dose) => dose.treatment))];
  }

  #limits() {
    const names = this.#treatments();
    if (names.join("\n") === this.shown) return;
    this.shown = names.join("\n");
    get("aim-against").replaceChildren(...names.map((name) => make("option", { value: name }, words(name))));
    const number = (name, key, label, value = "") => make("td", { "data-label": label },
      make("input", { type: "number", min: "0", step: "any", value, "data-limit": name, "data-key": key, "aria-label": `${words(name)}: ${label}` }));
    const unit = this.signature.timeUnit;
    const columns = ["Treatment", "Each at most", "All together at most", `Move by up to (${unit})`, `Apart at least (${unit})`];
    get("limits").replaceChildren(make("table", { class: "typed" }, make("caption", { class: "sr" }, "Limits of the search"),
      make("thead", {}, make("tr", {}, ...columns.map((label) => make("th", { scope: "col" }, label)))),
      make("tbody", {}, ...names.map((name) => make("tr", {},
        make("th", { scope: "row" }, `${words(name)} (${unitText(this.signature.treatments[name].unit)})`),
        number(name, "highest", columns[1], below(this.signature.treatments[name].trained?.[1], 4) ?? ""), number(name, "total", columns[2]),
        number(name, "move", columns[3], 0), number(name, "gap", columns[4], 0))))));
  }

  #question() {
    const told = (name, key) => {
      const value = document.querySelector(`[data-limit="${CSS.escape(name)}"][data-key="${key}"]`).valueAsNumber;
      return Number.isFinite(value) ? { [key]: value } : {};
    };
    const doses = this.#treatments().map((name) => ({ treatment: name, unit: this.signature.treatments[name].unit,
      ...told(name, "highest"), ...told(name, "total"), ...told(name, "move"), ...told(name, "gap") }));
    const channel = get("aim-channel").value;
    const above = get("toxic").valueAsNumber;
    const toxicity = Number.isFinite(above) ? [{ channel, unit: this.signature.variables[channel].unit, above, share: (get("toxic-share").valueAsNumber || 0) / 100 }] : [];
    const until = get("until").valueAsNumber || tidy(this.signature.horizon / 2, 2);
    const at = Array.from({ length: 10 }, (_, number) => tidy(((number + 1) * until) / 10, 8));
    const plan = this.plans.read(at).find((one) => one.name === (get("front-plan").value.trim() || "unnamed"));
    return { plan, goal: { channel, against: get("aim-against").value, aim: get("aim").value, when: get("aim-when").value },
      constraints: { doses, toxicity }, budget: BUDGET };
  }

  async #search() {
    const { model } = this.data;
    get("search").disabled = true;
    get("front").replaceChildren(make("p", {}, "Searching …"));
    try {
      this.#show(await ask(`/v1/twins/${encodeURIComponent(model)}/optimise`, { patient: this.patient(), ...this.#question() }));
    } catch (error) {
      get("front").replaceChildren(trouble(error));
    }
    get("search").disabled = false;
  }

  #show(answer) {
    if (answer.status === "abstain") {
      get("front").replaceChildren(make("div", { class: "verdict silent" }, make("p", { class: "verdict-title" }, "The model stays silent"), sentences(answer, this.data.reasons)));
      return;
    }
    const tried = `${answer.evaluations} plans were tried; ${answer.feasible} keep the limits.`;
    if (!answer.front.length) {
      get("front").replaceChildren(make("p", { class: "empty" }, `${tried} Loosen the limits.`));
      return;
    }
    const { goal } = answer;
    const total = unitText(this.signature.treatments[goal.against].unit);
    const host = make("div", { class: "plot-box" });
    const rows = answer.front.map((point, number) => [String(number + 1), `${short(point.total)} ${total}`, `${short(point.value)} ${unitText(goal.unit)}`,
      point.difference ? `${signed(point.difference.median)} (${signed(point.difference.interval.lo)} to ${signed(point.difference.interval.hi)})` : "–",
      point.binding.map(words).join(", ") || "none", this.#button(point, number)]);
    get("front").replaceChildren(make("p", { class: "hint" }, `${tried} Each point is a plan: choose one to see its course.`), host,
      table("The front", ["", `Total ${words(goal.against)}`, `${words(goal.channel)}, ${goal.when}`, "Difference to the plan", "Limits that bind", "Plan"], rows));
    this.#plot(host, answer, total);
  }

  #button(point, number) {
    return make("button", { type: "button", onclick: () => this.#take(point, number) }, `Take plan ${number + 1}`);
  }

  #take(point, number) {
    const doses = point.plan.treatments.map((record) => this.signature.toDose(record, point.plan.time_unit))
      .map((dose) => ({ ...dose, t: tidy(dose.t, 4), size: tidy(dose.size, 4) })).filter((dose) => dose.size > 0);
    const name = this.plans.add({ doses }, `Front ${number + 1}`);
    get("news").textContent = `${name} was added to the plans.`;
    get("h-forecast").scrollIntoView({ block: "start" });
  }

  #plot(host, { front, goal }, total) {
    const [width, height] = [Math.max(Math.min(host.clientWidth, 640), 260), 240];
    const ends = (values, zero) => {
      const [low, high] = [zero ? 0 : Math.min(...values), Math.max(...values)];
      const gap = 0.08 * (high - low || Math.abs(high) || 1);
      return [zero ? 0 : low - gap, high + gap];
    };
    const span = ends(front.map((point) => point.total), true);
    const x = scale(span, [EDGE.left, width - EDGE.right]);
    const y = scale(ends(front.map((point) => point.value)), [height - EDGE.bottom, EDGE.top]);
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, height, class: "plot front", role: "group", "aria-label": `Front: ${words(goal.channel)} against total ${words(goal.against)}` });
    for (const value of ticks(y.back(height - EDGE.bottom), y.back(EDGE.top), 4)) {
      svg.append(draw("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
        draw("text", { class: "tick end", x: EDGE.left - 6, y: y(value) + 4 }, short(value)));
    }
    drawTime(svg, { span, timeUnit: total }, x, width, height);
    svg.append(draw("path", { class: "line c0", d: front.map((point, at) => `${at ? "L" : "M"}${x(point.total)},${y(point.value)}`).join("") }));
    front.forEach((point, number) => {
      const pick = () => this.#take(point, number);
      svg.append(draw("g", { class: "pick", role: "button", tabindex: "0", onclick: pick,
        "aria-label": `Take plan ${number + 1}: total ${short(point.total)} ${total}, ${words(goal.channel)} ${short(point.value)} ${unitText(goal.unit)}`,
        onkeydown: (event) => {
          if (event.key !== "Enter" && event.key !== " ") return;
          event.preventDefault();
          pick();
        } }, draw("circle", { class: "hit", cx: x(point.total), cy: y(point.value), r: 14 }),
      draw("circle", { class: "head", cx: x(point.total), cy: y(point.value), r: 6 })));
    });
    host.append(make("p", { class: "plot-title" }, words(goal.channel), make("span", { class: "hint" }, ` ${unitText(goal.unit)}, against total ${words(goal.against)}`)), svg);
  }
}
