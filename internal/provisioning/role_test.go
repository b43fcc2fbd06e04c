package provisioning_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// accepting gives the directories plain and entra of northwind roles that they may give.
func (w *world) accepting(roles ...string) {
	w.t.Helper()
	var s directory.Settings
	for _, r := range roles {
		s.Roles.Accept = append(s.Roles.Accept, directory.ParseRoleAt(r))
	}
	w.must(w.db.System().Write(context.Background(), func(tx *store.SystemTx) error {
		for i, name := range []string{"viewer", "editor"} {
			tx.PutDeclaredRole(store.DeclaredRole{Role: access.Role{ID: id.Role(name), Name: strings.ToUpper(name)}, Position: int64(i + 1)})
		}
		tx.PutDeclaredResource(store.DeclaredResource{Organization: "northwind", Resource: access.Resource{ID: "london-1", Type: "site", Name: "London 1", Parent: ""}})
		for _, d := range []struct{ id, dialect string }{{"plain", "rfc"}, {"entra", "entra"}} {
			declared := store.DeclaredDirectory{
				Organization: "northwind", ID: id.Directory(d.id), Name: d.id, Dialect: d.dialect, Key: directory.KeyExternalID, Settings: s,
			}
			tx.PutDeclaredDirectory(declared)
			if err := tx.WithdrawRoles(context.Background(), declared, audit.Actor{Kind: audit.ActorOperator, Door: audit.Apply}); err != nil {
				return err
			}
		}
		tx.Bump(context.Background(), "configuration")
		tx.In("northwind").BumpOrganization(context.Background())
		return nil
	}))
	w.clock.Advance(2e9)
}

// holds gives what a user was given, by whom.
func (w *world) holds(user string) []string {
	w.t.Helper()
	out := []string{}
	for _, g := range w.effective(user).Grants {
		out = append(out, fmt.Sprintf("%s@%s %s", g.Role, g.Resource, g.Source))
	}
	slices.Sort(out)
	return out
}

func (w *world) wantHolds(user string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(w.holds(user), append([]string{}, want...)); diff != "" {
		w.t.Error(diff)
	}
}

func TestRoles_WhatADirectoryMayGiveBecomesGrants(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.accepting("viewer", "editor@london-1")
		c := w.plain()
		ann := c.user("ann", `"roles":[{"value":"viewer"}],"entitlements":[{"value":"editor@london-1"}]`)
		w.give(ann, "editor")
		w.wantHolds(ann, "editor@london-1 scim", "editor@northwind manual", "viewer@northwind scim")

		// What the provider takes away goes; what people gave stays.
		c.patch(200, "/Users/"+ann, `{"op":"remove","path":"roles"}`)
		w.wantHolds(ann, "editor@london-1 scim", "editor@northwind manual")
		c.patch(200, "/Users/"+ann, `{"op":"replace","path":"title","value":"T"}`)
		c.patch(200, "/Users/"+ann, `{"op":"replace","path":"entitlements","value":[{"value":"viewer"}]}`)
		w.wantHolds(ann, "editor@northwind manual", "viewer@northwind scim")

		// Deactivated it is of no use, and back it is there again.
		c.active(ann, false)
		w.wantHolds(ann)
		c.active(ann, true)
		w.wantHolds(ann, "editor@northwind manual", "viewer@northwind scim")

		// What the setting names no longer, the directory has not given.
		w.accepting("editor@london-1")
		w.wantHolds(ann, "editor@northwind manual")
		if e := w.events()[0]; e.Action != "grant.revoked" || e.User != id.User(ann) || e.Reason != "plain may no longer give it." {
			t.Errorf("the role that went leaves no event of its own: %+v", e)
		}
	})
}

func TestRoles_WhatIsNotListedIsRefusedOrLeftOut(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.accepting("viewer", "editor@london-1")
		c := w.plain()
		for _, value := range []string{"owner", "editor", "viewer@london-1", "nobody"} {
			a := c.do(400, "POST", "/Users", fmt.Sprintf(`{%s,"userName":"eve","roles":[{"value":"viewer"},{"value":%q}]}`, coreUser, value))
			if a.text("scimType") != "invalidValue" || !strings.Contains(a.text("detail"), `"`+value+`"`) {
				t.Errorf("%s: %s", value, a.raw)
			}
		}
		if got := c.list("/Users", `userName eq "eve"`); len(got) != 0 {
			t.Errorf("a refused user was made: %v", got)
		}
		a := w.entra().do(201, "POST", "/Users", `{`+coreUser+`,"userName":"eve","externalId":"e","roles":[{"value":"viewer"},{"value":"owner"}]}`)
		w.wantHolds(a.text("id"), "viewer@northwind scim")
		if got := a.values("roles"); !slices.Equal(got, []string{"viewer", "owner"}) {
			t.Errorf("the record is read back other than it was sent: %s", a.raw)
		}
	})
}

// A directory without the setting keeps roles as attributes, and another directory's grants are its own.
func TestRoles_OnlyWhoMayGivesAndOnlyItsOwnGo(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		ann := w.plain().user("ann", `"roles":[{"value":"owner"}]`)
		w.wantHolds(ann)
		w.plain().do(404, "GET", "/Roles", "")
		w.accepting("viewer")
		w.plain().patch(200, "/Users/"+ann, `{"op":"replace","path":"roles","value":[{"value":"VIEWER"}]}`)
		w.wantHolds(ann, "viewer@northwind scim")
		w.must(w.write("northwind", func(ctx context.Context, tx *store.Tx) error {
			return tx.KeepWithoutDirectory(ctx, id.User(ann), true, admin, "")
		}))
		w.plain().do(204, "DELETE", "/Users/"+ann, "")
		w.wantHolds(ann)
	})
}

func TestRoles_ArePublishedReadOnly(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		w.accepting("viewer", "editor@london-1")
		c := w.plain()
		all := c.do(200, "GET", "/Roles", "")
		if diff := cmp.Diff(all.ids(), []string{"editor@london-1", "viewer"}); diff != "" {
			t.Error(diff)
		}
		one := c.do(200, "GET", "/Roles/editor@london-1", "")
		resource, _ := one.body["resource"].(map[string]any)
		if one.text("value") != "editor@london-1" || one.text("displayName") != "EDITOR" || resource["display"] != "London 1" || one.meta("resourceType") != "Role" {
			t.Error(one.raw)
		}
		if got := c.list("/Roles", `resource.type eq "site"`); !slices.Equal(got, []string{"editor@london-1"}) {
			t.Errorf("filter: %v", got)
		}
		if got := c.do(200, "GET", "/Roles?sortBy=displayName&sortOrder=descending&count=1", ""); got.number("totalResults") != 2 || !slices.Equal(got.ids(), []string{"viewer"}) {
			t.Error(got.raw)
		}
		for _, method := range []string{"PUT", "PATCH", "DELETE"} {
			c.do(405, method, "/Roles/viewer", "")
		}
		c.do(405, "POST", "/Roles", "{}")
		c.do(404, "GET", "/Roles/owner", "")
		if got := c.do(200, "GET", "/ResourceTypes", ""); got.number("totalResults") != 3 {
			t.Error(got.raw)
		}
		c.do(200, "GET", "/Schemas/urn:vestibule:params:scim:schemas:1.0:Role", "")
		bulk := c.do(200, "POST", "/Bulk", `{`+bulkReq+`,"Operations":[{"method":"DELETE","path":"/Roles/viewer"}]}`)
		if !strings.Contains(bulk.raw, `"status":"400"`) {
			t.Error(bulk.raw)
		}
	})
}
