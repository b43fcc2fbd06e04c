// Somebody without an identity provider: a password that a password manager can keep, a forgotten one, two tabs, the back button,
// links that are over; and an organization that demands its provider, with the exception that still comes in.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";
import { axe, fits, person, startBrowser } from "./lib/browser.mjs";
import { northwindYAML, startNorthwind } from "./lib/northwind.mjs";
import { until } from "./lib/vestibule.mjs";

const out = path.resolve(import.meta.dirname, "out");
const first = "seven quiet lamps over water";
const second = "a cart of oranges in march";

describe("signing in without a provider", { timeout: 400_000 }, () => {
  let here, browser, operator;
  before(async () => {
    mkdirSync(out, { recursive: true });
    browser = await startBrowser();
    here = await startNorthwind({ kind: "sqlite" });
    const offered = here.file("offered.yaml", northwindYAML.replace("enforce_sso: false", "enforce_sso: false\n    local_sign_in: [password, passkey]"));
    assert.equal(here.command("apply", offered).code, 0);
    operator = await person(browser);
    const link = await until("the one-time link", () => /(http:\/\/\S+\/setup#\S+)/.exec(here.nodes[0].output)?.[1]);
    const { page } = operator;
    await page.goto(link);
    await page.getByLabel("Your name").fill("Oda Operator");
    await page.getByLabel("Email").fill("oda@operator.example");
    await page.getByLabel("Password").fill("three herons left early");
    await page.getByRole("button", { name: "Become the operator" }).click();
    await page.waitForURL((u) => !u.pathname.startsWith("/setup"));

    // Gus is invited and chooses a password.
    assert.equal((await here.api("POST", "/invitations", { email: "gus@northwind.example" })).status, 201);
    const gus = await person(browser);
    await gus.page.goto(await letter("gus@northwind.example", /http:\/\/\S+\/invitation\/northwind\/\S+/));
    await gus.page.getByLabel("Password").fill(first);
    await gus.page.getByRole("button", { name: "Accept with a password" }).click();
    await gus.page.waitForURL(/\/o\/northwind/);
    await gus.close();
  });
  after(async () => {
    await browser?.close();
    await here?.remove();
  });

  /** What the newest letter to an address holds, read where the operator reads it. */
  const letter = async (email, pattern, not) =>
    until(`a letter to ${email}`, async () => {
      const { page } = operator;
      await page.goto(`${here.url}/operator/mailbox?q=${encodeURIComponent(email)}`);
      await page.getByRole("table").getByRole("link").first().click();
      const found = pattern.exec(await page.locator("pre").textContent())?.[0];
      return found !== not && found;
    });

  const reset = /http:\/\/\S+\/signin\/link\/reset\/\S+/;

  const seen = async (who, name) => {
    assert.deepEqual(await axe(who.page), []);
    assert.ok(await fits(who.page), `${name} has to be scrolled sideways`);
    await who.page.screenshot({ path: path.join(out, `local-${name}.png`), fullPage: true });
  };

  /** From the console's door to the page for a password. */
  const toPassword = async (page) => {
    await page.goto(`${here.url}/signin?return_to=/o/northwind/me`);
    await page.getByLabel("Email").fill("gus@northwind.example");
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByRole("link", { name: "Password or passkey" }).click();
    await page.getByLabel("Password").waitFor();
  };

  const signIn = async (page, password) => {
    await page.getByLabel("Email").fill("gus@northwind.example");
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
  };

  for (const look of [
    { name: "light", options: {} },
    { name: "dark-narrow-no-script", options: { colorScheme: "dark", viewport: { width: 320, height: 640 }, javaScriptEnabled: false } },
    { name: "phone", options: { viewport: { width: 390, height: 844 } } },
  ])
    test(`a password manager knows its fields, and the person comes in (${look.name})`, async () => {
      const gus = await person(browser, look.options);
      const { page } = gus;
      const view = async (name) => {
        if (look.options.javaScriptEnabled !== false) return seen(gus, `${look.name}-${name}`);
        await page.screenshot({ path: path.join(out, `local-${look.name}-${name}.png`), fullPage: true });
      };
      await toPassword(page);
      const fields = await page.locator("form[action='/signin/password'] input:not([type=hidden])").evaluateAll((all) => all.map((i) => [i.name, i.type, i.autocomplete]));
      assert.deepEqual(fields, [["email", "email", "username"], ["password", "password", "current-password"]]);
      await view("password");
      await signIn(page, "not the right one at all");
      await page.getByText("do not fit together").waitFor();
      await view("wrong");
      await signIn(page, first);
      await page.waitForURL(/\/o\/northwind\/me/);
      assert.deepEqual(gus.violations, []);
      await gus.close();
    });

  test("a forgotten password comes back by the mailbox, once", async () => {
    const gus = await person(browser, { javaScriptEnabled: false });
    const { page } = gus;
    const elsewhere = await person(browser);
    await toPassword(elsewhere.page);
    await signIn(elsewhere.page, first);
    await elsewhere.page.waitForURL(/\/o\/northwind\/me/);

    await toPassword(page);
    await page.getByRole("link", { name: /Forgotten your password/ }).click();
    await page.getByLabel("Email").fill("nobody@northwind.example");
    await page.getByRole("button", { name: "Send the link" }).click();
    await page.getByRole("heading", { name: "Look into your mailbox" }).waitFor();
    await page.goBack();
    await page.getByLabel("Email").fill("gus@northwind.example");
    await page.getByRole("button", { name: "Send the link" }).click();
    await page.getByRole("heading", { name: "Look into your mailbox" }).waitFor();
    const link = await letter("gus@northwind.example", reset);

    await page.goto(link);
    assert.equal(await page.locator("input[autocomplete='new-password']").count(), 1);
    assert.equal(await page.locator("input[autocomplete='username']").inputValue(), "gus@northwind.example");
    await page.getByLabel("New password").fill("northwind-2026");
    await page.getByRole("button", { name: "Set the password" }).click();
    await page.getByText("leans on your own name").waitFor();
    await page.getByLabel("New password").fill(second);
    await page.getByRole("button", { name: "Set the password" }).click();
    await page.getByRole("heading", { name: "Your password is set" }).waitFor();

    // Whoever was in is out, by the change alone.
    await elsewhere.page.goto(`${here.url}/o/northwind/me`);
    await elsewhere.page.waitForURL(/\/signin|\/interaction/);
    await elsewhere.close();

    await page.getByRole("link", { name: "Sign in", exact: true }).click();
    await signIn(page, second);
    await page.waitForURL(/\/o\/northwind\/me/);

    const late = await person(browser);
    await late.page.goto(link);
    await late.page.getByRole("heading", { name: "This link is over" }).waitFor();
    await seen(late, "link-used");
    await late.close();
    await gus.close();
  });

  test("a link that has expired says so, and offers another", async () => {
    const gus = await person(browser);
    await toPassword(gus.page);
    await gus.page.getByRole("link", { name: /Forgotten your password/ }).click();
    await seen(gus, "forgot");
    await gus.page.getByLabel("Email").fill("gus@northwind.example");
    await gus.page.getByRole("button", { name: "Send the link" }).click();
    await gus.page.getByRole("heading", { name: "Look into your mailbox" }).waitFor();
    await seen(gus, "forgot-sent");
    const link = await letter("gus@northwind.example", reset);
    await gus.page.goto(link);
    await seen(gus, "choose");
    const db = new DatabaseSync(here.store.url.replace("sqlite:", ""));
    db.exec("pragma busy_timeout = 5000; update personal_links set expires = 1 where used is null");
    db.close();
    await gus.page.getByLabel("New password").fill("nine grey geese over the dam");
    await gus.page.getByRole("button", { name: "Set the password" }).click();
    await gus.page.getByRole("heading", { name: "This link is over" }).waitFor();
    await gus.page.getByRole("link", { name: /ask for another/ }).click();
    await gus.page.getByLabel("Email").waitFor();
    assert.deepEqual(gus.violations, []);
    await gus.close();
  });

  test("two tabs at once, and the back button", async () => {
    const gus = await person(browser);
    const tab = await gus.context.newPage();
    await toPassword(gus.page);
    await toPassword(tab);
    await signIn(gus.page, second);
    await gus.page.waitForURL(/\/o\/northwind\/me/);
    await signIn(tab, second);
    await tab.waitForURL(/\/o\/northwind\/me/);
    // Back to a form that was used: it says what happened, and signs nobody out.
    await gus.page.goBack();
    await gus.page.getByRole("heading", { name: "This sign-in is over" }).waitFor();
    await gus.page.goto(`${here.url}/o/northwind/me`);
    await gus.page.getByRole("heading", { name: "My access" }).waitFor();
    await gus.close();
  });

  test("the person sets another password and moves to another address from their account", async () => {
    const gus = await person(browser);
    const { page } = gus;
    await toPassword(page);
    await signIn(page, second);
    await page.waitForURL(/\/o\/northwind\/me/);
    await page.goto(`${here.url}/o/northwind/me/password`);
    await seen(gus, "own-password");
    await page.getByLabel("New password").fill(first);
    await page.getByRole("button", { name: "Set the password" }).click();
    await page.getByText("Your password is set.").waitFor();
    await page.goto(`${here.url}/o/northwind/me/email`);
    await seen(gus, "own-address");
    await page.getByLabel("New address").fill("august@northwind.example");
    await page.getByRole("button", { name: "Send the link" }).click();
    await page.getByText("A link went to august@northwind.example").waitFor();
    await seen(gus, "own-address-asked");
    await page.goto(await letter("august@northwind.example", /http:\/\/\S+\/signin\/link\/address\/\S+/));
    await seen(gus, "confirm-address");
    await page.getByRole("button", { name: /^Use august@northwind\.example/ }).click();
    await page.getByRole("heading", { name: "Your address is confirmed" }).waitFor();
    assert.match(await letter("gus@northwind.example", /changed to august@northwind\.example/), /august/);
    // And back, for the tests that follow.
    await page.goto(`${here.url}/o/northwind/me/email`);
    await page.getByLabel("New address").fill("gus@northwind.example");
    await page.getByRole("button", { name: "Send the link" }).click();
    await page.goto(await letter("gus@northwind.example", /http:\/\/\S+\/signin\/link\/address\/\S+/));
    await page.getByRole("button", { name: /^Use gus@northwind\.example/ }).click();
    await page.getByRole("heading", { name: "Your address is confirmed" }).waitFor();
    assert.deepEqual(gus.violations, []);
    await gus.close();
  });

  for (const script of [true, false])
    test(`my account leads to everything of one's own${script ? "" : ", without script"}`, async () => {
      const gus = await person(browser, script ? {} : { javaScriptEnabled: false, colorScheme: "dark", viewport: { width: 390, height: 844 } });
      const { page } = gus;
      const view = async (name) => {
        if (!script) return page.screenshot({ path: path.join(out, `local-no-script-${name}.png`), fullPage: true });
        for (const [look, scheme, width] of [["light", "light", 1280], ["phone-dark", "dark", 390]]) {
          await page.emulateMedia({ colorScheme: scheme });
          await page.setViewportSize({ width, height: 900 });
          await seen(gus, `${look}-${name}`);
        }
      };
      const home = `${here.url}/o/northwind/me/security`;
      await toPassword(page);
      await signIn(page, first);
      await page.waitForURL(/\/o\/northwind\/me/);
      await page.goto(home);
      await view("account");
      for (const [link, heading] of [
        ["Change given name", "Your name"], ["Change email", "Address"], ["Choose another password", "Password"], ["Add a passkey", "Add a passkey"],
        ["Add an authenticator app", "Add an authenticator app"], ["Make recovery codes", "Recovery codes"], ["What you may do here, and why", "My access"],
        ["Which letters you get", "Letters to me"],
      ]) {
        await page.goto(home);
        await page.getByRole("main").getByRole("link", { name: link, exact: true }).click();
        await page.getByRole("heading", { level: 1, name: heading }).waitFor();
      }
      await page.goto(home);
      await page.getByRole("main").getByRole("link", { name: "Change name", exact: true }).click();
      await page.getByLabel("Name", { exact: true }).fill(script ? "Gus Guest" : "August Guest");
      await page.getByLabel("Given name").fill("August");
      await view("name");
      await page.getByRole("button", { name: "Save" }).click();
      await page.getByText("Your name is kept.").waitFor();
      await page.getByRole("main").getByText(script ? "Gus Guest" : "August Guest", { exact: true }).first().waitFor();
      assert.deepEqual(gus.violations, []);
      await gus.close();
    });

  test("both ways become one when the account's holder shows the other one", async () => {
    here.upstream.people.gus = { email: "gus@northwind.example", email_verified: true, name: "Gus Guest", oid: "oid-gus" };
    const gus = await person(browser);
    const { page } = gus;
    await page.goto(`${here.url}/signin?organization=northwind&connection=corp&return_to=/o/northwind/me`);
    await page.waitForURL(/\/interaction\//);
    await page.getByRole("link", { name: "gus", exact: true }).click();
    await page.getByText("address-taken").waitFor();
    await seen(gus, "address-taken");
    await page.getByRole("link", { name: "It is my account" }).click();
    await seen(gus, "join");
    await page.getByRole("link", { name: "Sign in the other way" }).click();
    await page.getByRole("link", { name: "Password or passkey" }).click();
    await signIn(page, first);
    await seen(gus, "join-confirm");
    await page.getByRole("button", { name: /^Join .* to my account$/ }).click();
    await page.waitForURL(/\/o\/northwind\/me/);
    await gus.close();

    const again = await person(browser);
    await again.page.goto(`${here.url}/signin?organization=northwind&connection=corp&return_to=/o/northwind/me`);
    await again.page.waitForURL(/\/interaction\//);
    await again.page.getByRole("link", { name: "gus", exact: true }).click();
    await again.page.waitForURL(/\/o\/northwind\/me/);
    await again.close();
  });

  test("where the provider is demanded a password opens nothing, and a break-glass exception comes in", async () => {
    const { page } = operator;
    await page.goto(`${here.url}/o/northwind/rules`);
    await seen(operator, "rules");
    await page.getByText("A test sign-in through Northwind SSO").waitFor();
    const demanded = here.file("demanded.yaml", northwindYAML.replace("enforce_sso: false", "enforce_sso: true\n    local_sign_in: [password, passkey]"));
    const applied = here.command("apply", demanded);
    assert.equal(applied.code, 0, applied.text);
    const gus = await person(browser);
    const toForm = () => gus.page.goto(`${here.url}/signin?organization=northwind&way=password&return_to=/o/northwind/me`);
    await toForm();
    await signIn(gus.page, first);
    await gus.page.getByText("sso-enforced").waitFor();
    await seen(gus, "enforced");

    await page.goto(`${here.url}/o/northwind/rules`);
    await page.getByText("In force").waitFor();
    await page.getByLabel("Address").fill("gus@northwind.example");
    await page.getByLabel("Why").fill("keeps the keys");
    await page.getByRole("button", { name: "Name the exception" }).click();
    await page.getByText("gus@northwind.example may sign in without the provider").waitFor();
    await seen(operator, "rules-exception");
    await toForm();
    await signIn(gus.page, first);
    await gus.page.waitForURL(/\/o\/northwind\/me/);
    await gus.page.goto(`${here.url}/o/northwind/me/break-glass`);
    await gus.page.getByRole("button", { name: "Make a code" }).click();
    const code = (await gus.page.locator(".copy code").textContent()).trim();
    await seen(gus, "break-glass-made");

    const shut = await person(browser, { javaScriptEnabled: false });
    await shut.page.goto(`${here.url}/signin?organization=northwind&way=password&return_to=/o/northwind/me`);
    await shut.page.getByRole("link", { name: "Use a break-glass code" }).click();
    await shut.page.getByLabel("Email").fill("gus@northwind.example");
    await shut.page.getByLabel("Break-glass code").fill(code.toLowerCase());
    await shut.page.getByRole("button", { name: "Come in" }).click();
    await shut.page.waitForURL(/\/o\/northwind\/me/);
    await shut.close();

    // The operator's way back, for whoever is left without anything.
    const recovered = here.command("recover", "--organization", "northwind", "--user", "gus@northwind.example");
    assert.equal(recovered.code, 0, recovered.text);
    const back = await person(browser);
    await back.page.goto(recovered.out.trim());
    await seen(back, "recover");
    await back.page.getByRole("button", { name: /^Sign in as/ }).click();
    await back.page.waitForURL(/\/o\/northwind/);
    await back.close();
    await gus.close();
  });
});
