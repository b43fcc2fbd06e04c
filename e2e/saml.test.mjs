// Sign-in by SAML against npm samlp, by each binding: signed assertions, signed responses, encrypted ones by AES-GCM and AES-CBC.
// The heavier providers, Keycloak and SimpleSAMLphp, go through the same suite by make test-counterparts.
import { counterpart } from "./lib/saml.mjs";
import { startSamlp } from "./lib/samlp.mjs";

counterpart("samlp, redirects, signed assertion", { start: () => startSamlp(), kinds: ["sqlite", "postgres"], console: true });
counterpart("samlp, forms, both signed, encrypted by AES-256-GCM", {
  start: () => startSamlp({ binding: "HTTP-POST", signResponse: true, encrypt: true }),
  saml: { signed: "both", name_id_format: "emailAddress" },
  byHand: true,
  encrypted: true,
});
counterpart("samlp, redirects, encrypted by AES-256-CBC", {
  start: () => startSamlp({ encrypt: true, encryptionAlgorithm: "http://www.w3.org/2001/04/xmlenc#aes256-cbc" }),
  saml: { unsolicited: true },
  encrypted: true,
});
