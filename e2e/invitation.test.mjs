// Somebody is invited, gets the letter, and comes in: through the company's provider, by a password, by a passkey. And what a
// link says that opens nothing any more.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { axe, fits, person, startBrowser } from "./lib/browser.mjs";
import { entraUser, signIn, startNorthwind } from "./lib/northwind.mjs";
import { until } from "./lib/vestibule.mjs";

const out = path.resolve(import.meta.dirname, "out");

describe("invitations", { timeout: 300_000 }, () => {
  let here, browser, operator;
  before(async () => {
    mkdirSync(out, { recursive: true });
    browser = await startBrowser();
    // A browser keeps passkeys for names, not for addresses.
    here = await startNorthwind({ kind: "sqlite", host: "localhost" });
    operator = await person(browser);
    const link = await until("the one-time link", () => /(http:\/\/\S+\/setup#\S+)/.exec(here.nodes[0].output)?.[1]);
    const { page } = operator;
    await page.goto(link);
    await page.getByLabel("Your name").fill("Oda Operator");
    await page.getByLabel("Email").fill("oda@operator.example");
    await page.getByLabel("Password").fill("three herons left early");
    await page.getByRole("button", { name: "Become the operator" }).click();
    await page.waitForURL((u) => !u.pathname.startsWith("/setup"));
  });
  after(async () => {
    await browser?.close();
    await here?.remove();
  });

  const invite = async (email, grants = []) => {
    const made = await here.api("POST", "/invitations", { email, grants });
    assert.equal(made.status, 201, JSON.stringify(made.json));
    assert.equal(made.json.link, undefined, "a link leaves the house by the letter alone");
    return made.json;
  };

  /** The link of the newest letter to an address, read where the operator reads it. */
  const linkFor = async (email, not) =>
    until(`a letter to ${email}`, async () => {
      const { page } = operator;
      await page.goto(`${here.url}/operator/mailbox?q=${encodeURIComponent(email)}`);
      await page.getByRole("table").getByRole("link").first().click();
      const text = await page.locator("pre").textContent();
      const link = /http:\/\/\S+\/invitation\/northwind\/\S+/.exec(text)?.[0];
      return link !== not && link;
    });

  const someone = async (options) => {
    const who = await person(browser, options);
    return Object.assign(who, {
      /** Every page on the way is looked at as every page is. */
      async seen(name) {
        assert.deepEqual(await axe(who.page), []);
        assert.ok(await fits(who.page), `${name} has to be scrolled sideways`);
        await who.page.screenshot({ path: path.join(out, `invitation-${name}.png`), fullPage: true });
      },
    });
  };

  const pick = (page, name) => page.getByRole("link", { name, exact: true }).click();

  test("the dialog invites with roles and letters, and the provider's account accepts", async () => {
    here.upstream.people.ines = { email: "ines@northwind.example", email_verified: true, name: "Ines Iversen", oid: "oid-ines" };
    const { page } = operator;
    await page.goto(`${here.url}/o/northwind/invitations`);
    await page.getByRole("link", { name: "Invite somebody" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Email address").fill("ines@northwind.example");
    await dialog.locator("#role-asset-editor").check();
    await dialog.locator("#resource-london-1").check();
    await dialog.getByText("Gained at London 1").or(dialog.getByText("London 1").nth(1)).first().waitFor();
    await dialog.locator("#letter-expiry").uncheck();
    assert.equal(await dialog.getByLabel("Email address").inputValue(), "ines@northwind.example", "what was typed stays");
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: path.join(out, "dialog-invite.png") });
    await dialog.getByRole("button", { name: "Invite", exact: true }).click();
    await page.getByRole("status").getByText("ines@northwind.example is invited.").waitFor();
    await page.getByRole("row", { name: /ines@northwind\.example.*Asset Editor at London 1.*Oda Operator/ }).waitFor();

    const link = await linkFor("ines@northwind.example");
    const frame = page.frameLocator("iframe");
    await frame.getByRole("link", { name: "Accept the invitation" }).waitFor();
    await page.screenshot({ path: path.join(out, "mailbox-letter.png"), fullPage: true });

    const ines = await someone({ javaScriptEnabled: false });
    await ines.page.goto(link);
    assert.ok(!ines.page.url().includes(link.split("/").pop()), "the token stays in no address");
    await ines.page.getByText("Asset Editor at London 1").waitFor();
    await ines.page.screenshot({ path: path.join(out, "invitation-open.png"), fullPage: true });
    await ines.page.getByRole("button", { name: /^Accept with/ }).first().click();
    await ines.page.waitForURL(/\/interaction\//);
    await pick(ines.page, "ines");
    await ines.page.waitForURL(/\/o\/northwind\/me/);
    await ines.page.getByText("Asset Editor").first().waitFor();
    await ines.close();

    const users = (await here.api("GET", "/users?q=ines")).json.items;
    assert.equal(users.length, 1);
    assert.equal(users[0].status, "active");
    const access = (await here.api("GET", `/users/${users[0].id}/access`)).json;
    assert.ok(access.grants.some((g) => g.role === "asset-editor" && g.resource === "london-1" && g.source === "invitation"), JSON.stringify(access.grants));

    // She comes back without any invitation, and is the same.
    const again = await someone();
    const { claims } = await signIn(here, again.page, "ines");
    assert.equal(claims.sub, users[0].id);
    await again.close();

    // The link is used.
    const late = await someone();
    await late.page.goto(link);
    await late.page.getByText("was accepted already").waitFor();
    await late.seen("used");
    await late.close();
    assert.deepEqual(ines.violations, []);
  });

  test("resent, expired and revoked links say what to do", async () => {
    const made = await invite("ren@northwind.example");
    const first = await linkFor("ren@northwind.example");
    const ren = await someone();
    await ren.page.goto(first);
    await ren.page.getByRole("heading", { name: /You are invited to/ }).waitFor();
    await ren.seen("page");

    const { page } = operator;
    await page.goto(`${here.url}/o/northwind/invitations?q=ren`);
    await page.getByRole("link", { name: "Send the invitation of ren@northwind.example again" }).click();
    await page.screenshot({ path: path.join(out, "dialog-invitation-resend.png") });
    await page.getByRole("dialog").getByRole("button", { name: "Send again" }).click();
    await page.getByRole("status").getByText("was sent again").waitFor();
    const second = await linkFor("ren@northwind.example", first);

    // What the first link began is over too, on the page that is still open.
    await ren.page.getByRole("button", { name: "Accept with a password" }).waitFor();
    await ren.page.getByLabel("Password").fill("seven quiet lamps over water");
    await ren.page.getByRole("button", { name: "Accept with a password" }).click();
    await ren.page.getByText("sent once more").waitFor();
    await ren.page.goto(first);
    await ren.page.getByText("opens no invitation").waitFor();
    await ren.seen("void");

    here.store.change(`update invitations set expires = 1 where id = '${made.id}'`);
    await ren.page.goto(second);
    await ren.page.getByText("has expired").waitFor();
    await ren.seen("expired");
    await page.goto(`${here.url}/o/northwind/invitations?q=ren`);
    await page.getByRole("row", { name: /Expired/ }).waitFor();

    await here.api("POST", `/invitations/${made.id}/resend`);
    const third = await linkFor("ren@northwind.example", second);
    await page.goto(`${here.url}/o/northwind/invitations?q=ren`);
    await page.getByRole("link", { name: "Revoke the invitation of ren@northwind.example" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("status").getByText("is revoked").waitFor();
    await ren.page.goto(third);
    await ren.page.getByText("taken back").waitFor();
    await ren.seen("revoked");
    assert.equal((await here.api("GET", "/users?q=ren@&status=pending")).json.items.length, 0);
    await ren.close();
  });

  test("a password accepts, and opens the door the next time", async () => {
    await invite("paula@northwind.example", [{ role: "viewer", resource: "emea" }]);
    const paula = await someone();
    const { page } = paula;
    await page.goto(await linkFor("paula@northwind.example"));
    await page.getByLabel("Your name").fill("Paula Password");
    await page.getByLabel("Password").fill("paula northwind");
    await page.getByRole("button", { name: "Accept with a password" }).click();
    await page.locator(".field-error").waitFor();
    await paula.seen("weak");
    await page.getByLabel("Password").fill("seven quiet lamps over water");
    await page.getByRole("button", { name: "Accept with a password" }).click();
    await page.waitForURL(/\/o\/northwind\/me/);
    await page.getByText("Paula Password").first().waitFor();
    await paula.close();
    const again = await someone();
    await again.page.goto(`${here.url}/signin?${new URLSearchParams({ organization: "northwind", login_hint: "paula@northwind.example", way: "password", return_to: "/o/northwind/me" })}`);
    await again.page.getByLabel("Password").fill("seven quiet lamps over water");
    await again.page.getByRole("button", { name: "Sign in", exact: true }).click();
    await again.page.waitForURL(/\/o\/northwind\/me/);
    await again.close();
  });

  test("a passkey accepts", async () => {
    await invite("petra@northwind.example");
    const petra = await someone();
    const { page } = petra;
    const devtools = await petra.context.newCDPSession(page);
    await devtools.send("WebAuthn.enable");
    await devtools.send("WebAuthn.addVirtualAuthenticator", {
      options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
    });
    await page.goto(await linkFor("petra@northwind.example"));
    await page.getByRole("button", { name: "Accept with a passkey" }).click();
    await page.waitForURL(/\/signin\/enrol/);
    const petras = async () => (await here.api("GET", "/users?q=petra")).json.items[0].status;
    assert.equal(await petras(), "pending", "nobody is in before a passkey is kept");
    await page.getByRole("button", { name: "Make the passkey" }).click();
    await page.waitForURL(/\/o\/northwind\/me/);
    assert.equal(await petras(), "active");
    await petra.close();
  });

  test("another account of the provider is told so, and takes nothing", async () => {
    await invite("ole@northwind.example");
    const link = await linkFor("ole@northwind.example");
    await here.entra("POST", "/Users", entraUser("ann"));
    for (const [who, words] of [["eve", /You were invited as ole@northwind\.example, and signed in as eve@foreign\.example/], ["ann", /You are here already/]]) {
      const stranger = await someone();
      await stranger.page.goto(link);
      await stranger.page.getByRole("button", { name: /^Accept with/ }).first().click();
      await stranger.page.waitForURL(/\/interaction\//);
      await pick(stranger.page, who);
      await stranger.page.getByText(words).first().waitFor();
      await stranger.seen(`other-${who}`);
      await stranger.close();
    }
    // Neither tied the account to anybody, and the invitation waits on.
    assert.equal((await here.api("GET", "/users?q=ole@")).json.items[0].status, "pending");
  });

  test("who has an invitation waiting is sent to it when they sign in without it", async () => {
    here.upstream.people.jon = { email: "jon@northwind.example", email_verified: true, name: "Jon", oid: "oid-jon" };
    await invite("jon@northwind.example");
    const jon = await someone();
    await signIn(here, jon.page, "jon");
    await jon.page.getByRole("heading", { name: "Your invitation waits" }).waitFor();
    await jon.close();
  });

  test("a directory that brings an invited person meets the invitation, and what it gave stays", async () => {
    const made = await invite("kim@northwind.example", [{ role: "asset-editor", resource: "london-1" }]);
    const link = await linkFor("kim@northwind.example");
    const refused = await here.entra("POST", "/Users", entraUser("kim"));
    assert.equal(refused.status, 409);
    const [conflict] = (await here.api("GET", "/conflicts")).json.items.filter((c) => JSON.stringify(c).includes("kim@"));
    await here.api("POST", `/conflicts/${conflict.id}/resolve`, { decision: "same-person" });
    const joined = await here.entra("POST", "/Users", entraUser("kim"));
    assert.equal(joined.status, 201, JSON.stringify(joined.json));
    assert.equal(joined.json.id, made.user);
    const access = (await here.api("GET", `/users/${made.user}/access`)).json;
    assert.ok(access.grants.some((g) => g.role === "asset-editor" && g.source === "invitation"), JSON.stringify(access));
    const kim = await someone();
    await kim.page.goto(link);
    await kim.page.getByText("You do not need this invitation any more").waitFor();
    await kim.seen("overtaken");
    await kim.close();
  });

  test("a list is judged before anything is sent, then sent", async () => {
    const { page } = operator;
    await page.goto(`${here.url}/o/northwind/invitations/list`);
    await page.locator("#file").setInputFiles({
      name: "people.csv", mimeType: "text/csv",
      buffer: Buffer.from("email,name,roles,resource\nlea@northwind.example,Lea,viewer,emea\nLEA@northwind.example,Lea,,\nbad address,,,\nx@gmail.example,,,\nlou@northwind.example,Lou,no-such-role,\nole@northwind.example,,,\nlars@northwind.example,\"=cmd()\",viewer asset-editor@london-1,\n"),
    });
    await page.getByRole("button", { name: "Check the list" }).click();
    await page.getByRole("heading", { name: "What would become of each" }).waitFor();
    for (const [row, words] of [[/lea@.*Will be sent/, ""], [/LEA@/, "same address stands in line 2"], [/bad address/, "is not an email address"], [/gmail/, "invites only addresses of"], [/lou@/, "There is no role"], [/ole@/, "is invited already"], [/lars@.*Will be sent/, ""]]) {
      await page.getByRole("row", { name: row }).getByText(words || "Will be sent").first().waitFor();
    }
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: path.join(out, "light-in-invitation-verdicts.png"), fullPage: true });
    assert.equal((await here.api("GET", "/invitations?q=lea@")).json.items.length, 0, "nothing is sent by looking");
    await page.getByRole("button", { name: "Invite 2 people" }).click();
    await page.getByText("2 people invited.").waitFor();
    await page.getByText("Letters sent: 2 of 2").waitFor({ timeout: 15_000 });
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: path.join(out, "light-in-invitation-progress.png"), fullPage: true });
    await linkFor("lars@northwind.example");
  });

  test("letters are chosen by the person later", async () => {
    const ines = await someone();
    await signIn(here, ines.page, "ines");
    await ines.page.goto(`${here.url}/o/northwind/me/letters`);
    await ines.page.getByLabel("Changes of your access").uncheck();
    await ines.page.getByRole("button", { name: "Save" }).click();
    await ines.page.getByRole("status").getByText("is kept").waitFor();
    assert.equal(await ines.page.getByLabel("Changes of your access").isChecked(), false);
    await ines.seen("letters");
    await ines.close();
  });

  test("nothing on the way was against the pages' policy", () => {
    assert.deepEqual(operator.violations.filter((v) => !/status of 4\d\d/.test(v)), []);
  });
});
