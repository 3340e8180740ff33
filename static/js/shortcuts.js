// Shortcuts of one key. The dialog lists them (web/_shortcuts.html), and can turn them off: they disturb speech input.
const dialog = document.getElementById("shortcuts");
const OFF = "shortcuts-off";

const rows = () => [...document.querySelectorAll("main .rows tbody tr")];
const move = (by) => {
  const all = rows();
  const now = all.indexOf(document.activeElement.closest("tr"));
  const next = all[now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(now + by, 0), all.length - 1)];
  next?.querySelector("th a")?.focus();
};
const search = () => {
  const field = document.querySelector("main input[type=search][name=q]");
  if (field) field.focus();
  else document.querySelector("a[data-search-page]")?.click();
};
const ACTIONS = {
  "/": search,
  "?": () => dialog.showModal(),
  j: () => move(1),
  k: () => move(-1),
  x: () => document.activeElement.closest("tr")?.querySelector("input[type=checkbox]")?.click(),
};

if (dialog) {
  const isOn = dialog.querySelector("input");
  isOn.checked = localStorage.getItem(OFF) === null;
  isOn.addEventListener("change", () => {
    if (isOn.checked) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "1");
  });
  const opener = document.querySelector("button[data-shortcuts]");
  opener.hidden = false;
  opener.addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping || dialog.open || !isOn.checked) return;
    const action = ACTIONS[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
