// The demo's story as the terminal tells it, step by step, by somebody who reads nothing else.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { axe, fits, person, startBrowser } from "./lib/browser.mjs";
import { binary, until } from "./lib/vestibule.mjs";

describe("the demo", { timeout: 120_000 }, () => {
  let browser, demo, dir, application, consoleAddress, provider, link;
  let output = "";
  before(async () => {
    dir = mkdtempSync(path.join(tmpdir(), "vestibule-demo-"));
    demo = spawn(binary, ["demo"], { cwd: dir, env: { PATH: process.env.PATH, HOME: dir } });
    demo.stdout.on("data", (chunk) => (output += chunk));
    demo.stderr.on("data", (chunk) => (output += chunk));
    await until("the links", () => output.includes("Ctrl-C"));
    const find = (pattern) => pattern.exec(output)[1];
    application = find(/sample application\s+(\S+)/);
    consoleAddress = find(/console\s+(\S+)/);
    provider = find(/identity provider\s+(\S+)/);
    link = find(/operator, once\s+(\S+)/);
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    demo?.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  });

  const enter = async (page, given, company = "Northwind") => {
    await page.goto(application);
    await page.getByRole("link", { name: `Sign in through ${company}` }).click();
    await page.getByRole("button", { name: `Sign in as ${given}` }).click();
  };
  const look = async (page) => {
    assert.deepEqual(await axe(page), [], page.url());
    assert.ok(await fits(page), page.url());
  };

  test("the whole story, in well under five minutes", async () => {
    const began = Date.now();
    const here = await person(browser);
    const { page } = here;
    await page.goto(application);
    await look(page);
    await enter(page, "Ann");
    assert.match(await page.locator("body").innerText(), /asset-editor/);
    await look(page);
    await page.getByRole("button", { name: "Sign out" }).click();

    await enter(page, "Nina");
    const before = await page.locator("body").innerText();
    assert.doesNotMatch(before, /berlin-1/);

    const operator = await person(browser);
    await operator.page.goto(link);
    await operator.page.getByLabel("Your name").fill("Oda Operator");
    await operator.page.getByLabel("Email").fill("oda@operator.example");
    await operator.page.getByLabel("Password").fill("three herons left early");
    await operator.page.getByRole("button", { name: "Become the operator" }).click();
    await operator.page.waitForURL((u) => !u.pathname.startsWith("/setup"));
    await operator.page.getByRole("link", { name: /Northwind/ }).first().click();
    await operator.page.getByRole("link", { name: /Needs roles/ }).first().click();
    await operator.page.getByRole("row", { name: /nina@northwind.example/ }).getByRole("link", { name: /give/i }).click();
    await operator.page.locator("input[name=role][value=asset-editor]").check();
    await operator.page.locator("input[name=resource][value=berlin-1]").check();
    await operator.page.getByRole("button", { name: "Save" }).click();
    await until("the inbox to be empty of Nina", async () => !(await operator.page.locator("main").innerText()).includes("nina@"));

    await page.getByRole("button", { name: "Refresh the token" }).click();
    assert.match(await page.locator("body").innerText(), /berlin-1/);
    await page.getByRole("button", { name: "Sign out" }).click();

    await enter(page, "Ann");
    const leaving = await person(browser);
    await leaving.page.goto(provider);
    await look(leaving.page);
    await leaving.page.getByRole("button", { name: "Ann leaves" }).click();
    await until("Ann to have left", async () => (await leaving.page.locator("body").innerText()).includes("Ann comes back"));
    await page.getByRole("button", { name: "Refresh the token" }).click();
    assert.doesNotMatch(await page.locator("body").innerText(), /asset-editor/);

    for (const refused of ["Leo", "Eve"]) {
      const stranger = await person(browser);
      await enter(stranger.page, refused);
      assert.ok(stranger.page.url().startsWith(consoleAddress), stranger.page.url());
      assert.match(await stranger.page.locator("main").innerText(), /administrator/i);
      await look(stranger.page);
      await stranger.close();
    }
    // The other company's provider speaks SAML.
    const other = await person(browser);
    await other.page.goto(application);
    await other.page.getByRole("link", { name: "Sign in through Fieldserv" }).click();
    await other.page.getByText("Sample identity provider, SAML").waitFor();
    await look(other.page);
    await other.page.getByRole("button", { name: "Sign in as Fred" }).click();
    await other.page.getByText("Fred Field", { exact: true }).waitFor();
    const told = await other.page.locator("body").innerText();
    assert.match(told, /"organization": "fieldserv"/);
    assert.doesNotMatch(told, /northwind/);
    assert.deepEqual(other.violations, []);
    await other.close();

    assert.deepEqual([...here.violations, ...operator.violations].filter((v) => !/status of 4\d\d/.test(v)), []);
    assert.ok(Date.now() - began < 5 * 60_000);
  });

  test("an administrator of the organization does the same from her own account", async () => {
    const olive = await person(browser);
    const { page } = olive;
    await page.goto(consoleAddress);
    await page.getByRole("link", { name: /Through your organization/ }).click();
    await page.getByRole("textbox").first().fill("olive@northwind.example");
    await page.locator("main form button").first().click();
    await page.getByRole("button", { name: "Sign in as Olive" }).click();
    await page.waitForURL((u) => u.href.startsWith(consoleAddress));
    await page.goto(`${consoleAddress}/o/northwind/users`);
    await page.getByRole("heading", { name: "Users", level: 1 }).waitFor();
    assert.equal((await page.goto(`${consoleAddress}/o/fieldserv/users`)).status() >= 400 || page.url().includes("signin"), true, "another organization's pages are closed");
    await olive.close();
  });

  test("Ctrl-C ends it", async () => {
    const ended = new Promise((done) => demo.on("exit", (code) => done(code)));
    demo.kill("SIGINT");
    assert.equal(await ended, 0);
  });
});
