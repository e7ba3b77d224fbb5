"use strict";
// The pages work without this file. It follows MLflow's own light or dark, filters the grid as one types, asks before
// a champion changes, and says a result aloud.
const theme = localStorage.getItem("_mlflow_dark_mode_toggle_enabled");
if (theme !== null) document.documentElement.dataset.theme = theme === "true" ? "dark" : "light";

function filterRows(input, rows, count) {
  const wanted = input.value.trim().toLowerCase();
  let shown = 0;
  for (const row of rows) {
    row.hidden = !row.dataset.site.includes(wanted);
    if (!row.hidden) shown += 1;
  }
  // the sentence in the reader's language is the page's
  count.textContent = count.dataset.text.replace("SHOWN", shown).replace("ALL", rows.length);
}

function announce(result) {
  // a live region speaks what changes in it, not what it is born with
  const said = [...result.childNodes];
  result.replaceChildren();
  setTimeout(() => {
    result.replaceChildren(...said);
    result.focus();
  }, 50);
}

document.addEventListener("DOMContentLoaded", () => {
  const input = document.getElementById("filter");
  if (input) {
    const rows = [...document.querySelectorAll("tr[data-site]")];
    const count = document.getElementById("shown");
    input.addEventListener("input", () => filterRows(input, rows, count));
  }
  for (const form of document.querySelectorAll("form[data-ask]")) {
    form.addEventListener("submit", (event) => {
      if (!window.confirm(form.dataset.ask)) event.preventDefault();
    });
  }
  document.addEventListener("keydown", (event) => {
    // the meaning of a word covers what is below it: Escape puts it away
    if (event.key === "Escape" && document.activeElement.closest(".term")) document.activeElement.blur();
  });
  const result = document.getElementById("result");
  if (result && result.textContent.trim()) announce(result);
});
