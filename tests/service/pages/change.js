// Change a number, and tell the milliseconds until the new curve is about to be painted.
([line, label, value]) => new Promise((resolve) => {
  const before = document.querySelector(line).getAttribute("d");
  const watcher = new MutationObserver(() => {
    const now = document.querySelector(line)?.getAttribute("d");
    if (!now || now === before) return;
    watcher.disconnect();
    requestAnimationFrame(() => resolve(performance.now() - begin));
  });
  watcher.observe(document.getElementById("curves"), { childList: true, subtree: true });
  const input = document.querySelector(`[aria-label="${label}"]`);
  const begin = performance.now();
  input.value = value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
})
