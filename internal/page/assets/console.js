// What the console adds where script runs. Every page works without it.
"use strict";
(() => {
  // A dialog is a page fetched into <dialog id="dialog">: the link leads to the same page without script.
  const dialog = () => document.getElementById("dialog");
  let opener = null;

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-dialog]");
    if (link) opener = link;
    if (event.target.closest("[data-close]") && dialog()?.open) {
      event.preventDefault();
      dialog().close();
    }
  });

  document.addEventListener("htmx:after:swap", () => {
    const d = dialog();
    if (!d || !opener || d.open || !d.querySelector("#sheet")) return;
    d.showModal();
    d.querySelector("[autofocus]")?.focus();
  });

  document.addEventListener("close", (event) => {
    if (event.target !== dialog()) return;
    dialog().querySelector("#dialog-body").replaceChildren();
    opener?.focus();
    opener = null;
  }, true);

  // A search that answers while one types keeps its address in step, so that it can be sent to a colleague.
  document.addEventListener("htmx:after:request", (event) => {
    const form = event.target.closest?.("form[data-address]");
    if (!form) return;
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value !== "") query.append(name, value);
    const text = query.toString();
    history.replaceState(null, "", text ? "?" + text : location.pathname);
  });

  // Copy buttons appear only where copying works.
  const ready = () => {
    for (const button of document.querySelectorAll("[data-copy]")) {
      if (!navigator.clipboard) continue;
      button.hidden = false;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(button.dataset.copy);
        const said = button.textContent;
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = said; }, 1600);
      });
    }
    for (const link of document.querySelectorAll("details.side-menu")) {
      link.addEventListener("keydown", (event) => {
        if (event.key === "Escape") { link.open = false; link.querySelector("summary").focus(); }
      });
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", ready);
  else ready();
})();
