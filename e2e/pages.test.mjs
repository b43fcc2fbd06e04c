// Every page, as a person meets it: light, dark and on a phone; axe finds nothing, nothing is refused by the page's own
// policy, nothing has to be scrolled sideways. Pictures of all of them land in e2e/out.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { axe, fits, person, startBrowser, textSize } from "./lib/browser.mjs";
import { entraGroup, entraUser, patch, signIn, startNorthwind } from "./lib/northwind.mjs";
import { until } from "./lib/vestibule.mjs";

const out = path.resolve(import.meta.dirname, "out");

describe("every page", { timeout: 1_200_000 }, () => {
  let here, browser, operator, ann, nora, london, pushed, refused, crew, invited, letter, invitation, hook;
  before(async () => {
    mkdirSync(out, { recursive: true });
    browser = await startBrowser();
    here = await startNorthwind({ kind: "sqlite" });
    ann = (await here.entra("POST", "/Users", entraUser("ann"))).json.id;
    for (const name of ["ben", "pia", "pete"]) await here.entra("POST", "/Users", entraUser(name));
    london = (await here.entra("POST", "/Groups", entraGroup("London Team", "grp-london"))).json.id;
    await here.entra("PATCH", `/Groups/${london}`, patch({ op: "Add", path: "members", value: [{ value: ann }] }));
    const someone = await person(browser);
    await signIn(here, someone.page, "ann");
    await someone.close();
    const another = await person(browser);
    nora = (await signIn(here, another.page, "nora")).claims.sub;
    await another.close();
    await here.api("POST", "/grants", { user: nora, role: "task-manager", resource: "emea" });
    await here.api("POST", `/users/${(await here.api("GET", "/users?q=ben")).json.items[0].id}/suspend`);
    await here.entra("POST", "/Users", { ...entraUser("una"), userName: undefined });
    const logged = (where) => until("a row of the request log", () => here.store.rows(`select id from scim_requests where ${where}`)[0]?.id);
    pushed = await logged("operation = 'Added Ann of Northwind to London Team'");
    refused = await logged("status = 400");
    operator = await person(browser);
    const link = await until("the one-time link", () => /(http:\/\/\S+\/setup#\S+)/.exec(here.nodes[0].output)?.[1]);
    await operator.page.goto(link);
    await operator.page.getByLabel("Your name").fill("Oda Operator");
    await operator.page.getByLabel("Email").fill("oda@operator.example");
    await operator.page.getByLabel("Password").fill("three herons left early");
    await operator.page.getByRole("button", { name: "Become the operator" }).click();
    await operator.page.waitForURL((u) => !u.pathname.startsWith("/setup"));
    crew = await fillGroup(operator.page);
    invited = (await here.api("POST", "/invitations", { email: "ines@northwind.example", name: "Ines", grants: [{ role: "asset-editor", resource: "london-1" }] })).json.id;
    hook = (await here.api("POST", "/webhooks", { url: "https://hooks.northwind.example/vestibule", kinds: ["directories"] })).json.id;
    await here.api("POST", `/webhooks/${hook}/test`);
    await here.api("POST", "/invitations", { email: "a-very-long-address-that-hardly-fits-anywhere@northwind.example" });
    await operator.page.goto(`${here.url}/operator/mailbox?q=ines`);
    letter = await operator.page.getByRole("table").getByRole("link").first().getAttribute("href");
    await operator.page.goto(here.url + letter);
    invitation = new URL(/http:\/\/\S+\/invitation\/northwind\/\S+/.exec(await operator.page.locator("pre").textContent())[0]).pathname;
  });
  after(async () => {
    await browser?.close();
    await here?.remove();
  });

  /** A group made, filled and given a role as an administrator does it, in the dialogs. Gives its address. */
  async function fillGroup(page) {
    await page.goto(`${here.url}/o/northwind/groups`);
    await page.getByRole("link", { name: "New group…" }).click();
    await page.getByRole("dialog").getByLabel("Name").fill("Roof crew");
    await page.getByRole("button", { name: "Make the group" }).click();
    await page.getByRole("heading", { level: 1, name: "Roof crew" }).waitFor();
    const address = new URL(page.url()).pathname;
    await page.getByRole("link", { name: "Add members…" }).click();
    const found = page.waitForResponse((r) => r.url().includes("/add?q=nora"));
    await page.getByLabel("Search by name or address").pressSequentially("nora");
    await found;
    await page.screenshot({ path: path.join(out, "dialog-group-add.png") });
    await page.getByRole("dialog").getByRole("button", { name: /^Add Nora/ }).click();
    await page.getByRole("row", { name: /Nora/ }).waitFor();
    await page.getByRole("link", { name: "Give roles…" }).click();
    await page.locator("#dialog #role-asset-editor").check();
    await page.locator("#dialog #resource-london-1").check();
    await page.getByText("1 person: Nora").first().waitFor();
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: path.join(out, "dialog-group-give.png") });
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("status").getByText("Roof crew gives Asset Editor at London 1 now.").waitFor();
    return address;
  }

  const looks = [
    { name: "light", options: { colorScheme: "light" } },
    { name: "dark", options: { colorScheme: "dark" } },
    { name: "phone", options: { colorScheme: "light", viewport: { width: 390, height: 844 } } },
    { name: "narrow", options: { colorScheme: "dark", viewport: { width: 320, height: 640 } } },
    // Twice the browser's own (WCAG 1.4.4).
    { name: "large", text: 32, options: { colorScheme: "light" } },
  ];

  /** The pages of the console for whoever may see everything, and of whoever is nobody yet. */
  const inside = () => ({
    home: "/",
    overview: "/o/northwind/",
    inbox: "/o/northwind/inbox",
    "inbox-nobody": "/o/northwind/inbox?q=no-such-person",
    "inbox-settle": "/o/northwind/inbox/settle",
    mailbox: "/operator/mailbox",
    "operator-security": "/operator/security",
    "operator-calendar": "/operator/calendar",
    letter,
    invitations: "/o/northwind/invitations",
    "no-invitations": "/o/northwind/invitations?q=no-such-person",
    "invitation-new": "/o/northwind/invitations/new?role=asset-editor&resource=london-1",
    "invitation-list": "/o/northwind/invitations/list",
    "invitation-resend": `/o/northwind/invitations/${invited}/resend`,
    "invitation-revoke": `/o/northwind/invitations/${invited}/revoke`,
    webhooks: "/o/northwind/webhooks",
    "webhook-new": "/o/northwind/webhooks/new",
    webhook: `/o/northwind/webhooks/${hook}`,
    "webhook-edit": `/o/northwind/webhooks/${hook}/edit`,
    "webhook-secret": `/o/northwind/webhooks/${hook}/secret`,
    "webhook-delete": `/o/northwind/webhooks/${hook}/delete`,
    users: "/o/northwind/users",
    deleted: "/o/northwind/users?deleted=1&status=suspended",
    nobody: "/o/northwind/users?q=no-such-person",
    user: `/o/northwind/users/${ann}`,
    "user-groups": `/o/northwind/users/${ann}/groups`,
    "user-identities": `/o/northwind/users/${ann}/identities`,
    "user-sessions": `/o/northwind/users/${ann}/sessions`,
    "user-activity": `/o/northwind/users/${ann}/activity`,
    suspend: `/o/northwind/users/${ann}/do/suspend`,
    delete: `/o/northwind/users/${ann}/do/delete`,
    give: `/o/northwind/users/${nora}/give?role=asset-editor&resource=london-1`,
    "give-several": `/o/northwind/users/give?back=inbox&user=${ann}&user=${nora}&role=asset-editor&resource=london-1`,
    "give-nobody": "/o/northwind/users/give",
    restrict: `/o/northwind/users/${nora}/restrict`,
    groups: "/o/northwind/groups",
    group: `/o/northwind/groups/${london}`,
    "group-give": `/o/northwind/groups/${london}/give?role=asset-editor&resource=emea`,
    "group-own": crew,
    "group-add": `${crew}/add`,
    "group-rename": `${crew}/rename`,
    "group-delete": `${crew}/delete`,
    "group-take-out": `${crew}/members/${nora}/remove`,
    "new-group": "/o/northwind/new-group",
    providers: "/o/northwind/providers",
    provider: "/o/northwind/providers/fieldserv",
    "provider-terms": "/o/northwind/providers/fieldserv/terms",
    "provider-give": "/o/northwind/providers/fieldserv/give",
    "provider-cut": "/o/northwind/providers/fieldserv/cut",
    "provider-offer": "/o/northwind/providers/offer",
    "provider-side": "/o/fieldserv/providers/northwind",
    resources: "/o/northwind/resources",
    roles: "/o/northwind/roles",
    directories: "/o/northwind/directories",
    tokens: "/o/northwind/directories/entra/tokens",
    "token-new": "/o/northwind/directories/entra/tokens/new",
    requests: "/o/northwind/directories/entra/requests?live=1",
    "no-requests": "/o/northwind/directories/entra/requests?q=no-such-person&errors=1",
    request: `/o/northwind/directories/entra/requests/${pushed}`,
    "refused-request": `/o/northwind/directories/entra/requests/${refused}`,
    replay: `/o/northwind/directories/entra/requests/${refused}/replay`,
    why: "/o/northwind/directories/entra/why?q=ann",
    "why-not": "/o/northwind/directories/entra/why?q=no-such-person",
    try: `/o/northwind/directories/entra/try?request=${refused}`,
    drift: "/o/northwind/directories/entra/drift",
    "drift-manual": "/o/northwind/directories/entra/drift?kind=manual",
    "drift-groups": "/o/northwind/directories/entra/drift?of=groups&kind=stale",
    wave: "/o/northwind/directories/entra/wave",
    calendar: "/o/northwind/calendar",
    "no-calendar": "/o/northwind/calendar?kind=domain",
    connections: "/o/northwind/connections",
    connection: "/o/northwind/connections/corp",
    "connection-choose": "/o/northwind/connections/new",
    "connection-form": "/o/northwind/connections/new?provider=entra&protocol=oidc",
    "connection-form-saml": "/o/northwind/connections/new?provider=okta&protocol=saml",
    "connection-close": "/o/northwind/connections/corp/do/close",
    domains: "/o/northwind/domains",
    "setup-links": "/o/northwind/setup-links",
    "setup-links-new": "/o/northwind/setup-links/new",
    rules: "/o/northwind/rules",
    applications: "/o/northwind/applications",
    conflicts: "/o/northwind/conflicts",
    audit: "/o/northwind/audit",
    "not-found": "/o/northwind/users/0198aaaa-0000-7000-8000-000000000000",
    "no-organization": "/o/nowhere/users",
  });
  const outside = () => ({
    doors: "/",
    setup: "/setup",
    "operator-signin": "/operator/signin",
    signin: "/signin?return_to=/",
    "signin-organization": "/signin?return_to=/o/fieldserv/users&organization=fieldserv",
    "authorize-error": "/authorize?client_id=nobody",
    invitation,
    "invitation-unknown": `/invitation/northwind/${"a".repeat(43)}`,
    "signin-password": "/signin?return_to=/&organization=northwind&way=password",
    "personal-link-over": `/signin/link/reset/northwind/${"a".repeat(43)}`,
    "logged-out": "/end_session",
  });

  async function tour(look, who, pages, state) {
    const visitor = await person(browser, { ...look.options, storageState: state });
    if (look.text) await textSize(visitor.page, look.text);
    const problems = [];
    for (const [name, where] of Object.entries(pages)) {
      const answer = await visitor.page.goto(here.url + where);
      const policy = answer.headers()["content-security-policy"] ?? "";
      if (!policy.includes("default-src 'none'")) problems.push(`${name}: policy is "${policy}"`);
      if (/unsafe|nonce|\*/.test(policy)) problems.push(`${name}: policy is "${policy}"`);
      for (const finding of await axe(visitor.page)) problems.push(`${name}: ${finding}`);
      if (!(await fits(visitor.page))) problems.push(`${name}: has to be scrolled sideways`);
      const size = await visitor.page.evaluate(() => getComputedStyle(document.documentElement).fontSize);
      if (size !== `${look.text ?? 16}px`) problems.push(`${name}: the text is ${size} whatever its reader has set`);
      await visitor.page.screenshot({ path: path.join(out, `${look.name}-${who}-${name}.png`), fullPage: true });
    }
    problems.push(...visitor.violations.filter((v) => !/status of 4\d\d/.test(v)));
    await visitor.close();
    return problems;
  }

  test("a token is made, shown once, seen in use and revoked", async () => {
    const visitor = await person(browser, { storageState: await operator.context.storageState() });
    const { page } = visitor;
    await page.goto(`${here.url}/o/northwind/directories/entra/tokens`);
    await page.getByRole("link", { name: "New token…" }).click();
    // Clicked again while the answer is on its way, it is sent once: the answer to a second sending shows no token.
    let sent = 0;
    const { x, y, width, height } = await page.getByRole("button", { name: "Make the token" }).boundingBox();
    const click = () => page.mouse.click(x + width / 2, y + height / 2);
    await page.route("**/tokens", async (route) => {
      if (route.request().method() === "POST" && ++sent === 1) await click();
      await route.continue();
    });
    await click();
    await page.getByRole("heading", { name: "Copy it now" }).waitFor();
    assert.equal(sent, 1);
    const token = await page.getByText(/^vsc_.{43}$/).textContent();
    assert.deepEqual(await axe(page), []);
    for (const look of looks) {
      await page.emulateMedia({ colorScheme: look.options.colorScheme });
      await page.setViewportSize(look.options.viewport ?? { width: 1280, height: 800 });
      await textSize(page, look.text ?? 16);
      assert.ok(await fits(page), `${look.name} has to be scrolled sideways`);
      await page.screenshot({ path: path.join(out, `${look.name}-in-token-made.png`), fullPage: true });
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    await textSize(page, 16);
    const push = () => fetch(`${here.url}/scim/northwind/entra/v2/Users?count=1`, { headers: { authorization: `Bearer ${token}` } });
    assert.equal((await push()).status, 200);
    await page.getByText(/^First used/).first().waitFor({ timeout: 15_000 });
    await page.getByRole("link", { name: /All tokens of/ }).click();
    await page.screenshot({ path: path.join(out, "light-in-tokens-two.png"), fullPage: true });
    await page.getByRole("link", { name: /^Revoke vsc_/ }).click();
    await page.getByText("next call with it is refused").waitFor();
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: path.join(out, "dialog-token-revoke.png") });
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("status").getByText("is revoked").waitFor();
    await until("the token is refused", async () => (await push()).status === 401);
    assert.deepEqual(visitor.violations, []);
    await visitor.close();
  });

  for (const look of looks) {
    test(`${look.name}: inside`, async () => {
      assert.deepEqual(await tour(look, "in", inside(), await operator.context.storageState()), []);
    });
    test(`${look.name}: outside`, async () => {
      assert.deepEqual(await tour(look, "out", outside(), undefined), []);
    });
  }

  test("people who are ticked in a list are given the same roles", async () => {
    const visitor = await person(browser, { storageState: await operator.context.storageState() });
    const { page } = visitor;
    await page.goto(`${here.url}/o/northwind/inbox`);
    const give = page.getByRole("button", { name: "Give those chosen roles…" });
    const dialog = page.getByRole("dialog");
    await give.click();
    await dialog.getByText("Nobody is chosen").waitFor();
    await dialog.getByRole("link", { name: "Back" }).click();
    // All of the page, then two of them; the keyboard does what the mouse does.
    const all = page.getByLabel("All on this page");
    await all.check();
    const boxes = page.locator("input[name=user]");
    const n = await boxes.count();
    assert.ok(n >= 2, `${n} people wait`);
    await page.getByText(`${n} chosen`).waitFor();
    await all.uncheck();
    assert.equal(await page.locator("input[name=user]:checked").count(), 0);
    for (const name of ["Pia", "Pete"]) {
      await page.getByLabel(`Choose ${name} of Northwind`).focus();
      await page.keyboard.press("Space");
    }
    await page.getByText("2 chosen").waitFor();
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: path.join(out, "inbox-chosen.png") });
    await give.focus();
    await page.keyboard.press("Enter");
    await dialog.getByRole("heading", { name: "Give 2 people the same roles" }).waitFor();
    await page.locator("#dialog #role-asset-editor").check();
    await page.locator("#dialog #resource-london-1").check();
    await dialog.getByText("2 people of 2 gain something.").waitFor();
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: path.join(out, "dialog-give-several.png") });
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("status").getByText("2 people hold Asset Editor at London 1 now.").waitFor();
    assert.equal(await page.getByRole("link", { name: /^(Pia|Pete) of Northwind/ }).count(), 0);
    // Without script: the same, by whole pages.
    const plain = await browser.newContext({ javaScriptEnabled: false, storageState: await operator.context.storageState() });
    const quiet = await plain.newPage();
    await quiet.goto(`${here.url}/o/northwind/users?q=northwind.example`);
    for (const name of ["Pia", "Ben"]) await quiet.getByLabel(new RegExp(`^Choose ${name}`)).check();
    await quiet.getByRole("button", { name: "Give those chosen roles…" }).click();
    await quiet.getByRole("heading", { name: "Give 2 people the same roles" }).waitFor();
    await quiet.locator("#role-asset-editor").check();
    await quiet.locator("#resource-london-1").check();
    await quiet.getByRole("button", { name: "Save" }).click();
    await quiet.getByText("All 2 hold Asset Editor at London 1 now; it was given to those who did not: 1 person.").waitFor();
    await plain.close();
    assert.deepEqual(visitor.violations, []);
    await visitor.close();
  });
});
