// SimpleSAMLphp, as Debian packages it, on PHP's own web server: the configuration that its documentation describes, with
// accounts in a file. scripts/counterparts lays it down.
import { execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { password, people } from "./saml.mjs";
import { certificate } from "./samlp.mjs";
import { freePort, until } from "./vestibule.mjs";

const laid = path.resolve(import.meta.dirname, "../.counterparts/simplesamlphp");

const php = (value) =>
  Array.isArray(value)
    ? `[${value.map(php).join(", ")}]`
    : value && typeof value === "object"
      ? `[${Object.entries(value)
          .map(([k, v]) => `${php(k)} => ${php(v)}`)
          .join(", ")}]`
      : typeof value === "string"
        ? `'${value.replace(/[\\']/g, "\\$&")}'`
        : String(value);

/** Starts it. hosted are further settings of the identity provider, remote those for us. */
export async function startSimpleSAMLphp({ hosted = {}, remote = {} } = {}) {
  if (!existsSync(laid)) throw new Error("SimpleSAMLphp is not laid down; run scripts/counterparts");
  const dir = mkdtempSync(path.join(tmpdir(), "simplesamlphp-"));
  const at = (...parts) => path.join(dir, ...parts);
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  const base = `${origin}/simplesaml`;
  const entityId = `${base}/saml2/idp/metadata.php`;
  for (const folder of ["config", "metadata", "cert", "log", "data", "tmp", "sessions"]) mkdirSync(at(folder));
  cpSync(path.join(laid, "etc/simplesamlphp/attributemap"), at("attributemap"), { recursive: true });
  const keys = { old: certificate("simplesamlphp old"), next: certificate("simplesamlphp next") };
  for (const [name, pair] of Object.entries(keys)) {
    writeFileSync(at("cert", `${name}.pem`), pair.key);
    writeFileSync(at("cert", `${name}.crt`), pair.cert);
  }
  const config = (name, variable, value) => writeFileSync(at(name), `<?php\n$${variable} = ${php(value)};\n`);
  config("config/config.php", "config", {
    baseurlpath: `${base}/`,
    certdir: at("cert/"),
    loggingdir: at("log/"),
    datadir: at("data/"),
    tempdir: at("tmp"),
    metadatadir: at("metadata/"),
    attributenamemapdir: at("attributemap/"),
    technicalcontact_name: "Administrator",
    technicalcontact_email: "na@example.org",
    secretsalt: "a salt of the sample provider",
    "auth.adminpassword": "not used",
    "logging.handler": "file",
    "logging.level": 5,
    "session.cookie.name": "SSP",
    "session.cookie.secure": false,
    "session.phpsession.savepath": at("sessions"),
    "session.phpsession.cookiename": "SSPSESSION",
    "session.authtoken.cookiename": "SSPAUTH",
    "store.type": "phpsession",
    "enable.saml20-idp": true,
    "module.enable": { exampleauth: true, core: true, saml: true },
    "metadata.sources": [{ type: "flatfile" }],
    "admin.checkforupdates": false,
    showerrors: true,
    errorreporting: false,
    "theme.use": "default",
    "language.default": "en",
    "language.available": ["en"],
    timezone: "UTC",
  });
  const attributes = (name) => ({ uid: [name], mail: [people[name].email], givenName: [people[name].given], sn: [people[name].family] });
  config("config/authsources.php", "config", {
    accounts: { 0: "exampleauth:UserPass", ...Object.fromEntries(Object.keys(people).map((name) => [`${name}:${password(name)}`, attributes(name)])) },
  });
  const idp = (more) =>
    writeFileSync(
      at("metadata/saml20-idp-hosted.php"),
      `<?php\n$metadata[${php(entityId)}] = ${php({
        host: "__DEFAULT__",
        auth: "accounts",
        "signature.algorithm": "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        "validate.authnrequest": true,
        "sign.logout": true,
        "validate.logout": true,
        "redirect.sign": true,
        ...hosted,
        ...more,
      })};\n`,
    );
  const phases = {
    1: { privatekey: "old.pem", certificate: "old.crt" },
    2: { privatekey: "old.pem", certificate: "old.crt", new_privatekey: "next.pem", new_certificate: "next.crt" },
    3: { privatekey: "next.pem", certificate: "next.crt", new_privatekey: "old.pem", new_certificate: "old.crt" },
    4: { privatekey: "next.pem", certificate: "next.crt" },
  };
  idp(phases[1]);
  const share = path.join(laid, "usr/share/simplesamlphp");
  // What a web server's configuration says for SimpleSAMLphp: /simplesaml is its www folder, and a script may be followed by a path.
  writeFileSync(
    at("router.php"),
    `<?php
$path = urldecode(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
if (!preg_match('#^/simplesaml(/.*)$#', $path, $m) || strpos($path, '..') !== false) { http_response_code(404); return true; }
$www = ${php(path.join(share, "www"))};
if (preg_match('#^(/.*?\\.php)(/.*)?$#', $m[1], $s) && is_file($www . $s[1])) {
  $_SERVER['SCRIPT_NAME'] = '/simplesaml' . $s[1];
  $_SERVER['SCRIPT_FILENAME'] = $www . $s[1];
  $_SERVER['PHP_SELF'] = '/simplesaml' . $m[1];
  if (isset($s[2])) { $_SERVER['PATH_INFO'] = $s[2]; } else { unset($_SERVER['PATH_INFO']); }
  chdir(dirname($www . $s[1]));
  require $www . $s[1];
  return true;
}
if (is_file($www . $m[1])) { readfile($www . $m[1]); return true; }
http_response_code(404);
return true;
`,
  );
  const env = { ...process.env, SIMPLESAMLPHP_CONFIG_DIR: at("config/"), PHP_CLI_SERVER_WORKERS: "4" };
  const server = spawn("php", ["-d", "display_errors=0", "-d", "opcache.enable=0", "-S", `localhost:${port}`, at("router.php")], { env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [server.stdout, server.stderr]) stream.on("data", (chunk) => (output = (output + chunk).slice(-20_000)));
  const stop = async () => {
    if (server.exitCode === null) {
      process.kill(-server.pid, "SIGKILL");
      await new Promise((done) => server.once("exit", done));
    }
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await until("SimpleSAMLphp", async () => (await (await fetch(entityId)).text()).includes("EntityDescriptor"), 30);
  } catch (error) {
    await stop();
    throw new Error(`${error.message}\n${output}`);
  }
  return {
    entityId,
    metadataUrl: entityId,
    async register(sp) {
      // By SimpleSAMLphp's own converter, as its administrators do it.
      const parsed = execFileSync(
        "php",
        [
          "-d",
          "display_errors=0",
          "-r",
          `require ${php(path.join(share, "lib/_autoload.php"))};
           $e = SimpleSAML\\Metadata\\SAMLParser::parseDescriptorsString(stream_get_contents(STDIN));
           foreach ($e as $id => $p) { $m = $p->getMetadata20SP(); unset($m['entityDescriptor'], $m['expire'], $m['metadata-set']);
             echo '$metadata[' . var_export($id, true) . '] = ' . var_export($m, true) . " + ${php({
               NameIDFormat: "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
               "simplesaml.nameidattribute": "mail",
               ...remote,
             }).replace(/[\\"$]/g, "\\$&")};\\n"; }`,
        ],
        { env, input: sp.metadata, encoding: "utf8" },
      );
      // Ours comes first in a PHP union: what the metadata leaves open is added, and what it says of the format is ours to say.
      writeFileSync(at("metadata/saml20-sp-remote.php"), `<?php\n${parsed.replace(/'NameIDFormat' =>\s+'[^']*',/, "")}`);
    },
    asks: async (page) => (await page.locator("#password").count()) === 1,
    async login(page, name) {
      await page.locator("#username").fill(name);
      await page.locator("#password").fill(password(name));
      await page.locator("#submit_button, #regularsubmit button, button[type=submit]").first().click();
    },
    async logout(page) {
      await page.goto(`${base}/saml2/idp/SingleLogoutService.php?ReturnTo=${encodeURIComponent(`${base}/logout.php`)}`);
      await page.waitForLoadState("networkidle");
    },
    phase: async (n) => idp(phases[n]),
    stop,
    log: () => output,
  };
}
