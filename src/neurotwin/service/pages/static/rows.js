// Tables of rows that are typed in: measurements, doses.

import { make } from "./svg.js";

/**
 * columns: [{key, label, kind: "number" | "choice", choices(row), wide}]; rows are plain objects, changed in place.
 * Returns {render, sync}: `render` after rows came or went, `sync` after their values changed elsewhere.
 */
export function editable(host, about) {
  const inputs = [];

  function render() {
    inputs.length = 0;
    const head = make("tr", {}, ...about.columns.map((column) => make("th", { scope: "col" }, column.label)),
      make("th", {}, make("span", { class: "sr" }, "Remove")));
    const lines = about.rows().map((row, number) => line(row, number));
    const list = make("table", { class: "typed" }, make("caption", { class: "sr" }, about.caption), make("thead", {}, head),
      make("tbody", {}, ...lines));
    const add = make("button", { type: "button", onclick: () => grow() }, about.add);
    host.replaceChildren(...(lines.length ? [list] : []), make("p", { class: "buttons" }, add));
  }

  function line(row, number) {
    const own = about.columns.map((column) => {
      const control = cell(row, number, column);
      inputs.push([control, row, column]);
      return make("td", { "data-label": column.label, class: column.wide ? "wide" : "" }, control);
    });
    const gone = make("button", { type: "button", class: "plain", "aria-label": `Remove ${about.name} ${number + 1}`,
      onclick: () => shrink(number) }, "×");
    return make("tr", { "data-row": number }, ...own, make("td", { class: "gone" }, gone));
  }

  function cell(row, number, column) {
    const label = `${about.name} ${number + 1}: ${column.label}`;
    if (column.kind === "number") {
      return make("input", { type: "number", step: "any", inputmode: "decimal", "aria-label": label, value: row[column.key] ?? "",
        oninput: (event) => {
          row[column.key] = event.target.value === "" ? undefined : event.target.valueAsNumber;
          about.change(row, column.key);
        } });
    }
    const select = make("select", { "aria-label": label, onchange: (event) => {
      row[column.key] = event.target.value;
      about.change(row, column.key);
      sync();
    } });
    choose(select, row, column);
    return select;
  }

  function choose(select, row, column) {
    const choices = column.choices(row);
    const all = row[column.key] !== undefined && !choices.includes(row[column.key]) ? [...choices, row[column.key]] : choices;
    select.replaceChildren(...all.map((choice) => make("option", { value: choice, selected: choice === row[column.key] },
      column.show ? column.show(choice) : choice)));
  }

  function sync() {
    for (const [control, row, column] of inputs) {
      if (column.kind !== "number") choose(control, row, column);
      else if (document.activeElement !== control) control.value = row[column.key] ?? "";
    }
  }

  function grow() {
    about.rows().push(about.fresh());
    render();
    host.querySelector("tbody tr:last-child input")?.focus();
    about.change();
  }

  function shrink(number) {
    about.rows().splice(number, 1);
    render();
    (host.querySelectorAll("tbody tr button")[Math.max(number - 1, 0)] ?? host.querySelector(".buttons button")).focus();
    about.change();
  }

  render();
  return { render, sync };
}
