// A SAML identity provider made of npm samlp, as Auth0 wrote it, on a plain HTTP server: its own pages ask for a name and a
// password, samlp makes and signs what goes to us.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { password, people } from "./saml.mjs";
import { freePort } from "./vestibule.mjs";

const require = createRequire(import.meta.url);
const samlp = require("samlp");

/** A new key with a certificate of its own. */
export function certificate(name) {
  const dir = mkdtempSync(path.join(tmpdir(), "certificate-"));
  try {
    const at = (file) => path.join(dir, file);
    execFileSync(
      "openssl",
      ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", "3650", "-subj", `/CN=${name}`, "-keyout", at("key"), "-out", at("cert")],
      { stdio: "ignore" },
    );
    return { key: readFileSync(at("key"), "utf8"), cert: readFileSync(at("cert"), "utf8") };
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const bare = (pem) => pem.replace(/-----[A-Z ]+-----|\s/g, "");
const pem = (der) => `-----BEGIN CERTIFICATE-----\n${der.match(/.{1,64}/g).join("\n")}\n-----END CERTIFICATE-----\n`;

/** Starts it. With encrypt, assertions are encrypted to the key of our metadata, by samlp's own choice of algorithm. */
export async function startSamlp({ binding = "HTTP-Redirect", signResponse = false, encrypt = false, encryptionAlgorithm } = {}) {
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  const entityId = `${origin}/entity`;
  const keys = { old: certificate("samlp old"), next: certificate("samlp next") };
  let signing = keys.old;
  let published = [keys.old];
  let sp;
  const sessions = new Map();
  const bindings = "urn:oasis:names:tc:SAML:2.0:bindings:";

  const metadata = () => `<?xml version="1.0"?>
<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="${entityId}">
  <IDPSSODescriptor WantAuthnRequestsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    ${published.map(({ cert }) => `<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>${bare(cert)}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`).join("\n    ")}
    <SingleLogoutService Binding="${bindings}${binding}" Location="${origin}/logout"/>
    <NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</NameIDFormat>
    <SingleSignOnService Binding="${bindings}${binding}" Location="${origin}/sso"/>
  </IDPSSODescriptor>
</EntityDescriptor>`;

  const page = (title, body) => `<!doctype html><html lang="en"><title>${title}</title><h1>${title}</h1>${body}</html>`;
  const hidden = (values) =>
    Object.entries(values)
      .map(([name, value]) => `<input type="hidden" name="${name}" value="${String(value).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`)}">`)
      .join("");

  const handler = async (req, res) => {
    const url = new URL(req.url, origin);
    req.query = Object.fromEntries(url.searchParams);
    req.originalUrl = req.url;
    req.protocol = "http";
    req.body = {};
    if (req.method === "POST") {
      let body = "";
      for await (const chunk of req) body += chunk;
      req.body = Object.fromEntries(new URLSearchParams(body));
    }
    res.set = (name, value) => (res.setHeader(name, value), res);
    res.send = (status, body) => {
      if (typeof status === "number") res.statusCode = status;
      else body = status;
      res.end(body === undefined ? "" : String(body));
    };
    res.redirect = (to) => (res.writeHead(302, { location: to }), res.end());
    const failed = (error) => {
      res.statusCode = 500;
      res.setHeader("content-type", "text/html");
      res.end(page("samlp refused", `<pre>${String(error?.stack ?? error).replace(/</g, "&lt;")}</pre>`));
    };
    const id = /(?:^|; )samlp=([0-9a-f]+)/.exec(req.headers.cookie ?? "")?.[1];
    let session = sessions.get(id);
    const enter = () => {
      const fresh = randomBytes(16).toString("hex");
      session = { participants: [], index: randomBytes(8).toString("hex"), state: {} };
      sessions.set(fresh, session);
      // A request by a form from another site comes without a cookie that is Lax.
      res.setHeader("set-cookie", `samlp=${fresh}; Path=/; HttpOnly; ${binding === "HTTP-POST" ? "SameSite=None; Secure" : "SameSite=Lax"}`);
    };
    req.session = session?.state ?? {};
    const common = { issuer: entityId, cert: signing.cert, key: signing.key, signatureAlgorithm: "rsa-sha256", digestAlgorithm: "sha256" };

    const respond = (user) => {
      session.participants = session.participants.filter((p) => p.serviceProviderId !== sp.entityId);
      session.participants.push({
        serviceProviderId: sp.entityId,
        nameId: user.email,
        nameIdFormat: "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
        sessionIndex: session.index,
        serviceProviderLogoutURL: sp.slo,
        cert: sp.signing,
        binding: `${bindings}${binding}`,
      });
      samlp.auth({
        ...common,
        getPostURL: (audience, dom, r, done) => done(null, sp.acs),
        getUserFromRequest: () => ({
          id: user.email,
          emails: [{ value: user.email }],
          displayName: `${user.given} ${user.family}`,
          name: { givenName: user.given, familyName: user.family },
        }),
        nameIdentifierFormat: "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
        audience: sp.entityId,
        recipient: sp.acs,
        destination: sp.acs,
        sessionIndex: session.index,
        lifetimeInSeconds: 300,
        signResponse,
        deflate: req.method === "GET",
        ...(encrypt ? { encryptionCert: sp.encryption, encryptionPublicKey: sp.encryptionKey, ...(encryptionAlgorithm ? { encryptionAlgorithm, disallowEncryptionWithInsecureAlgorithm: false, warnOnInsecureEncryptionAlgorithm: false } : {}) } : {}),
      })(req, res, failed);
    };

    if (url.pathname === "/metadata") {
      res.setHeader("content-type", "application/samlmetadata+xml");
      return res.end(metadata());
    }
    if (url.pathname === "/login") {
      // The form carries the request along; the session begins or is made anew.
      const { name, password: given, ...rest } = req.body;
      if (!people[name] || given !== password(name)) {
        res.statusCode = 403;
        return res.end(page("Wrong", ""));
      }
      enter();
      session.user = name;
      session.answered = rest.SAMLRequest;
      if (rest.Signature) return res.redirect(`/sso?${new URLSearchParams(rest)}`);
      res.setHeader("content-type", "text/html");
      return res.end(page("Going on", `<form method="post" action="/sso">${hidden(rest)}</form><script>document.forms[0].submit()</script>`));
    }
    if (url.pathname === "/sso") {
      const values = req.method === "POST" ? req.body : req.query;
      return samlp.parseRequest(req, { signingCert: sp.signing, deflate: req.method === "GET" }, (error, request) => {
        if (error) return failed(error);
        const user = people[session?.user];
        if (!user || (request?.forceAuthn === "true" && session.answered !== values.SAMLRequest)) {
          res.setHeader("content-type", "text/html");
          return res.end(
            page(
              "Sign in at the sample provider",
              `<form method="post" action="/login">${hidden(values)}<label>Name <input name="name"></label> <label>Password <input name="password" type="password"></label> <button>Sign in</button></form>`,
            ),
          );
        }
        respond(user);
      });
    }
    if (url.pathname === "/portal") {
      // What a provider's own page of applications does: a response that nobody asked for, with an address as RelayState.
      req.query = { RelayState: "https://elsewhere.example/" };
      return people[session?.user] ? respond(people[session.user]) : failed("nobody is signed in");
    }
    if (url.pathname === "/logout") {
      return samlp.logout({
        ...common,
        deflate: binding === "HTTP-Redirect",
        protocolBinding: `${bindings}${binding}`,
        sessionParticipants: new (require("samlp/lib/sessionParticipants"))(session?.participants ?? []),
        clearIdPSession: (done) => (sessions.delete(id), done()),
        store: {
          save: (r, state, done) => {
            const key = randomBytes(8).toString("hex");
            req.session[key] = state;
            done(null, key);
          },
          load: (r, key, options, done) => (done ?? options)(null, req.session[key]),
          update: (r, key, state, done) => ((req.session[key] = state), done(null)),
        },
      })(req, res, failed);
    }
    res.end(page("The sample provider", ""));
  };
  const server = http.createServer((req, res) =>
    handler(req, res).catch((error) => {
      res.statusCode = 500;
      res.end(String(error.stack));
    }),
  );
  await new Promise((done) => server.listen(port, "localhost", done));

  return {
    entityId,
    metadataUrl: `${origin}/metadata`,
    portal: `${origin}/portal`,
    async register(given) {
      const of = (use) => pem(bare(new RegExp(`use="${use}".*?<ds:X509Certificate>([^<]+)<`, "s").exec(given.metadata)[1]));
      const { X509Certificate } = await import("node:crypto");
      const encryption = of("encryption");
      sp = { ...given, signing: of("signing"), encryption, encryptionKey: new X509Certificate(encryption).publicKey.export({ type: "spki", format: "pem" }) };
    },
    asks: async (page) => (await page.getByLabel("Password").count()) === 1,
    async login(page, name) {
      await page.getByLabel("Name").fill(name);
      await page.getByLabel("Password").fill(password(name));
      await page.getByRole("button", { name: "Sign in" }).click();
    },
    async logout(page) {
      await page.goto(`${origin}/logout`);
    },
    async phase(n) {
      published = { 1: [keys.old], 2: [keys.old, keys.next], 3: [keys.old, keys.next], 4: [keys.next] }[n];
      signing = n < 3 ? keys.old : keys.next;
    },
    stop: () => new Promise((done) => (server.closeAllConnections(), server.close(done))),
  };
}
