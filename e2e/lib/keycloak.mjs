// Keycloak, as its distribution comes from Maven Central: one server, a realm for each who asks, as OpenID Provider and as SAML
// identity provider. scripts/counterparts lays it down; KEYCLOAK_URL names one that runs already (administrator admin, admin).
import { spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { password, people } from "./saml.mjs";
import { freePort, until } from "./vestibule.mjs";

const laid = path.resolve(import.meta.dirname, "../.counterparts/keycloak");

let one;

/**
 * Starts a server, or takes the running one: one for all tests of a file, each of which makes a realm of its own. Gives its origin, at
 * localhost, and admin(method, path, body), a call of its admin REST API below /admin.
 */
export const startKeycloak = () => (one ??= begin());

/** Stops the server, once all tests of the file are through. */
export const stopKeycloak = async () => (await one)?.stop();

async function begin() {
  const started = process.env.KEYCLOAK_URL ? { origin: process.env.KEYCLOAK_URL, stop: async () => {} } : await launch();
  let token = { until: 0 };
  const bearer = async () => {
    if (token.until < Date.now()) {
      const answer = await fetch(`${started.origin}/realms/master/protocol/openid-connect/token`, {
        method: "POST",
        body: new URLSearchParams({ client_id: "admin-cli", grant_type: "password", username: "admin", password: "admin" }),
      });
      if (!answer.ok) throw new Error(`Keycloak's token: ${answer.status} ${await answer.text()}`);
      const { access_token, expires_in } = await answer.json();
      token = { access_token, until: Date.now() + (expires_in - 15) * 1000 };
    }
    return token.access_token;
  };
  const admin = async (method, where, body, type = "application/json") => {
    const answer = await fetch(`${started.origin}/admin${where}`, {
      method,
      headers: { authorization: `Bearer ${await bearer()}`, ...(body === undefined ? {} : { "content-type": type }) },
      body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${where}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  };
  return { ...started, admin };
}

async function launch() {
  if (!existsSync(path.join(laid, "bin/kc.sh"))) throw new Error("Keycloak is not laid down; run scripts/counterparts");
  const dir = mkdtempSync(path.join(tmpdir(), "keycloak-"));
  // Its data are its own; the rest is as it was built by scripts/counterparts.
  for (const entry of readdirSync(laid)) if (entry !== "data") cpSync(path.join(laid, entry), path.join(dir, entry), { recursive: true });
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  const server = spawn(
    path.join(dir, "bin/kc.sh"),
    ["start", "--optimized", "--cache=local", "--http-enabled=true", `--http-port=${port}`, "--hostname-strict=false"],
    {
      env: { ...process.env, KC_BOOTSTRAP_ADMIN_USERNAME: "admin", KC_BOOTSTRAP_ADMIN_PASSWORD: "admin", JAVA_OPTS_KC_HEAP: "-Xms64m -Xmx700m" },
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  for (const stream of [server.stdout, server.stderr]) stream.on("data", (chunk) => (output = (output + chunk).slice(-20_000)));
  const stop = async () => {
    if (server.exitCode === null) {
      process.kill(-server.pid, "SIGKILL"); // the script and its Java
      await new Promise((done) => server.once("exit", done));
    }
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await until(
      "Keycloak",
      async () => {
        if (server.exitCode !== null) throw new Error(output);
        return (await fetch(`${origin}/realms/master/protocol/saml/descriptor`)).ok;
      },
      600, // on a machine that does other things
    );
  } catch (error) {
    await stop();
    throw new Error(`${error.message}\n${output}`);
  }
  return { origin, stop };
}

/** Makes a realm with everybody of lib/saml.mjs in it, and gives its name. second: with an authenticator app beside the password. */
export async function makeRealm(keycloak, { second = false } = {}) {
  const realm = `corp-${randomBytes(4).toString("hex")}`;
  await keycloak.admin("POST", "/realms", {
    realm,
    enabled: true,
    sslRequired: "none",
    registrationAllowed: false,
    users: Object.entries(people).map(([username, p]) => ({
      username,
      enabled: true,
      email: p.email,
      emailVerified: true,
      firstName: p.given,
      lastName: p.family,
      credentials: [
        { type: "password", value: password(username), temporary: false },
        ...(second ? [{ type: "otp", secretData: JSON.stringify({ value: totpSecret }), credentialData: JSON.stringify({ subType: "totp", digits: 6, period: 30, counter: 0, algorithm: "HmacSHA1" }) }] : []),
      ],
    })),
  });
  return realm;
}

const totpSecret = "an authenticator's shared secret";

let used = 0;

/** The next code of a person's authenticator app (RFC 6238). Keycloak takes none twice, and one that is half a minute ahead. */
async function totp() {
  const now = () => Math.floor(Date.now() / 30_000);
  const next = Math.max(used + 1, now());
  await until("the time of the next code", () => next <= now() + 1, 60);
  used = next;
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(next));
  const mac = createHmac("sha1", totpSecret).update(counter).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

/** What a person does on Keycloak's pages. */
export const pages = {
  asks: async (page) => (await page.locator("#kc-login").count()) === 1,
  async login(page, name, { second = false } = {}) {
    // It knows who is there when it asks again.
    if (await page.locator("#username").isVisible()) await page.locator("#username").fill(name);
    await page.locator("#password").fill(password(name));
    await page.locator("#kc-login").click();
    if (!second) return;
    await page.locator("#otp").fill(await totp());
    await page.locator("#kc-login").click();
  },
  async logout(page, origin, realm) {
    await page.goto(`${origin}/realms/${realm}/protocol/openid-connect/logout`);
    await page.locator("#kc-logout").click();
    await page.getByText(/logged out/i).first().waitFor({ timeout: 20_000 });
  },
};

/** Brings a realm's RSA signing keys to a phase of a rollover. */
export async function keyPhase(keycloak, realm, n) {
  const providers = await keycloak.admin("GET", `/realms/${realm}/components?type=org.keycloak.keys.KeyProvider`);
  const [old, next] = ["rsa-generated", "next"].map((name) => providers.find((p) => p.name === name));
  const put = (p, config) => keycloak.admin("PUT", `/realms/${realm}/components/${p.id}`, { ...p, config: { ...p.config, ...config } });
  const own = { name: "next", providerId: "rsa-generated", providerType: "org.keycloak.keys.KeyProvider" };
  // Of several active keys that of the highest priority signs; a passive one is published and signs nothing.
  if (n === 2) await keycloak.admin("POST", `/realms/${realm}/components`, { ...own, config: { priority: ["50"], enabled: ["true"], active: ["true"] } });
  if (n === 3) {
    await put(next, { priority: ["200"] });
    await put(old, { active: ["false"] });
  }
  if (n === 4) await keycloak.admin("DELETE", `/realms/${realm}/components/${old.id}`);
}

/** Gives a realm a sign-in of two levels, as Keycloak's step-up authentication has it: silver by password, gold by a code too. */
async function twoLevels(keycloak, realm) {
  const at = `/realms/${realm}/authentication`;
  const part = (parent, alias) => keycloak.admin("POST", `${at}/flows/${encodeURIComponent(parent)}/executions/flow`, { alias, type: "basic-flow", provider: "registration-page-form", description: alias });
  const step = (parent, provider) => keycloak.admin("POST", `${at}/flows/${encodeURIComponent(parent)}/executions/execution`, { provider });
  await keycloak.admin("POST", `${at}/flows`, { alias: "two levels", providerId: "basic-flow", topLevel: true, builtIn: false });
  await step("two levels", "auth-cookie");
  await part("two levels", "levels");
  for (const [level, form] of [
    ["silver", "auth-username-password-form"],
    ["gold", "auth-otp-form"],
  ]) {
    await part("levels", level);
    await step(level, "conditional-level-of-authentication");
    await step(level, form);
  }
  const requirement = { "auth-cookie": "ALTERNATIVE", levels: "ALTERNATIVE", silver: "CONDITIONAL", gold: "CONDITIONAL" };
  let level = 0;
  for (const execution of await keycloak.admin("GET", `${at}/flows/${encodeURIComponent("two levels")}/executions`)) {
    if (execution.providerId === "conditional-level-of-authentication")
      await keycloak.admin("POST", `${at}/executions/${execution.id}/config`, { alias: `level ${++level}`, config: { "loa-condition-level": String(level), "loa-max-age": "36000" } });
    await keycloak.admin("PUT", `${at}/flows/${encodeURIComponent("two levels")}/executions`, { ...execution, requirement: requirement[execution.providerId ?? execution.displayName] ?? "REQUIRED" });
  }
  await keycloak.admin("PUT", `/realms/${realm}`, { browserFlow: "two levels", attributes: { "acr.loa.map": JSON.stringify({ silver: 1, gold: 2 }) } });
}

/** A realm as OpenID Provider. */
export async function startKeycloakOIDC() {
  const keycloak = await startKeycloak();
  const realm = await makeRealm(keycloak, { second: true });
  await twoLevels(keycloak, realm);
  const users = await keycloak.admin("GET", `/realms/${realm}/users`);
  return {
    issuer: `${keycloak.origin}/realms/${realm}`,
    subject: (name) => users.find((u) => u.username === name).id,
    async register({ callbacks, left, backchannel }) {
      const client = { client_id: "vestibule", client_secret: "a secret of the realm's client" };
      await keycloak.admin("POST", `/realms/${realm}/clients`, {
        clientId: client.client_id,
        secret: client.client_secret,
        protocol: "openid-connect",
        publicClient: false,
        standardFlowEnabled: true,
        redirectUris: callbacks,
        frontchannelLogout: false,
        attributes: { "post.logout.redirect.uris": left, "backchannel.logout.url": backchannel, "backchannel.logout.session.required": "true" },
      });
      return client;
    },
    asks: pages.asks,
    login: pages.login,
    logout: (page) => pages.logout(page, keycloak.origin, realm),
    phase: (n) => keyPhase(keycloak, realm, n),
    stop: () => keycloak.admin("DELETE", `/realms/${realm}`).catch(() => {}),
  };
}

/** A realm as SAML identity provider. attributes are those of its client for us, beside what our metadata says. */
export async function startKeycloakSAML({ attributes = {} } = {}) {
  const keycloak = await startKeycloak();
  const realm = await makeRealm(keycloak);
  const base = `${keycloak.origin}/realms/${realm}`;
  let id;
  return {
    entityId: base,
    metadataUrl: `${base}/protocol/saml/descriptor`,
    async register(sp) {
      // As its administrators do it: our metadata is imported.
      const client = await keycloak.admin("POST", `/realms/${realm}/client-description-converter`, sp.metadata, "application/xml");
      Object.assign(client, { frontchannelLogout: true });
      Object.assign(client.attributes, { saml_name_id_format: "email", saml_force_name_id_format: "true", "saml.client.signature": "true", ...attributes });
      client.protocolMappers = [
        ["email", "email"],
        ["firstName", "givenName"],
        ["lastName", "sn"],
      ].map(([attribute, name]) => ({
        name,
        protocol: "saml",
        protocolMapper: "saml-user-property-mapper",
        config: { "user.attribute": attribute, "attribute.name": name, "attribute.nameformat": "Basic" },
      }));
      if (id) await keycloak.admin("DELETE", `/realms/${realm}/clients/${id}`);
      await keycloak.admin("POST", `/realms/${realm}/clients`, client);
      [{ id }] = await keycloak.admin("GET", `/realms/${realm}/clients?clientId=${encodeURIComponent(sp.entityId)}`);
    },
    asks: pages.asks,
    login: pages.login,
    logout: (page) => pages.logout(page, keycloak.origin, realm),
    phase: (n) => keyPhase(keycloak, realm, n),
    stop: () => keycloak.admin("DELETE", `/realms/${realm}`).catch(() => {}),
  };
}
