// A customer's IT contact, without an account, connects a provider from a setup link's first page, following only the screens: by OpenID
// Connect (npm oidc-provider), by SAML (npm samlp), and pushes by SCIM with the base URL and the token that stand on the page.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { axe, fits, person, startBrowser } from "./lib/browser.mjs";
import { people, startNorthwind } from "./lib/northwind.mjs";
import { startSamlp } from "./lib/samlp.mjs";
import { startUpstream } from "./lib/upstream.mjs";
import { freePort, until } from "./lib/vestibule.mjs";

const out = path.resolve(import.meta.dirname, "out");
const binary = process.env.VESTIBULE_BIN ?? path.resolve(import.meta.dirname, "../bin/vestibule");

describe("a setup link", { timeout: 280_000 }, () => {
  let here, browser, operator, upstream, samlp;
  before(async () => {
    mkdirSync(out, { recursive: true });
    browser = await startBrowser();
    here = await startNorthwind({ kind: "sqlite" });
    operator = await person(browser);
    const link = await until("the one-time link", () => /(http:\/\/\S+\/setup#\S+)/.exec(here.nodes[0].output)?.[1]);
    await operator.page.goto(link);
    await operator.page.getByLabel("Your name").fill("Oda Operator");
    await operator.page.getByLabel("Email").fill("oda@operator.example");
    await operator.page.getByLabel("Password").fill("three herons left early");
    await operator.page.getByRole("button", { name: "Become the operator" }).click();
    await operator.page.waitForURL((u) => !u.pathname.startsWith("/setup"));
  });
  after(async () => {
    await browser?.close();
    await upstream?.stop();
    await samlp?.stop();
    await here?.remove();
  });

  async function look(page, name) {
    for (const [look, scheme, width] of [
      ["light", "light", 1280],
      ["dark", "dark", 1280],
      ["phone", "light", 390],
      ["narrow", "dark", 320],
    ]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height: 900 });
      await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished)));
      assert.deepEqual(await axe(page), [], `${name}, ${look}`);
      assert.ok(await fits(page), `${name} has to be scrolled sideways, ${look}`);
      await page.screenshot({ path: path.join(out, `${name}-${look}.png`), fullPage: true });
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1280, height: 900 });
  }

  /** A link as an administrator makes it, on the screens. */
  async function made(purposes, { directory, opens, domains = [], renews, page = operator.page } = {}) {
    await page.goto(`${here.url}/o/northwind/connections`);
    await page.getByRole("link", { name: "Setup links" }).click();
    await page.getByRole("link", { name: "New setup link" }).click();
    await page.getByLabel("Address of the contact").fill("it@customer.example");
    for (const p of ["Prove a domain", "Provisioning (SCIM)", "Single sign-on", "Renew a certificate"]) await page.getByLabel(p).setChecked(purposes.includes(p));
    await page.getByLabel("Directory", { exact: true }).selectOption(directory ?? "");
    await page.getByLabel("The contact may open the connection").setChecked(Boolean(opens));
    for (const domain of domains) await page.getByLabel(domain, { exact: true }).check();
    if (renews) await page.getByLabel("Whose certificate is renewed").selectOption(renews);
    return page;
  }

  const keep = async (page) => {
    await page.getByRole("button", { name: /the link$/ }).click();
    return page.getByRole("region", { name: "The link" }).locator("code").textContent();
  };

  /** The value beside a name, as somebody copies it. */
  const copied = (page, name) => page.locator(`dt:text-is("${name}") + dd code`).first().textContent();

  test("for SCIM shows a base URL and a token, and the first requests arrive", async () => {
    const page = await made(["Prove a domain", "Provisioning (SCIM)"], { directory: "entra" });
    await look(page, "setup-link-new");
    const link = await keep(page);
    await look(page, "setup-link-made");
    const contact = await person(browser);
    await contact.page.goto(link);
    assert.ok(!contact.page.url().includes("/open/"), "the token stands in the address");
    await look(contact.page, "setup-steps");
    await contact.page.getByRole("link", { name: /Push people and groups/ }).click();
    await look(contact.page, "setup-scim");
    const base = await copied(contact.page, "SCIM base URL (tenant URL)");
    await contact.page.getByRole("button", { name: "Make a token" }).click();
    const token = (await contact.page.getByRole("region", { name: "2. Enter a token" }).locator("code").first().textContent()).trim();
    assert.match(token, /^vsc_/);
    await look(contact.page, "setup-scim-token");
    const { stdout } = await promisify(execFile)(binary, ["simulate", "entra", "--base", base, "--token", token, "--users", "3", "--groups", "1"], {
      env: { ...process.env, VESTIBULE_SCIM_TOKEN: token },
    });
    assert.ok(stdout.length > 0);
    await contact.page.getByRole("link", { name: "I have entered it" }).click();
    // The log is written beside the requests, so the page may be there before the last of them.
    await until("the first requests", async () => {
      if (await contact.page.getByText(/^Done, 20\d/).count()) return true;
      await contact.page.reload();
    });
    assert.ok(!(await contact.page.content()).includes(token), "the token is shown again");
    await look(contact.page, "setup-scim-requests");
    await contact.page.getByRole("link", { name: "All steps" }).click();
    await contact.page.getByRole("link", { name: /Prove your domain/ }).click();
    await contact.page.getByLabel("Your domain").fill("customer.example");
    await contact.page.getByRole("button", { name: "Add" }).click();
    await contact.page.getByText("_vestibule-challenge.customer.example").first().waitFor();
    await look(contact.page, "setup-domain");
    await contact.page.getByRole("link", { name: "All steps" }).click();
    await contact.page.getByRole("button", { name: "I am done" }).click();
    await contact.page.getByText("The link is used up.").waitFor();
    await look(contact.page, "setup-finished");
    assert.equal((await contact.page.goto(link)).status(), 410);
    await look(contact.page, "setup-over");
    await contact.close();
  });

  test("for single sign-on connects an OpenID Provider, up to its test sign-in, and opens it", async () => {
    const link = await keep(await made(["Single sign-on"], { opens: true }));
    const { page, close } = await person(browser);
    await page.goto(link);
    await page.getByRole("link", { name: /Connect single sign-on/ }).click();
    await look(page, "setup-choose");
    await page.getByRole("row", { name: /Another provider/ }).getByRole("link", { name: /OpenID Connect/ }).click();
    await look(page, "setup-oidc");
    upstream = await startUpstream({ people: people(), port: await freePort(), redirectUris: [await copied(page, "Redirect URI")], client: { client_secret: "shown-at-the-provider-once" } });
    await page.getByLabel("Issuer").fill(upstream.issuer);
    await page.getByLabel("Client id").fill("vestibule");
    await page.getByLabel("Client secret").fill("shown-at-the-provider-once");
    await page.getByLabel("Name", { exact: true }).fill("Customer provider");
    await page.getByLabel("Create people at their first sign-in").check();
    await page.getByRole("button", { name: "Save and go on" }).click();
    await page.getByRole("heading", { level: 1, name: "Customer provider" }).waitFor();
    await look(page, "setup-sso");
    await page.getByRole("button", { name: "Test sign-in" }).click();
    await page.getByRole("link", { name: /^Go to/ }).click();
    await page.getByRole("link", { name: "ann", exact: true }).click();
    await page.waitForURL((u) => u.pathname.includes("/sso/tests/"));
    await page.getByText("What came").first().waitFor();
    await look(page, "setup-test");
    const text = await page.locator("main").innerText();
    assert.match(text, /It works\./);
    assert.equal(Number(here.store.rows("select count(*) as n from sessions where connection like 'generic-%'")[0].n), 0, "a test made a session");
    await page.getByRole("button", { name: "Let people sign in" }).click();
    await page.getByText("Open: people sign in through it").waitFor();
    await close();
  });

  test("for single sign-on connects a SAML provider by the values on the page", async () => {
    samlp = await startSamlp();
    const link = await keep(await made(["Single sign-on"]));
    const { page, close } = await person(browser);
    await page.goto(link);
    await page.getByRole("link", { name: /Connect single sign-on/ }).click();
    await page.getByRole("row", { name: /Another provider/ }).getByRole("link", { name: /SAML/ }).click();
    const sp = { entityId: await copied(page, "Entity ID (Audience, Identifier)"), acs: await copied(page, "Assertion consumer service URL (Reply URL)"), slo: await copied(page, "Single logout URL") };
    await look(page, "setup-saml");
    await page.getByLabel("Metadata", { exact: true }).fill(samlp.metadataUrl);
    await page.getByLabel("Create people at their first sign-in").check();
    await page.getByRole("button", { name: "Save and go on" }).click();
    await page.getByRole("button", { name: "Test sign-in" }).waitFor();
    // The provider reads our metadata at the address on the page.
    await samlp.register({ ...sp, metadata: await (await fetch(sp.entityId)).text() });
    await page.getByRole("button", { name: "Test sign-in" }).click();
    await page.getByRole("link", { name: /^Go to/ }).click();
    await samlp.login(page, "ann");
    await page.waitForURL((u) => u.pathname.includes("/sso/tests/"));
    await page.getByText("What came").first().waitFor();
    assert.match(await page.locator("main").innerText(), /Signed by the provider\s+Passed/);
    await look(page, "setup-saml-test");
    await close();
  });

  test("that was revoked opens nothing more, and the list says who used it", async () => {
    const link = await keep(await made(["Single sign-on"]));
    const contact = await person(browser);
    await contact.page.goto(link);
    const { page } = operator;
    await page.goto(`${here.url}/o/northwind/setup-links`);
    await look(page, "setup-links");
    await page.getByRole("link", { name: "Revoke the link of it@customer.example" }).first().click();
    await page.getByRole("button", { name: "Revoke", exact: true }).click();
    await page.getByText("opens nothing any more").waitFor();
    assert.equal((await contact.page.reload()).status(), 410);
    await contact.page.getByText("This setup link was taken back.").waitFor();
    await contact.close();
  });

  // Script is a comfort: whoever has none gets the same done, by forms and links alone.
  describe("without script", () => {
    let shut, saml;
    before(async () => {
      saml = await startSamlp();
      shut = await person(browser, { javaScriptEnabled: false, storageState: await operator.context.storageState() });
    });
    after(async () => {
      await shut?.close();
      await saml?.stop();
    });
    const nobody = () => person(browser, { javaScriptEnabled: false, colorScheme: "dark", viewport: { width: 390, height: 844 } });

    test("connects an OpenID Provider up to its test sign-in, and a domain with two connections is a choice", async () => {
      const link = await keep(await made(["Single sign-on"], { opens: true, domains: ["northwind.example"], page: shut.page }));
      const { page, close } = await nobody();
      await page.goto(link);
      await page.getByRole("link", { name: /Connect single sign-on/ }).click();
      await page.getByRole("row", { name: /Another provider/ }).getByRole("link", { name: /OpenID Connect/ }).click();
      const second = await startUpstream({ people: people(), redirectUris: [await copied(page, "Redirect URI")], client: { client_secret: "shown-at-the-provider-once" } });
      try {
        assert.equal(await page.getByRole("button", { name: /^Copy/ }).count(), 0, "a button that nothing answers");
        await page.getByLabel("Issuer").fill(second.issuer);
        await page.getByLabel("Client id").fill("vestibule");
        await page.getByLabel("Client secret").fill("shown-at-the-provider-once");
        await page.getByLabel("Name", { exact: true }).fill("Laboratory");
        await page.getByLabel("Create people at their first sign-in").check();
        await page.getByRole("button", { name: "Save and go on" }).click();
        await page.getByRole("button", { name: "Test sign-in" }).click();
        await page.screenshot({ path: path.join(out, "setup-no-script-test.png"), fullPage: true });
        await page.getByRole("link", { name: /^Go to/ }).click();
        await page.getByRole("link", { name: "ann", exact: true }).click();
        await page.getByText(/^It works/).first().waitFor();
        await page.getByRole("button", { name: "Let people sign in" }).click();
        await page.getByText("Open: people sign in through it").waitFor();
        await page.getByRole("button", { name: "I am done" }).click();
        await page.getByText("The link is used up.").waitFor();
        await close();

        const ann = await nobody();
        await ann.page.goto(`${here.url}/signin?return_to=/o/northwind/me`);
        await ann.page.getByLabel("Email").fill("ann@northwind.example");
        await ann.page.getByRole("button", { name: "Continue" }).click();
        await ann.page.getByRole("link", { name: "Northwind SSO" }).waitFor();
        await ann.page.screenshot({ path: path.join(out, "choice-no-script.png"), fullPage: true });
        await ann.page.getByRole("link", { name: "Laboratory" }).click();
        await ann.page.getByRole("link", { name: "ann", exact: true }).click();
        await ann.page.waitForURL((u) => u.pathname === "/o/northwind/me");
        await ann.close();
      } finally {
        await second.stop();
      }
    });

    test("a test sign-in from the console", async () => {
      const { page } = shut;
      await page.goto(`${here.url}/o/northwind/connections/corp`);
      await page.getByRole("button", { name: "Test sign-in" }).click();
      await page.getByRole("link", { name: /^Go to/ }).click();
      await page.getByRole("link", { name: "ben", exact: true }).click();
      await page.waitForURL((u) => u.pathname.includes("/connections/corp/tests/"));
      assert.match(await page.locator("main").innerText(), /What came/);
      assert.equal((await page.goto(`${here.url}/o/northwind/connections`)).status(), 200, "the test took the operator's session");
    });

    test("connects a SAML provider that publishes nothing, and renews its certificate", async () => {
      const document = async () => (await fetch(saml.metadataUrl)).text();
      const upload = (name, text) => ({ name, mimeType: "application/octet-stream", buffer: Buffer.from(text) });
      const signedIn = async (page, button) => {
        await page.getByRole("button", { name: button }).click();
        await page.getByRole("link", { name: /^Go to/ }).click();
        await saml.login(page, "cleo");
        await page.getByRole("button", { name: "Submit" }).click(); // the provider's own page without script
        await page.waitForURL((u) => u.pathname.includes("/sso/"));
      };
      const { page, close } = await nobody();
      await page.goto(await keep(await made(["Single sign-on"], { page: shut.page, opens: true })));
      await page.getByRole("link", { name: /Connect single sign-on/ }).click();
      await page.getByRole("row", { name: /Another provider/ }).getByRole("link", { name: /SAML/ }).click();
      const sp = { entityId: await copied(page, "Entity ID (Audience, Identifier)"), acs: await copied(page, "Assertion consumer service URL (Reply URL)"), slo: await copied(page, "Single logout URL") };
      await page.getByLabel("Metadata file").setInputFiles(upload("metadata.xml", await document()));
      await page.getByLabel("Name", { exact: true }).fill("Works");
      await page.getByLabel("Create people at their first sign-in").check();
      await page.getByRole("button", { name: "Save and go on" }).click();
      await page.getByRole("button", { name: "Test sign-in" }).waitFor();
      await saml.register({ ...sp, metadata: await (await fetch(sp.entityId)).text() });
      await signedIn(page, "Test sign-in");
      await page.getByText(/^It works/).first().waitFor();
      await page.getByRole("button", { name: "Let people sign in" }).click();
      await page.getByText("Open: people sign in through it").waitFor();

      const link = await keep(await made(["Renew a certificate"], { page: shut.page, opens: true, renews: { label: "Works" } }));
      await page.goto(link);
      await page.getByRole("link", { name: /Renew the certificate/ }).click();
      const seeing = await person(browser);
      await seeing.page.goto(link);
      await seeing.page.goto(page.url());
      await look(seeing.page, "setup-certificate");
      await page.getByLabel("Certificate, or metadata").fill("nothing of the kind");
      await page.getByRole("button", { name: "Hand it in" }).click();
      await page.locator("#document-error").waitFor();
      await page.screenshot({ path: path.join(out, "setup-certificate-wrong-no-script.png"), fullPage: true });
      await saml.phase(4);
      const [, bare] = /X509Certificate>([^<]+)</.exec(await document());
      await page.getByLabel("Certificate, or metadata").fill("");
      await page.getByLabel("Or a file").setInputFiles({ name: "next.cer", mimeType: "application/x-x509-ca-cert", buffer: Buffer.from(bare, "base64") });
      await page.getByRole("button", { name: "Hand it in" }).click();
      await page.getByText("The new certificate counts from now on").waitFor();
      await seeing.page.goto(page.url());
      await look(seeing.page, "setup-certificate-two");
      await page.getByRole("radio", { name: /samlp old/ }).check();
      await page.getByLabel("Our provider signs with another one now").check();
      await page.getByRole("button", { name: "Retire it" }).click();
      await page.getByRole("heading", { name: "Retire the old one" }).waitFor({ state: "detached" });
      assert.doesNotMatch(await page.locator("main").innerText(), /samlp old/);
      await seeing.page.goto(page.url());
      await look(seeing.page, "setup-certificate-retired");
      await seeing.close();
      await close();
    });
  });
});
