// Alerts of a patient of the store: asked once, and again whenever the service says that the record changed.

import { ask } from "./asking.js";
import { sentences, trouble } from "./said.js";
import { make, short, table, unitText, words } from "./svg.js";

const KINDS = {
  outside_interval: "outside its forecast interval",
  drift: "drifts away from its forecasts",
  stuck_signal: "repeats itself as if stuck",
  stale_input: "has not been measured for too long",
};

export async function watchAlerts(host, data, signature, changed) {
  const path = `/v1/twins/${encodeURIComponent(data.patient)}/alerts`;
  const model = `model=${encodeURIComponent(data.model)}`;
  const look = async () => {
    try {
      const answer = await ask(`${path}?${model}`);
      host.replaceChildren(...parts(answer, data, signature));
      return true;
    } catch (error) {
      host.replaceChildren(trouble(error));
      return false;
    }
  };
  if (!(await look())) return;
  const live = new EventSource(`${path}/live?${model}`);
  let first = true;
  live.addEventListener("alerts", (event) => {
    if (!first) look();
    first = false;
    changed(Number(event.lastEventId));
  });
}

function parts(answer, data, signature) {
  if (answer.status === "abstain") {
    return [make("div", { class: "verdict silent" }, make("p", { class: "verdict-title" }, "No alerts can be told"), sentences(answer, data.reasons, true))];
  }
  const warned = answer.reasons?.length ? [make("div", { class: "verdict warned" }, make("p", { class: "verdict-title" }, "With a warning"), sentences(answer, data.reasons, true))] : [];
  if (!answer.alerts.length) {
    return [...warned, make("p", { class: "calm" }, `No alerts. ${answer.n_checked} measurements were set beside their forecasts.`)];
  }
  const detail = (row) => {
    if (row.kind === "outside_interval") return `${short(row.value)} ${unitText(row.unit)}; expected ${short(row.interval.lo)} to ${short(row.interval.hi)}`;
    if (row.n) return `${row.n} measurements since ${short(row.since)} ${signature.timeUnit}`;
    return `since ${short(row.since)} ${signature.timeUnit}`;
  };
  return [...warned, table(`Alerts (${answer.alerts.length} of ${answer.n_checked} measurements looked at)`, [`Time (${signature.timeUnit})`, "Quantity", "What", "Detail"],
    answer.alerts.map((row) => [short(row.t), words(row.channel), KINDS[row.kind] ?? words(row.kind), detail(row)]), true)];
}
