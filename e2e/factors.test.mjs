// Second factors as a person meets them: a passkey in Chromium's virtual authenticator, an app whose codes are worked out here, a
// recovery code; asked for, set up on the way in, and proved anew.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { mkdirSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { axe, fits, person, startBrowser } from "./lib/browser.mjs";
import { entraUser, northwindYAML, signIn, startNorthwind } from "./lib/northwind.mjs";
import { until } from "./lib/vestibule.mjs";

const out = path.resolve(import.meta.dirname, "out");

/** The code that an authenticator app shows (RFC 6238): SHA-1, six digits, thirty seconds. */
function totp(key, at = Date.now()) {
  const bits = [...key.replace(/[\s=]/g, "")].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
  const secret = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const mac = createHmac("sha1", secret).update(step).digest();
  const from = mac[19] & 15;
  return String((mac.readUInt32BE(from) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

/** A code that was not used yet: each is good once. */
const used = new Set();
const fresh = (key) =>
  until("the app's next code", () => {
    for (const at of [Date.now(), Date.now() + 30_000]) {
      const code = totp(key, at);
      if (!used.has(key + code)) return used.add(key + code) && code;
    }
  }, 70);

/** Gives a page an authenticator of its own: a telephone whose owner is always there. */
async function authenticator(page) {
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("WebAuthn.enable", { enableUI: false });
  const { authenticatorId } = await cdp.send("WebAuthn.addVirtualAuthenticator", {
    options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
  return {
    credentials: async () => (await cdp.send("WebAuthn.getCredentials", { authenticatorId })).credentials,
    verified: (isUserVerified) => cdp.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified }),
    present: (enabled) => cdp.send("WebAuthn.setAutomaticPresenceSimulation", { authenticatorId, enabled }),
  };
}

const carrierSecret = "who carries our messages knows this";

/** Who carries text messages for an organization: takes them signed by HTTP, keeps them, and is away when it is told to be. */
async function startCarrier() {
  const carrier = { messages: [], refused: 0, away: false };
  const server = http.createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString();
    const { "webhook-id": id, "webhook-timestamp": at, "webhook-signature": signature } = request.headers;
    const want = `v1,${createHmac("sha256", carrierSecret).update(`${id}.${at}.${body}`).digest("base64")}`;
    if (signature !== want) carrier.refused++;
    else if (!carrier.away) carrier.messages.push(JSON.parse(body));
    response.writeHead(carrier.away || signature !== want ? 503 : 202).end();
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  carrier.url = `http://127.0.0.1:${server.address().port}/send`;
  carrier.stop = () => new Promise((done) => (server.closeAllConnections(), server.close(done)));
  /** The code of the message after the first n. */
  carrier.code = (n) => until("a text message", () => /^\d{6}/.exec(carrier.messages[n]?.text ?? "")?.[0]);
  return carrier;
}

const looks = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { colorScheme: "light", viewport: { width: 390, height: 844 } },
  narrow: { colorScheme: "dark", viewport: { width: 320, height: 640 } },
};

for (const kind of ["sqlite", "postgres"]) {
  describe(`second factors on ${kind}`, { timeout: 400_000 }, () => {
    let here, browser, carrier;
    const problems = [];
    before(async () => {
      mkdirSync(out, { recursive: true });
      browser = await startBrowser();
      here = await startNorthwind({ kind, nodes: kind === "postgres" ? 2 : 1, host: "localhost", environment: { SMS_SECRET: carrierSecret } });
      carrier = await startCarrier();
      for (const name of ["ann", "ben", "olive"]) await here.entra("POST", "/Users", entraUser(name));
    });
    after(async () => {
      await browser?.close();
      await carrier?.stop();
      await here?.remove();
    });

    /** Looks at the page as it stands: axe, width, and a picture in every look. */
    async function look(page, name, script = true) {
      if (!script) {
        // Nothing can be asked of a page without script; its picture is looked at.
        if (kind === "sqlite") await page.screenshot({ path: path.join(out, `light-factor-${name}.png`), fullPage: true });
        return;
      }
      for (const finding of await axe(page)) problems.push(`${name}: ${finding}`);
      const size = page.viewportSize();
      for (const [look, options] of Object.entries(looks)) {
        await page.emulateMedia({ colorScheme: options.colorScheme });
        await page.setViewportSize(options.viewport ?? size);
        if (!(await fits(page))) problems.push(`${name}, ${look}: has to be scrolled sideways`);
        if (kind === "sqlite") await page.screenshot({ path: path.join(out, `${look}-factor-${name}.png`), fullPage: true });
      }
      await page.emulateMedia({ colorScheme: "light" });
      await page.setViewportSize(size);
    }

    const account = () => `${here.url}/o/northwind/me/security`;

    /** Signs in to the console through the company's provider. */
    async function enter(page, name, to = account()) {
      await page.goto(`${here.url}/signin?${new URLSearchParams({ organization: "northwind", connection: "corp", return_to: new URL(to).pathname })}`);
      if (page.url().startsWith(`${here.upstream.issuer}/interaction/`)) await page.getByRole("link", { name, exact: true }).click();
    }

    const demand = (more) => {
      let text = northwindYAML;
      for (const [from, to] of more) text = text.replace(from, to);
      const applied = here.command("apply", here.file("demand.yaml", text));
      assert.equal(applied.code, 0, applied.text);
    };

    test("a passkey is enrolled, named, used and removed", async () => {
      const who = await person(browser);
      const device = await authenticator(who.page);
      await enter(who.page, "ann");
      await who.page.waitForURL(account());
      await who.page.getByRole("heading", { name: "My account" }).waitFor();
      assert.match(await who.page.locator("main").innerText(), /The directory Northwind|The directory .*Entra/i);
      await look(who.page, "account-empty");
      const before = (await who.context.cookies()).find((c) => c.name === "vestibule_s_northwind").value;
      await who.page.getByRole("link", { name: "Add a passkey" }).click();
      await who.page.getByLabel("What to call it").fill("Ann’s telephone");
      await look(who.page, "enrol-passkey");
      await who.page.getByRole("button", { name: "Make the passkey" }).click();
      await who.page.waitForURL(account());
      assert.equal((await device.credentials()).length, 1);
      const after = (await who.context.cookies()).find((c) => c.name === "vestibule_s_northwind");
      assert.notEqual(after.value, before, "the session's handle is new");
      assert.ok(after.httpOnly && after.sameSite === "Lax");
      assert.equal(await who.page.getByLabel("Name of this factor").inputValue(), "Ann’s telephone");
      await look(who.page, "account");

      // The company demands it from now on: the passkey is asked for after its provider, and one without verification is refused.
      demand([["require_mfa: false", "require_mfa: true"]]);
      await who.context.clearCookies();
      await device.present(false);
      await enter(who.page, "ann");
      await who.page.getByRole("heading", { name: "One more step" }).waitFor();
      await look(who.page, "passkey");
      await device.present(true);
      await who.page.getByRole("button", { name: "Use your passkey" }).click();
      await who.page.waitForURL(account());

      // Removing the last one is refused while it is demanded, with a sentence.
      await who.page.getByRole("link", { name: "Remove Ann’s telephone" }).click();
      await look(who.page, "remove");
      await who.page.getByRole("button", { name: "Remove" }).click();
      await who.page.getByText(/This is your last second factor/).waitFor();
      assert.deepEqual(who.violations, []);
      await who.close();
    });

    test("the demand is met by an app set up on the way in, without script", async () => {
      const who = await person(browser, { javaScriptEnabled: false });
      await enter(who.page, "ben");
      await who.page.getByRole("heading", { name: "Set up a second factor" }).waitFor();
      await look(who.page, "set-up", false);
      await who.page.getByRole("link", { name: /A passkey/ }).click();
      await who.page.getByText("Passkeys need script").waitFor();
      await look(who.page, "no-script", false);
      await who.page.getByRole("link", { name: "Choose something else" }).click();
      await who.page.getByRole("link", { name: /An authenticator app/ }).click();
      const shown = await who.page.request.get(new URL(await who.page.locator(".qr img").getAttribute("src"), here.url).href);
      assert.equal(shown.headers()["content-type"], "image/png");
      await who.page.locator("summary").click();
      await look(who.page, "enrol-app", false);
      const key = await who.page.locator("#totp-key").innerText();
      await who.page.getByLabel("The six digits").fill("000000");
      await who.page.getByRole("button", { name: "Add the app" }).click();
      await who.page.getByText("This code does not fit").waitFor();
      await look(who.page, "enrol-app-wrong", false);
      const spent = await fresh(key);
      await who.page.getByLabel("The six digits").fill(spent);
      await who.page.getByRole("button", { name: "Add the app" }).click();
      await who.page.waitForURL(account());

      // Recovery codes, shown once and kept as a file.
      await who.page.getByRole("link", { name: "Make recovery codes" }).click();
      await look(who.page, "recovery", false);
      await who.page.getByRole("button", { name: "Make recovery codes" }).click();
      const codes = await who.page.locator("#codes code").allInnerTexts();
      assert.equal(codes.length, 10);
      await look(who.page, "recovery-codes", false);
      const [download] = await Promise.all([who.page.waitForEvent("download"), who.page.getByRole("link", { name: "Save as a file" }).click()]);
      assert.equal(download.suggestedFilename(), "recovery-codes.txt");
      // Loaded again: those that were saved hold, and no others are made unasked.
      await who.page.reload();
      await who.page.getByText("They are not shown again").waitFor();
      assert.equal(await who.page.locator("#codes").count(), 0);
      await look(who.page, "recovery-again", false);
      await who.page.getByRole("button", { name: "I have kept them" }).click();
      await who.page.waitForURL(account());
      await who.page.getByText("10 recovery codes left").waitFor();

      // The next time: the spent code is refused, the next one is taken.
      await who.context.clearCookies();
      await enter(who.page, "ben");
      await who.page.getByLabel("The code that your authenticator app shows").fill(spent);
      await who.page.getByRole("button", { name: "Continue" }).click();
      await who.page.getByText("This code does not fit").waitFor();
      await look(who.page, "code-wrong", false);
      await who.page.getByLabel("The code that your authenticator app shows").fill(await fresh(key));
      await who.page.getByRole("button", { name: "Continue" }).click();
      await who.page.waitForURL(account());

      // And without the telephone: another way, once.
      await who.context.clearCookies();
      await enter(who.page, "ben");
      await who.page.getByRole("link", { name: /A recovery code/ }).click();
      await look(who.page, "recovery-code", false);
      await who.page.getByLabel("A recovery code").fill(codes[0].toUpperCase());
      await who.page.getByRole("button", { name: "Continue" }).click();
      await who.page.waitForURL(account());
      await who.page.getByText("9 recovery codes left").waitFor();
      await who.close();
    });

    test("an application is told what was shown, and may ask for more of a session", async () => {
      demand([]);
      const who = await person(browser);
      const device = await authenticator(who.page);
      const first = await signIn(here, who.page, "olive");
      assert.equal(first.claims.acr ?? "", "");
      assert.ok(!(first.claims.amr ?? []).includes("mfa"));
      await who.page.goto(`${here.application.home}/login?${new URLSearchParams({ login_hint: "olive@northwind.example", acr_values: "phr" })}`);
      await who.page.getByText("asks for a passkey").waitFor();
      await look(who.page, "set-up-scripted");
      await who.page.getByRole("link", { name: /A passkey/ }).click();
      await who.page.getByRole("button", { name: "Make the passkey" }).click();
      await until("the application's tokens", () => here.application.last?.claims?.amr);
      assert.ok(here.application.last.claims.amr.includes("mfa"), JSON.stringify(here.application.last.claims));
      assert.equal(here.application.last.claims.acr, "phr");
      assert.equal((await device.credentials()).length, 1);

      assert.deepEqual(who.violations, []);
      await who.close();
    });

    test("a passkey alone signs in where the organization allows it, from the address field", async () => {
      demand([["require_mfa: false", "require_mfa: false\n    local_sign_in: [passkey, password]"]]);
      const who = await person(browser);
      await authenticator(who.page);
      await enter(who.page, "olive");
      // Olive's passkey is on another telephone: this one is added with it, so the session must show a factor first.
      await who.page.waitForURL(account());
      await who.page.getByRole("link", { name: "Add an authenticator app" }).click();
      await who.page.getByText("adding another one asks for it").waitFor();
      await look(who.page, "asks-before-adding");
      await who.close();

      const other = await person(browser);
      const phone = await authenticator(other.page);
      await here.entra("POST", "/Users", entraUser("nora"));
      await enter(other.page, "nora");
      await other.page.waitForURL(account());
      await other.page.getByRole("link", { name: "Add a passkey" }).click();
      await other.page.getByRole("button", { name: "Make the passkey" }).click();
      await other.page.waitForURL(account());
      await other.context.clearCookies();
      await phone.present(false);
      await other.page.goto(`${here.url}/signin?return_to=/o/northwind/me/security`);
      assert.equal(await other.page.getByLabel("Email").getAttribute("autocomplete"), "username webauthn");
      await other.page.getByRole("button", { name: "Sign in with a passkey" }).waitFor();
      await look(other.page, "signin");
      // The field offers the passkey by itself; the button is for whoever does not see it. Whichever answers first.
      await phone.present(true);
      await other.page.getByRole("button", { name: "Sign in with a passkey" }).click().catch(() => {});
      await other.page.waitForURL(account());
      assert.deepEqual(other.violations, []);
      await other.close();
    });

    test("codes come by text message: a wrong one, a late one, too many, and a carrier that is away", async () => {
      const messages = `messages: {url: "${carrier.url}", secret: {env: SMS_SECRET}}`;
      demand([["require_mfa: false", `require_mfa: false\n    ${messages}`]]);
      here.upstream.people.sam = { email: "sam@northwind.example", email_verified: true, name: "Sam of Northwind", oid: "oid-sam" };
      await here.entra("POST", "/Users", entraUser("sam"));
      const who = await person(browser);
      const { page } = who;
      const code = () => page.getByLabel(/^The code that was sent to/);
      const answer = async (text, button = "Continue") => {
        await code().fill(text);
        await page.getByRole("button", { name: button }).click();
      };
      await enter(page, "sam");
      await page.waitForURL(account());
      await page.getByRole("link", { name: "Get codes by text message" }).click();
      await page.getByLabel("Telephone number").fill("0170 1234567");
      await page.getByRole("button", { name: "Send the code" }).click();
      await page.getByText("This is not a telephone number").waitFor();
      await look(page, "enrol-sms-number");
      await page.getByLabel("Telephone number").fill("+49 (170) 1234-567");
      await page.getByRole("button", { name: "Send the code" }).click();
      const first = await carrier.code(0);
      assert.equal(carrier.messages[0].to, "+491701234567");
      assert.match(carrier.messages[0].text, new RegExp(`\n\n@localhost #${first}$`), "the telephone offers it on our pages alone");
      await answer(first === "000000" ? "000001" : "000000", "Switch it on");
      await page.getByText("This code does not fit").waitFor();
      await look(page, "enrol-sms-wrong");
      await answer(first, "Switch it on");
      await page.waitForURL(account());
      await page.getByRole("cell", { name: "***567", exact: true }).waitFor();
      // An app beside it, so that there is another way.
      await page.getByRole("link", { name: "Add an authenticator app" }).click();
      await page.locator("summary").click();
      const key = await page.locator("#totp-key").innerText();
      await page.getByLabel("The six digits").fill(await fresh(key));
      await page.getByRole("button", { name: "Add the app" }).click();
      await page.waitForURL(account());

      demand([["require_mfa: false", `require_mfa: true\n    ${messages}`]]);
      const ask = async () => {
        await who.context.clearCookies();
        await enter(page, "sam");
        await page.getByRole("link", { name: /A code to your telephone/ }).click();
      };
      const send = (name = "Send a code to ***567") => page.getByRole("button", { name }).click();
      await ask();
      await look(page, "sms");
      await send();
      await answer("12345");
      await page.getByText("This code does not fit").waitFor();
      await look(page, "sms-wrong");
      await answer(await carrier.code(1));
      await page.waitForURL(account());

      // Of five wrong ones the sixth is not judged, be it right: another code is asked for on the same page.
      await ask();
      await send();
      const right = await carrier.code(2);
      for (let i = 0; i < 5; i++) {
        await answer("12345");
        await page.getByText("This code does not fit").waitFor();
      }
      await answer(right);
      await page.getByText("This code is over").waitFor();
      await look(page, "sms-over");
      await page.getByRole("link", { name: /An authenticator app/ }).waitFor();
      await send();
      await answer(await carrier.code(3));
      await page.waitForURL(account());

      // One that comes too late.
      await ask();
      await send();
      const late = await carrier.code(4);
      here.store.change("update challenges set expires = 1 where kind = 'code/sms'");
      await answer(late);
      await page.getByText("This code is over").waitFor();
      // Six within a quarter of an hour are too many: it says so where the last one still could be typed.
      await send();
      await page.getByText("Several codes were sent to you just now").waitFor();
      await look(page, "sms-flood");
      assert.equal(carrier.messages.length, 5);

      // The carrier is away: the page says so at once and the app is offered; the code comes by itself when it is back.
      here.store.change("delete from counters where name like '%factor/sent/%'");
      carrier.away = true;
      await ask();
      await send();
      await page.getByText("The text message could not be handed over").waitFor();
      await look(page, "sms-away");
      await page.getByRole("link", { name: /An authenticator app/ }).click();
      await page.getByLabel("The code that your authenticator app shows").fill(await fresh(key));
      await page.getByRole("button", { name: "Continue" }).click();
      await page.waitForURL(account());
      await ask();
      await send();
      await page.getByText("The text message could not be handed over").waitFor();
      carrier.away = false;
      const [a, b] = [await carrier.code(5), await carrier.code(6)];
      await answer(a);
      if (await page.getByText("This code does not fit").count()) await answer(b);
      await page.waitForURL(account());
      assert.equal(carrier.refused, 0, "every message was signed");
      assert.deepEqual(who.violations.filter((v) => !/status of 4\d\d/.test(v)), []);
      await who.close();
    });

    test("an operator adds a passkey and recovery codes, is asked for them, and comes back without by the terminal", async () => {
      const words = "three herons left early";
      const who = await person(browser);
      const { page } = who;
      const device = await authenticator(page);
      const link = await until("the one-time link", () => /(http:\/\/\S+\/setup#\S+)/.exec(here.nodes[0].output)?.[1]);
      await page.goto(link);
      await page.getByLabel("Your name").fill("Oda Operator");
      await page.getByLabel("Email").fill("oda@operator.example");
      await page.getByLabel("Password").fill(words);
      await page.getByRole("button", { name: "Become the operator" }).click();
      await page.getByRole("link", { name: "Oda Operator" }).click();
      await page.getByRole("heading", { name: "Your security" }).waitFor();
      await look(page, "operator-empty");
      await page.getByRole("link", { name: "Add a passkey" }).click();
      await page.getByLabel("What to call it").fill("Oda’s key");
      await look(page, "operator-enrol");
      await page.getByRole("button", { name: "Make the passkey" }).click();
      await page.getByRole("row", { name: /Oda’s key/ }).waitFor();
      assert.equal((await device.credentials()).length, 1);
      await page.getByRole("link", { name: "Make recovery codes" }).click();
      await page.getByRole("button", { name: "Make recovery codes" }).click();
      const codes = await page.locator("#codes code").allInnerTexts();
      assert.equal(codes.length, 10);
      await page.getByRole("button", { name: "I have kept them" }).click();
      await page.getByText("10 recovery codes left").waitFor();
      await look(page, "operator-security");

      // The next sign-in asks for the passkey after the password.
      const enterAgain = async () => {
        await who.context.clearCookies();
        await page.goto(`${here.url}/operator/signin?return_to=/operator/security`);
        await page.getByLabel("Email").fill("oda@operator.example");
        await page.getByLabel("Password").fill(words);
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.getByRole("heading", { name: "One more step" }).waitFor();
      };
      await enterAgain();
      await look(page, "operator-factor");
      await page.goto(`${here.url}/operator/security`);
      assert.ok(page.url().includes("/operator/signin"), "the password alone opens nothing");
      await enterAgain();
      await page.getByRole("button", { name: "Use your passkey" }).click();
      await page.waitForURL(`${here.url}/operator/security`);

      // A sensitive door asks for it anew once the proof is old.
      here.store.change(`update operator_sessions set created = created - ${11 * 60 * 1_000_000}`);
      await page.goto(`${here.url}/o/northwind/webhooks/new`);
      await page.getByRole("heading", { name: "Show that it is you" }).waitFor();
      await look(page, "operator-again");
      await page.getByRole("button", { name: "Use your passkey" }).click();
      await page.waitForURL(`${here.url}/o/northwind/webhooks/new`);

      // The key is lost: a recovery code, and, without one, a link from the terminal.
      await enterAgain();
      await page.getByRole("link", { name: /A recovery code/ }).click();
      await page.getByLabel("A recovery code").fill(codes[3]);
      await page.getByRole("button", { name: "Continue" }).click();
      await page.getByText("9 recovery codes left").waitFor();
      const back = here.command("recover", "--operator", "oda@operator.example");
      assert.equal(back.code, 0, back.text);
      await who.context.clearCookies();
      await page.goto(back.out.trim());
      assert.equal(new URL(page.url()).hash, "", "the token leaves the address");
      await look(page, "operator-recover");
      await page.getByLabel("Password").fill("eleven quiet lanterns");
      await page.getByRole("button", { name: "Go in" }).click();
      await page.getByText("No second factor yet").waitFor();
      assert.deepEqual(who.violations, []);
      await who.close();
    });

    test("every page was clean", () => assert.deepEqual(problems, []));
  });
}
