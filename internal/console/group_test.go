package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// actions lists what happened to one thing, the latest first.
func (h *house) actions(target string) []string {
	h.t.Helper()
	var out []string
	h.must(h.db.Read(h.t.Context(), "northwind", func(tx *store.Tx) error {
		events, err := tx.Events(h.t.Context(), store.AuditFilter{Limit: 200})
		for _, e := range events {
			if e.TargetID == target {
				out = append(out, e.Action)
			}
		}
		return err
	}))
	return out
}

// holds reports whether somebody holds a role at a resource.
func (h *house) holds(name string, role id.Role, at id.Resource) (yes bool) {
	h.t.Helper()
	h.must(h.db.Read(h.t.Context(), "northwind", func(tx *store.Tx) error {
		e, err := tx.Access(h.t.Context(), h.users[name])
		if err == nil {
			yes = e.Holds(role, at)
		}
		return err
	}))
	return yes
}

func TestGroup_IsMadeFilledGivenRolesAndDeleted(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		b := h.as("northwind", "Adam Admin")

		made := b.post("/o/northwind/new-group", "name", "  Roof crew ")
		if made.status != http.StatusSeeOther || !strings.HasPrefix(made.location, "/o/northwind/groups/") {
			t.Fatalf("making a group answers %d to %q: %s", made.status, made.location, made.text("main"))
		}
		at := made.location
		if got := b.post("/o/northwind/new-group", "name", "roof CREW"); got.status != http.StatusConflict || !strings.Contains(got.text("main"), "called roof CREW already") {
			t.Errorf("a second group of the name answers %d: %s", got.status, got.text("main"))
		}
		niko := string(h.users["Niko New"])
		found := b.page(at + "/add?q=niko")
		if got := found.Find("#people button").AttrOr("value", ""); got != niko {
			t.Errorf("the search for niko offers %q", got)
		}
		if got := b.post(at+"/members", "member", niko); got.status != http.StatusSeeOther {
			t.Fatalf("adding answers %d: %s", got.status, got.text("main"))
		}
		if got := b.page(at + "/add?q=niko").text("#people"); !strings.Contains(got, "Is a member") {
			t.Errorf("a member is offered again: %s", got)
		}

		preview := b.page(at + "/give?role=asset-editor&resource=london-1")
		if got := preview.text(".preview"); !strings.Contains(got, "1 person of 1") || !strings.Contains(got, "Edit assets 1 person: Niko New") {
			t.Errorf("the preview says %q", got)
		}
		if got := preview.text("label[for=role-viewer]"); !strings.Contains(got, "Included in Asset Editor") {
			t.Errorf("the implied role says %q", got)
		}
		if got := preview.text("label[for=role-owner]"); !strings.Contains(got, "You may not give this") {
			t.Errorf("a role above the ceiling says %q", got)
		}
		if got := b.post(at+"/give", "role", "asset-editor", "resource", "london-1", "reason", "roof works"); got.status != http.StatusSeeOther {
			t.Fatalf("giving answers %d: %s", got.status, got.text("main"))
		}
		if !h.holds("Niko New", "asset-editor", "london-1-roof") {
			t.Error("the member does not hold what the group was given")
		}
		shown := b.page(at)
		if got := shown.text("[aria-labelledby=given]"); !strings.Contains(got, "Given by Adam Admin") {
			t.Errorf("the group's page says %q", got)
		}
		take := shown.Find("[aria-labelledby=given] a.danger").AttrOr("href", "")
		if got := b.page(take).text(".preview"); !strings.Contains(got, "Lose Edit assets 1 person: Niko New") {
			t.Errorf("the preview of taking away says %q", got)
		}
		if got := b.page(at + "/members/" + niko + "/remove").text(".preview"); !strings.Contains(got, "Lose Edit assets") {
			t.Errorf("the preview of taking out says %q", got)
		}
		if got := b.page(at + "/delete").text("#sheet"); !strings.Contains(got, "Lose Edit assets 1 person: Niko New") {
			t.Errorf("the preview of deleting says %q", got)
		}
		if got := b.post(at+"/rename", "name", "Roof team"); got.status != http.StatusSeeOther || b.page(at).text("h1") != "Roof team" {
			t.Errorf("renaming answers %d", got.status)
		}
		if got := b.post(take); got.status != http.StatusSeeOther || h.holds("Niko New", "asset-editor", "london-1") {
			t.Errorf("taking away answers %d: %s", got.status, got.text("main"))
		}
		if got := b.post(at + "/members/" + niko + "/remove"); got.status != http.StatusSeeOther {
			t.Errorf("taking out answers %d: %s", got.status, got.text("main"))
		}
		if got := b.post(at+"/delete", "reason", "done"); got.status != http.StatusSeeOther || b.get(at).status != http.StatusNotFound {
			t.Errorf("deleting answers %d: %s", got.status, got.text("main"))
		}
		want := "group.deleted group.member-removed group.changed group.member-added group.created"
		if got := strings.Join(h.actions(strings.TrimPrefix(at, "/o/northwind/groups/")), " "); got != want {
			t.Errorf("the log holds %q, want %q", got, want)
		}
	})
}

// Whoever may fill a group gives what the group gives: the ceiling holds on this door too.
func TestGroup_NobodyReachesAboveTheirCeilingByIt(t *testing.T) {
	t.Parallel()
	h := declared(t)
	var owners id.Group
	h.must(h.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
		g, err := tx.CreateGroup(t.Context(), h.system, "Owners")
		if err != nil {
			return err
		}
		owners = g.ID
		_, err = tx.Give(t.Context(), h.system, store.Grant{Group: g.ID, Role: "owner", Resource: "northwind"})
		return err
	}))
	at := "/o/northwind/groups/" + string(owners)
	adam := h.as("northwind", "Adam Admin")
	if got := adam.page(at + "/add").text("#sheet"); !strings.Contains(got, "Owners gives Owner at Northwind Energy, which you may not give") {
		t.Errorf("the dialog says %q", got)
	}
	for path, form := range map[string][]string{
		"/members": {"member", string(h.users["Adam Admin"])},
		"/give":    {"role", "owner", "resource", "northwind"},
		"/delete":  nil,
	} {
		if got := adam.post(at+path, form...); got.status < 400 || got.status >= 500 {
			t.Errorf("%s answers %d", path, got.status)
		}
	}
	if h.holds("Adam Admin", "owner", "northwind") {
		t.Error("an administrator made an owner of himself")
	}
	take := h.operator().page(at).Find("[aria-labelledby=given] a.danger").AttrOr("href", "")
	if got := adam.post(take); got.status != http.StatusForbidden {
		t.Errorf("taking what one may not give answers %d", got.status)
	}
	// Who sees a part of the organization sees no group at all, and a stranger's group is not there.
	for _, b := range []*browser{h.as("northwind", "Sven Site"), h.as("northwind", "Niko New"), h.as("fieldserv", "Femi Field")} {
		for _, path := range []string{"", "/give", "/add", "/rename", "/delete"} {
			if got := b.get(at + path); got.status == http.StatusOK {
				t.Errorf("%s is shown to whom it is not for", path)
			}
		}
		if got := b.post("/o/northwind/new-group", "name", "Mine"); got.status == http.StatusSeeOther && strings.Contains(got.location, "/groups/") {
			t.Error("a group was made by whom it is not for")
		}
	}
}

func TestGroup_LastHolderOfAProtectedRoleStays(t *testing.T) {
	t.Parallel()
	h := declared(t)
	op := h.operator()
	made := op.post("/o/northwind/new-group", "name", "Owners")
	op.post(made.location+"/members", "member", string(h.users["Niko New"]))
	if got := op.post(made.location+"/give", "role", "owner", "resource", "northwind"); got.status != http.StatusSeeOther {
		t.Fatalf("giving answers %d: %s", got.status, got.text("main"))
	}
	for _, g := range op.page(h.at("Olivia Owner")).Find("a.danger.small").Nodes {
		for _, a := range g.Attr {
			if a.Key == "href" {
				op.post(a.Val)
			}
		}
	}
	if h.holds("Olivia Owner", "owner", "northwind") {
		t.Fatal("Olivia still is an owner")
	}
	for _, path := range []string{"/delete", "/members/" + string(h.users["Niko New"]) + "/remove"} {
		if got := op.post(made.location + path); got.status != http.StatusConflict || !strings.Contains(got.text("main"), "last active Owner") {
			t.Errorf("%s answers %d: %s", path, got.status, got.text("main"))
		}
	}
	if !h.holds("Niko New", "owner", "northwind") {
		t.Error("the last owner is lost")
	}
}

func TestGroup_WhatComesFromOutsideIsReadOnlyAndMayBeGivenRoles(t *testing.T) {
	t.Parallel()
	h := declared(t)
	var claimed id.Group
	h.must(h.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
		corp := connection.Connection{Organization: "northwind", ID: "corp", Name: "Northwind SSO"}
		if err := tx.ClaimGroups(t.Context(), h.system, corp, h.users["Niko New"], []string{"London Team"}); err != nil {
			return err
		}
		all, err := tx.Groups(t.Context())
		for _, g := range all {
			if g.Name == "London Team" {
				claimed = g.ID
			}
		}
		return err
	}))
	at := "/o/northwind/groups/" + string(claimed)
	b := h.as("northwind", "Olivia Owner")
	a := b.page(at)
	if got := a.text("[aria-labelledby=members] .panel-head"); got != "Members They come from corp, and are changed there." {
		t.Errorf("the members' panel says %q", got)
	}
	if n := a.Find("[aria-labelledby=members] a.button").Length() + a.Find(".page-head a.button").Length(); n != 0 {
		t.Errorf("%d ways to change what sign-in claims", n)
	}
	for _, path := range []string{"/delete", "/members/" + string(h.users["Niko New"]) + "/remove"} {
		if got := b.post(at + path); got.status != http.StatusConflict {
			t.Errorf("%s answers %d", path, got.status)
		}
	}
	if got := b.post(at+"/give", "role", "viewer", "resource", "emea"); got.status != http.StatusSeeOther {
		t.Errorf("giving a claimed group a role answers %d: %s", got.status, got.text("main"))
	}
	// A mapping that people made is taken away here; one that the file declares is not.
	var mapping store.Mapping
	h.must(h.db.Write(t.Context(), "northwind", func(tx *store.Tx) (err error) {
		mapping, err = tx.Map(t.Context(), audit.Actor{Kind: audit.ActorOperator, ID: "op"}, store.Mapping{GroupName: "London Team", Role: "asset-editor", Resource: "london-1"})
		return err
	}))
	if got := b.post(at + "/mappings/" + string(mapping.ID) + "/remove"); got.status != http.StatusSeeOther || h.holds("Niko New", "asset-editor", "london-1") {
		t.Errorf("taking a mapping away answers %d: %s", got.status, got.text("main"))
	}
	if got := b.post("/o/northwind/groups/night-shift/mappings/gr-1/remove"); got.status != http.StatusConflict {
		t.Errorf("taking a declared mapping away answers %d", got.status)
	}
	if got := b.page("/o/northwind/groups/night-shift").text("[aria-labelledby=given]"); !strings.Contains(got, "Declared in the operator's file") {
		t.Errorf("a declared mapping says %q", got)
	}
}
