package directory_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/scim"
)

// Whatever the server refuses, there is something to do about it, for every dialect and none.
func TestAdvice_EveryErrorHasSome(t *testing.T) {
	t.Parallel()
	types := []scim.ScimType{
		"", scim.InvalidFilter, scim.TooMany, scim.Uniqueness, scim.Mutability, scim.InvalidSyntax, scim.InvalidPath, scim.NoTarget,
		scim.InvalidValue, scim.InvalidVers, scim.Sensitive, scim.InvalidCursor, scim.ExpiredCursor, scim.InvalidCount,
	}
	statuses := []int{400, 401, 403, 404, 405, 409, 412, 413, 415, 429, 500, 501, 503}
	dialects := []string{"", "unheard-of"}
	for _, d := range scim.Dialects {
		dialects = append(dialects, d.Name)
	}
	for _, dialect := range dialects {
		for _, status := range statuses {
			for _, typ := range types {
				a := directory.AdviceFor(dialect, status, typ, "Something.")
				if a.Problem == "" || a.Do == "" || strings.ContainsAny(a.Problem+a.Do, "%") {
					t.Errorf("%s %d %s: %+v", dialect, status, typ, a)
				}
				// What only the general sentence covers was forgotten.
				if strings.HasPrefix(a.Problem, "The request was refused") || status == 400 && typ != "" && typ != scim.Uniqueness && typ != scim.Sensitive &&
					strings.HasPrefix(a.Problem, "The request is not as the standard") {
					t.Errorf("%s %d %s has only the general advice", dialect, status, typ)
				}
			}
		}
		if a := directory.AdviceForSilence(dialect); a.Where == "" || a.Do == "" {
			t.Errorf("%s: no advice about silence", dialect)
		}
	}
}

func TestAdvice_NamesTheAttributeAndWhereItComesFrom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect string
		status  int
		typ     scim.ScimType
		detail  string
		want    string // in problem, where or what to do
	}{
		{"entra", 400, scim.InvalidValue, "userName is required.", "Map userName there, usually from userPrincipalName"},
		{"entra", 400, scim.InvalidValue, "userName is required.", "Provisioning › Mappings"},
		{"okta", 400, scim.InvalidValue, "userName is required and may not be blank.", "usually from user.login"},
		{"rfc", 400, scim.InvalidValue, "userName is required.", "The attribute mapping of your provisioning client"},
		{"entra", 400, scim.InvalidPath, `Operation 2: User has no attribute "favouriteColour".`, "favouriteColour"},
		{"entra", 409, scim.Uniqueness, `The userName "ann@x.org" is taken.`, "under Conflicts"},
		{"entra", 409, scim.Uniqueness, "Another User of this directory has this value of urn:example:badge:1.0:User:number, which must be unique.", "no two may have"},
		{"entra", 409, scim.Uniqueness, "Another resource of this directory has a value that must be unique.", "no two may have"},
		{"okta", 400, scim.InvalidValue, "urn:example:badge:1.0:User is required.", "Map at least one attribute of that schema"},
		{"entra", 409, scim.Uniqueness, `This directory has a group with the displayName "G" already.`, "a group of that name"},
		{"okta", 401, "", `The token "main" expired on 1 January 2026 at 00:00 UTC.`, "The token that this request came with has expired"},
		{"okta", 401, "", "The bearer token of this directory is missing, wrong or expired.", "came without a token"},
		{"entra", 400, scim.InvalidValue, "These members are neither users nor groups of this directory: u1.", "Users and groups"},
		{"entra", 400, scim.InvalidValue, `The manager "u1" is not a user of this directory.`, "Push the manager too"},
		{"okta", 400, scim.InvalidValue, `This directory may not give the role "owner". It may give: viewer.`, "roles.accept"},
		{"ping", 400, scim.InvalidFilter, `User has no attribute "email".`, "emails.value and not email"},
		{"entra", 404, "", "User u1 does not exist in this directory.", "Provision on demand"},
		{"entra", 503, "", "Entra took 40 people away at once, so groups that give roles take nobody in.", "undo the wave"},
		{"entra", 500, "", "The server could not complete the request.", "The fault is here"},
	} {
		a := directory.AdviceFor(c.dialect, c.status, c.typ, c.detail)
		if all := strings.Join([]string{a.Problem, a.Where, a.Do}, "\n"); !strings.Contains(all, c.want) {
			t.Errorf("%s, %d, %s: %q is missing in\n%s", c.dialect, c.status, c.detail, c.want, all)
		}
	}
}

func TestRepairs_EachDeviationHasItsWords(t *testing.T) {
	t.Parallel()
	for _, d := range scim.Dialects {
		for _, a := range d.Allowances {
			if directory.RepairWords[a.Deviation] == "" {
				t.Errorf("%s has no words", a.Deviation)
			}
		}
	}
}

func TestReplayable_OnlyWhatTheDirectorySentAndWasRefused(t *testing.T) {
	t.Parallel()
	good := directory.Request{Status: http.StatusConflict, TokenState: directory.TokenGood, Method: "POST", Whole: true}
	if err := good.Replayable(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*directory.Request){
		"succeeded":          func(r *directory.Request) { r.Status = 201 },
		"a stranger's":       func(r *directory.Request) { r.TokenState = directory.TokenUnknown },
		"an expired token's": func(r *directory.Request) { r.TokenState = directory.TokenExpired },
		"read":               func(r *directory.Request) { r.Method = "GET" },
		"not whole":          func(r *directory.Request) { r.Whole = false },
	} {
		r := good
		change(&r)
		if r.Replayable() == nil {
			t.Errorf("%s is sent again", name)
		}
	}
}
