// Forecasts of the patients on the page are asked anew, two at a time, and kept.

import { ask, told } from "./asking.js";
import { Signature } from "./signature.js";
import { get, make, tidy, unitText } from "./svg.js";

const TOGETHER = 2;
const KEPT = "neurotwin.event";
const FIELDS = ["risk-channel", "risk-side", "risk-value", "risk-unit", "until"];
const data = told();
const signature = new Signature(data.signature);

function units() {
  const channel = signature.variables[get("risk-channel").value];
  get("risk-unit").replaceChildren(...Object.keys(channel.units).map((unit) =>
    make("option", { value: unit, selected: unit === channel.unit }, unitText(unit) || "1")));
}

function question() {
  const until = get("until").valueAsNumber;
  const horizon = { time_unit: signature.timeUnit, at: Array.from({ length: 20 }, (_, number) => tidy((until * (number + 1)) / 20, 8)) };
  const event = { channel: get("risk-channel").value, [get("risk-side").value]: get("risk-value").valueAsNumber, unit: get("risk-unit").value };
  const plan = { name: "as it is", time_unit: signature.timeUnit, query: { at: horizon.at }, treatments: [], ongoing: "continue" };
  return { plan, risk: { event, horizon }, keep: true };
}

async function renew(chosen) {
  if (!get("renew").reportValidity()) return;
  const body = question();
  const left = [...chosen];
  const faults = [];
  let done = 0;
  const buttons = [get("renew-stale"), get("renew-all")];
  for (const button of buttons) button.disabled = true;
  const tell = () => {
    get("progress").textContent = chosen.length ? `${done} of ${chosen.length} forecasts made.` : "All forecasts of this page are current.";
  };
  const work = async () => {
    for (let one = left.shift(); one && !faults.length; one = left.shift()) {
      try {
        await ask(`/v1/twins/${encodeURIComponent(one.id)}/forecast?model=${encodeURIComponent(data.model)}`, body);
        done += 1;
      } catch (error) {
        faults.push(error.message);
      }
      tell();
    }
  };
  tell();
  await Promise.all(Array.from({ length: TOGETHER }, work));
  for (const button of buttons) button.disabled = false;
  if (faults.length) get("progress").textContent = `${done} forecasts made, then: ${faults[0]}`;
  else if (done) {
    sessionStorage.setItem(KEPT, JSON.stringify(FIELDS.map((id) => get(id).value)));
    window.location.reload();
  }
}

/** The event that was asked about last stays in the form while this window is open. */
function recall() {
  const found = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  if (!found || !(found[0] in signature.variables)) return units();
  get(FIELDS[0]).value = found[0];
  units();
  FIELDS.forEach((id, number) => {
    get(id).value = found[number];
  });
}

recall();
get("risk-channel").addEventListener("change", units);
get("renew").addEventListener("submit", (event) => {
  event.preventDefault();
  renew(data.patients.filter((one) => !one.current));
});
get("renew-all").addEventListener("click", () => renew(data.patients));
