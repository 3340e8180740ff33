// The builder of workflows: what HTML cannot do. Everything also works with its buttons, without this file.

// A step is dragged by its grip. The order of the steps in the page is the order that the form sends.
let dragged = null;
document.addEventListener("dragstart", (event) => {
  if (!event.target.matches?.("[data-grip]")) return;
  dragged = event.target.closest("fieldset");
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", ""); // without data, Firefox does not drag
  event.dataTransfer.setDragImage(dragged, 0, 0);
});
document.addEventListener("dragover", (event) => {
  const over = event.target.closest?.("[data-steps] > fieldset");
  if (!dragged || !over) return;
  event.preventDefault();
  if (over === dragged) return;
  const { top, height } = over.getBoundingClientRect();
  if (event.clientY < top + height / 2) over.before(dragged);
  else over.after(dragged);
});
document.addEventListener("drop", (event) => {
  if (dragged) event.preventDefault();
});
// The server numbers the steps again.
document.addEventListener("dragend", () => {
  if (dragged) document.getElementById("refresh-steps").click();
  dragged = null;
});

// The other steps show the name of a step as it is typed.
document.addEventListener("input", ({ target }) => {
  const key = target.name?.match(/^step-(\d+)-name$/)?.[1];
  if (!key) return;
  for (const title of document.querySelectorAll(`[data-title="${key}"]`)) {
    title.textContent = target.value || target.closest("fieldset").querySelector("legend").textContent;
  }
});

// Buttons that insert the name of a secret at the cursor.
htmx.onLoad((root) => {
  for (const part of root.querySelectorAll("[data-grip], button[data-insert]")) part.hidden = false;
  for (const grip of root.querySelectorAll("[data-grip]")) grip.draggable = true;
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-insert]");
  if (!button) return;
  const field = document.querySelector(button.dataset.into);
  field.setRangeText(button.dataset.insert, field.selectionStart, field.selectionEnd, "end");
  field.focus();
});
