// Texts whose contrast with what is behind them is below 4.5 (WCAG 2, level AA), and controls without a name.
() => {
  const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const solid = (...colors) => {
    context.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      context.fillStyle = color;
      context.fillRect(0, 0, 1, 1);
    }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (parts) => parts.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    const found = [];
    for (let one = element; one; one = one.parentElement) found.unshift(getComputedStyle(one).backgroundColor);
    return ["white", ...found];
  };
  const faint = [];
  let checked = 0;
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const typed = element.matches("input, select, textarea");
    if (!(own || typed) || element.closest("script, option, title, :disabled, .sr, [hidden]") || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const ground = behind(element);
    const ink = element.closest("svg") ? style.fill : style.color;
    const [one, other] = [light(solid(...ground, ink)), light(solid(...ground))].sort((a, b) => b - a);
    checked += 1;
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) faint.push([element.tagName, element.className.baseVal ?? element.className, element.textContent.slice(0, 30), ratio]);
  }
  const nameless = [...document.querySelectorAll("input, select, textarea, button, [role=slider], [role=button], a")]
    .filter((one) => !(one.ariaLabel || one.labels?.length || one.textContent.trim())).map((one) => one.outerHTML.slice(0, 80));
  return { checked, faint, nameless };
}
