// What every OpenID Provider is put through: the same organization, the same people, the same steps, whoever wrote the provider.
// A provider of lib/*.mjs gives itself by these:
//
//   issuer                  as its discovery says
//   subject(name)           the sub of a person there
//   register(rp)            lets it know Vestibule: {callbacks, left, backchannel}; gives the {client_id, client_secret} it made
//   asks(page)              whether its page asks the person who they are
//   login(page, name)       does what the person does on its pages, and leaves when it has sent them on; {second: true} with the
//                           second factor that its context "gold" stands for
//   leave(page)             says yes where the provider asks whether the person wants to leave; none where it does not ask
//   logout(page)            signs the person out at the provider itself
//   phase(n)                brings its keys to phase 1..4 of a rollover: old, both published, new one signing, old gone
//   stop()
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startApplication } from "./application.mjs";
import { axe, fits, person, startBrowser } from "./browser.mjs";
import { people } from "./saml.mjs";
import { caller, install, secrets, until } from "./vestibule.mjs";

const configuration = ({ issuer, client_id }) => `version: 1
permissions:
  - {id: assets.read, name: View assets}
  - {id: users.read, name: See users}
roles:
  - {id: viewer, name: Viewer, permissions: [assets.read]}
  - {id: owner, name: Owner, permissions: [users.read], includes: [viewer], may_grant: ["*"]}
organizations:
  - id: northwind
    name: Northwind Energy
    allowed_domains: [northwind.example]
    default_roles: [viewer]
    directories:
      - id: main
        name: Northwind directory
        dialect: rfc
        key: externalId
        tokens: [{id: main, secret: {env: NORTHWIND_SCIM_TOKEN}}]
    connections:
${[
  { id: "corp", name: "Northwind SSO", domains: ["northwind.example"] },
  { id: "gold", name: "With a second factor", acr_values: ["gold"] },
  { id: "platinum", name: "With what nobody has", acr_values: ["platinum"] },
  { id: "trusted", name: "Trusted", trust_amr: true, mfa_contexts: ["gold"] },
]
  .map((more) => ({
    protocol: "oidc",
    issuer,
    client_id,
    client_secret: { env: "PROVIDER_CLIENT_SECRET" },
    directory: "main",
    match: { claim: "sub", attribute: "externalId" },
    provisioning: "just-in-time",
    upstream_logout: true,
    ...more,
  }))
  .map((c) => `      - ${JSON.stringify(c)}`)
  .join("\n")}
  - id: southwind
    name: Southwind
    default_roles: [viewer]
    connections:
      - id: corp
        name: Southwind SSO
        protocol: oidc
        issuer: http://localhost:1
        client_id: vestibule
        client_secret: {env: PROVIDER_CLIENT_SECRET}
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

/** The suite. start gives a provider, at localhost while Vestibule is at 127.0.0.1: two sites to a browser, as in the world. */
export function counterpart(name, { start, timeout = 240_000 }) {
  describe(`OpenID Connect with ${name}`, { timeout }, () => {
    let here, idp, browser, ann, cleo, api, scim;
    before(async () => {
      browser = await startBrowser();
      idp = await start();
      assert.equal(new URL(idp.issuer).hostname, "localhost");
      here = await install();
      const at = (connection, rest) => `${here.url}/sso/northwind/${connection}/${rest}`;
      const client = await idp.register({
        callbacks: ["corp", "gold", "platinum", "trusted"].map((c) => at(c, "callback")),
        left: at("corp", "left"),
        backchannel: at("corp", "backchannel-logout"),
      });
      here.env.PROVIDER_CLIENT_SECRET = client.client_secret;
      const applied = here.command("apply", here.file("oidc.yaml", configuration({ issuer: idp.issuer, ...client })));
      assert.equal(applied.code, 0, applied.text);
      await here.start();
      here.application = await startApplication(here.url);
      api = caller(`${here.url}/api/v1/organizations/northwind`, here.command("token", "create", "--operator").out.trim().split(/\s+/).pop());
      scim = caller(`${here.url}/scim/northwind/main/v2`, secrets.NORTHWIND_SCIM_TOKEN, "application/scim+json");
      ann = await person(browser);
      cleo = await person(browser);
    });
    after(async () => {
      await browser?.close();
      await here?.application?.stop();
      await idp?.stop();
      await here?.remove();
    });

    const text = (page) => page.locator("body").innerText();
    const begin = (page) => page.goto(`${here.url}/signin?organization=northwind&connection=corp&return_to=/o/northwind/me`);
    const asked = async (page) => page.url().startsWith(new URL(idp.issuer).origin) && (await idp.asks(page));
    const refused = async (page) => page.url().startsWith(here.url) && (await page.locator("#code").count()) > 0;

    /** Goes through the provider until done says where the way ended; says whether the provider asked who it is. */
    async function through(page, who, done, how = {}) {
      const end = await until("the provider's page or ours", async () => (done() ? "in" : (await asked(page)) ? "asked" : (await refused(page)) ? "refused" : ""), 30).catch(async (e) =>
        assert.fail(`${e.message} ${page.url()}: ${await text(page)}`),
      );
      if (end === "refused") assert.fail(`${page.url()}: ${await text(page)}`);
      if (end === "asked") {
        await idp.login(page, who, how);
        await until("the end of the sign-in", async () => done() || (await refused(page)), 20).catch(async (e) => assert.fail(`${e.message} ${page.url()}: ${await text(page)}`));
        if (!done()) assert.fail(`${page.url()}: ${await text(page)}`);
      }
      return end === "asked";
    }

    /** Signs in for the console, from wherever the browser is. */
    async function signIn(page, who) {
      await begin(page);
      return through(page, who, () => page.url() === `${here.url}/o/northwind/me`);
    }

    /** Signs in for the application; gives the claims it got and whether the provider asked. */
    async function toApplication(page, who, query = {}, how = {}) {
      here.application.last = undefined;
      await page.goto(`${here.application.home}/login?${new URLSearchParams({ organization: "northwind", ...query })}`);
      const asked = await through(page, who, () => Boolean(here.application.last) && page.url().startsWith(here.application.home), how);
      return { asked, claims: here.application.last.claims };
    }

    const pushed = async (name, given) => {
      const answer = await scim("POST", "/Users", {
        schemas: ["urn:ietf:params:scim:schemas:core:2.0:User"],
        externalId: idp.subject(name),
        userName: people[name].email,
        name: { givenName: given, familyName: "Northwind" },
        emails: [{ primary: true, type: "work", value: people[name].email }],
        active: true,
      });
      assert.equal(answer.status, 201, answer.text);
      return answer.json.id;
    };

    test("first sign-in: who nobody pushed is made just in time", async () => {
      assert.equal(await signIn(ann.page, "ann"), true, "the provider asks");
      const found = (await api("GET", "/users?limit=100")).json.items.find((u) => u.email === people.ann.email);
      assert.ok(found, "ann is there");
      assert.deepEqual(ann.violations.filter((v) => v.startsWith(here.url)), []);
    });

    test("matched sign-in: a pushed person gets their record", async () => {
      const id = await pushed("ben", "Ben");
      const ben = await person(browser);
      assert.equal((await toApplication(ben.page, "ben", { connection: "corp" })).claims.sub, id);
      // Deactivated there, out here at once, and not in again.
      const off = await scim("PATCH", `/Users/${id}`, {
        schemas: ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        Operations: [{ op: "replace", value: { active: false } }],
      });
      assert.ok(off.status < 300, off.text);
      await begin(ben.page);
      await ben.page.locator("#code", { hasText: "deactivated" }).waitFor({ timeout: 20_000 });
      await ben.close();
    });

    test("step-up: prompt=login and max_age are passed up and proved by auth_time", async () => {
      const { page } = ann;
      let before = (await toApplication(page, "ann", { connection: "corp" })).claims.auth_time;
      assert.ok(before);
      for (const query of [{ prompt: "login" }, { max_age: "0" }]) {
        await new Promise((next) => setTimeout(next, 1100)); // auth_time counts in seconds
        const got = await toApplication(page, "ann", { connection: "corp", ...query });
        assert.equal(got.asked, true, `${JSON.stringify(query)}: the provider asks again`);
        assert.ok(got.claims.auth_time > before, `${JSON.stringify(query)}: ${got.claims.auth_time} is not after ${before}`);
        before = got.claims.auth_time;
      }
      // Our session has grown too old, the provider's has not: it is asked, and its auth_time proves as much.
      here.store.change("update sessions set auth_time = auth_time - 7200000000");
      const got = await toApplication(page, "ann", { connection: "corp", max_age: "3600" });
      assert.equal(got.asked, false, "what is fresh enough there is not asked for again");
      assert.equal(got.claims.auth_time, before);
    });

    test("step-up: a context that the connection demands is passed up, and must come back", async () => {
      await pushed("cleo", "Cleo");
      const { page } = cleo;
      const plain = await toApplication(page, "cleo", { connection: "corp" });
      assert.equal(plain.asked, true);
      assert.notEqual(plain.claims.acr, "gold");
      // The same person, by the connection that demands more: the provider's session does not do.
      const more = await toApplication(page, "cleo", { connection: "gold", prompt: "login" }, { second: true });
      assert.equal(more.asked, true);
      assert.equal(more.claims.acr, "gold");
      assert.equal(more.claims.sub, plain.claims.sub);
      const other = await person(browser);
      await other.page.goto(`${here.application.home}/login?organization=northwind&connection=platinum`);
      await until("the provider asks", () => asked(other.page));
      await idp.login(other.page, "cleo");
      await other.page.locator("#code", { hasText: "token-refused" }).waitFor({ timeout: 20_000 });
      assert.deepEqual(await axe(other.page), []);
      await other.close();
    });

    test("step-up: a second factor that an application asks for is given at a provider that is trusted with it", async () => {
      const someone = await person(browser);
      const got = await toApplication(someone.page, "cleo", { connection: "trusted", acr_values: "urn:vestibule:acr:mfa" }, { second: true });
      assert.equal(got.claims.acr, "urn:vestibule:acr:mfa");
      assert.ok(got.claims.amr.includes("mfa"), JSON.stringify(got.claims.amr));
      await someone.close();
    });

    test("logout here ends the provider's session too", async () => {
      const { page } = ann;
      await page.goto(`${here.url}/o/northwind/me`);
      await page.getByRole("button", { name: "Sign out" }).first().click();
      await idp.leave?.(page);
      await until("signed out", async () => page.url().startsWith(here.url) && /You are signed out/.test(await text(page)), 20).catch(async (e) => {
        assert.fail(`${e.message} ${page.url()}: ${await text(page)}`);
      });
      assert.match(await text(page), /signed out here and at Northwind SSO/);
      assert.equal(await signIn(page, "ann"), true, "the provider's session went on");
    });

    test("logout at the provider ends ours, from server to server", async () => {
      const open = () => Number(here.store.rows("select count(*) as n from sessions s join users u on u.id = s.user_id where u.email = 'ann@northwind.example' and s.ended is null")[0].n);
      assert.equal(open(), 1);
      await idp.logout(ann.page);
      await until("our session's end", () => open() === 0);
      await ann.page.goto(`${here.url}/o/northwind/me`);
      assert.notEqual(ann.page.url(), `${here.url}/o/northwind/me`);
    });

    test("each phase of the provider's key rollover keeps every sign-in working", async () => {
      const kids = new Set();
      for (const phase of [1, 2, 3, 4]) {
        await idp.phase(phase);
        // A key set is asked for again once in half a minute at most, and the phases of a rollover lie further apart than that.
        here.store.change("update connection_documents set fetched = fetched - 60000000");
        const someone = await person(browser);
        await signIn(someone.page, "ann");
        await someone.close();
        const { jwks_uri } = await (await fetch(`${idp.issuer}/.well-known/openid-configuration`)).json();
        const { keys } = await (await fetch(jwks_uri)).json();
        const signing = keys.filter((k) => k.use === "sig").map((k) => k.kid);
        assert.equal(signing.length, phase === 2 || phase === 3 ? 2 : 1, `phase ${phase}: ${signing}`);
        if (phase === 4) assert.ok(!kids.has(signing[0]), "the old key is there still");
        if (phase === 1) kids.add(signing[0]);
      }
    });

    test("a provider that is down is a clear page, and another organization's matter", async () => {
      const someone = await person(browser);
      const answer = await someone.page.goto(`${here.url}/signin?organization=southwind`);
      assert.equal(answer.status(), 503);
      assert.equal(await someone.page.locator("#code").innerText(), "provider-unreachable");
      assert.deepEqual(await axe(someone.page), []);
      assert.equal(await fits(someone.page), true);
      await signIn(someone.page, "ann");
      await someone.close();
    });
  });
}
