// Sign-in by SAML against Keycloak: responses by a form, assertions signed, and encrypted as it does by itself.
import { startKeycloakSAML } from "../lib/keycloak.mjs";
import { counterpart } from "../lib/saml.mjs";

counterpart("Keycloak", { start: () => startKeycloakSAML(), timeout: 1_200_000 });
counterpart("Keycloak, requests by a form, encrypted", {
  start: () => startKeycloakSAML({ attributes: { "saml.encrypt": "true", "saml.force.post.binding": "true" } }),
  saml: { binding: "post", name_id_format: "emailAddress" },
  timeout: 1_200_000,
  encrypted: true,
});
