// The panel in a frame of another site.

// The page around the frame can give it this height. Only pages of EMBED_ORIGINS can be around it.
const main = document.getElementById("main");
const tell = () => parent.postMessage({ type: "background-jobs-panel", height: main.scrollHeight }, "*");
new ResizeObserver(tell).observe(main);

// A user who signs in does so in another tab, and comes back.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && document.querySelector("[data-signed-out]")) location.reload();
});
