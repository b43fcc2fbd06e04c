// Custom roles: an owner makes one of what she may do herself, gives it, sees it in somebody's access with its reason and in the token of
// an application, changes it for whoever has it, and may not delete it while it is in use.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { axe, fits, person, startBrowser } from "./lib/browser.mjs";
import { signIn, startNorthwind } from "./lib/northwind.mjs";

const out = path.resolve(import.meta.dirname, "out");

for (const setting of [
  { kind: "sqlite", nodes: 1 },
  { kind: "postgres", nodes: 2 },
]) {
  describe(`custom roles on ${setting.kind}`, { timeout: 240_000 }, () => {
    let here, browser, olive, page, nora, noras;
    const problems = [];
    before(async () => {
      mkdirSync(out, { recursive: true });
      browser = await startBrowser();
      here = await startNorthwind(setting);
      olive = await person(browser);
      page = olive.page;
      const owner = (await signIn(here, page, "olive")).claims.sub;
      await here.api("POST", "/grants", { user: owner, role: "owner" });
      noras = await person(browser);
      nora = (await signIn(here, noras.page, "nora")).claims.sub;
    });
    after(async () => {
      await browser?.close();
      await here?.remove();
    });

    async function look(name) {
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

    test("a role is made of what its maker may do", async () => {
      await page.goto(`${here.url}/o/northwind/roles`);
      await page.getByText("No custom role").waitFor();
      await page.getByRole("link", { name: "New role" }).click();
      await page.getByRole("heading", { level: 1, name: "New role" }).waitFor();
      await look("role-new");
      await page.getByLabel("Name").fill("Night watch");
      await page.getByLabel("What it is for").fill("Looks after sites at night");
      await page.locator("#permission-assets\\.update").check();
      await page.locator("#include-task-manager").check();
      await page.getByRole("button", { name: "Make the role" }).click();
      await page.getByRole("status").getByText("Night watch is made.").waitFor();
      const card = page.getByRole("region", { name: "Night watch custom:night-watch" });
      await card.getByText("Edit assets").waitFor();
      await look("roles-custom");
    });

    test("it is given, and shows in her access with its reason, and in her token", async () => {
      await page.goto(`${here.url}/o/northwind/users/${nora}`);
      await page.getByRole("link", { name: "Give roles…" }).click();
      await page.locator('#dialog [id="role-custom:night-watch"]').check();
      await page.locator("#dialog #resource-london-1").check();
      await page.getByRole("button", { name: "Save" }).click();
      await page.getByRole("row", { name: /Night watch/ }).first().waitFor();
      await look("role-given");
      assert.match(await page.locator("main").innerText(), /Night watch/);
      const { json } = await here.api("GET", `/users/${nora}/access`);
      const held = json.grants.find((g) => g.role === "custom:night-watch");
      assert.equal(held.resource, "london-1");
      assert.deepEqual(held.why.map((h) => h.name), ["Olive of Northwind", "Night watch", "London 1"]);
      const got = await signIn(here, noras.page, "nora");
      assert.ok(got.claims.grants.some((g) => g.role === "custom:night-watch" && g.resource === "london-1"), JSON.stringify(got.claims.grants));
    });

    test("a change holds for whoever has it, and the form says for how many", async () => {
      await page.goto(`${here.url}/o/northwind/roles`);
      await page.getByRole("link", { name: "Change Night watch" }).click();
      await page.getByText("1 person has this role.").waitFor();
      await look("role-change");
      await page.locator("#permission-assets\\.update").uncheck();
      await page.locator("#permission-assets\\.delete").check();
      await page.getByRole("button", { name: "Save" }).click();
      await page.getByRole("status").getByText("Night watch is changed").waitFor();
      const { json } = await here.api("GET", `/users/${nora}/access`);
      assert.ok(json.permissions["london-1"].includes("assets.delete"));
      assert.ok(!json.permissions["london-1"].includes("assets.update"));
    });

    test("it is not deleted while it is in use", async () => {
      await page.goto(`${here.url}/o/northwind/roles`);
      await page.getByRole("link", { name: "Delete Night watch" }).click();
      await page.getByRole("dialog").getByText("given to Nora of Northwind").waitFor();
      await look("role-delete");
      assert.equal(await page.getByRole("dialog").getByRole("button", { name: "Delete the role" }).count(), 0);
      const { json } = await here.api("GET", `/grants?user=${nora}&role=custom:night-watch`);
      await here.api("DELETE", `/grants/${json.items[0].id}`);
      await page.goto(`${here.url}/o/northwind/roles`);
      await page.getByRole("link", { name: "Delete Night watch" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Delete the role" }).click();
      await page.getByRole("status").getByText("Night watch is deleted.").waitFor();
      await page.getByText("No custom role").waitFor();
      assert.deepEqual([...problems, ...olive.violations], []);
    });
  });
}
