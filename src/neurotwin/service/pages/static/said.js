// What an answer says beside its numbers: silence with its reasons, warnings, what was left out.

import { make } from "./svg.js";

const PLACES = [
  [/^(?:patient: )?observations\.(\d+)/, (found) => `measurement ${Number(found[1]) + 1}`],
  [/^plan.*treatments\.(\d+)/, (found) => `dose ${Number(found[1]) + 1} of the plan`],
  [/^(?:patient: )?treatments\.(\d+)/, (found) => `treatment ${Number(found[1]) + 1}`],
  [/^(?:patient: )?static\.([^.]+)/, (found) => found[1].replaceAll("_", " ")],
];

function placeOf(place, stored = false) {
  for (const [pattern, word] of PLACES) {
    const found = pattern.exec(place);
    if (found) return word(found) + (stored && /^(measurement|treatment)/.test(word(found)) ? " of its entry" : "");
  }
  return place.replaceAll("_", " ");
}

/** Reason -> the places that `details` names for it. */
export function places(answer) {
  const found = {};
  for (const detail of answer.details ?? []) {
    const cut = detail.indexOf(": ");
    (found[detail.slice(0, cut)] ??= []).push(detail.slice(cut + 2));
  }
  return found;
}

/** The reasons of an answer as sentences. Of a `stored` patient places count within the entry that brought them. */
export function sentences(answer, reasons, stored = false) {
  const where = places(answer);
  return make("ul", { class: "reasons" }, ...answer.reasons.map((reason) => {
    const [what, remedy] = reasons[reason] ?? [reason.replaceAll("_", " "), ""];
    const named = [...new Set((where[reason] ?? []).map((place) => placeOf(place, stored)))].filter((place) => place !== "patient");
    return make("li", { "data-reason": reason }, make("strong", {}, what), named.length ? ` (${named.join(", ")})` : "", ` ${remedy}`);
  }));
}

/** A box for each answer that is not simply fine. Answers that say the same share one. */
export function verdicts(answers, reasons, stored = false) {
  const groups = new Map();
  for (const [name, answer] of answers) {
    if (answer.status === "ok") continue;
    const key = JSON.stringify([answer.status, answer.details, answer.reasons]);
    groups.set(key, [...(groups.get(key) ?? []), [name, answer]]);
  }
  return [...groups.values()].map((group) => {
    const [, answer] = group[0];
    const names = group.length === answers.length ? "" : `: ${group.map(([name]) => name).join(", ")}`;
    const silent = answer.status === "abstain";
    const title = (silent ? "The model stays silent" : "With a warning") + names;
    return make("div", { class: silent ? "verdict silent" : "verdict warned", "data-status": answer.status },
      make("p", { class: "verdict-title" }, title), sentences(answer, reasons, stored));
  });
}

export function leftOut(answer) {
  const lines = (answer.inputs_ignored ?? []).map((one) => `${placeOf(one.at)}: ${one.why}`);
  return lines.length ? make("p", { class: "hint" }, `Left out: ${lines.join("; ")}.`) : null;
}

export function trouble(error) {
  return make("div", { class: "verdict silent", role: "alert" }, make("p", { class: "verdict-title" }, "No answer"), make("p", {}, error.message));
}
