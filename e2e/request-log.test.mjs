// An administrator finds out, from the console alone, why somebody did not arrive: three planted cases, each answered in less
// than a minute by a person who knows nothing but the name. Then the log live, a dry run, and a request sent again.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { axe, fits, person, startBrowser } from "./lib/browser.mjs";
import { entraGroup, entraUser, northwindYAML, patch, startNorthwind } from "./lib/northwind.mjs";
import { caller, until } from "./lib/vestibule.mjs";

for (const kind of ["sqlite", "postgres"]) {
  describe(`the request log on ${kind}`, { timeout: 200_000 }, () => {
    let here, browser, operator, page;
    before(async () => {
      browser = await startBrowser();
      here = await startNorthwind({ kind });
      operator = await person(browser);
      page = operator.page;
      const link = await until("the one-time link", () => /(http:\/\/\S+\/setup#\S+)/.exec(here.nodes[0].output)?.[1]);
      await page.goto(link);
      await page.getByLabel("Your name").fill("Oda Operator");
      await page.getByLabel("Email").fill("oda@operator.example");
      await page.getByLabel("Password").fill("three herons left early");
      await page.getByRole("button", { name: "Become the operator" }).click();
      await page.waitForURL((u) => !u.pathname.startsWith("/setup"));
      assert.equal((await here.entra("POST", "/Users", entraUser("ann"))).status, 201);
    });
    after(async () => {
      await browser?.close();
      await here?.remove();
    });

    /** Walks from the first page to the answer about a name, as somebody would who has never been here. */
    async function why(name) {
      const began = Date.now();
      await page.goto(`${here.url}/o/northwind/`);
      await page.getByRole("navigation", { name: "Console" }).getByRole("link", { name: "Directories" }).click();
      await page.getByRole("link", { name: "Why did somebody not arrive?" }).first().click();
      // A row is written beside the request, within a moment; a person looks again.
      const answer = await until(`an answer about ${name}`, async () => {
        await page.getByLabel(/Why did somebody not arrive/).last().fill(name);
        await page.getByRole("button", { name: "Find out" }).click();
        const text = await page.locator("main").innerText();
        return /has never spoken/.test(text) ? undefined : text;
      });
      assert.ok(Date.now() - began < 60_000, "it took longer than a minute");
      assert.deepEqual(await axe(page), []);
      assert.ok(await fits(page));
      return answer;
    }

    test("an attribute is not mapped", async () => {
      const { userName, ...unmapped } = entraUser("una");
      const refused = await here.entra("POST", "/Users", unmapped);
      assert.equal(refused.status, 400, userName);
      const text = await why("Una of Northwind");
      assert.match(text, /Could not create Una of Northwind/);
      assert.match(text, /userName is required/);
      assert.match(text, /Map userName there, usually from userPrincipalName/);
      assert.match(text, /Provisioning › Mappings/);
      await page.getByRole("link", { name: "Open the request" }).click();
      await page.getByText("What was sent").click();
      assert.match(await page.locator("#sent").innerText(), /oid-una/);
      await page.getByText("As a command").click();
      const curl = await page.locator("#curl").innerText();
      assert.match(curl, /Bearer \$TOKEN/);
      assert.ok(!curl.includes(here.env.NORTHWIND_SCIM_TOKEN), "the token stands in the command");
      assert.deepEqual(await axe(page), []);
    });

    test("the userName is somebody else's", async () => {
      const refused = await here.entra("POST", "/Users", entraUser("double", { userName: "ANN@northwind.example", displayName: "Double Dora" }));
      assert.equal(refused.status, 409);
      const text = await why("Double Dora");
      assert.match(text, /Could not create Double Dora/);
      assert.match(text, /Somebody here holds that userName already/);
      await page.getByRole("link", { name: "Open the request" }).click();
      await page.getByRole("link", { name: "Open who holds the name" }).click();
      await page.getByRole("heading", { level: 1, name: "Ann of Northwind" }).waitFor();
    });

    test("somebody who has arrived, and somebody who was never sent", async () => {
      assert.match(await why("ann@northwind.example"), /Ann of Northwind has arrived/);
      await page.goto(`${here.url}/o/northwind/directories/entra/why?q=Zoe`);
      const text = await page.locator("main").innerText();
      assert.match(text, /has never spoken of “Zoe”/);
      assert.match(text, /Users and groups/);
    });

    test("the log is live, says what a push gave, and is filtered", async () => {
      await page.goto(`${here.url}/o/northwind/directories/entra/requests?live=1`);
      const team = (await here.entra("POST", "/Groups", entraGroup("London Team", "grp-london"))).json.id;
      const ann = (await here.entra("GET", `/Users?filter=${encodeURIComponent('userName eq "ann@northwind.example"')}`)).json.Resources[0].id;
      const before = await page.evaluate(() => (window.kept = performance.timeOrigin));
      await here.entra("PATCH", `/Groups/${team}`, patch({ op: "Add", path: "members", value: [{ value: ann }] }));
      await page.getByRole("link", { name: "Added Ann of Northwind to London Team" }).waitFor({ timeout: 15_000 });
      assert.equal(await page.evaluate(() => window.kept), before, "the page was loaded anew");
      await page.getByRole("link", { name: "Added Ann of Northwind to London Team" }).click();
      assert.match(await page.locator("#given").innerText(), /Ann of Northwind gets by London Team: .+ at London 1/);
      await page.goto(`${here.url}/o/northwind/directories/entra/requests`);
      await page.getByLabel("Only refused").check();
      await page.getByRole("button", { name: "Filter" }).click();
      const rows = await page.locator("#found tbody tr").allInnerTexts();
      assert.ok(rows.length >= 2 && rows.every((row) => /Refused/.test(row)), rows.join("\n"));
      await page.goto(`${here.url}/o/northwind/`);
      assert.match(await page.locator("main").innerText(), /2 requests refused in 24 hours/);
    });

    test("a dry run shows the effect and leaves none", async () => {
      await page.goto(`${here.url}/o/northwind/directories/entra/try`);
      await page.getByLabel("Body").fill(JSON.stringify(entraUser("trial")));
      await page.getByRole("button", { name: "Run without effect" }).click();
      const text = await page.locator("#result").innerText();
      assert.match(text, /Created Trial of Northwind/);
      assert.match(text, /Done, 201/);
      assert.deepEqual(await axe(page), []);
      const found = await here.entra("GET", `/Users?filter=${encodeURIComponent('userName eq "trial@northwind.example"')}`);
      assert.equal(found.json.totalResults, 0);
    });

    test("a refused request is sent again after the fix", async () => {
      const ann = (await here.entra("GET", `/Users?filter=${encodeURIComponent('userName eq "ann@northwind.example"')}`)).json.Resources[0].id;
      await here.entra("PATCH", `/Users/${ann}`, patch({ op: "Replace", path: "userName", value: "ann.archer@northwind.example" }));
      await page.goto(`${here.url}/o/northwind/directories/entra/requests?q=Double+Dora&errors=1`);
      await page.getByRole("link", { name: "Could not create Double Dora" }).click();
      await page.getByRole("link", { name: "Send again…" }).click();
      await page.getByRole("button", { name: "Send again" }).click();
      await page.getByText("Sent again, and done.").waitFor();
      await page.getByRole("heading", { level: 1, name: "Created Double Dora" }).waitFor();
      const found = await here.entra("GET", `/Users?filter=${encodeURIComponent('externalId eq "oid-double"')}`);
      assert.equal(found.json.totalResults, 1);
    });

    test("the token has expired", async () => {
      const yesterday = new Date(Date.now() - 86_400_000).toISOString();
      const expired = northwindYAML.replace(/(env: NORTHWIND_SCIM_TOKEN\}, expires: )[^}]+/, `$1${yesterday}`);
      const applied = here.command("apply", here.file("expired.yaml", expired));
      assert.equal(applied.code, 0, applied.text);
      assert.match(applied.text, /directory token northwind\/entra/);
      await until("the token is refused", async () => (await here.entra("POST", "/Users", entraUser("late"))).status === 401);
      const text = await why("Late of Northwind");
      assert.match(text, /is turned away at the door/);
      assert.match(text, /The token "main" expired on/);
      assert.match(text, /Admin Credentials › Secret Token/);
      assert.match(text, /Could not create Late of Northwind/);
      const stranger = caller(`${here.url}/scim/northwind/entra/v2`, "never-was-one", "application/scim+json");
      assert.equal((await stranger("GET", "/Users")).status, 401);
      assert.deepEqual(operator.violations, []);
    });
  });
}
