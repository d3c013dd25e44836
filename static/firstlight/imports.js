/* The progress of an import: asked for until it has ended, then the page shows the result. */
(() => {
  "use strict";

  const EVERY_MS = 500;
  const panel = document.querySelector("[data-progress]");
  if (!panel) return;
  const bar = panel.querySelector("progress");
  const text = panel.querySelector("[role=status]");

  const ask = async () => {
    try {
      const answer = await fetch(panel.dataset.progress, { credentials: "same-origin" });
      const job = await answer.json();
      if (job.ended) {
        window.location.reload();
        return;
      }
      bar.value = job.percent;
      text.textContent = job.text;
    } catch {
      text.textContent = "The server does not answer. The import goes on without this page.";
    }
    window.setTimeout(ask, EVERY_MS);
  };
  ask();
})();
