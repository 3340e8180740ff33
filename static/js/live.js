// Live fragments (web/live_fragments.py): polling, and what must survive a swap.

// A hidden page does not poll. It polls again when it becomes visible (visibilitychange in web/_live.html).
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.detail.elt.matches("[data-live]")) event.preventDefault();
});

// A swap may remove the focused element. Focus the same link or field in the new content, or else its container, so
// that the next Tab continues from there. htmx itself keeps the focus of elements with an id.
const nameOf = (element) => element.getAttribute("href") || (element.name || "") + (element.value || element.textContent);
document.addEventListener("htmx:oobBeforeSwap", ({ target }) => {
  const held = document.activeElement;
  if (!target.contains(held)) return;
  queueMicrotask(() => {
    if (document.activeElement !== document.body) return;
    const place = document.getElementById(target.id) || document.getElementById("main");
    const same = [...place.querySelectorAll(held.tagName)].find((element) => nameOf(element) === nameOf(held));
    if (!same) place.tabIndex = -1;
    (same || place).focus({ preventScroll: true });
  });
});

// Selected rows stay selected when their list is swapped.
document.addEventListener("htmx:oobBeforeSwap", ({ target }) => {
  const selected = [...target.querySelectorAll("input[type=checkbox]:checked:not([data-all])")];
  if (!selected.length) return;
  queueMicrotask(() => {
    for (const { name, value } of selected) {
      const box = document.querySelector(`input[name="${CSS.escape(name)}"][value="${CSS.escape(value)}"]`);
      if (box) box.checked = true;
    }
  });
});
