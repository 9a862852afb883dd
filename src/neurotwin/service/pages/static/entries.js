// What was told of a patient, entry by entry; what was told in error can be taken back.

import { make } from "./svg.js";

export function showEntries(host, history, takeBack) {
  const fault = make("p", { class: "fault", role: "alert" });
  const rows = history.map((entry, number) => {
    const button = make("button", { type: "button", "aria-label": `Take back entry ${number + 1}`, onclick: async () => {
      button.disabled = true;
      try {
        await takeBack(entry.request);
      } catch (error) {
        fault.textContent = error.message;
      }
    } }, "Take back");
    const { observations, treatments } = entry.document;
    const cells = [entry.received.slice(0, 16).replace("T", " "), `${observations.length} measurements, ${treatments.length} treatments`];
    return make("tr", {}, make("th", { scope: "row" }, String(number + 1)), ...cells.map((cell) => make("td", {}, cell)), make("td", {}, button));
  });
  const head = ["Entry", "Received (UTC)", "What", "Told in error?"].map((name) => make("th", { scope: "col" }, name));
  host.replaceChildren(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Entries of the record" },
    make("table", { class: "words" }, make("caption", {}, "Entries of the record"), make("thead", {}, make("tr", {}, ...head)),
      make("tbody", {}, ...rows))), fault);
}
