// scimmy-routers on a store in memory, as its README has it: what it answers is its own, what it keeps is ours.
import { randomUUID } from "node:crypto";
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const [port, token] = process.argv.slice(2);

/** Declares a resource type whose resources are kept in a map. */
function keep(type, unique) {
  const all = new Map();
  SCIMMY.Resources.declare(type, {
    ingress(resource, instance) {
      const { id: _, ...data } = JSON.parse(JSON.stringify(instance));
      const taken = [...all.values()].find((r) => r.id !== resource.id && r[unique]?.toLowerCase() === data[unique]?.toLowerCase());
      if (taken) throw new SCIMMY.Types.Error(409, "uniqueness", `${unique} is taken`);
      if (resource.id && !all.has(resource.id)) throw new SCIMMY.Types.Error(404, null, "no such resource");
      const before = all.get(resource.id);
      const now = new Date().toISOString();
      const kept = { ...data, id: before?.id ?? randomUUID(), meta: { created: before?.meta.created ?? now, lastModified: now } };
      all.set(kept.id, kept);
      return kept;
    },
    egress(resource) {
      if (!resource.id) return resource.filter ? resource.filter.match([...all.values()]) : [...all.values()];
      if (!all.has(resource.id)) throw new SCIMMY.Types.Error(404, null, "no such resource");
      return all.get(resource.id);
    },
    degress(resource) {
      if (!all.delete(resource.id)) throw new SCIMMY.Types.Error(404, null, "no such resource");
    },
  });
}
keep(SCIMMY.Resources.User, "userName");
keep(SCIMMY.Resources.Group, "displayName");

const app = express();
app.use("/scim/v2", new SCIMMYRouters({
  type: "bearer",
  handler(request) {
    if (request.header("authorization") !== `Bearer ${token}`) throw new Error("not the token");
    return "anybody";
  },
}));
app.listen(Number(port), "127.0.0.1");
