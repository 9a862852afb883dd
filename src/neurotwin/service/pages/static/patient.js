// The patient's page: one question for each change, and everything that follows from its answer.

import { watchAlerts } from "./alerts.js";
import { ask, lastOf, told } from "./asking.js";
import { drawLanes } from "./doses.js";
import { showEntries } from "./entries.js";
import { merged, PatientForm } from "./form.js";
import { Front } from "./front.js";
import { Plans } from "./plans.js";
import { Risk } from "./risk.js";
import { places, trouble } from "./said.js";
import { Signature } from "./signature.js";
import { Stage } from "./stage.js";
import { get, make, tidy } from "./svg.js";

const QUERIES = 40;
const data = told();
const signature = new Signature(data.signature);
const base = `/v1/twins/${encodeURIComponent(data.model)}`;
const model = `model=${encodeURIComponent(data.model)}`;
let record = { static: {}, observations: [], treatments: [] };
let version = -1;

const form = new PatientForm(signature, () => change());
const plans = new Plans(signature, () => change());
const stage = new Stage(signature, data);
const risk = new Risk(signature, data, () => change());
const stored = data.patient !== null;
const patientOf = () => (stored ? data.patient : form.read());
const front = new Front(signature, data, plans, patientOf);
const rowsOf = () => (stored ? record : { observations: form.observations, treatments: form.given });

function horizon() {
  const until = get("until").valueAsNumber;
  return until > 0 ? until : tidy(signature.horizon / 2, 2);
}

function times() {
  const step = horizon() / QUERIES;
  return Array.from({ length: QUERIES }, (_, number) => tidy(step * (number + 1), 8));
}

function guess() {
  const rows = rowsOf();
  const all = [...rows.observations, ...rows.treatments].flatMap((row) => [row.t, row.t_end ?? row.t]).filter(Number.isFinite);
  return all.length ? Math.max(...all) : 0;
}

let moment = 0; // the plans' start, as the last answer told it

function lanes() {
  const channels = signature.treatments;
  if (!Object.keys(channels).length) return;
  drawLanes(get("lanes"), {
    span: stage.span(rowsOf(), moment, horizon()), now: moment, until: horizon(), timeUnit: signature.timeUnit,
    plans: plans.list.map((plan) => ({ ...plan, doses: plan.doses.map((dose) => ({ ...dose })) })),
    given: rowsOf().treatments.filter((dose) => dose.t <= moment)
      .map((dose) => ({ t: dose.t, end: dose.t_end ?? (signature.lasts(dose.treatment) ? moment : undefined), share: share(dose) })),
    channels, change: (...told) => plans.change(...told), remove: (...told) => plans.remove(...told),
  });
}

function share(dose) {
  const channel = signature.treatments[dose.treatment];
  return (signature.value(channel, dose.size, dose.unit) ?? 0) / (channel?.trained?.[1] || 1);
}

const evaluate = lastOf(async () => {
  const asked = plans.read(times());
  if (!stored && form.empty) return stage.wait();
  try {
    const patient = patientOf();
    const answer = asked.length > 1 ? await ask(`${base}/compare`, { patient, plans: asked })
      : { plans: [await ask(`${base}/predict`, { patient, plan: asked[0] })], differences: [] };
    const named = answer.plans.map((one, number) => [asked[number].name, one]);
    moment = answer.plans[0].plan.start ?? moment;
    stage.show(rowsOf(), named, answer, moment, horizon(), risk.mark());
    form.mark(stored ? [] : Object.values(places(answer.plans[0])).flat());
    lanes();
    await risk.show(base, patient, asked, horizon());
  } catch (error) {
    stage.fail(trouble(error));
  }
});

function change() {
  const holes = form.unfinished();
  get("form-fault").hidden = !holes.length;
  get("form-fault").textContent = holes.length ? `Not used until they are complete: ${holes.join(", ")}.` : "";
  if (!stored) moment = guess();
  lanes();
  front.offer();
  evaluate();
}

async function load() {
  const found = await ask(`/v1/twins/${encodeURIComponent(data.patient)}`);
  version = found.version;
  record = merged(found.history, signature);
  showEntries(get("entries"), found.history, async (request) => {
    await ask(`/v1/twins/${encodeURIComponent(data.patient)}/retract`, { request });
    await load();
  });
  moment = guess();
  change();
}

async function keep() {
  const fault = get("form-fault");
  try {
    const document = form.read(data.patient ?? undefined);
    const id = encodeURIComponent(document.id);
    await ask(`/v1/twins/${id}/observe?${model}`, document);
    if (!stored) return window.location.assign(`/twins/${id}?${model}`);
    form.write({ time_unit: signature.timeUnit });
    await load();
  } catch (error) {
    fault.hidden = false;
    fault.textContent = error.message;
  }
}

function paste() {
  try {
    form.write(JSON.parse(get("json").value));
    change();
  } catch (error) {
    get("form-fault").hidden = false;
    get("form-fault").textContent = error instanceof SyntaxError ? "This is not JSON." : error.message;
  }
}

function chooser() {
  const choose = get("choose");
  if (!choose) return;
  choose.addEventListener("submit", (event) => {
    event.preventDefault();
    const id = choose.elements.id.value.trim();
    if (id) window.location.assign(`/twins/${encodeURIComponent(id)}?${model}`);
  });
  choose.elements.id.addEventListener("focus", async () => {
    const { patients } = await ask("/v1/twins?order=updated&limit=50");
    get("known").replaceChildren(...patients.map((one) => make("option", { value: one.id })));
  }, { once: true });
}

get("until").addEventListener("input", change);
get("form").addEventListener("submit", (event) => event.preventDefault());
get("keep").hidden = !data.store;
get("keep").addEventListener("click", keep);
get("take").addEventListener("click", paste);
get("copy").addEventListener("click", () => {
  get("json").value = JSON.stringify(form.read(data.patient ?? undefined), null, 1);
});
window.addEventListener("resize", () => {
  lanes();
  stage.again();
});
window.addEventListener("beforeprint", () => {
  get("numbers").open = true;
});
chooser();
if (stored) {
  load().catch((error) => stage.fail(trouble(error)));
  watchAlerts(get("alerts"), data, signature, (now) => {
    if (version >= 0 && now !== version) load();
  });
} else {
  change();
}
