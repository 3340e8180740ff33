// The checkbox with data-all selects every checkbox of its form that has that name.
document.addEventListener("change", (event) => {
  const name = event.target.dataset.all;
  if (!name) return;
  for (const box of event.target.form.elements) {
    if (box.type === "checkbox" && box.name === name) box.checked = event.target.checked;
  }
});

// A button with data-copy copies the text of the element that it names. It is hidden if the browser cannot copy.
htmx.onLoad((root) => {
  for (const button of root.querySelectorAll("button[data-copy]")) button.hidden = !navigator.clipboard;
});
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent);
  button.textContent = "Copied";
});
