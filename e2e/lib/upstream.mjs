// A company's identity provider: npm oidc-provider, as somebody else wrote it, with a page to pick who is signing in.
import Provider from "oidc-provider";
import { freePort, secrets } from "./vestibule.mjs";

/**
 * Starts the provider. people maps a name to its claims; each is an account whose sub is "sub-" + name (an id that only this
 * provider knows, as Entra's is). redirectUris are the callbacks it accepts; client and features are laid over what it is given.
 * Change people while it runs.
 */
export async function startUpstream({ people, redirectUris = [], port, client = {}, features = {} }) {
  port ??= await freePort();
  const issuer = `http://127.0.0.1:${port}`;
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
    claims: { openid: ["sub", "oid"], email: ["email", "email_verified"], profile: ["name", "groups"] },
    conformIdTokenClaims: false,
    features: { devInteractions: { enabled: false }, ...features },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
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
    const match = /^\/interaction\/([^/]+)(?:\/as\/([^/]+))?$/.exec(ctx.path);
    if (!match) return next();
    const details = await provider.interactionDetails(ctx.req, ctx.res);
    if (!match[2]) {
      ctx.type = "html";
      ctx.body =
        `<!doctype html><html lang="en"><title>Pick an account</title><h1>Pick an account</h1><ul>` +
        Object.keys(people)
          .map((name) => `<li><a href="/interaction/${match[1]}/as/${name}">${escape(name)}</a></li>`)
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
      { login: { accountId: `sub-${match[2]}`, remember: false }, consent: { grantId } },
      { mergeWithLastSubmission: false },
    );
    ctx.respond = false;
  });
  const server = await new Promise((done) => {
    const listening = provider.listen(port, "127.0.0.1", () => done(listening));
  });
  return {
    issuer,
    people,
    stop: () => new Promise((done) => (server.closeAllConnections(), server.close(done))),
  };
}
