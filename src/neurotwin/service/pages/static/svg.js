// Elements, scales and numbers for drawings and pages. Text goes in as text alone, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export function draw(kind, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, kind), attributes, children);
}

export function make(kind, attributes = {}, ...children) {
  return fill(document.createElement(kind), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const get = (id) => document.getElementById(id);
export const words = (name) => String(name).replaceAll("_", " ");
export const unitText = (unit) => (unit === "1" ? "" : String(unit).replaceAll(/[{}]/g, ""));

/** A number for reading: three digits, a true minus sign. */
export function short(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const plain = size >= 1e5 || size < 1e-3 ? value.toExponential(digits - 1) : String(Number(value.toPrecision(digits)));
  return plain.replaceAll("-", "−");
}

export const signed = (value) => (value > 0 ? "+" : "") + short(value);
/** The largest number of so many digits that is not above `value`. */
export function below(value, digits = 2) {
  if (!(value > 0)) return value;
  const unit = 10 ** (Math.floor(Math.log10(value)) - digits + 1);
  return tidy(Math.floor(value / unit + 1e-9) * unit);
}

export const tidy = (value, digits = 10) => Number(Number(value).toPrecision(digits));

/** A step of 1, 2 or 5 times a power of ten that cuts a width into about `count` parts. */
export function niceStep(width, count) {
  const raw = width / Math.max(count, 1);
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * ([1, 2, 5].find((factor) => factor * power >= raw) ?? 10);
}

export function ticks(low, high, count) {
  const step = niceStep(high - low, count);
  const found = [];
  for (let number = Math.ceil(low / step - 1e-9); number * step <= high + step * 1e-9; number += 1) {
    found.push(tidy(number * step));
  }
  return found;
}

/** Marks of a logarithmic axis. */
export function decades(low, high) {
  const factors = high / low > 300 ? [1] : high / low > 20 ? [1, 3] : [1, 2, 5];
  const found = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1) {
    found.push(...factors.map((factor) => tidy(factor * 10 ** power)).filter((value) => value >= low && value <= high));
  }
  return found;
}

export function scale(from, to) {
  const slope = (to[1] - to[0]) / (from[1] - from[0] || 1);
  const found = (value) => to[0] + (value - from[0]) * slope;
  found.back = (place) => from[0] + (place - to[0]) / slope;
  return found;
}

/** A table from plain text; the first cell of a row is its head. With `left` its cells hold words. */
export function table(caption, head, rows, left = false) {
  const line = (cells, number) =>
    make("tr", {}, ...cells.map((cell, place) => make(place || number < 0 ? (number < 0 ? "th" : "td") : "th",
      number < 0 ? { scope: "col" } : place ? {} : { scope: "row" }, cell)));
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    make("table", left ? { class: "words" } : {}, make("caption", {}, caption), make("thead", {}, line(head, -1)),
      make("tbody", {}, ...rows.map(line))));
}
