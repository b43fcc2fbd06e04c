// The application behind Vestibule: npm openid-client, as somebody else wrote it. It lives where northwind.yaml says.
import http from "node:http";
import * as openid from "openid-client";
import { secrets } from "./vestibule.mjs";

const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/** Starts the dashboard at http://127.0.0.1:9401 against the issuer. */
export async function startApplication(issuer) {
  const config = await openid.discovery(
    new URL(issuer),
    "energy-dashboard",
    secrets.DASHBOARD_CLIENT_SECRET,
    openid.ClientSecretBasic(secrets.DASHBOARD_CLIENT_SECRET),
    { execute: [openid.allowInsecureRequests] },
  );
  const home = "http://127.0.0.1:9401";
  const pending = new Map();
  const app = {
    config,
    home,
    /** What the last sign-in gave: tokens, ID token claims, userinfo. */
    last: undefined,
    lastError: undefined,
    logouts: [],
    refresh: (token) => openid.refreshTokenGrant(config, token),
    userinfo: (token, sub) => openid.fetchUserInfo(config, token, sub),
    introspect: (token) => openid.tokenIntrospection(config, token),
    revoke: (token) => openid.tokenRevocation(config, token),
    clientCredentials: () => openid.clientCredentialsGrant(config),
    endSessionUrl: (idToken) =>
      openid.buildEndSessionUrl(config, { id_token_hint: idToken, post_logout_redirect_uri: `${home}/` }).href,
  };
  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url, home);
    response.setHeader("content-type", "text/html; charset=utf-8");
    try {
      if (url.pathname === "/login") {
        const verifier = openid.randomPKCECodeVerifier();
        const state = openid.randomState();
        const nonce = openid.randomNonce();
        pending.set(state, { verifier, nonce });
        const parameters = {
          redirect_uri: `${home}/callback`,
          scope: "openid profile email offline_access",
          code_challenge: await openid.calculatePKCECodeChallenge(verifier),
          code_challenge_method: "S256",
          state,
          nonce,
        };
        for (const name of ["login_hint", "organization", "connection", "prompt", "max_age", "acr_values"])
          if (url.searchParams.has(name)) parameters[name] = url.searchParams.get(name);
        response.writeHead(302, { location: openid.buildAuthorizationUrl(config, parameters).href });
        return response.end();
      }
      if (url.pathname === "/callback") {
        const state = url.searchParams.get("state");
        const checks = pending.get(state);
        pending.delete(state);
        const tokens = await openid.authorizationCodeGrant(config, url, {
          pkceCodeVerifier: checks?.verifier,
          expectedState: state,
          expectedNonce: checks?.nonce,
          idTokenExpected: true,
        });
        const claims = tokens.claims();
        const userinfo = await openid.fetchUserInfo(config, tokens.access_token, claims.sub);
        app.last = { tokens, claims, userinfo };
        app.lastError = undefined;
        return response.end(
          `<!doctype html><html lang="en"><title>Energy Dashboard</title><h1>Welcome</h1><pre id="claims">${escape(JSON.stringify(claims, null, 1))}</pre>`,
        );
      }
      if (url.pathname === "/backchannel-logout") {
        let body = "";
        for await (const chunk of request) body += chunk;
        app.logouts.push(new URLSearchParams(body).get("logout_token"));
        return response.end();
      }
      response.end(`<!doctype html><html lang="en"><title>Energy Dashboard</title><h1>Signed out</h1><a href="/login">Sign in</a>`);
    } catch (error) {
      app.last = undefined;
      app.lastError = error;
      response.statusCode = 400;
      response.end(`<!doctype html><html lang="en"><title>Error</title><h1>Sign-in failed</h1><pre id="error">${escape(String(error.error ?? error.message))}</pre>`);
    }
  });
  await new Promise((done, fail) => server.once("error", fail).listen(9401, "127.0.0.1", done));
  app.stop = () => new Promise((done) => (server.closeAllConnections(), server.close(done)));
  return app;
}
