// A conformance suite that others wrote (scim2-tester, all its tags) against a running server, on both stores: with the
// enterprise extension, without it, and with a schema that the operator wrote.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { install } from "./lib/vestibule.mjs";

const scim2 = path.resolve(import.meta.dirname, ".venv/bin/scim2");
const token = (id) => `scim2-tester-token-of-${id}-0123456789abcdef`;

// What the suite can judge of an extension. It makes no decimals and no times, reads base64 back as something else than it
// sent, and adds the whole extension before it adds to a list of it, expecting the list to be replaced (RFC 7644 section
// 3.5.2.1 appends). The tests in Go have an extension of all of these.
const badge = {
  id: "urn:example:badge:1.0:User",
  name: "Badge",
  description: "What the door knows of a person",
  attributes: [
    { name: "number", type: "string", multiValued: false, description: "On the badge", required: false, caseExact: false, mutability: "readWrite", returned: "default", uniqueness: "server" },
    { name: "floor", type: "integer", multiValued: false, description: "Floor", required: false, mutability: "readWrite", returned: "default", uniqueness: "none" },
    { name: "vip", type: "boolean", multiValued: false, description: "Whether to be greeted", required: false, mutability: "readWrite", returned: "default", uniqueness: "none" },
    { name: "page", type: "reference", multiValued: false, description: "Page about the person", required: false, caseExact: true, mutability: "readWrite", returned: "default", uniqueness: "none", referenceTypes: ["external"] },
    { name: "issued", type: "string", multiValued: false, description: "By the door", required: false, caseExact: false, mutability: "readOnly", returned: "default", uniqueness: "none" },
    {
      name: "desk", type: "complex", multiValued: false, description: "Where the person sits", required: false, mutability: "readWrite", returned: "default", uniqueness: "none",
      subAttributes: [
        { name: "room", type: "string", multiValued: false, description: "Room", required: false, caseExact: false, mutability: "readWrite", returned: "default", uniqueness: "none" },
        { name: "seat", type: "integer", multiValued: false, description: "Seat", required: false, mutability: "readWrite", returned: "default", uniqueness: "none" },
      ],
    },
  ],
};

const team = {
  id: "urn:example:team:1.0:Group",
  name: "Team",
  description: "What accounting knows of a group",
  attributes: [
    { name: "costCentre", type: "string", multiValued: false, description: "Who pays", required: false, caseExact: false, mutability: "readWrite", returned: "default", uniqueness: "none" },
    { name: "size", type: "integer", multiValued: false, description: "How many there may be", required: false, mutability: "readWrite", returned: "default", uniqueness: "none" },
  ],
};

const directories = {
  enterprise: { says: "", least: 100 },
  core: { says: ", extensions: []", least: 80 },
  badge: { says: ", extensions: [enterprise, {file: badge.json}, {file: team.json, resource: Group}]", least: 130 },
};

// The suite takes dozens of people away within seconds: the brake is for others.
const configuration = `version: 1
organizations:
  - id: acme
    name: Acme
    directories:
${Object.entries(directories)
  .map(([id, { says }]) => `      - {id: ${id}, name: Any provider, dialect: rfc, brake: {minimum: 1000}, tokens: [{id: main, secret: {env: SCIM2_TOKEN_${id.toUpperCase()}}}]${says}}`)
  .join("\n")}
`;

for (const kind of ["sqlite", "postgres"]) {
  describe(`scim2-tester on ${kind}`, { timeout: 400_000 }, () => {
    let here;
    before(async () => {
      const environment = Object.fromEntries(Object.keys(directories).map((id) => [`SCIM2_TOKEN_${id.toUpperCase()}`, token(id)]));
      here = await install({ kind, environment });
      here.file("badge.json", JSON.stringify(badge));
      here.file("team.json", JSON.stringify(team));
      const applied = here.command("apply", here.file("acme.yaml", configuration));
      assert.equal(applied.code, 0, applied.text);
      await here.start();
    });
    after(() => here?.remove());

    for (const [id, { least }] of Object.entries(directories)) {
      test(`reports no failure of the directory ${id}`, async () => {
        const { stdout } = await promisify(execFile)(
          scim2,
          ["--url", `${here.url}/scim/acme/${id}/v2`, "--header", `Authorization: Bearer ${token(id)}`, "test"],
          { maxBuffer: 16 << 20, timeout: 150_000 },
        ).catch((error) => ({ stdout: `${error.stdout}\n${error.stderr}` }));
        const results = stdout.split("\n").filter((line) => /^[A-Z]+ \w/.test(line));
        const passed = results.filter((line) => line.startsWith("SUCCESS")).length;
        console.log(`scim2-tester, ${id}: ${passed} of ${results.length} checks passed`);
        assert.ok(passed > least, stdout);
        assert.deepEqual(stdout.match(/^(ERROR|CRITICAL|FAILURE).*\n.*/gm) ?? [], []);
      });
    }
  });
}
