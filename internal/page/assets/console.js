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

  // A long list on the page is narrowed to what contains the words typed: an entry stays with those it stands under, and what is
  // ticked stays always, so that nothing is saved unseen.
  const narrow = (field) => {
    const list = document.getElementById(field.dataset.narrow);
    const words = field.value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
    const has = (e) => words.every((w) => e.textContent.toLocaleLowerCase().includes(w));
    let found = 0;
    const branch = (li, above) => {
      const own = has(li.querySelector(":scope > .leaf"));
      let below = false;
      for (const child of li.querySelectorAll(":scope > ul > li")) below = branch(child, above || own) || below;
      if (own) found++;
      li.hidden = !(above || own || below);
      return own || below;
    };
    if (list.matches(".tree")) for (const li of list.children) branch(li, false);
    else {
      let over = 0; // how deep the entry is that needs those it stands under
      for (const e of [...list.querySelectorAll(":scope > [data-depth]")].reverse()) {
        const own = has(e), depth = Number(e.dataset.depth);
        if (own) found++;
        e.hidden = !(own || depth < over || e.querySelector("input:checked:not(:disabled)"));
        if (!e.hidden) over = depth;
      }
    }
    const said = field.parentElement.querySelector("[role=status]");
    said.textContent = words.length === 0 ? "" : found === 0 ? "None has these words." : `${found} found`;
  };
  document.addEventListener("input", (event) => {
    if (event.target.matches("[data-narrow]")) narrow(event.target);
  });
  // It is part of no form: what it narrows is not chosen anew, nor sent, by typing here.
  for (const kind of ["change", "keydown"]) document.addEventListener(kind, (event) => {
    if (!event.target.matches?.("[data-narrow]")) return;
    if (kind === "change") event.stopPropagation();
    else if (event.key === "Enter") event.preventDefault();
  }, true);
  // The form around a list may be drawn anew while it is narrowed.
  document.addEventListener("htmx:after:swap", () => {
    for (const field of document.querySelectorAll("[data-narrow]")) if (field.value) narrow(field);
  });

  // The lines of a list that are chosen for one form: how many, and all of the page at once.
  const choosing = (event) => {
    const form = event.target.form;
    const all = form?.querySelector("[data-choose-all]");
    if (!all) return;
    const boxes = [...form.elements].filter((e) => e.name === "user");
    if (event.target === all) for (const box of boxes) box.checked = all.checked;
    const n = boxes.filter((box) => box.checked).length;
    all.checked = n > 0 && n === boxes.length;
    all.indeterminate = n > 0 && n < boxes.length;
    form.querySelector("[role=status]").textContent = n > 0 ? `${n} chosen` : "";
  };
  document.addEventListener("change", choosing);

  // A form whose answer shows a secret goes once: of two clicks the browser would show the answer to the second, which says only that
  // the form was sent already.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.querySelector("input[name=once]")) return;
    if (form.dataset.sent) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
    form.dataset.sent = "true";
  }, true);
  // Whoever comes back to the page may send it again.
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
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
