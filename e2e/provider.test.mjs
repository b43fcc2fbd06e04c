// Acting as a provider: Fieldserv's people work for Northwind with the accounts they have at home, within what was agreed, and are out
// when either side ends it.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { axe, fits, person, startBrowser } from "./lib/browser.mjs";
import { northwindYAML, signIn, startNorthwind } from "./lib/northwind.mjs";
import { until } from "./lib/vestibule.mjs";

const out = path.resolve(import.meta.dirname, "out");

/** Fieldserv signs its people in by OpenID here: the relationship is what is looked at. */
const world = northwindYAML.replace(
  /      - id: saml\n[\s\S]*?\n\nproviders:/,
  `      - id: corp
        name: Fieldserv SSO
        protocol: oidc
        issuer: {env: NORTHWIND_OIDC_ISSUER}
        client_id: vestibule
        client_secret: {env: NORTHWIND_OIDC_SECRET}
        domains: [fieldserv.example]
        provisioning: just-in-time

providers:`,
);

for (const setting of [
  { kind: "sqlite", nodes: 1 },
  { kind: "postgres", nodes: 2 },
]) {
  describe(`a provider on ${setting.kind}`, { timeout: 240_000 }, () => {
    let here, browser, fred, operator;
    const problems = [];
    before(async () => {
      mkdirSync(out, { recursive: true });
      browser = await startBrowser();
      here = await startNorthwind({ ...setting, host: "localhost" });
      declare();
      fred = await person(browser);
      operator = await person(browser);
      const link = await until("the one-time link", () => /(http:\/\/\S+\/setup#\S+)/.exec(here.nodes.map((n) => n.output).join("\n"))?.[1]);
      await operator.page.goto(link);
      await operator.page.getByLabel("Your name").fill("Oda Operator");
      await operator.page.getByLabel("Email").fill("oda@operator.example");
      await operator.page.getByLabel("Password").fill("three herons left early");
      await operator.page.getByRole("button", { name: "Become the operator" }).click();
      await operator.page.waitForURL((u) => !u.pathname.startsWith("/setup"));
    });
    after(async () => {
      await browser?.close();
      await here?.remove();
    });

    function declare(...changes) {
      let text = world;
      for (const [from, to] of changes) text = text.replace(from, to);
      const applied = here.command("apply", "--prune", here.file("provider.yaml", text));
      assert.equal(applied.code, 0, applied.text);
      return applied.text;
    }

    async function look(page, name) {
      for (const finding of await axe(page)) problems.push(`${name}: ${finding}`);
      const size = page.viewportSize();
      for (const [as, colorScheme, viewport] of [["light", "light", size], ["dark", "dark", size], ["phone", "light", { width: 390, height: 844 }], ["narrow", "dark", { width: 320, height: 640 }]]) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize(viewport);
        if (!(await fits(page))) problems.push(`${name}, ${as}: has to be scrolled sideways`);
        if (setting.kind === "sqlite") await page.screenshot({ path: path.join(out, `${as}-${name}.png`), fullPage: true });
      }
      await page.emulateMedia({ colorScheme: "light" });
      await page.setViewportSize(size);
    }

    const forNorthwind = { organization: "northwind" };

    test("the supporter signs in at home, and the token speaks of the customer", async () => {
      const got = await signIn(here, fred.page, "fred", forNorthwind);
      assert.ok(got, `${fred.page.url()}: ${await fred.page.locator("body").innerText()}`);
      assert.equal(got.claims.organization, "northwind");
      assert.equal(got.claims.home_organization, "fieldserv");
      assert.equal(got.claims.external, true);
      // What Fieldserv's people have at each client, cut to the one site.
      assert.deepEqual(got.claims.grants, [{ role: "asset-editor", resource: "london-1" }]);
      assert.deepEqual(got.claims.roles, []);
      const home = await signIn(here, fred.page, "fred");
      assert.equal(home.claims.organization, "fieldserv");
      assert.equal(home.claims.sub, got.claims.sub);
      assert.equal(home.claims.external, undefined);
    });

    test("an administrator of the customer gives a role by the address, on the page that shows who was here", async () => {
      const { page } = operator;
      await page.goto(`${here.url}/o/northwind/providers`);
      await page.getByRole("link", { name: "Fieldserv", exact: true }).click();
      await page.getByText("fred@fieldserv.example").waitFor();
      await page.getByRole("link", { name: "Give a role" }).click();
      await page.getByLabel("Their address").fill("fred@fieldserv.example");
      await page.getByLabel("Task Manager").check();
      await page.getByLabel("London 1").first().check();
      await page.getByRole("button", { name: "Give", exact: true }).click();
      await page.getByText("has it now").waitFor();
      await look(page, "provider-people");
      // Who it is, what they may do and why, on a page of their own; what was given is taken away from there.
      await page.getByRole("link", { name: "Fred of Fieldserv" }).click();
      await page.getByText("Default role of Fieldserv, within the terms").first().waitFor();
      assert.match(await page.locator("main").innerText(), /Given by Oda Operator/);
      await look(page, "provider-person");
      await page.getByLabel("Do what").selectOption("assets.update");
      await page.getByRole("button", { name: "Ask", exact: true }).click();
      await look(page, "provider-person-asked");
      await page.goto(`${here.url}/o/northwind/users`);
      await page.getByRole("link", { name: "who of Fieldserv, and why" }).waitFor();
      await look(page, "provider-users");
      const got = await signIn(here, fred.page, "fred", forNorthwind);
      assert.deepEqual(got.claims.grants.map((g) => `${g.role}@${g.resource}`).sort(), ["asset-editor@london-1", "task-manager@london-1"]);
    });

    test("a second factor that the relationship demands is set up at home before the token speaks of the customer", async () => {
      declare(["require_mfa: false\n\napplications", "require_mfa: true\n\napplications"]);
      const { page } = fred;
      const cdp = await page.context().newCDPSession(page);
      await cdp.send("WebAuthn.enable", { enableUI: false });
      await cdp.send("WebAuthn.addVirtualAuthenticator", {
        options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
      });
      // At home nothing is demanded.
      assert.equal((await signIn(here, page, "fred")).claims.organization, "fieldserv");
      assert.equal(await signIn(here, page, "fred", forNorthwind), undefined);
      await page.getByText("Northwind Energy asks for a second factor of everyone from Fieldserv").waitFor();
      await look(page, "provider-factor");
      await page.getByRole("link", { name: /A passkey/ }).click();
      await page.getByRole("button", { name: "Make the passkey" }).click();
      await page.waitForURL((u) => u.pathname === "/callback");
      const got = here.application.last;
      assert.equal(got.claims.organization, "northwind");
      assert.ok(got.claims.amr.includes("mfa"), JSON.stringify(got.claims));
      assert.equal(got.claims.grants.length, 2);
    });

    test("the customer cuts it, and the supporter is out within a second", async () => {
      const got = await signIn(here, fred.page, "fred", forNorthwind);
      const home = await signIn(here, fred.page, "fred");
      const { page } = operator;
      await page.goto(`${here.url}/o/northwind/providers/fieldserv/cut`);
      await look(page, "provider-cut");
      await page.getByRole("button", { name: "End it now" }).click();
      await page.getByText("It is over").waitFor();
      const began = Date.now();
      for (const address of here.addresses) {
        const userinfo = await fetch(`http://${address}/userinfo`, { headers: { authorization: `Bearer ${got.tokens.access_token}` } });
        assert.equal(userinfo.status, 401, `userinfo on ${address}`);
      }
      assert.equal((await here.application.introspect(got.tokens.access_token)).active, false);
      await assert.rejects(here.application.refresh(got.tokens.refresh_token), (e) => e.error === "invalid_grant");
      assert.ok(Date.now() - began < 1000, "within a second");
      assert.equal((await here.application.introspect(home.tokens.access_token)).active, true, "at home all goes on");

      assert.equal(await signIn(here, fred.page, "fred", forNorthwind), undefined);
      await fred.page.getByText("other-organization").waitFor();
      for (const organization of ["northwind", "fieldserv"]) {
        const log = await here.apiOf(organization)("GET", "/audit?action=provider.cut");
        assert.equal(log.json.items.length, 1, organization);
        assert.equal(log.json.items[0].actor.name ?? log.json.items[0].actor_name, "Oda Operator");
      }
      // The operator's file speaks for both sides: applied again, it begins anew, and brings nothing of the former one back.
      assert.match(declare(), /\+ provider relationship fieldserv -> northwind/);
      assert.equal((await here.application.introspect(got.tokens.access_token)).active, false);
      const anew = await signIn(here, fred.page, "fred", forNorthwind);
      assert.deepEqual(anew.claims.grants, [{ role: "asset-editor", resource: "london-1" }]);
    });

    test("whom the customer has given nothing reads why, and whom to ask", async () => {
      declare(["default_provider_roles: [asset-editor]", "default_provider_roles: []"]);
      assert.equal(await signIn(here, fred.page, "fred", forNorthwind), undefined);
      await fred.page.getByText("Northwind Energy has given you no access").waitFor();
      await look(fred.page, "provider-nothing");
      assert.deepEqual(problems, []);
      assert.deepEqual(fred.violations, []);
      assert.deepEqual(operator.violations, []);
    });
  });
}
