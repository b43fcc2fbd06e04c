// The world of the contract's northwind.yaml, running: its identity provider, its dashboard, and Vestibule between them.
import { readFileSync } from "node:fs";
import path from "node:path";
import { startApplication } from "./application.mjs";
import { startUpstream } from "./upstream.mjs";
import { caller, install, secrets } from "./vestibule.mjs";

export const northwindYAML = readFileSync(path.resolve(import.meta.dirname, "../../internal/apply/testdata/northwind.yaml"), "utf8");

const userSchema = "urn:ietf:params:scim:schemas:core:2.0:User";
const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/** The people at Northwind's identity provider. oid is what Entra pushes as externalId. */
export function people() {
  const at = (name, more) => ({ email: `${name}@northwind.example`, email_verified: true, name: `${name[0].toUpperCase()}${name.slice(1)} of Northwind`, oid: `oid-${name}`, ...more });
  return {
    ann: at("ann"),
    ben: at("ben"),
    olive: at("olive"),
    nora: at("nora"),
    fred: { email: "fred@fieldserv.example", email_verified: true, name: "Fred of Fieldserv", oid: "oid-fred" },
    eve: { email: "eve@foreign.example", email_verified: true, name: "Eve of elsewhere", oid: "oid-eve" },
  };
}

/** A user as Entra sends it. */
export function entraUser(name, more = {}) {
  return {
    schemas: [userSchema, enterprise],
    externalId: `oid-${name}`,
    userName: `${name}@northwind.example`,
    active: true,
    displayName: `${name[0].toUpperCase()}${name.slice(1)} of Northwind`,
    emails: [{ primary: true, type: "work", value: `${name}@northwind.example` }],
    meta: { resourceType: "User" },
    name: { formatted: `${name} Northwind`, familyName: "Northwind", givenName: name },
    roles: [],
    [enterprise]: { department: "Facilities" },
    ...more,
  };
}

/** A group as Entra sends it. */
export const entraGroup = (displayName, externalId) => ({
  schemas: ["urn:ietf:params:scim:schemas:core:2.0:Group", "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
  externalId,
  displayName,
  meta: { resourceType: "Group" },
});

export const patch = (...Operations) => ({ schemas: ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], Operations });

/** Applies northwind.yaml, starts the nodes, the upstream and the application. */
export async function startNorthwind(options = {}) {
  const upstream = await startUpstream({ people: people(), redirectUris: [] });
  const here = await install({ ...options, environment: { NORTHWIND_OIDC_ISSUER: upstream.issuer, ...options.environment } });
  try {
    await upstream.stop();
    // The callback holds Vestibule's address, which is known only now.
    const again = await startUpstream({
      people: upstream.people,
      port: Number(new URL(upstream.issuer).port),
      redirectUris: [`${here.url}/sso/northwind/corp/callback`, `${here.url}/sso/fieldserv/corp/callback`],
    });
    here.upstream = again;
    here.configuration = here.file("northwind.yaml", northwindYAML);
    here.applied = here.command("apply", here.configuration);
    if (here.applied.code !== 0) throw new Error(`apply: ${here.applied.text}`);
    await here.start();
    here.application = await startApplication(here.url);
    here.entra = caller(`${here.url}/scim/northwind/entra/v2`, secrets.NORTHWIND_SCIM_TOKEN, "application/scim+json");
    here.okta = caller(`${here.url}/scim/fieldserv/okta/v2`, secrets.FIELDSERV_SCIM_TOKEN, "application/scim+json");
    const token = here.command("token", "create", "--operator").out.trim().split(/\s+/).pop();
    here.api = caller(`${here.url}/api/v1/organizations/northwind`, token);
    here.apiOf = (organization) => caller(`${here.url}/api/v1/organizations/${organization}`, token);
  } catch (error) {
    await here.remove();
    await here.upstream?.stop();
    throw error;
  }
  const remove = here.remove;
  here.remove = async () => {
    await here.application?.stop();
    await here.upstream?.stop();
    await remove();
  };
  return here;
}

/** Signs name in at the application, from wherever the browser is, and gives what the application got. */
export async function signIn(here, page, name, query = {}) {
  const email = here.upstream.people[name].email;
  here.application.last = undefined;
  await page.goto(`${here.application.home}/login?${new URLSearchParams({ login_hint: email, ...query })}`);
  // The provider asks who it is only if this browser has no session there yet.
  if (page.url().startsWith(`${here.upstream.issuer}/interaction/`)) await page.getByRole("link", { name, exact: true }).click();
  return here.application.last;
}
