/* Reveal forms: the answer's named values are put, each with a Copy button, in place of what is masked. */
(() => {
  "use strict";

  const row = ([name, value], index) => {
    const line = document.createElement("div");
    line.className = "fl-secret-row";
    const label = document.createElement("span");
    label.className = "fl-subtle";
    label.textContent = name;
    const secret = document.createElement("code");
    secret.className = "fl-secret";
    secret.id = `revealed-${index}`;
    secret.textContent = value;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "fl-button fl-small";
    button.dataset.copy = secret.id;
    button.dataset.copyName = name;
    button.textContent = `Copy ${name.toLowerCase()}`;
    line.append(label, secret, button);
    return line;
  };

  const reveal = async (form) => {
    const answer = await fetch(form.action, { method: "POST", body: new FormData(form), credentials: "same-origin" });
    const target = document.getElementById(form.dataset.reveal);
    if (!answer.ok) {
      target.textContent = "You may not see this, or your session has ended.";
      return;
    }
    const { values } = await answer.json();
    target.replaceChildren(...values.map(row));
    form.hidden = true;
  };

  document.addEventListener("submit", (event) => {
    if (!event.target.dataset.reveal) return;
    event.preventDefault();
    reveal(event.target);
  });
})();
