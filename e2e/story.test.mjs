// The main job, end to end, against parts that others wrote: oidc-provider upstream, openid-client behind, Chromium as the
// person, bodies as Entra and Okta send them; on SQLite, on PostgreSQL, on three nodes behind a round-robin, and on two whose PostgreSQL stands behind pgbouncer.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { axe, fits, person, startBrowser } from "./lib/browser.mjs";
import { entraGroup, entraUser, patch, signIn, startNorthwind } from "./lib/northwind.mjs";
import { until } from "./lib/vestibule.mjs";

for (const setting of [
  { name: "SQLite", kind: "sqlite", nodes: 1 },
  { name: "PostgreSQL", kind: "postgres", nodes: 1 },
  { name: "three nodes on one PostgreSQL", kind: "postgres", nodes: 3 },
  { name: "two nodes and pgbouncer", kind: "pooler", nodes: 2 },
]) {
  describe(`the story on ${setting.name}`, { timeout: 240_000 }, () => {
    let here, browser;
    const made = {};
    before(async () => {
      browser = await startBrowser();
      here = await startNorthwind(setting);
    });
    after(async () => {
      await browser?.close();
      await here?.remove();
    });

    const grants = (claims) => claims.grants.map((g) => `${g.role}@${g.resource}`).sort();

    /** Every node must refuse these tokens, at once. */
    async function dead(tokens, sub) {
      for (const address of here.addresses) {
        const userinfo = await fetch(`http://${address}/userinfo`, { headers: { authorization: `Bearer ${tokens.access_token}` } });
        assert.equal(userinfo.status, 401, `userinfo on ${address}`);
      }
      assert.deepEqual((await here.application.introspect(tokens.access_token)).active, false, "introspection");
      await assert.rejects(here.application.refresh(tokens.refresh_token), (e) => e.error === "invalid_grant", "refresh");
      assert.ok(sub);
    }

    test("a second apply changes nothing", () => {
      const again = here.command("apply", here.configuration);
      assert.equal(again.code, 0, again.text);
      assert.match(again.text, /nothing to change/i);
    });

    test("the identity providers push people and groups", async () => {
      for (const name of ["ann", "ben", "olive"]) {
        const found = await here.entra("GET", `/Users?filter=${encodeURIComponent(`userName eq "${name}@northwind.example"`)}`);
        assert.equal(found.json.totalResults, 0);
        const answer = await here.entra("POST", "/Users", entraUser(name));
        assert.equal(answer.status, 201, answer.text);
        made[name] = answer.json.id;
      }
      const team = await here.entra("POST", "/Groups", entraGroup("London Team", "grp-london"));
      assert.equal(team.status, 201, team.text);
      made.london = team.json.id;
      const added = await here.entra("PATCH", `/Groups/${team.json.id}`, patch({ op: "Add", path: "members", value: [{ $ref: null, value: made.ann }] }));
      assert.ok([200, 204].includes(added.status), added.text);

      const okta = await here.okta("POST", "/Users", {
        schemas: ["urn:ietf:params:scim:schemas:core:2.0:User"],
        userName: "fred@fieldserv.example",
        name: { givenName: "Fred", familyName: "Field" },
        emails: [{ primary: true, value: "fred@fieldserv.example", type: "work" }],
        displayName: "Fred Field",
        locale: "en-US",
        externalId: "00ufred",
        groups: [],
        password: "1mz050nq",
        active: true,
      });
      assert.equal(okta.status, 201, okta.text);
      assert.ok(!okta.text.includes("1mz050nq"), "a password is never answered");
    });

    test("a pushed person signs in with the record's id, the default role and the group's", async () => {
      const ann = await person(browser);
      const got = await signIn(here, ann.page, "ann");
      assert.ok(got, `${ann.page.url()}: ${await ann.page.locator("body").innerText()}`);
      assert.equal(got.claims.sub, made.ann);
      assert.equal(got.claims.email, "ann@northwind.example");
      assert.equal(got.claims.organization, "northwind");
      assert.deepEqual(got.claims.groups, ["London Team"]);
      assert.deepEqual(got.claims.roles, ["viewer"]);
      assert.deepEqual(grants(got.claims), ["asset-editor@london-1", "viewer@northwind"]);
      assert.deepEqual(got.userinfo.grants, got.claims.grants);
      const seen = await here.application.introspect(got.tokens.access_token);
      assert.equal(seen.active, true);
      assert.deepEqual(seen.grants, got.claims.grants);
      made.annTokens = got.tokens;
      made.annBrowser = ann;
      assert.deepEqual(ann.violations, []);
    });

    test("whoever is signed in is not asked again, and prompt=none is answered without a page", async () => {
      const { page } = made.annBrowser;
      here.application.last = undefined;
      await page.goto(`${here.application.home}/login?prompt=none&organization=northwind`);
      assert.equal(here.application.last?.claims.sub, made.ann);
      const stranger = await person(browser);
      await stranger.page.goto(`${here.application.home}/login?prompt=none&organization=northwind`);
      assert.equal(here.application.lastError?.error, "login_required");
      await stranger.close();
    });

    test("the operator comes in by the one-time link and can come back with the password", async () => {
      const operator = await person(browser);
      const { page } = operator;
      // Each node prints its own link; whichever comes first serves.
      const link = await until("the one-time link", () => /(http:\/\/\S+\/setup#\S+)/.exec(here.nodes.map((n) => n.output).join("\n"))?.[1]);
      await page.goto(link);
      await page.getByLabel("Your name").fill("Oda Operator");
      await page.getByLabel("Email").fill("oda@operator.example");
      await page.getByLabel("Password").fill("three herons left early");
      assert.deepEqual(await axe(page), []);
      await page.getByRole("button", { name: "Become the operator" }).click();
      await page.waitForURL((u) => !u.pathname.startsWith("/setup"));
      await page.goto(`${here.url}/o/northwind/users`);
      await page.getByRole("heading", { name: "Users", level: 1 }).waitFor();
      assert.deepEqual(operator.violations, []);
      // The link is used up, and the password opens the door.
      const back = await person(browser);
      await back.page.goto(link);
      assert.equal((await back.page.request.post(`${here.url}/setup`, { form: { token: link.split("#")[1], name: "M", email: "m@m.example", password: "three herons left early" }, headers: { origin: here.url } })).status(), 410);
      await back.page.goto(`${here.url}/operator/signin`);
      await back.page.getByLabel("Email").fill("oda@operator.example");
      await back.page.getByLabel("Password").fill("three herons left early");
      await back.page.getByRole("button", { name: "Sign in" }).click();
      await back.page.waitForURL((u) => !u.pathname.startsWith("/operator"));
      await back.close();
      made.operator = operator;
    });

    test("a person nobody pushed waits in the inbox, is given a role at a site, and the next refresh carries it", async () => {
      const nora = await person(browser);
      const got = await signIn(here, nora.page, "nora");
      assert.ok(got, `${nora.page.url()}: ${await nora.page.locator("body").innerText()}`);
      assert.deepEqual(grants(got.claims), ["viewer@northwind"]);
      made.nora = got.claims.sub;

      const waiting = await here.api("GET", "/users?awaiting=true");
      assert.ok(waiting.json.items.some((u) => u.id === made.nora), waiting.text);
      assert.ok(!waiting.json.items.some((u) => u.id === made.ann), "whoever has a role by a group does not wait");

      const { page, violations } = made.operator;
      await page.goto(`${here.url}/o/northwind/inbox`);
      assert.deepEqual(await axe(page), []);
      await page.getByRole("row", { name: /nora@northwind.example/ }).getByRole("link", { name: /give/i }).click();
      await page.getByRole("dialog").waitFor();
      await page.locator("input[name=role][value=asset-editor]").check();
      await page.locator("input[name=resource][value=berlin-1]").check();
      assert.deepEqual(await axe(page), []);
      await page.getByRole("button", { name: "Save" }).click();
      await until("the grant", async () => (await here.api("GET", `/users/${made.nora}/access`)).json.grants.some((g) => g.resource === "berlin-1"));
      assert.deepEqual(violations, []);

      const next = await here.application.refresh(got.tokens.refresh_token);
      const claims = await here.application.userinfo(next.access_token, made.nora);
      assert.deepEqual(grants(claims), ["asset-editor@berlin-1", "viewer@northwind"]);
      assert.deepEqual(grants(next.claims()), ["asset-editor@berlin-1", "viewer@northwind"]);
      const after = await here.api("GET", "/users?awaiting=true");
      assert.ok(!after.json.items.some((u) => u.id === made.nora));
      made.noraTokens = next;
      await nora.close();
    });

    test("someone of a foreign domain is refused on a page that says what to do, and nothing is written but one event", async () => {
      const tables = ["users", "identities", "sessions", "families", "codes", "access_tokens", "refresh_tokens"];
      const count = () => Object.fromEntries(tables.map((t) => [t, Number(here.store.rows(`select count(*) as n from ${t}`)[0].n)]));
      const events = () => Number(here.store.rows(`select count(*) as n from audit`)[0].n);
      const before = count();
      const eventsBefore = events();
      const eve = await person(browser);
      here.application.last = undefined;
      await eve.page.goto(`${here.application.home}/login?organization=northwind&connection=corp`);
      await eve.page.getByRole("link", { name: "eve", exact: true }).click();
      assert.equal(here.application.last, undefined);
      assert.ok(eve.page.url().startsWith(here.url), eve.page.url());
      const text = await eve.page.locator("main").innerText();
      assert.match(text, /administrator/i);
      assert.deepEqual(await axe(eve.page), []);
      assert.deepEqual(count(), before);
      assert.equal(events(), eventsBefore + 1);
      const [event] = here.store.rows("select code, outcome from audit order by id desc limit 1");
      assert.equal(event.outcome, "refused");
      assert.ok(event.code && text.includes(event.code), `the page shows the code ${event.code}: ${text}`);
      await eve.close();
    });

    test("active=false ends everything on every node, sign-in creates nothing, and coming back brings the grants", async () => {
      const given = await here.api("POST", "/grants", { user: made.ann, role: "task-manager", resource: "austin-1" });
      assert.equal(given.status, 201, given.text);
      const off = await here.entra("PATCH", `/Users/${made.ann}`, patch({ op: "Replace", path: "active", value: "False" }));
      assert.ok([200, 204].includes(off.status), off.text);
      await dead(made.annTokens, made.ann);
      // Her browser's session is dead too: she is sent to her company again, and refused on return.
      here.application.last = undefined;
      const identities = here.store.rows("select count(*) as n from identities")[0].n;
      const users = here.store.rows("select count(*) as n from users")[0].n;
      await signIn(here, made.annBrowser.page, "ann");
      assert.equal(here.application.last, undefined);
      assert.equal(here.store.rows("select count(*) as n from identities")[0].n, identities);
      assert.equal(here.store.rows("select count(*) as n from users")[0].n, users);
      assert.equal((await here.api("GET", `/users/${made.ann}`)).json.status, "suspended");
      assert.equal((await here.entra("GET", `/Users/${made.ann}`)).json.active, false);
      await until("the back-channel logout", () => here.application.logouts.length > 0);

      const on = await here.entra("PATCH", `/Users/${made.ann}`, patch({ op: "Replace", path: "active", value: "True" }));
      assert.ok([200, 204].includes(on.status), on.text);
      await dead(made.annTokens, made.ann);
      const got = await signIn(here, made.annBrowser.page, "ann");
      assert.deepEqual(grants(got.claims), ["asset-editor@london-1", "task-manager@austin-1", "viewer@northwind"]);
      made.annTokens = got.tokens;
    });

    test("an administrator's suspension holds against the directory, and lifting it brings the grants back", async () => {
      assert.ok([200, 204].includes((await here.api("POST", `/users/${made.ann}/suspend`)).status));
      await dead(made.annTokens, made.ann);
      await here.entra("PATCH", `/Users/${made.ann}`, patch({ op: "Replace", path: "active", value: "False" }));
      await here.entra("PATCH", `/Users/${made.ann}`, patch({ op: "Replace", path: "active", value: "True" }));
      assert.equal((await here.api("GET", `/users/${made.ann}`)).json.status, "suspended");
      here.application.last = undefined;
      await signIn(here, made.annBrowser.page, "ann");
      assert.equal(here.application.last, undefined);
      assert.ok([200, 204].includes((await here.api("POST", `/users/${made.ann}/reactivate`)).status));
      const got = await signIn(here, made.annBrowser.page, "ann");
      assert.deepEqual(grants(got.claims), ["asset-editor@london-1", "task-manager@austin-1", "viewer@northwind"]);
      made.annTokens = got.tokens;
    });

    test("deletion ends everything, and a new POST is a new person without the old grants", async () => {
      assert.equal((await here.entra("DELETE", `/Users/${made.ann}`)).status, 204);
      assert.equal((await here.entra("GET", `/Users/${made.ann}`)).status, 404);
      await dead(made.annTokens, made.ann);
      here.application.last = undefined;
      await signIn(here, made.annBrowser.page, "ann");
      assert.equal(here.application.last, undefined, "a deprovisioned person is not revived by signing in");
      const again = await here.entra("POST", "/Users", entraUser("ann"));
      assert.equal(again.status, 201, again.text);
      assert.notEqual(again.json.id, made.ann);
      const got = await signIn(here, made.annBrowser.page, "ann");
      assert.equal(got.claims.sub, again.json.id);
      assert.deepEqual(grants(got.claims), ["viewer@northwind"]);
      await made.annBrowser.close();
    });

    test("signing out at the application ends the session", async () => {
      const ben = await person(browser);
      const got = await signIn(here, ben.page, "ben");
      assert.equal(got.claims.sub, made.ben);
      await ben.page.goto(here.application.endSessionUrl(got.tokens.id_token));
      const confirm = ben.page.getByRole("button", { name: /sign out/i });
      if (await confirm.count()) await confirm.click();
      await ben.page.waitForURL(`${here.application.home}/`);
      await ben.page.goto(`${here.application.home}/login?prompt=none&organization=northwind`);
      assert.equal(here.application.lastError?.error, "login_required");
      await ben.close();
    });

    test("an application of its own has tokens that open no administration", async () => {
      const { access_token } = await here.application.clientCredentials();
      const refused = await fetch(`${here.url}/api/v1/organizations/northwind/users`, { headers: { authorization: `Bearer ${access_token}` } });
      assert.equal(refused.status, 401);
    });

    test("SIGTERM drains every node and ends it with 0", async () => {
      assert.ok(await fits(made.operator.page));
      for (const { code, signal } of await here.stop("SIGTERM")) assert.deepEqual({ code, signal }, { code: 0, signal: null });
    });
  });
}
