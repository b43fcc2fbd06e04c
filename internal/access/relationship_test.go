package access_test

import (
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// Whoever lets a provider in gives what its people may hold: the ceiling of giving is the ceiling of approving.
func TestApprove_HoldsTheCeilingForEachRoleAndResource(t *testing.T) {
	t.Parallel()
	decide := func(role id.Role, at id.Resource, expires time.Time) access.Giver {
		f := give(facts(t, "olga"), role, at)
		f.Grants[len(f.Grants)-1].Expires = expires
		return access.Giver{Access: access.Decide(f, now)}
	}
	ground := facts(t, "nobody")
	for name, tt := range map[string]struct {
		giver access.Giver
		terms access.RelationshipSettings
		code  string // "": approved
		kind  fault.Kind
	}{
		"an owner, every role":         {decide("owner", "northwind", time.Time{}), access.RelationshipSettings{AllowedRoles: []id.Role{access.Every}}, "", 0},
		"an operator, every role":      {access.Giver{Operator: true}, access.RelationshipSettings{AllowedRoles: []id.Role{access.Every}}, "", 0},
		"a user admin, what they give": {decide("user-admin", "northwind", time.Time{}), access.RelationshipSettings{AllowedRoles: []id.Role{"task-manager"}}, "", 0},
		"a user admin, what they cannot give": {
			decide("user-admin", "northwind", time.Time{}), access.RelationshipSettings{AllowedRoles: []id.Role{"task-manager", "auditor"}}, access.CodeCeiling, fault.Forbidden,
		},
		"a user admin, every role": {
			decide("user-admin", "northwind", time.Time{}), access.RelationshipSettings{AllowedRoles: []id.Role{access.Every}}, access.CodeCeiling, fault.Forbidden,
		},
		"of a site, at the site": {
			decide("user-admin", "london-1", time.Time{}), access.RelationshipSettings{AllowedRoles: []id.Role{"task-manager"}, Resources: []id.Resource{"london-1-roof"}}, "", 0,
		},
		"of a site, beside it": {
			decide("user-admin", "london-1", time.Time{}), access.RelationshipSettings{AllowedRoles: []id.Role{"task-manager"}, Resources: []id.Resource{"london-1", "berlin-1"}}, access.CodeCeiling, fault.Forbidden,
		},
		"of a site, everywhere": {
			decide("user-admin", "london-1", time.Time{}), access.RelationshipSettings{AllowedRoles: []id.Role{"task-manager"}}, access.CodeCeiling, fault.Forbidden,
		},
		"for longer than their own": {
			decide("owner", "northwind", now.Add(time.Hour)), access.RelationshipSettings{AllowedRoles: []id.Role{"viewer"}}, access.CodeOutlasts, fault.Forbidden,
		},
		"as long as their own": {
			decide("owner", "northwind", now.Add(time.Hour)), access.RelationshipSettings{AllowedRoles: []id.Role{"viewer"}, Expires: now.Add(time.Hour)}, "", 0,
		},
		"nobody in particular": {access.Giver{}, access.RelationshipSettings{AllowedRoles: []id.Role{"viewer"}}, access.CodeCeiling, fault.Forbidden},
		"no role":              {access.Giver{Operator: true}, access.RelationshipSettings{}, "", fault.Invalid},
		"an unknown role":      {access.Giver{Operator: true}, access.RelationshipSettings{AllowedRoles: []id.Role{"gone"}}, "", fault.Invalid},
		"an unknown resource":  {access.Giver{Operator: true}, access.RelationshipSettings{AllowedRoles: []id.Role{"viewer"}, Resources: []id.Resource{"gone"}}, "", fault.Invalid},
		"over already":         {access.Giver{Operator: true}, access.RelationshipSettings{AllowedRoles: []id.Role{"viewer"}, Expires: now}, "", fault.Invalid},
	} {
		err := access.Approve(tt.giver, ground, tt.terms, now)
		switch f := fault.As(err); {
		case tt.kind == 0 && err != nil, tt.kind != 0 && err == nil:
			t.Errorf("%s: got %v", name, err)
		case err != nil && (f.Kind != tt.kind || f.Code != tt.code):
			t.Errorf("%s: got %v %q, want %v %q", name, f.Kind, f.Code, tt.kind, tt.code)
		}
	}
}

func TestGive_WhatTheRelationshipLeavesNothingOfIsNotGiven(t *testing.T) {
	t.Parallel()
	theirs := facts(t, "fred")
	theirs.User.Home = "fieldserv"
	theirs.Relationship = &access.Relationship{
		Provider: "fieldserv", ProviderName: "Fieldserv", Approved: true, AllowedRoles: []id.Role{"viewer"}, Resources: []id.Resource{"london-1"},
	}
	fred := access.Decide(theirs, now)
	if !fred.External() || len(fred.ProtectedHeld()) != 0 {
		t.Error("a provider's user is one of the organization's own")
	}
	for want, code := range map[access.Want]string{
		{Role: "viewer", Resource: "london-1-roof"}:  "",
		{Role: "viewer", Resource: "northwind"}:      "", // cut to the site
		{Role: "asset-editor", Resource: "london-1"}: "", // cut to what it includes
		{Role: "task-manager", Resource: "london-1"}: access.CodeOutside,
		{Role: "viewer", Resource: "berlin-1"}:       access.CodeOutside,
	} {
		err := access.Give(access.Giver{Operator: true}, facts(t, "nobody"), want, now, fred)
		if f := fault.As(err); (f == nil) != (code == "") || f != nil && f.Code != code {
			t.Errorf("%s at %s: got %v, want %q", want.Role, want.Resource, err, code)
		}
	}
}

func TestRelationshipSettings_InForce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		approved, expires time.Time
		want              bool
	}{
		"proposed":             {time.Time{}, time.Time{}, false},
		"approved":             {now, time.Time{}, true},
		"until later":          {now, now.Add(1), true},
		"until now":            {now, now, false},
		"approved in a moment": {now.Add(1), time.Time{}, false},
	} {
		if got := (access.RelationshipSettings{Expires: tt.expires}).InForce(tt.approved, now); got != tt.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
	f := facts(t, "nobody")
	terms := access.RelationshipSettings{AllowedRoles: []id.Role{access.Every, "viewer"}, Expires: now, RequireMFA: true}
	if got := terms.Terms(f.Catalogue, f.Tree); !strings.Contains(got, "every role, Viewer at Northwind, until 2 March 2026, with a second factor") {
		t.Errorf("got %q", got)
	}
}
