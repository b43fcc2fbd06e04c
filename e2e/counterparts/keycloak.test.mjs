// Keycloak: as OpenID Provider, with its step-up authentication and its own back-channel logout; as SAML identity provider, signing, and
// encrypting with requests by a form; and connected by somebody who has a setup link and reads nothing but the screens, with Keycloak's
// admin console as the other screen.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { axe, fits, person, startBrowser } from "../lib/browser.mjs";
import { makeRealm, pages, startKeycloak, startKeycloakOIDC, startKeycloakSAML, stopKeycloak } from "../lib/keycloak.mjs";
import { startNorthwind } from "../lib/northwind.mjs";
import { counterpart as openID } from "../lib/oidc.mjs";
import { counterpart as saml } from "../lib/saml.mjs";
import { until } from "../lib/vestibule.mjs";

const timeout = 1_200_000;
const out = path.resolve(import.meta.dirname, "../out");

after(stopKeycloak);

openID("Keycloak", { start: () => startKeycloakOIDC(), timeout });
// It encrypts by itself, since our metadata has a key for that.
saml("Keycloak, not encrypted", { start: () => startKeycloakSAML({ attributes: { "saml.encrypt": "false" } }), timeout });
saml("Keycloak, requests by a form, encrypted", {
  start: () => startKeycloakSAML({ attributes: { "saml.encrypt": "true", "saml.force.post.binding": "true" } }),
  saml: { binding: "post", name_id_format: "emailAddress" },
  byHand: true,
  timeout,
  encrypted: true,
});

describe("Keycloak by a setup link", { timeout }, () => {
  let here, browser, operator, keycloak, realm, there;
  before(async () => {
    mkdirSync(out, { recursive: true });
    browser = await startBrowser();
    keycloak = await startKeycloak();
    realm = await makeRealm(keycloak);
    here = await startNorthwind();
    operator = await person(browser);
    const link = await until("the one-time link", () => /(http:\/\/\S+\/setup#\S+)/.exec(here.nodes[0].output)?.[1]);
    await operator.page.goto(link);
    await operator.page.getByLabel("Your name").fill("Oda Operator");
    await operator.page.getByLabel("Email").fill("oda@operator.example");
    await operator.page.getByLabel("Password").fill("three herons left early");
    await operator.page.getByRole("button", { name: "Become the operator" }).click();
    await operator.page.waitForURL((u) => !u.pathname.startsWith("/setup"));
    there = await person(browser);
    await screen("realm-settings/general");
    await there.page.locator("#username").fill("admin");
    await there.page.locator("#password").fill("admin");
    await there.page.locator("#kc-login").click();
    await there.page.getByRole("link", { name: "OpenID Endpoint Configuration" }).waitFor({ timeout: 60_000 });
  });
  after(async () => {
    await browser?.close();
    await keycloak?.admin("DELETE", `/realms/${realm}`).catch(() => {});
    await here?.remove();
  });

  const screen = (rest) => there.page.goto(`${keycloak.origin}/admin/master/console/#/${realm}/${rest}`);
  /** A switch of Keycloak's console lies under its picture. */
  const turn = async (label, on) => {
    const box = there.page.getByLabel(label, { exact: true });
    if ((await box.isChecked()) !== on) await box.evaluate((e) => e.click());
    assert.equal(await box.isChecked(), on, label);
  };
  const turnBy = async (id, on) => {
    const box = there.page.locator(`[id="${id}"]`);
    if ((await box.isChecked()) !== on) await box.evaluate((e) => e.click());
  };
  const save = async () => {
    await there.page.getByRole("button", { name: "Save", exact: true }).first().click();
    await there.page.getByText(/successfully/i).first().waitFor();
  };

  /** A link for single sign-on, and its contact before the choice of a provider. */
  async function contact(protocol) {
    const { page } = operator;
    await page.goto(`${here.url}/o/northwind/setup-links/new`);
    await page.getByLabel("Address of the contact").fill("it@customer.example");
    await page.getByLabel("Directory", { exact: true }).selectOption("");
    await page.getByLabel("northwind.example", { exact: true }).setChecked(true);
    await page.getByLabel("The contact may open the connection").check();
    await page.getByRole("button", { name: /the link$/ }).click();
    const link = await page.getByRole("region", { name: "The link" }).locator("code").textContent();
    const one = await person(browser);
    await one.page.goto(link);
    await one.page.getByRole("link", { name: /Connect single sign-on/ }).click();
    await one.page.getByRole("row", { name: /Keycloak/ }).getByRole("link", { name: protocol }).click();
    return one;
  }

  const copied = (page, name) => page.locator(`dt:text-is("${name}") + dd code`).first().textContent();
  /** What the page must say, since the contact does it next. */
  const says = async (page, ...words) => {
    const text = await page.locator("main").innerText();
    for (const w of words) assert.ok(text.includes(w), `the page does not say “${w}”: ${text}`);
  };

  async function look(page, name) {
    for (const [view, scheme, width] of [
      ["light", "light", 1280],
      ["dark", "dark", 1280],
      ["phone", "light", 390],
      ["narrow", "dark", 320],
    ]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height: 900 });
      assert.deepEqual(await axe(page), [], `${name}, ${view}`);
      assert.ok(await fits(page), `${name} has to be scrolled sideways, ${view}`);
      await page.screenshot({ path: path.join(out, `${name}-${view}.png`), fullPage: true });
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1280, height: 900 });
  }

  /** Tests the connection, opens it and signs somebody in. */
  async function finish(page, name) {
    await page.getByRole("button", { name: "Test sign-in" }).click();
    await page.getByRole("link", { name: "Go to Keycloak" }).click();
    // Whoever came by the one is not made again by the other.
    const who = { oidc: "ann", saml: "cleo" }[name];
    await pages.login(page, who);
    await page.waitForURL((u) => u.pathname.includes("/sso/tests/"));
    await page.getByText("What came").first().waitFor();
    await look(page, `setup-keycloak-${name}-test`);
    await says(page, "It works.");
    await page.getByRole("button", { name: "Let people sign in" }).click();
    await page.getByText("Open: people sign in through it").waitFor();
    const connection = here.store.rows("select id from connections where id like 'keycloak-%' order by created desc limit 1")[0].id;
    const someone = await person(browser);
    await someone.page.goto(`${here.url}/signin?${new URLSearchParams({ organization: "northwind", connection, return_to: "/o/northwind/me" })}`);
    await pages.login(someone.page, who);
    await someone.page.waitForURL((u) => u.pathname === "/o/northwind/me");
    return someone;
  }

  test("by OpenID Connect", async () => {
    const { page, close } = await contact("OpenID Connect");
    await look(page, "setup-keycloak-oidc");
    await says(page, "Clients › Create client", "Client type OpenID Connect", "Client authentication on");
    await screen("clients/add-client");
    await there.page.getByText("Client type").first().waitFor();
    await there.page.locator("#clientId").fill("vestibule");
    await there.page.getByRole("button", { name: "Next" }).click();
    await there.page.getByText("Standard flow").first().waitFor();
    await turn("Client authentication", true);
    await there.page.getByRole("button", { name: "Next" }).click();
    await says(page, "Access settings › Valid redirect URIs", "Access settings › Valid post logout redirect URIs");
    await there.page.getByLabel("Valid redirect URIs", { exact: true }).fill(await copied(page, "Redirect URI"));
    await there.page.getByLabel("Valid post logout redirect URIs", { exact: true }).fill(await copied(page, "Post-logout redirect URI"));
    await save();
    await says(page, "Logout settings › Backchannel logout URL; it shows when Front channel logout is off");
    await there.page.getByRole("heading", { name: "Logout settings" }).first().waitFor();
    await turn("Front channel logout", false);
    await there.page.getByTestId("backchannelLogoutUrl").fill(await copied(page, "Back-channel logout URI"));
    await there.page.getByTestId("settings-save").click();
    await there.page.getByText(/successfully updated/i).first().waitFor();

    await says(page, "Realm settings › General › Endpoints › OpenID Endpoint Configuration", "Credentials › Client Secret");
    await there.page.getByRole("tab", { name: "Credentials" }).click();
    const secret = await until("the client secret", () => there.page.locator("#kc-client-secret").inputValue());
    await screen("realm-settings/general");
    const discovery = await there.page.getByRole("link", { name: "OpenID Endpoint Configuration" }).getAttribute("href");
    await page.getByLabel("Issuer").fill((await (await fetch(discovery)).json()).issuer);
    await page.getByLabel("Client id").fill("vestibule");
    await page.getByLabel("Client secret", { exact: true }).fill(secret);
    await page.getByLabel("Create people at their first sign-in").check();
    await page.getByLabel("Signing out here signs out at the provider too").check();
    await page.getByRole("button", { name: "Save and go on" }).click();
    const someone = await finish(page, "oidc");
    // What was entered for signing out serves, both ways.
    await someone.page.getByRole("button", { name: "Sign out" }).first().click();
    await someone.page.getByText("You are signed out").first().waitFor();
    await someone.page.goto(`${keycloak.origin}/realms/${realm}/account`);
    await someone.page.locator("#kc-login").waitFor();
    await someone.close();
    await close();
  });

  test("by SAML", async () => {
    const { page, close } = await contact("SAML 2.0");
    await look(page, "setup-keycloak-saml");
    await says(page, "begin with step 2", "Realm settings › General › Endpoints › SAML 2.0 Identity Provider Metadata");
    await screen("realm-settings/general");
    await page.getByLabel("Metadata", { exact: true }).fill(await there.page.getByRole("link", { name: "SAML 2.0 Identity Provider Metadata" }).getAttribute("href"));
    await page.getByLabel("Create people at their first sign-in").check();
    await page.getByRole("button", { name: "Save and go on" }).click();
    await page.getByRole("heading", { name: "What has to stand at Keycloak" }).waitFor();
    await look(page, "setup-keycloak-saml-made");
    await says(page, "Clients › Import client › Resource file");
    const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Save it as a file" }).click()]);
    await screen("clients/import-client");
    await there.page.getByText("Resource file").first().waitFor();
    await there.page.locator("input[type=file]").setInputFiles(await file.path());
    await until("the file to be read", async () => (await there.page.locator("#clientId").inputValue()).endsWith("/metadata"));
    await save();
    await says(page, "SAML capabilities › Name ID format", "Force name ID format");
    await there.page.getByRole("heading", { name: "SAML capabilities" }).first().waitFor();
    await there.page.locator("#saml_name_id_format, [id='attributes.saml_name_id_format']").last().click();
    await there.page.getByRole("option", { name: "email", exact: true }).click();
    await turnBy("attributes.saml_force_name_id_format", true);
    await there.page.getByTestId("settings-save").click();
    await there.page.getByText(/successfully updated/i).first().waitFor();
    await says(page, "Client scopes › the scope whose name ends in -dedicated › Add predefined mapper: X500 email, X500 givenName and X500 surname");
    await there.page.getByRole("tab", { name: "Client scopes" }).click();
    await there.page.getByRole("link", { name: /-dedicated$/ }).click();
    await there.page.getByRole("button", { name: "Add predefined mapper" }).click();
    for (const name of ["X500 email", "X500 givenName", "X500 surname"])
      await there.page.getByRole("dialog").getByRole("row", { name }).getByRole("checkbox").check();
    await there.page.getByRole("dialog").getByRole("button", { name: "Add" }).click();
    await there.page.getByText(/X500 surname/).first().waitFor();
    await (await finish(page, "saml")).close();
    await close();
  });
});
