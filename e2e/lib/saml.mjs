// What every SAML identity provider is put through: the same organization, the same people, the same steps, whoever wrote the
// provider. A provider of lib/*.mjs gives itself by these:
//
//   entityId, metadataUrl   as it publishes them
//   register(sp)            lets it know Vestibule: {entityId, acs, slo, metadata}, the last as our document stands
//   login(page, name)       does what the person does on its pages, and leaves when it has sent them on
//   asks(page)              whether its page asks the person who they are
//   logout(page)            signs the person out at the provider itself
//   phase(n)                brings its keys to phase 1..4 of a rollover: old, both published, new one signing, old gone
//   stop()
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { startApplication } from "./application.mjs";
import { axe, fits, person, startBrowser } from "./browser.mjs";
import { caller, install, secrets, until } from "./vestibule.mjs";

const out = path.resolve(import.meta.dirname, "../out");

/** The people at the provider; everybody's password is their name and -pw. */
export const people = {
  ann: { email: "ann@northwind.example", given: "Ann", family: "Northwind" },
  ben: { email: "ben@northwind.example", given: "Ben", family: "Northwind" },
  cleo: { email: "cleo@northwind.example", given: "Cleo", family: "Northwind" },
};
export const password = (name) => `${name}-pw`;

const configuration = ({ metadata, down, saml }) => `version: 1
permissions:
  - {id: assets.read, name: View assets}
  - {id: connections.manage, name: Set up sign-in and provisioning}
  - {id: users.read, name: See users}
roles:
  - {id: viewer, name: Viewer, permissions: [assets.read]}
  - {id: owner, name: Owner, permissions: [connections.manage, users.read], includes: [viewer], may_grant: ["*"]}
organizations:
  - id: northwind
    name: Northwind Energy
    allowed_domains: [northwind.example]
    default_roles: [viewer]
    directories:
      - id: okta
        name: Northwind directory
        dialect: okta
        key: userName
        tokens: [{id: main, secret: {env: NORTHWIND_SCIM_TOKEN}}]
    connections:
      - id: saml
        name: Northwind SSO
        protocol: saml
        metadata: ${metadata}
        domains: [northwind.example]
        directory: okta
        match: {claim: nameid, attribute: userName}
        provisioning: just-in-time
        upstream_logout: true
        saml: ${JSON.stringify(saml)}
  - id: southwind
    name: Southwind
    default_roles: [viewer]
    connections:
      - id: saml
        name: Southwind SSO
        protocol: saml
        metadata: ${down}
        domains: [southwind.example]
applications:
  - id: energy-dashboard
    name: Energy Dashboard
    protocol: oidc
    client_secret: {env: DASHBOARD_CLIENT_SECRET}
    redirect_uris: [http://127.0.0.1:9401/callback]
    post_logout_redirect_uris: [http://127.0.0.1:9401/]
    grant_types: [authorization_code, refresh_token]
    claims: [organization]
    organizations: ["*"]
`;

/**
 * The suite. start gives a provider; saml are the connection's choices; encrypted says that its assertions must be,
 * console that new certificates are approved there rather than by the admin API, byHand that its metadata is declared as a document and
 * nobody asks its address. The provider stands at localhost and Vestibule at
 * 127.0.0.1: two sites to a browser, so that its posts to us come without our SameSite=Lax cookies, as in the world.
 */
export function counterpart(name, { start, saml = {}, encrypted = false, console = false, byHand = false, timeout = 240_000, kinds = ["sqlite"] }) {
  for (const kind of kinds) describe(`SAML with ${name} on ${kind}`, { timeout }, () => run(kind));

  function run(kind) {
    let here, idp, browser, ann, api;
    const made = {};
    before(async () => {
      browser = await startBrowser();
      idp = await start();
      assert.equal(new URL(idp.metadataUrl).hostname, "localhost");
      here = await install({ kind });
      await declare();
      await here.start();
      const base = `${here.url}/sso/northwind/saml`;
      const metadata = await (await fetch(`${base}/metadata`)).text();
      await idp.register({ entityId: `${base}/metadata`, acs: `${base}/acs`, slo: `${base}/slo`, metadata });
      here.application = await startApplication(here.url);
      api = caller(`${here.url}/api/v1/organizations/northwind`, here.command("token", "create", "--operator").out.trim().split(/\s+/).pop());
      ann = await person(browser);
      ann.page.on("request", (request) => {
        if (request.method() !== "POST" || !request.url().endsWith("/acs")) return;
        made.response = Buffer.from(new URLSearchParams(request.postData()).get("SAMLResponse") ?? "", "base64").toString();
        made.cookies = request.headers().cookie;
      });
    });
    after(async () => {
      await browser?.close();
      await here?.application?.stop();
      await idp?.stop();
      await here?.remove();
    });

    /** Declares what there is, and the provider's metadata as it publishes it now where that is done by hand. */
    async function declare() {
      const metadata = byHand ? here.file("idp.xml", await (await fetch(idp.metadataUrl)).text()) : idp.metadataUrl;
      // Nothing listens at the other organization's provider.
      const applied = here.command("apply", here.file("saml.yaml", configuration({ metadata, down: "http://localhost:1/metadata", saml })));
      assert.equal(applied.code, 0, applied.text);
    }

    const text = (page) => page.locator("body").innerText();
    const arrived = (page) => page.waitForURL(`${here.url}/o/northwind/me`, { timeout: 20_000 }).catch(async () => assert.fail(`${page.url()}: ${await text(page)}`));
    const begin = (page) => page.goto(`${here.url}/signin?organization=northwind&return_to=/o/northwind/me`, { waitUntil: "load" });

    /** Signs in for the console, from wherever the browser is. asked says whether the provider had to ask who it is. */
    async function signIn(page, who) {
      await begin(page);
      const end = await until(
        "the provider's page or ours",
        async () => (page.url() === `${here.url}/o/northwind/me` ? "in" : page.url().startsWith(new URL(idp.metadataUrl).origin) && (await idp.asks(page)) ? "asked" : page.url().startsWith(`${here.url}/sso/`) && (await page.locator("#code").count()) ? "refused" : ""),
        30,
      );
      if (end === "refused") assert.fail(`${page.url()}: ${await text(page)}`);
      if (end === "asked") await idp.login(page, who);
      await arrived(page);
      return end === "asked";
    }

    const users = async () => (await api("GET", "/users?limit=100")).json.items;

    test("first sign-in: who nobody pushed is made just in time", async () => {
      assert.equal(await signIn(ann.page, "ann"), true, "the provider asks");
      assert.equal(/<([\w]+:)?EncryptedAssertion/.test(made.response), encrypted, "encrypted");
      assert.equal(made.cookies, undefined, "a post from another site brings no Lax cookies");
      const found = (await users()).find((u) => u.email === people.ann.email);
      assert.equal(found?.user_name ?? found?.email, people.ann.email, JSON.stringify(found));
      assert.deepEqual(ann.violations.filter((v) => v.startsWith(here.url)), []);
    });

    test("matched sign-in: a pushed person gets their record", async () => {
      const scim = caller(`${here.url}/scim/northwind/okta/v2`, secrets.NORTHWIND_SCIM_TOKEN, "application/scim+json");
      const pushed = await scim("POST", "/Users", {
        schemas: ["urn:ietf:params:scim:schemas:core:2.0:User"],
        externalId: "00uben",
        userName: people.ben.email,
        name: { givenName: "Ben", familyName: "Northwind" },
        emails: [{ primary: true, type: "work", value: people.ben.email }],
        active: true,
      });
      assert.equal(pushed.status, 201, pushed.text);
      const ben = await person(browser);
      await signIn(ben.page, "ben");
      here.application.last = undefined;
      await ben.page.goto(`${here.application.home}/login?organization=northwind`);
      assert.equal(here.application.last?.claims.sub, pushed.json.id, await text(ben.page));
      // Deactivated there, out here at once, and not in again.
      const off = await scim("PATCH", `/Users/${pushed.json.id}`, {
        schemas: ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        Operations: [{ op: "replace", value: { active: false } }],
      });
      assert.ok(off.status < 300, off.text);
      await begin(ben.page);
      await ben.page.locator("#code", { hasText: "deactivated" }).waitFor({ timeout: 20_000 });
      await ben.close();
    });

    test("step-up: an application that wants a fresh sign-in gets one, and its proof", async () => {
      const { page } = ann;
      here.application.last = undefined;
      await page.goto(`${here.application.home}/login?organization=northwind`);
      const before = here.application.last?.claims.auth_time;
      assert.ok(before, await text(page));
      await new Promise((next) => setTimeout(next, 1100)); // auth_time counts in seconds
      here.application.last = undefined;
      await page.goto(`${here.application.home}/login?organization=northwind&prompt=login`);
      await until("the provider asks again", async () => page.url().startsWith(new URL(idp.metadataUrl).origin) && (await idp.asks(page)), 20);
      await idp.login(page, "ann");
      await page.waitForURL(`${here.application.home}/**`, { timeout: 20_000 }).catch(async () => assert.fail(`${page.url()}: ${await text(page)}`));
      assert.ok(here.application.last?.claims.auth_time > before, `${await text(page)} ${before}`);
    });

    test("logout here ends the provider's session too", async () => {
      const { page } = ann;
      await page.goto(`${here.url}/o/northwind/me`);
      await page.getByRole("button", { name: "Sign out" }).click();
      await until("signed out", async () => /You are signed out/.test(await text(page)), 20).catch(async (e) => assert.fail(`${e.message} ${page.url()}: ${await text(page)}`));
      assert.match(await text(page), /signed out here and at Northwind SSO/);
      assert.deepEqual(await axe(page), []);
      assert.equal(await fits(page), true);
      assert.equal(await signIn(ann.page, "ann"), true, "the provider's session went on");
    });

    test("logout at the provider ends ours", async () => {
      await idp.logout(ann.page);
      await until("our session ended", async () => {
        await ann.page.goto(`${here.url}/o/northwind/me`, { waitUntil: "load" });
        return ann.page.url() !== `${here.url}/o/northwind/me`;
      });
      await signIn(ann.page, "ann");
    });

    /** Looks at the page of both sides' certificates, in light, dark and on a phone, and approves what waits there. */
    async function approveAsOperator(pending) {
      const link = await until("the one-time link", () => /(http:\/\/\S+\/setup#\S+)/.exec(here.nodes[0].output)?.[1]);
      const operator = await person(browser);
      const { page } = operator;
      await page.goto(link);
      await page.getByLabel("Your name").fill("Oda Operator");
      await page.getByLabel("Email").fill("oda@operator.example");
      await page.getByLabel("Password").fill("three herons left early");
      await page.getByRole("button", { name: "Become the operator" }).click();
      await page.waitForURL((u) => !u.pathname.startsWith("/setup"));
      await page.goto(`${here.url}/o/northwind`);
      await page.getByText("Northwind SSO publishes other keys or addresses").waitFor();
      await page.getByRole("link", { name: "Look at them" }).click();
      await page.getByRole("heading", { level: 1, name: "Certificates and keys of Northwind SSO" }).waitFor();
      for (const c of pending.certificates) assert.ok((await text(page)).includes(c.fingerprint));
      mkdirSync(out, { recursive: true });
      for (const [view, size, colorScheme] of [
        ["light", { width: 1280, height: 900 }, "light"],
        ["dark", { width: 1280, height: 900 }, "dark"],
        ["390", { width: 390, height: 844 }, "light"],
        ["320", { width: 320, height: 700 }, "light"],
      ]) {
        await page.setViewportSize(size);
        await page.emulateMedia({ colorScheme });
        assert.deepEqual(await axe(page), [], view);
        assert.equal(await fits(page), true, view);
        await page.screenshot({ path: path.join(out, `saml-keys-${view}.png`), fullPage: true });
      }
      await page.getByLabel(/Reason/).fill("compared by telephone");
      await page.getByRole("button", { name: "Approve" }).click();
      await page.getByRole("status").getByText("counts from now on").waitFor();
      assert.equal(await page.getByRole("heading", { name: "New metadata waits" }).count(), 0);
      await page.getByRole("button", { name: "Ask its metadata now" }).click();
      await page.getByRole("status").getByText("was asked for its metadata").waitFor();
      assert.deepEqual(operator.violations, []);
      await operator.close();
    }

    test("each phase of the provider's key rollover keeps every sign-in working", async () => {
      const fresh = async () => {
        const someone = await person(browser);
        await signIn(someone.page, "ann");
        await someone.close();
      };
      const waiting = async () => {
        const asked = await api("POST", "/connections/saml/metadata/refresh");
        assert.equal(asked.status, 204, asked.text);
        const known = await api("GET", "/connections/saml/metadata");
        assert.equal(known.status, 200, known.text);
        return known.json;
      };
      await fresh();
      await idp.phase(2);
      if (byHand) {
        await fresh();
        await declare();
        await fresh();
        await idp.phase(3);
        await fresh();
        await idp.phase(4);
        await fresh();
        await declare();
        await fresh();
        return;
      }
      const both = await waiting();
      assert.equal(both.approved.certificates.length, 1);
      assert.equal(both.pending?.certificates.length, 2, JSON.stringify(both));
      await fresh();
      if (console) await approveAsOperator(both.pending);
      else {
        const approved = await api("POST", "/connections/saml/metadata/approve", { fingerprint: both.pending.fingerprint, reason: "compared" });
        assert.equal(approved.status, 204, approved.text);
      }
      await fresh();
      await idp.phase(3);
      await fresh();
      assert.equal((await waiting()).pending, null);
      await fresh();
      await idp.phase(4);
      await fresh();
      const last = await waiting();
      assert.equal(last.approved.certificates.length, 1, JSON.stringify(last));
      assert.notEqual(last.approved.certificates[0].fingerprint, both.approved.certificates[0].fingerprint);
      await fresh();
    });

    test("our own keys roll over, the encryption key too", async () => {
      for (const purpose of ["signing", "encryption"]) {
        const next = await api("POST", "/connections/saml/keys", { purpose });
        assert.equal(next.status, 201, next.text);
        made[purpose] = next.json;
      }
      const register = async () =>
        idp.register({
          entityId: `${here.url}/sso/northwind/saml/metadata`,
          acs: `${here.url}/sso/northwind/saml/acs`,
          slo: `${here.url}/sso/northwind/saml/slo`,
          metadata: await (await fetch(`${here.url}/sso/northwind/saml/metadata`)).text(),
        });
      const fresh = async () => {
        const someone = await person(browser);
        await signIn(someone.page, "ann");
        await someone.close();
      };
      await fresh();
      for (const purpose of ["signing", "encryption"]) assert.equal((await api("POST", `/connections/saml/keys/${made[purpose].id}/use`)).status, 204);
      await register();
      await fresh();
      for (const key of (await api("GET", "/connections/saml/keys")).json.items.filter((k) => k.state === "former"))
        assert.equal((await api("DELETE", `/connections/saml/keys/${key.id}`)).status, 204);
      await fresh();
    });

    if (saml.unsolicited)
      test("whom the provider sends unasked is asked, and lands on one page", async () => {
        const { page } = ann;
        await page.context().clearCookies({ domain: "127.0.0.1" });
        await page.goto(idp.portal);
        await page.getByRole("heading", { name: "Sign in to Northwind Energy?" }).waitFor();
        assert.deepEqual(await axe(page), []);
        assert.equal(await fits(page), true);
        await page.getByRole("button", { name: `Sign in as ${people.ann.email}` }).click();
        await arrived(page);
      });

    test("a provider that is down is a clear page, and another organization's matter", async () => {
      const someone = await person(browser);
      await someone.page.goto(`${here.url}/signin?organization=southwind`);
      assert.equal(await someone.page.locator("#code").innerText(), "provider-unreachable");
      assert.deepEqual(await axe(someone.page), []);
      await signIn(someone.page, "ann");
      await someone.close();
    });
  }
}
