// Passkeys: a form with data-passkey carries the question; the browser's answer goes into the form, which is then sent as any other.
"use strict";
(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  // The question as JSON (WebAuthn section 5.1.8) in the form that the browser takes.
  const question = (form) => {
    const { publicKey } = JSON.parse(form.dataset.options);
    publicKey.challenge = bytes(publicKey.challenge);
    if (publicKey.user) publicKey.user.id = bytes(publicKey.user.id);
    for (const list of ["allowCredentials", "excludeCredentials"]) {
      for (const c of publicKey[list] ?? []) c.id = bytes(c.id);
    }
    return publicKey;
  };

  const answer = (credential) => {
    const r = credential.response;
    const response = { clientDataJSON: text(r.clientDataJSON) };
    if (r.attestationObject) {
      response.attestationObject = text(r.attestationObject);
      response.transports = r.getTransports?.() ?? [];
    } else {
      response.authenticatorData = text(r.authenticatorData);
      response.signature = text(r.signature);
      if (r.userHandle) response.userHandle = text(r.userHandle);
    }
    return JSON.stringify({
      id: credential.id, rawId: text(credential.rawId), type: credential.type, response,
      authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
      clientExtensionResults: credential.getClientExtensionResults(),
    });
  };

  let waiting = null; // a question that stands beside the address field; a click takes its place

  const ask = async (form, mediation) => {
    const failed = form.querySelector("[data-passkey-error]");
    waiting?.abort();
    waiting = new AbortController();
    const signal = waiting.signal;
    try {
      if (failed) failed.hidden = true;
      const publicKey = question(form);
      const credential = form.dataset.passkey === "create"
        ? await navigator.credentials.create({ publicKey, signal })
        : await navigator.credentials.get(mediation ? { publicKey, mediation, signal } : { publicKey, signal });
      form.elements.answer.value = answer(credential);
      form.submit();
    } catch (error) {
      if (signal.aborted || mediation || !failed) return;
      failed.textContent = error.name === "InvalidStateError"
        ? "This device has a passkey of yours already."
        : "No passkey was used: it was cancelled, or it took too long. Try again, or choose another way.";
      failed.hidden = false;
    }
  };

  const ready = async () => {
    const works = typeof PublicKeyCredential === "function" && navigator.credentials;
    for (const note of document.querySelectorAll("[data-passkey-missing]")) {
      if (works) { note.hidden = true; continue; }
      const why = note.querySelector("[data-passkey-why]");
      why.textContent = why.dataset.unsupported;
    }
    if (!works) return;
    for (const form of document.querySelectorAll("form[data-passkey]")) {
      form.hidden = false;
      form.addEventListener("submit", (event) => { event.preventDefault(); ask(form); });
      if ("conditional" in form.dataset && await PublicKeyCredential.isConditionalMediationAvailable?.()) ask(form, "conditional");
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", ready);
  else ready();
})();
