// A company's identity provider: npm oidc-provider, as somebody else wrote it, with a page to pick who is signing in.
import { generateKeyPairSync } from "node:crypto";
import Provider, { interactionPolicy } from "oidc-provider";
import { people as everybody } from "./saml.mjs";
import { freePort, secrets } from "./vestibule.mjs";

/**
 * Starts the provider. people maps a name to its claims; each is an account whose sub is "sub-" + name (an id that only this
 * provider knows, as Entra's is). redirectUris are the callbacks it accepts; client and features are laid over what it is given.
 * Whoever is asked for the context "gold" picks the account with a second factor. Change people while it runs.
 */
export async function startUpstream({ people, redirectUris = [], port, client = {}, features = {}, jwks, host = "127.0.0.1" }) {
  port ??= await freePort();
  const issuer = `http://${host}:${port}`;
  // By itself it takes acr_values for a wish, and asks nobody again for one.
  const { Check } = interactionPolicy;
  const policy = interactionPolicy.base();
  policy.get("login").checks.add(
    new Check("context", "a second factor is asked for", ({ oidc }) =>
      /\bgold\b/.test(oidc.params.acr_values) && oidc.acr !== "gold" && !oidc.result?.login ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT,
    ),
  );
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "vestibule",
        client_secret: secrets.NORTHWIND_OIDC_SECRET,
        redirect_uris: redirectUris,
        grant_types: ["authorization_code"],
        response_types: ["code"],
        ...client,
      },
    ],
    acrValues: ["gold"],
    claims: { openid: ["sub", "oid", "amr"], email: ["email", "email_verified"], profile: ["name", "groups"] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false }, ...features },
    ...(jwks ? { jwks } : {}),
    interactions: { policy, url: (_, interaction) => `/interaction/${interaction.uid}` },
    cookies: { keys: ["a cookie key of the sample provider"] },
    // By itself it asks no address of this machine, which is where everything here is.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    async findAccount(_, accountId) {
      const claims = people[accountId.replace(/^sub-/, "")];
      return claims && { accountId, claims: async () => ({ sub: accountId, ...claims }) };
    },
  });
  const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
  provider.use(async (ctx, next) => {
    const match = /^\/interaction\/([^/]+)(?:\/as\/([^/]+))?(\/second)?$/.exec(ctx.path);
    if (!match) return next();
    const details = await provider.interactionDetails(ctx.req, ctx.res);
    if (!match[2]) {
      const wanted = /\bgold\b/.test(details.params.acr_values);
      ctx.type = "html";
      ctx.body =
        `<!doctype html><html lang="en"><title>Pick an account</title><h1>Pick an account</h1><ul>` +
        Object.keys(people)
          .map((name) => {
            const as = `/interaction/${match[1]}/as/${name}`;
            const more = wanted ? ` <a href="${as}/second">${escape(name)} with a second factor</a>` : "";
            return `<li><a href="${as}">${escape(name)}</a>${more}</li>`;
          })
          .join("") +
        "</ul>";
      return;
    }
    const grant = new provider.Grant({ accountId: `sub-${match[2]}`, clientId: details.params.client_id });
    grant.addOIDCScope(details.params.scope);
    const grantId = await grant.save();
    await provider.interactionFinished(
      ctx.req,
      ctx.res,
      {
        login: { accountId: `sub-${match[2]}`, remember: false, ...(match[3] ? { acr: "gold", amr: ["pwd", "otp", "mfa"] } : {}) },
        consent: { grantId },
      },
      { mergeWithLastSubmission: false },
    );
    ctx.respond = false;
  });
  const server = await new Promise((done) => {
    const listening = provider.listen(port, host, () => done(listening));
  });
  return {
    issuer,
    people,
    stop: () => new Promise((done) => (server.closeAllConnections(), server.close(done))),
  };
}

/** The features by which people sign out there, at its own page or sent by us, and we are told. */
export const signOut = {
  backchannelLogout: { enabled: true },
  rpInitiatedLogout: {
    enabled: true,
    logoutSource: async (ctx, form) => {
      ctx.body = `<!doctype html><html lang="en"><title>Sign out</title>${form}<button form="op.logoutForm" name="logout" value="yes">Sign out there</button></html>`;
    },
    postLogoutSuccessSource: async (ctx) => {
      ctx.body = "<!doctype html><html lang='en'><title>Signed out there</title><h1>Signed out there</h1></html>";
    },
  },
};

/** The provider as lib/oidc.mjs wants it. */
export async function startOIDCProvider() {
  const port = await freePort();
  const given = Object.fromEntries(
    Object.entries(everybody).map(([name, p]) => [name, { email: p.email, email_verified: true, name: `${p.given} ${p.family}` }]),
  );
  const key = (kid) => ({ ...generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256" });
  const [old, next] = [key("old"), key("next")];
  // Of several keys that fit the first signs.
  const phases = { 1: [old], 2: [old, next], 3: [next, old], 4: [next] };
  let running, client;
  const start = async (n) => {
    await running?.stop();
    running = await startUpstream({
      people: given,
      host: "localhost",
      port,
      redirectUris: client.callbacks,
      client: { require_auth_time: true, post_logout_redirect_uris: [client.left], backchannel_logout_uri: client.backchannel, backchannel_logout_session_required: true },
      features: signOut,
      jwks: { keys: phases[n] },
    });
  };
  const issuer = `http://localhost:${port}`;
  return {
    issuer,
    subject: (name) => `sub-${name}`,
    async register(rp) {
      client = rp;
      await start(1);
      return { client_id: "vestibule", client_secret: secrets.NORTHWIND_OIDC_SECRET };
    },
    leave: (page) => page.getByRole("button", { name: "Sign out there" }).click(),
    asks: async (page) => page.url().startsWith(`${issuer}/interaction/`),
    login: (page, name, { second = false } = {}) => page.getByRole("link", { name: second ? `${name} with a second factor` : name, exact: true }).click(),
    async logout(page) {
      await page.goto(`${issuer}/session/end`);
      await page.getByRole("button", { name: "Sign out there" }).click();
      await page.getByRole("heading", { name: "Signed out there" }).waitFor();
    },
    phase: start,
    stop: () => running?.stop(),
  };
}
