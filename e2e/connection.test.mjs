// An administrator connects an OpenID Provider by the screens alone: makes the connection, tests it before anybody can use it, opens it.
// People then sign in through it, with a key of ours instead of a secret, and signing out at either side signs out at the other.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { axe, fits, person, startBrowser } from "./lib/browser.mjs";
import { entraUser, people, startNorthwind } from "./lib/northwind.mjs";
import { signOut, startUpstream } from "./lib/upstream.mjs";
import { freePort, until } from "./lib/vestibule.mjs";

const out = path.resolve(import.meta.dirname, "out");

describe("a connection made in the console", { timeout: 280_000 }, () => {
  let here, browser, operator, upstream;
  const at = (rest) => `${here.url}/sso/northwind/second/${rest}`;
  before(async () => {
    mkdirSync(out, { recursive: true });
    browser = await startBrowser();
    here = await startNorthwind({ kind: "sqlite" });
    await here.entra("POST", "/Users", entraUser("ann"));
    upstream = await startUpstream({
      people: people(),
      port: await freePort(),
      redirectUris: [at("callback")],
      client: {
        client_secret: undefined,
        token_endpoint_auth_method: "private_key_jwt",
        jwks_uri: at("jwks"),
        post_logout_redirect_uris: [at("left")],
        backchannel_logout_uri: at("backchannel-logout"),
        backchannel_logout_session_required: true,
      },
      features: signOut,
    });
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
      // The colors go over from one scheme to the other; what axe measures is where they arrive.
      await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished)));
      assert.deepEqual(await axe(page), [], `${name}, ${look}`);
      assert.ok(await fits(page), `${name} has to be scrolled sideways, ${look}`);
      await page.screenshot({ path: path.join(out, `${name}-${look}.png`), fullPage: true });
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1280, height: 900 });
  }

  test("is made as a draft, in the provider's words", async () => {
    const { page } = operator;
    await page.goto(`${here.url}/o/northwind/connections`);
    await look(page, "connections");
    await page.getByRole("link", { name: "New connection" }).click();
    await look(page, "connection-choose");
    await page.getByRole("row", { name: /Another provider/ }).getByRole("link", { name: /OpenID Connect/ }).click();
    await page.getByLabel("Id", { exact: true }).fill("second");
    await page.getByLabel("Name", { exact: true }).fill("Second provider");
    await page.getByLabel("Issuer").fill("https://login.microsoftonline.com/common/v2.0");
    await page.getByLabel("Client id").fill("vestibule");
    await page.getByLabel("How we prove ourselves").selectOption("private_key_jwt");
    await page.getByLabel("The claim that", { exact: true }).fill("oid");
    await page.getByLabel("Signing out here signs out at the provider too").check();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("This issuer speaks for every tenant of the provider").waitFor();
    await look(page, "connection-new");
    await page.getByLabel("Issuer").fill(upstream.issuer);
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("heading", { level: 1, name: "Second provider" }).waitFor();
    await page.getByText(at("callback")).first().waitFor();
    await look(page, "connection");
    const refused = await page.goto(`${here.url}/o/northwind/connections/second/do/open`);
    assert.equal(refused.status(), 200);
    await page.getByText("Nobody has passed a test sign-in with these settings yet").waitFor();
  });

  test("is tested before it counts for anybody", async () => {
    const { page } = operator;
    await page.goto(`${here.url}/o/northwind/connections/second`);
    await page.getByRole("button", { name: "Test sign-in" }).click();
    await look(page, "connection-test-waits");
    await page.getByRole("link", { name: /^Go to/ }).click();
    await page.getByRole("link", { name: "ann", exact: true }).click();
    await page.waitForURL((u) => u.pathname.includes("/connections/second/tests/"));
    assert.match(await page.locator("main").innerText(), /It works: Ann of Northwind would be signed in\./);
    await page.getByText("matched with externalId").first().waitFor();
    await look(page, "connection-test");
    const sessions = here.store.rows("select count(*) as n from sessions where connection = 'second'");
    assert.equal(Number(sessions[0].n), 0, "a test made a session");
    await page.getByRole("link", { name: "Second provider" }).first().click();
    await page.getByRole("link", { name: "Open…" }).click();
    await page.getByRole("button", { name: "Open", exact: true }).click();
    await page.getByText("People sign in through Second provider from now on.").waitFor();
  });

  async function signIn(page, name) {
    await page.goto(`${here.url}/signin?${new URLSearchParams({ organization: "northwind", connection: "second", return_to: "/o/northwind/me" })}`);
    if (page.url().startsWith(`${upstream.issuer}/interaction/`)) await page.getByRole("link", { name, exact: true }).click();
    await page.waitForURL((u) => u.pathname === "/o/northwind/me");
  }

  test("signing out here signs out there", async () => {
    const { page, close } = await person(browser);
    await signIn(page, "ann");
    await page.getByRole("button", { name: "Sign out" }).first().click();
    await page.waitForURL((u) => u.origin === upstream.issuer);
    await page.getByRole("button", { name: "Sign out there" }).click();
    await page.waitForURL((u) => u.origin === here.url);
    await page.goto(`${here.url}/signin?${new URLSearchParams({ organization: "northwind", connection: "second", return_to: "/o/northwind/me" })}`);
    assert.ok(page.url().startsWith(`${upstream.issuer}/interaction/`), `signed in there still: ${page.url()}`);
    await close();
  });

  test("signing out there signs out here, from server to server", async () => {
    const { page, close } = await person(browser);
    await signIn(page, "ann");
    await page.goto(`${upstream.issuer}/session/end`);
    await page.getByRole("button", { name: "Sign out there" }).click();
    await page.getByText("Signed out there").first().waitFor();
    await until("the session's end", () => Number(here.store.rows("select count(*) as n from sessions where connection = 'second' and ended is null")[0].n) === 0);
    await page.goto(`${here.url}/o/northwind/me`);
    assert.notEqual(new URL(page.url()).pathname, "/o/northwind/me");
    await close();
  });

  test("a domain is claimed, and waits for its record", async () => {
    const { page } = operator;
    await page.goto(`${here.url}/o/northwind/domains`);
    await page.getByLabel("Add a domain").fill("people.northwind.example");
    await page.getByRole("button", { name: "Add", exact: true }).click();
    await page.getByText("_vestibule-challenge.people.northwind.example").first().waitFor();
    await look(page, "domains");
    await page.goto(`${here.url}/o/northwind/domains/people.northwind.example/release`);
    await look(page, "domain-release");
  });

  test("a provider that is away says so, and nobody else notices", async () => {
    await upstream.stop();
    here.store.change("delete from connection_documents where connection = 'second'");
    const { page, close } = await person(browser);
    const answer = await page.goto(`${here.url}/signin?${new URLSearchParams({ organization: "northwind", connection: "second", return_to: "/o/northwind/me" })}`);
    assert.equal(answer.status(), 503);
    await page.getByText("provider-unreachable").waitFor();
    await page.goto(`${here.url}/signin?${new URLSearchParams({ organization: "northwind", connection: "corp", return_to: "/o/northwind/me" })}`);
    assert.ok(page.url().startsWith(here.upstream.issuer), "another connection is affected");
    await close();
  });
});
