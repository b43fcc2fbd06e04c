// A SAML application behind Vestibule: npm @node-saml/node-saml, as somebody else wrote it.
import http from "node:http";
import { inflateRawSync } from "node:zlib";
import { SAML } from "@node-saml/node-saml";

const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/**
 * Starts an application at origin (http://127.0.0.1:9402) that knows the identity provider by its metadata, as it stands now. key is its
 * own pair, if it signs its requests and has assertions encrypted; post sends requests by form.
 */
export async function startServiceProvider(origin, idp, { key, post = false, options = {} } = {}) {
  const app = {
    origin,
    entityId: `${origin}/metadata`,
    acs: `${origin}/acs`,
    last: undefined, // the profile of the last sign-in
    lastError: undefined,
    relayState: undefined,
    response: undefined, // as it was posted
    ends: "answers", // what it does about a logout: "answers", "fails" (an error page), "hangs" (nothing at all) or "refuses"
    loggedOut: undefined, // by whom: {by: "request", profile, cookie} or {by: "answer", status, relayState}
    held: [], // responses that hang
    /** Reads the identity provider's metadata anew. */
    async learn() {
      const xml = await (await fetch(`${idp}/saml/idp/metadata`)).text();
      app.certificates = [...xml.matchAll(/<ds:X509Certificate>([^<]+)</g)].map((m) => m[1]);
      app.saml = new SAML({
        issuer: app.entityId,
        callbackUrl: app.acs,
        entryPoint: /SingleSignOnService Binding="[^"]*HTTP-Redirect" Location="([^"]+)"/.exec(xml)[1],
        logoutUrl: /SingleLogoutService Binding="[^"]*HTTP-Redirect" Location="([^"]+)"/.exec(xml)[1],
        idpIssuer: /entityID="([^"]+)"/.exec(xml)[1],
        idpCert: app.certificates,
        audience: app.entityId,
        wantAssertionsSigned: true,
        wantAuthnResponseSigned: true,
        validateInResponseTo: "always",
        identifierFormat: null,
        disableRequestedAuthnContext: true,
        signatureAlgorithm: "sha256",
        digestAlgorithm: "sha256",
        acceptedClockSkewMs: 0,
        ...(key ? { privateKey: key.key, publicCert: key.certificate, decryptionPvk: key.key } : {}),
        ...options,
      });
    },
    /** What another application makes of a response that was posted here. */
    judge: (response) => app.saml.validatePostResponseAsync({ SAMLResponse: response }),
  };
  await app.learn();
  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url, origin);
    response.setHeader("content-type", "text/html; charset=utf-8");
    try {
      if (url.pathname === "/login") {
        const relay = "/reports?year=2026&name=\"<b>";
        if (post) return response.end(await app.saml.getAuthorizeFormAsync(relay));
        response.writeHead(302, { location: await app.saml.getAuthorizeUrlAsync(relay, undefined, { additionalParams: Object.fromEntries(url.searchParams) }) });
        return response.end();
      }
      if (url.pathname === "/acs" && request.method === "POST") {
        let body = "";
        for await (const chunk of request) body += chunk;
        const form = new URLSearchParams(body);
        app.response = form.get("SAMLResponse");
        app.relayState = form.get("RelayState");
        app.last = app.lastError = undefined;
        app.last = (await app.saml.validatePostResponseAsync({ SAMLResponse: app.response })).profile;
        // As frameworks set it: what another site's form brings comes without it.
        response.writeHead(303, { location: `${origin}/in`, "set-cookie": `sid=${new URL(origin).port}; Path=/; HttpOnly; SameSite=Lax` });
        return response.end();
      }
      if (url.pathname === "/logout") {
        app.loggedOut = undefined;
        response.writeHead(302, { location: await app.saml.getLogoutUrlAsync(app.last, "/goodbye?of=\"<b>", {}) });
        return response.end();
      }
      if (url.pathname === "/slo") {
        let message = Object.fromEntries(url.searchParams);
        const byForm = request.method === "POST";
        if (byForm) {
          let body = "";
          for await (const chunk of request) body += chunk;
          message = Object.fromEntries(new URLSearchParams(body));
        }
        const read = byForm ? await app.saml.validatePostRequestAsync(message) : await app.saml.validateRedirectAsync(message, url.search.slice(1));
        if (message.SAMLResponse) {
          const xml = inflateRawSync(Buffer.from(message.SAMLResponse, "base64")).toString();
          app.last = undefined;
          app.loggedOut = { by: "answer", status: [...xml.matchAll(/status:(\w+)"/g)].map((m) => m[1]).join(" "), relayState: message.RelayState, signed: Boolean(message.Signature) };
          return response.end(`<!doctype html><title>Goodbye</title><h1>Goodbye</h1>`);
        }
        app.loggedOut = { by: "request", profile: read.profile, cookie: /sid=/.test(request.headers.cookie ?? "") };
        if (app.ends === "hangs") return app.held.push(response);
        if (app.ends === "fails") {
          response.writeHead(500);
          return response.end("<!doctype html><title>Broken</title><h1>Something went wrong</h1>");
        }
        if (app.ends === "answers") app.last = undefined;
        response.writeHead(302, { location: await app.saml.getLogoutResponseUrlAsync(read.profile, message.RelayState, {}, app.ends === "answers") });
        return response.end();
      }
      if (url.pathname === "/in") return response.end(`<!doctype html><title>Reports</title><h1>Signed in as ${escape(app.last?.nameID ?? "nobody")}</h1>`);
      response.writeHead(404);
      response.end();
    } catch (error) {
      app.lastError = error;
      response.writeHead(400);
      response.end(`<!doctype html><title>Refused</title><h1>Refused</h1><p id="error">${escape(String(error.message))}</p>`);
    }
  });
  const { hostname, port } = new URL(origin);
  await new Promise((done) => server.listen(Number(port), hostname, done));
  app.stop = () => new Promise((done) => (server.closeAllConnections(), server.close(done)));
  return app;
}
