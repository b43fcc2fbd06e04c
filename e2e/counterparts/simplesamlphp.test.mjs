// Sign-in by SAML against SimpleSAMLphp: signed as it does by itself, and encrypted.
import { counterpart } from "../lib/saml.mjs";
import { startSimpleSAMLphp } from "../lib/simplesamlphp.mjs";

counterpart("SimpleSAMLphp", { start: () => startSimpleSAMLphp() });
counterpart("SimpleSAMLphp, response and assertion signed, encrypted", {
  start: () => startSimpleSAMLphp({ remote: { "assertion.encryption": true, "saml20.sign.response": true, "saml20.sign.assertion": true } }),
  saml: { name_id_format: "emailAddress" },
  byHand: true,
  encrypted: true,
});
