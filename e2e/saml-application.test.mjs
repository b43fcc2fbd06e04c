// SAML towards applications: npm @node-saml/node-saml behind, oidc-provider upstream, Chromium as the person.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { axe, fits, person, startBrowser } from "./lib/browser.mjs";
import { entraGroup, entraUser, patch, startNorthwind } from "./lib/northwind.mjs";
import { certificate } from "./lib/samlp.mjs";
import { startServiceProvider } from "./lib/serviceprovider.mjs";
import { until } from "./lib/vestibule.mjs";

const out = path.resolve(import.meta.dirname, "out");

for (const setting of [
  { kind: "sqlite", nodes: 1 },
  { kind: "postgres", nodes: 2 },
]) {
  describe(`SAML applications on ${setting.kind}`, { timeout: 240_000 }, () => {
    let here, browser, ann, reports, archive, minutes, wiki;
    const made = {};

    before(async () => {
      browser = await startBrowser();
      here = await startNorthwind(setting);
      const key = certificate("archive");
      const keys = { minutes: certificate("minutes"), wiki: certificate("wiki") };
      const applied = here.command(
        "apply",
        here.file(
          "applications.yaml",
          `version: 1
applications:
  - id: legacy-reports
    name: Legacy Reports
    protocol: saml
    entity_id: http://127.0.0.1:9402/metadata
    acs_url: http://127.0.0.1:9402/acs
    organizations: [northwind]
    claims: [roles, grants, groups, organization]
  - id: archive
    name: Archive
    protocol: saml
    entity_id: http://localhost:9403/metadata
    acs_url: http://localhost:9403/acs
    organizations: [northwind]
    name_id: email
    certificates: [${here.file("archive.pem", key.cert)}]
    encryption_certificate: ${path.join(here.dir, "archive.pem")}
  - id: minutes
    name: Minutes
    protocol: saml
    entity_id: http://127.0.0.1:9405/metadata
    acs_url: http://127.0.0.1:9405/acs
    organizations: [northwind]
    certificates: [${here.file("minutes.pem", keys.minutes.cert)}]
    slo_url: http://127.0.0.1:9405/slo
  - id: wiki
    name: Wiki of the Facilities Team
    protocol: saml
    entity_id: http://localhost:9406/metadata
    acs_url: http://localhost:9406/acs
    organizations: [northwind]
    name_id: email
    certificates: [${here.file("wiki.pem", keys.wiki.cert)}]
    slo_url: http://localhost:9406/slo
    slo_binding: post
`,
        ),
      );
      assert.equal(applied.code, 0, applied.text);
      assert.doesNotMatch(applied.text, /not served/);
      reports = await startServiceProvider("http://127.0.0.1:9402", here.url);
      // By form, and from another site than ours: its post brings none of our cookies.
      archive = await startServiceProvider("http://localhost:9403", here.url, { key: { key: key.key, certificate: key.cert }, post: true, options: { skipRequestCompression: true } });
      const signing = (k) => ({ key: { key: k.key, certificate: k.cert } });
      minutes = await startServiceProvider("http://127.0.0.1:9405", here.url, signing(keys.minutes));
      wiki = await startServiceProvider("http://localhost:9406", here.url, signing(keys.wiki));
      ann = await person(browser);
    });
    after(async () => {
      await browser?.close();
      await reports?.stop();
      await archive?.stop();
      await minutes?.stop();
      await wiki?.stop();
      await here?.remove();
    });

    const text = (page) => page.locator("body").innerText();

    /** Opens an application and goes through the provider where it asks. */
    async function open(page, app, name, query = {}) {
      app.last = app.lastError = undefined;
      await page.goto(`${app.origin}/login?${new URLSearchParams(query)}`, { waitUntil: "load" });
      if (page.url().startsWith(`${here.upstream.issuer}/interaction/`)) await page.getByRole("link", { name, exact: true }).click();
      return app;
    }
    async function arrives(page, app) {
      await page.waitForURL(`${app.origin}/in`, { timeout: 20_000 }).catch(async () => assert.fail(`${page.url()}: ${await text(page)} ${app.lastError}`));
      return app.last;
    }

    test("a pushed person signs in upstream and arrives with roles", async () => {
      for (const name of ["ann", "ben"]) {
        const answer = await here.entra("POST", "/Users", entraUser(name));
        assert.equal(answer.status, 201, answer.text);
        made[name] = answer.json.id;
      }
      const team = await here.entra("POST", "/Groups", entraGroup("London Team", "grp-london"));
      await here.entra("PATCH", `/Groups/${team.json.id}`, patch({ op: "Add", path: "members", value: [{ value: made.ann }] }));
      await open(ann.page, reports, "ann", { login_hint: "ann@northwind.example" });
      const told = await arrives(ann.page, reports);
      assert.equal(told.attributes.sub, made.ann);
      assert.equal(told.attributes.email, "ann@northwind.example");
      assert.equal(told.attributes.organization, "northwind");
      assert.equal(told.attributes.groups, "London Team");
      assert.equal(told.attributes.roles, "viewer");
      assert.deepEqual(told.attributes.grants.map((g) => JSON.parse(g)).map((g) => `${g.role}@${g.resource}`).sort(), ["asset-editor@london-1", "viewer@northwind"]);
      assert.equal(told.nameIDFormat, "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent");
      assert.equal(reports.relayState, '/reports?year=2026&name="<b>');
      made.name = told.nameID;
      made.response = reports.response;
      assert.deepEqual(ann.violations, []);
    });

    test("another application, by form, signed and encrypted, from another site: nobody is asked again", async () => {
      await open(ann.page, archive, "ann");
      const told = await arrives(ann.page, archive);
      assert.equal(told.nameID, "ann@northwind.example");
      assert.equal(told.attributes?.roles, undefined, "it asked for no claims");
      assert.match(Buffer.from(archive.response, "base64").toString(), /<saml:EncryptedAssertion>.*aes256-gcm/s);
      assert.deepEqual(ann.violations, []);
    });

    test("the same person keeps their name, and an assertion is one application's, once", async () => {
      await open(ann.page, reports, "ann");
      assert.equal((await arrives(ann.page, reports)).nameID, made.name);
      await assert.rejects(reports.judge(made.response), /InResponseTo/, "a response twice");
      const other = await startServiceProvider("http://127.0.0.1:9404", here.url, { options: { validateInResponseTo: "never" } });
      await assert.rejects(other.judge(reports.response), /audience/i, "another application's");
      const altered = Buffer.from(reports.response, "base64").toString().replace("ann@northwind.example", "ben@northwind.example");
      await assert.rejects(other.judge(Buffer.from(altered).toString("base64")), /signature/i, "altered");
      await other.stop();
    });

    test("xmlsec1 verifies both signatures", () => {
      const file = here.file("response.xml", Buffer.from(reports.response, "base64").toString());
      const cert = here.file("idp.pem", `-----BEGIN CERTIFICATE-----\n${reports.certificates[0].match(/.{1,64}/g).join("\n")}\n-----END CERTIFICATE-----\n`);
      for (const node of ["Response", "Assertion"]) {
        const space = node === "Response" ? "protocol" : "assertion";
        execFileSync("xmlsec1", ["--verify", "--pubkey-cert-pem", cert, "--id-attr:ID", `urn:oasis:names:tc:SAML:2.0:${space}:${node}`, "--node-xpath", `//*[local-name()='${node}']/*[local-name()='Signature']`, file], { stdio: "pipe" });
      }
    });

    test("what the request asks for is met or told", async () => {
      const stranger = await person(browser);
      reports.saml.options.passive = true;
      await open(stranger.page, reports, "ann");
      await arrives(stranger.page, reports);
      reports.saml.options.passive = false;
      assert.equal(reports.last, null, "node-saml's word for NoPassive");
      assert.match(Buffer.from(reports.response, "base64").toString(), /status:NoPassive/);
      await stranger.close();
    });

    test("a request that cannot be trusted ends on a page of ours", async () => {
      const stranger = await person(browser);
      const { page } = stranger;
      await page.goto(`${here.url}/saml/idp/sso?SAMLRequest=AAAA`);
      await page.getByRole("heading", { name: "This sign-in cannot be answered" }).waitFor();
      assert.deepEqual(await axe(page), []);
      mkdirSync(out, { recursive: true });
      for (const [view, size, colorScheme] of [
        ["light", { width: 1280, height: 900 }, "light"],
        ["390", { width: 390, height: 844 }, "dark"],
        ["320", { width: 320, height: 700 }, "light"],
      ]) {
        await page.setViewportSize(size);
        await page.emulateMedia({ colorScheme });
        assert.equal(await fits(page), true, view);
        await page.screenshot({ path: path.join(out, `saml-application-refused-${view}.png`), fullPage: true });
      }
      await stranger.close();
    });

    test("without script there is a button", async () => {
      const plain = await browser.newContext({ javaScriptEnabled: false });
      const page = await plain.newPage();
      await page.goto(`${reports.origin}/login?login_hint=ann@northwind.example`, { waitUntil: "load" });
      await page.getByRole("link", { name: "ann", exact: true }).click({ timeout: 5000 }).catch(async () => assert.fail(`${page.url()}: ${await text(page)}`));
      await page.getByRole("button", { name: "Continue to Legacy Reports" }).click();
      await arrives(page, reports);
      await plain.close();
    });

    test("the console shows what to give an application", async () => {
      const link = await until("the one-time link", () => /(http:\/\/\S+\/setup#\S+)/.exec(here.nodes[0].output)?.[1]);
      const operator = await person(browser);
      const { page } = operator;
      await page.goto(link);
      await page.getByLabel("Your name").fill("Oda Operator");
      await page.getByLabel("Email").fill("oda@operator.example");
      await page.getByLabel("Password").fill("three herons left early");
      await page.getByRole("button", { name: "Become the operator" }).click();
      await page.waitForURL((u) => !u.pathname.startsWith("/setup"));
      await page.goto(`${here.url}/o/northwind/applications`);
      await page.getByRole("heading", { name: "Legacy Reports" }).waitFor();
      assert.ok((await page.content()).includes(reports.certificates[0]), "the certificate");
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
        await page.screenshot({ path: path.join(out, `saml-applications-${view}.png`), fullPage: true });
      }
      await operator.close();
    });

    const idle = async () => (await ann.page.context().cookies()).every((c) => !/vestibule_s_/.test(c.name));
    const looks = async (page, name) => {
      mkdirSync(out, { recursive: true });
      for (const [view, size, colorScheme] of [
        ["light", { width: 1280, height: 900 }, "light"],
        ["dark", { width: 1280, height: 900 }, "dark"],
        ["390", { width: 390, height: 844 }, "light"],
        ["320", { width: 320, height: 700 }, "dark"],
      ]) {
        await page.setViewportSize(size);
        await page.emulateMedia({ colorScheme });
        assert.deepEqual(await axe(page), [], `${name} ${view}`);
        assert.equal(await fits(page), true, `${name} ${view}`);
        await page.screenshot({ path: path.join(out, `saml-logout-${name}-${view}.png`), fullPage: true });
      }
      await page.setViewportSize({ width: 1280, height: 900 });
    };

    test("signing out at one application signs out everywhere", async () => {
      await open(ann.page, minutes, "ann", { login_hint: "ann@northwind.example" });
      await arrives(ann.page, minutes);
      await open(ann.page, wiki, "ann");
      const inWiki = await arrives(ann.page, wiki);
      await ann.page.goto("http://127.0.0.1:9401/login?login_hint=ann@northwind.example", { waitUntil: "load" });
      await ann.page.getByRole("heading", { name: "Welcome" }).waitFor();
      const { tokens } = here.application.last;
      const told = here.application.logouts.length;
      await ann.page.goto(`${minutes.origin}/logout`).catch(() => {});
      await ann.page.getByRole("heading", { name: "Goodbye" }).waitFor({ timeout: 20_000 }).catch(async () => assert.fail(`${ann.page.url()}: ${await text(ann.page)}`));
      // Partial: the archive and the reports, opened before, registered no address.
      assert.deepEqual(minutes.loggedOut, { by: "answer", status: "Success PartialLogout", relayState: '/goodbye?of="<b>', signed: true });
      assert.equal(wiki.loggedOut.by, "request");
      assert.equal(wiki.loggedOut.profile.nameID, inWiki.nameID);
      assert.equal(wiki.loggedOut.profile.sessionIndex, inWiki.sessionIndex);
      assert.equal(wiki.last, undefined);
      assert.ok(await idle(), "no session of ours is left");
      await until("the OpenID application to be told", () => here.application.logouts.length > told);
      assert.equal((await here.application.introspect(tokens.access_token)).active, false);
      assert.deepEqual(ann.violations, []);
    });

    test("signing out here tells each application that was opened", async () => {
      await open(ann.page, minutes, "ann", { login_hint: "ann@northwind.example" });
      const inMinutes = await arrives(ann.page, minutes);
      await open(ann.page, wiki, "ann");
      await arrives(ann.page, wiki);
      await ann.page.goto(`${here.url}/o/northwind/me`);
      await ann.page.getByRole("button", { name: "Sign out" }).first().click();
      await ann.page.getByRole("heading", { name: "You are signed out" }).waitFor({ timeout: 20_000 }).catch(async () => assert.fail(`${ann.page.url()}: ${await text(ann.page)}`));
      await ann.page.getByText("Sign in again").waitFor();
      assert.match(await text(ann.page), /Minutes signed out\s+Wiki of the Facilities Team signed out/);
      assert.equal(minutes.loggedOut.profile.nameID, inMinutes.nameID);
      assert.equal(minutes.loggedOut.cookie, true, "by redirect its own cookie comes along");
      assert.equal(minutes.last ?? wiki.last, undefined);
      await looks(ann.page, "done");
      assert.deepEqual(ann.violations, []);
    });

    test("an application that does not answer holds nobody", async () => {
      for (const ends of ["hangs", "fails", "refuses"]) {
        await open(ann.page, minutes, "ann", { login_hint: "ann@northwind.example" });
        await arrives(ann.page, minutes);
        await open(ann.page, wiki, "ann");
        await arrives(ann.page, wiki);
        wiki.ends = ends;
        wiki.loggedOut = undefined;
        await ann.page.goto(`${minutes.origin}/logout`, { waitUntil: "commit" });
        await until("the wiki to be asked", () => wiki.loggedOut);
        assert.ok(await idle(), "the session here has ended before anybody is asked");
        if (ends === "hangs") {
          // Its page never comes, so ours stays, and its link leads past. (The debugging protocol waits with the page: nothing on it can
          // be clicked by it.)
          assert.match(ann.page.url(), /\/saml\/idp\/leave\?attempt=/);
          await ann.page.goto(ann.page.url());
        }
        if (ends === "fails") {
          await ann.page.getByRole("heading", { name: "Something went wrong" }).waitFor();
          // Back leads to before what led on by itself: the application, whose sign-out goes on where it was left.
          await ann.page.goto(`${minutes.origin}/logout`);
        }
        {
          await ann.page.getByText("Wiki of the Facilities Team did not confirm").waitFor({ timeout: 20_000 }).catch(async () => assert.fail(`${ends} ${ann.page.url()}: ${await text(ann.page)}`));
          if (ends === "hangs") await looks(ann.page, "missed");
          await ann.page.getByRole("link", { name: "Continue" }).click();
          await ann.page.getByRole("heading", { name: "Goodbye" }).waitFor({ timeout: 20_000 });
          assert.equal(minutes.loggedOut.status, "Success PartialLogout");
        }
        wiki.held.splice(0).forEach((r) => r.destroy());
        wiki.ends = "answers";
      }
    });

    test("without script there is a button for each application, and a way past it", async () => {
      const plain = await person(browser);
      const { page } = plain;
      await page.route("**/submit.js*", (route) => route.abort());
      for (const app of [minutes, wiki]) {
        await page.goto(`${app.origin}/login?login_hint=ann@northwind.example`, { waitUntil: "load" });
        if (app === minutes) await page.getByRole("link", { name: "ann", exact: true }).click();
        await page.getByRole("button", { name: "Continue to " }).click();
        await page.waitForURL(`${app.origin}/in`);
      }
      await page.goto(`${minutes.origin}/logout`);
      await page.getByRole("heading", { name: "Signing you out" }).waitFor();
      await looks(page, "waiting");
      await page.getByRole("button", { name: "Sign out of Wiki" }).click();
      await page.getByRole("heading", { name: "Goodbye" }).waitFor();
      assert.equal(minutes.loggedOut.status, "Success");
      await plain.close();
    });

    test("a key rollover locks nobody out", async () => {
      await open(ann.page, reports, "ann", { login_hint: "ann@northwind.example" });
      await arrives(ann.page, reports);
      // Years pass: the node looks at its keys when it starts.
      const pass = async (days) => {
        await here.stop();
        here.store.change(`update assertion_keys set activates = activates - ${days} * 86400000000`);
        await here.start();
      };
      const [first] = reports.certificates;
      await pass(3 * 365 - 59);
      await reports.learn();
      assert.equal(reports.certificates.length, 2);
      assert.equal(reports.certificates[0], first);
      await open(ann.page, reports, "ann");
      await arrives(ann.page, reports);
      const both = reports.certificates;
      await pass(61);
      await open(ann.page, reports, "ann");
      await arrives(ann.page, reports);
      await reports.learn();
      assert.deepEqual(reports.certificates, [both[1]]);
      await open(ann.page, reports, "ann");
      await arrives(ann.page, reports);
    });

    test("deactivated, nobody gets an assertion", async () => {
      const off = await here.entra("PATCH", `/Users/${made.ann}`, patch({ op: "Replace", path: "active", value: false }));
      assert.ok([200, 204].includes(off.status), off.text);
      await open(ann.page, reports, "ann", { login_hint: "ann@northwind.example" });
      await ann.page.locator("#code", { hasText: "deactivated" }).waitFor({ timeout: 20_000 });
      assert.equal(reports.last, undefined);
    });
  });
}
