// Sign-in by OpenID Connect against npm oidc-provider. The heavier provider, Keycloak, goes through the same suite by
// make test-counterparts; connection.test.mjs has what is set up on the screens.
import { counterpart } from "./lib/oidc.mjs";
import { startOIDCProvider } from "./lib/upstream.mjs";

counterpart("oidc-provider", { start: () => startOIDCProvider() });
