// An application asks whether somebody may do something: with the token that client_credentials gives to npm openid-client, through PyPI's
// decern, a client of OpenID AuthZEN that others wrote, and as HTTP. On two nodes each request may reach another one.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { entraUser, startNorthwind } from "./lib/northwind.mjs";
import { caller } from "./lib/vestibule.mjs";

const python = path.resolve(import.meta.dirname, ".venv/bin/python");

/** Asks through decern, and gives what it made of the answer. */
async function decern(base, token, subject, action, resource) {
  const script = `
import json, sys
from decern import Client, DecernError
base, token, subject, action, resource = json.load(sys.stdin)
try:
    d = Client(base, token=token).evaluate(subject, action, resource)
    print(json.dumps({"allowed": d.allowed, "context": d.context}))
except DecernError as e:
    print(json.dumps({"status": e.status_code, "body": e.body}))`;
  const running = promisify(execFile)(python, ["-c", script]);
  running.child.stdin.end(JSON.stringify([base, token, subject, action, resource]));
  return JSON.parse((await running).stdout);
}

for (const setting of [
  { kind: "sqlite", nodes: 1 },
  { kind: "postgres", nodes: 2 },
]) {
  describe(`decisions on ${setting.kind}`, { timeout: 120_000 }, () => {
    let here, token, ann;
    const subject = () => ({ type: "user", id: ann });
    const london = { type: "site", id: "london-1", properties: { organization: "northwind" } };
    before(async () => {
      here = await startNorthwind(setting);
      const pushed = await here.entra("POST", "/Users", entraUser("ann"));
      assert.equal(pushed.status, 201, pushed.text);
      ann = pushed.json.id;
      token = (await here.application.clientCredentials()).access_token;
    });
    after(async () => {
      await here?.remove();
    });

    test("the metadata leads to the endpoints", async () => {
      const metadata = await (await fetch(`${here.url}/.well-known/authzen-configuration`)).json();
      assert.deepEqual(metadata, {
        policy_decision_point: here.url,
        access_evaluation_endpoint: `${here.url}/access/v1/evaluation`,
        access_evaluations_endpoint: `${here.url}/access/v1/evaluations`,
      });
    });

    test("a grant opens, and opens no more from the answer that took it", async () => {
      const no = await decern(here.url, token, subject(), "assets.update", london);
      assert.equal(no.allowed, false);
      assert.equal(no.context.code, "not-granted");
      let given = await here.api("POST", "/grants", { user: ann, role: "asset-editor", resource: "emea" });
      assert.equal(given.status, 201, given.text);
      const yes = await decern(here.url, token, subject(), "assets.update", london);
      assert.equal(yes.allowed, true, JSON.stringify(yes));
      assert.match(yes.context.reason, /role Asset Editor, at .+, and so at London/);
      assert.deepEqual(yes.context.paths[0].map((hop) => hop.kind), ["grant", "role", "resource", "inherited"]);
      for (let i = 0; i < 4; i++) {
        const taken = await here.api("DELETE", `/grants/${given.json.id}`);
        assert.equal(taken.status, 204, taken.text);
        for (const address of here.addresses) {
          const asked = await caller(`http://${address}`, token)("POST", "/access/v1/evaluation", { subject: subject(), action: { name: "assets.update" }, resource: london });
          assert.equal(asked.json?.decision, false, asked.text);
        }
        given = await here.api("POST", "/grants", { user: ann, role: "asset-editor", resource: "emea" });
        assert.equal(given.status, 201, given.text);
      }
    });

    test("several questions in one, as far as they are asked for", async () => {
      const ask = caller(`${here.url}/access/v1`, token);
      const questions = {
        subject: subject(),
        resource: london,
        evaluations: [{ action: { name: "assets.read" } }, { action: { name: "assets.fly" } }, { action: { name: "assets.update" } }],
      };
      const decisions = async (evaluations_semantic) => {
        const got = await ask("POST", "/evaluations", { ...questions, options: { evaluations_semantic } }, { "x-request-id": "abc-1" });
        assert.equal(got.status, 200, got.text);
        assert.equal(got.headers.get("x-request-id"), "abc-1");
        return got.json.evaluations.map((e) => e.decision);
      };
      assert.deepEqual(await decisions("execute_all"), [true, false, true]);
      assert.deepEqual(await decisions("deny_on_first_deny"), [true, false]);
      assert.deepEqual(await decisions("permit_on_first_permit"), [true]);
    });

    test("who has left is out, and whoever has no token of an application is told what is missing", async () => {
      const left = await here.entra("PATCH", `/Users/${ann}`, {
        schemas: ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        Operations: [{ op: "Replace", path: "active", value: false }],
      });
      assert.ok(left.status < 300, left.text);
      const out = await decern(here.url, token, subject(), "assets.update", london);
      assert.equal(out.allowed, false);
      assert.equal(out.context.code, "not-active");
      const stranger = await decern(here.url, "not-a-token", subject(), "assets.update", london);
      assert.equal(stranger.status, 401);
      assert.match(stranger.body, /client_credentials/);
      const mistaken = await decern(here.url, token, { type: "user" }, "assets.update", london);
      assert.equal(mistaken.status, 400);
      assert.match(mistaken.body, /subject\.id is missing/);
    });
  });
}
