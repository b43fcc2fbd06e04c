package decision_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

func TestEvaluation_SaysYesWithTheWayItIsHeld(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.person(northwind, "Ann")
		var group *directory.Group
		var mapping store.Mapping
		w.write(northwind, func(tx *store.Tx) (err error) {
			if group, err = tx.CreateGroup(w.ctx, operator, "London Team"); err != nil {
				return err
			}
			if err = tx.AddMember(w.ctx, group.ID, string(ann), directory.UserMember, operator); err != nil {
				return err
			}
			mapping, err = tx.Map(w.ctx, operator, store.Mapping{GroupName: string(group.ID), Role: "editor", Resource: "emea"})
			return err
		})
		v := w.ask("reports", question(ann, "assets.read", "site", "london-1", ""))
		want := [][]access.Hop{{
			{Kind: access.HopGroup, ID: string(group.ID), Name: "London Team"},
			{Kind: access.HopMapping, ID: string(mapping.ID), Name: "London Team"},
			{Kind: access.HopRole, ID: "editor", Name: "Editor"},
			{Kind: access.HopIncluded, ID: "viewer", Name: "Viewer"},
			{Kind: access.HopResource, ID: "emea", Name: "EMEA"},
			{Kind: access.HopInherited, ID: "london-1", Name: "London 1"},
		}}
		if d := cmp.Diff(v.Context.Paths, want); !v.yes() || v.Context.Code != "granted" || d != "" {
			t.Errorf("got %+v\n%s", v, d)
		}
		if want := "Ann holds assets.read at London 1: group London Team, mapping of London Team, role Editor, which includes Viewer, at EMEA, and so at London 1."; v.Context.Reason != want {
			t.Errorf("got %q", v.Context.Reason)
		}
		// The organization is a resource too, and an application of several names it.
		w.give(northwind, ann, "viewer", "northwind")
		if v := w.ask("both", question(ann, "assets.read", "organization", "northwind", northwind)); !v.yes() {
			t.Errorf("got %+v", v)
		}
	})
}

// The attack is the time between a decision and its effect: whatever takes access away takes it from the next question.
func TestEvaluation_IsOfTheCommitBeforeIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.person(northwind, "Ann")
		w.wants("nothing given", ann, false, "not-granted")
		grant := w.give(northwind, ann, "editor", "emea")
		w.wants("given", ann, true, "granted")
		w.write(northwind, func(tx *store.Tx) error { return tx.RevokeGrant(w.ctx, operator, grant, "") })
		v := w.wants("taken", ann, false, "not-granted")
		if d := cmp.Diff(v.Context.Roles, []string{"editor"}); d != "" {
			t.Error(d)
		}

		grant = w.give(northwind, ann, "editor", "emea")
		var r store.Restriction
		w.write(northwind, func(tx *store.Tx) (err error) {
			r, err = tx.Restrict(w.ctx, operator, store.Restriction{User: ann, Resource: "london-1", Actions: []string{"update"}})
			return err
		})
		v = w.wants("restricted", ann, false, "restricted")
		if d := cmp.Diff(v.Context.Restriction, map[string]any{"resource": "london-1", "actions": []any{"update"}}); d != "" || len(v.Context.Paths) != 1 {
			t.Errorf("%s %v", d, v.Context.Paths)
		}
		w.write(northwind, func(tx *store.Tx) error { return tx.LiftRestriction(w.ctx, operator, r.ID) })
		w.wants("lifted", ann, true, "granted")

		w.write(northwind, func(tx *store.Tx) error { return tx.Suspend(w.ctx, ann, operator, "") })
		w.wants("suspended", ann, false, "not-active")
		w.write(northwind, func(tx *store.Tx) error { return tx.Reactivate(w.ctx, ann, operator, "") })
		w.wants("back", ann, true, "granted")
		w.write(northwind, func(tx *store.Tx) error { return tx.RevokeGrant(w.ctx, operator, grant, "") })

		w.write(northwind, func(tx *store.Tx) error {
			_, err := tx.Give(w.ctx, operator, store.Grant{
				User: ann, Role: "editor", Resource: "emea", Starts: w.clock.Now().Add(time.Minute), Expires: w.clock.Now().Add(2 * time.Minute),
			})
			return err
		})
		v = w.wants("before its time", ann, false, "not-yet")
		if d := cmp.Diff(v.Context.Near, []map[string]any{{"role": "editor", "resource": "emea", "starts": "2026-03-02T09:01:00Z", "expires": "2026-03-02T09:02:00Z"}}); d != "" {
			t.Error(d)
		}
		w.clock.Advance(time.Minute)
		w.wants("in its time", ann, true, "granted")
		w.clock.Advance(time.Minute)
		w.wants("after its time", ann, false, "expired")
		w.give(northwind, ann, "editor", "only-northwind")
		w.wants("elsewhere", ann, false, "expired")
	})
}

func TestEvaluation_CustomRolesCount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.person(northwind, "Ann")
		var made store.CustomRole
		w.write(northwind, func(tx *store.Tx) (err error) {
			made, err = tx.MakeRole(w.ctx, operator, access.Role{ID: "custom:night", Name: "Night shift", Permissions: []id.Permission{"assets.update"}})
			return err
		})
		w.give(northwind, ann, "custom:night", "emea")
		if v := w.wants("a custom role", ann, true, "granted"); !strings.Contains(v.Context.Reason, "role Night shift, at EMEA") {
			t.Errorf("got %q", v.Context.Reason)
		}
		w.write(northwind, func(tx *store.Tx) error {
			_, err := tx.ChangeRole(w.ctx, operator, access.Role{ID: "custom:night", Name: "Night shift", Permissions: []id.Permission{"assets.read"}}, made.Version)
			return err
		})
		w.wants("changed", ann, false, "not-granted")
		// Another organization's catalogue has no such role.
		zoe := w.person(southwind, "Zoe")
		if v := w.ask("both", question(zoe, "assets.update", "site", "london-1", southwind)); strings.Contains(text(v), "ight") {
			t.Errorf("got %+v", v)
		}
	})
}

// What is unknown is a no with a reason, not an error (and MODEL.md says so). An id is of its type (AuthZEN section 5.2).
func TestEvaluation_TheUnknownIsANo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.person(northwind, "Ann")
		w.give(northwind, ann, "editor", "northwind")
		nobody := id.New[id.User]()
		for name, test := range map[string]struct {
			q    map[string]any
			code string
		}{
			"subject":             {question(nobody, "assets.read", "site", "london-1", northwind), "unknown-subject"},
			"subject's form":      {question("ann", "assets.read", "site", "london-1", northwind), "unknown-subject"},
			"subject's NUL":       {question("a\x00b", "assets.read", "site", "london-1", northwind), "unknown-subject"},
			"action":              {question(ann, "assets.fly", "site", "london-1", northwind), "unknown-action"},
			"action's NUL":        {question(ann, "assets\x00", "site", "london-1", northwind), "unknown-action"},
			"resource":            {question(ann, "assets.read", "site", "paris-1", northwind), "unknown-resource"},
			"resource's type":     {question(ann, "assets.read", "portfolio", "london-1", northwind), "unknown-resource"},
			"resource of another": {question(ann, "assets.read", "site", "only-southwind", northwind), "unknown-resource"},
			"organization":        {question(ann, "assets.read", "site", "london-1", "eastwind"), "unknown-resource"},
			"organization's NUL":  {question(ann, "assets.read", "site", "london-1", "north\x00"), "unknown-resource"},
		} {
			if v := w.ask("everywhere", test.q); v.yes() || v.Context.Code != test.code || v.Context.Reason == "" {
				t.Errorf("%s: got %+v", name, v)
			}
		}
		group := question(ann, "assets.read", "site", "london-1", northwind)
		group["subject"].(map[string]any)["type"] = "group"
		if v := w.ask("everywhere", group); v.yes() || v.Context.Code != "unknown-subject" {
			t.Errorf("a type of subject that there is none of: %+v", v)
		}
	})
}

// The attack: an application asks about people and resources of an organization that it does not serve, to learn who and what is there.
// Answers differ in the id that was asked about, and in nothing else.
func TestEvaluation_AnotherOrganizationAnswersLikeNone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann, zoe := w.person(northwind, "Ann"), w.person(southwind, "Zoe")
		w.give(northwind, ann, "editor", "northwind")
		w.give(southwind, zoe, "editor", "southwind")
		nobody := id.New[id.User]()
		same := func(what string, a, b map[string]any, one, other string) {
			t.Helper()
			first, second := w.post("reports", "/access/v1/evaluation", text(a)), w.post("reports", "/access/v1/evaluation", text(b))
			if strings.ReplaceAll(first.Body.String(), one, other) != second.Body.String() || first.Code != second.Code || !strings.Contains(first.Body.String(), `"decision":false`) {
				t.Errorf("%s:\n%s%s", what, first.Body, second.Body)
			}
		}
		q := func(user id.User, resource string, org id.Organization) map[string]any {
			return question(user, "assets.read", "site", resource, org)
		}
		same("a user", q(zoe, "london-1", northwind), q(nobody, "london-1", northwind), string(zoe), string(nobody))
		same("a user, without an organization", q(zoe, "london-1", ""), q(nobody, "london-1", ""), string(zoe), string(nobody))
		same("a resource", q(ann, "only-southwind", northwind), q(ann, "only-eastwind", northwind), "southwind", "eastwind")
		same("an organization", q(zoe, "london-1", southwind), q(zoe, "london-1", "eastwind"), "southwind", "eastwind")
		same("an organization and its resource", q(zoe, "only-southwind", southwind), q(zoe, "only-eastwind", "eastwind"), "southwind", "eastwind")
		if v := w.ask("both", q(zoe, "london-1", southwind)); !v.yes() {
			t.Errorf("whoever serves it: %+v", v)
		}
		if v := w.ask("both", q(ann, "london-1", southwind)); v.yes() || v.Context.Code != "unknown-subject" {
			t.Errorf("another's user: %+v", v)
		}
		// Several at once tell no more than one.
		all := map[string]any{"evaluations": []any{q(zoe, "london-1", southwind), q(zoe, "london-1", northwind), q(ann, "london-1", northwind)}}
		got := w.askAll("reports", all)
		if len(got) != 3 || got[0].yes() || got[1].yes() || !got[2].yes() {
			t.Errorf("got %+v", got)
		}
		// What an operator takes from the application is gone for a token that was made before.
		w.token("both")
		w.system(func(tx *store.SystemTx) { tx.SaveApplication(w.ctx, w.app("both", northwind)) })
		if v := w.ask("both", q(zoe, "london-1", southwind)); v.yes() || v.Context.Code != "unknown-resource" {
			t.Errorf("an organization that it serves no longer: %+v", v)
		}
		if v := w.ask("both", q(ann, "london-1", "")); !v.yes() {
			t.Errorf("the one that is left needs no name: %+v", v)
		}
	})
}

// A provider's people count where they work, as far as the terms go; whoever of them was given nothing is nobody's there.
func TestEvaluation_ProvidersPeople(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		pat, kim := w.person(fieldserv, "Pat"), w.person(fieldserv, "Kim")
		w.wants("without a relationship", pat, false, "unknown-subject")
		terms := access.RelationshipSettings{AllowedRoles: []id.Role{"editor"}, Resources: []id.Resource{"london-1"}, Expires: w.clock.Now().Add(time.Hour)}
		w.write(northwind, func(tx *store.Tx) error {
			_, err := tx.SetTerms(w.ctx, operator, fieldserv, terms)
			return err
		})
		w.wants("given nothing", pat, false, "unknown-subject")
		w.give(northwind, pat, "editor", "london-1")
		w.wants("given", pat, true, "granted")
		w.wants("a colleague", kim, false, "unknown-subject")
		if v := w.ask("both", question(pat, "assets.update", "site", "london-1", southwind)); v.yes() || v.Context.Code != "unknown-subject" {
			t.Errorf("an organization they do not serve: %+v", v)
		}
		if v := w.ask("reports", question(pat, "assets.update", "portfolio", "emea", "")); v.yes() || v.Context.Code != "elsewhere" {
			t.Errorf("beyond the terms: %+v", v)
		}
		if v := w.ask("reports", question(pat, "assets.update", "site", "london-1", fieldserv)); v.yes() || v.Context.Code != "unknown-resource" {
			t.Errorf("their home, of which the application is none: %+v", v)
		}
		w.write(fieldserv, func(tx *store.Tx) error { return tx.Suspend(w.ctx, pat, operator, "") })
		w.wants("suspended at home", pat, false, "not-active")
		w.write(fieldserv, func(tx *store.Tx) error { return tx.Reactivate(w.ctx, pat, operator, "") })

		w.system(func(tx *store.SystemTx) {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: fieldserv, Name: "Fieldserv", Settings: store.Settings{DefaultProviderRoles: []id.Role{"viewer"}}})
		})
		if v := w.ask("reports", question(kim, "assets.read", "site", "london-1", "")); !v.yes() || v.Context.Paths[0][0].Kind != access.HopProvider {
			t.Errorf("a default role of the provider: %+v", v)
		}
		w.write(fieldserv, func(tx *store.Tx) error { return tx.Suspend(w.ctx, kim, operator, "") })
		w.wants("one with the default roles alone, suspended", kim, false, "unknown-subject")

		terms.RequireMFA = true
		w.write(northwind, func(tx *store.Tx) error {
			_, err := tx.SetTerms(w.ctx, operator, fieldserv, terms)
			return err
		})
		if v := w.wants("a second factor is asked of them", pat, false, "second-factor"); v.Context.ACRValues != "urn:vestibule:acr:mfa" {
			t.Errorf("got %+v", v)
		}
		w.signIn(fieldserv, pat, "pwd", "otp", "mfa")
		w.wants("shown at home", pat, true, "granted")
		w.later(time.Hour)
		w.wants("over", pat, false, "not-served")
		w.write(northwind, func(tx *store.Tx) error { return tx.Cut(w.ctx, operator, fieldserv, northwind, "") })
		w.wants("cut", pat, false, "unknown-subject")
	})
}

// What demands a second factor counts for whoever has shown one in what goes on: in any session, or in the one that is named.
func TestEvaluation_WithoutADemandedSecondFactorThereIsNoYes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.person(northwind, "Ann")
		w.give(northwind, ann, "clerk", "emea")
		ask := func(when string, user id.User, sid any, yes bool) {
			t.Helper()
			q := question(user, "billing.read", "site", "london-1", "")
			if sid != nil {
				q["subject"].(map[string]any)["properties"] = map[string]any{"sid": sid}
			}
			v := w.ask("reports", q)
			if v.yes() != yes || !yes && (v.Context.Code != "second-factor" || v.Context.ACRValues != "urn:vestibule:acr:mfa") {
				t.Errorf("%s: got %+v", when, v)
			}
		}
		ask("never here", ann, nil, false)
		weak := w.signIn(northwind, ann, "pwd")
		ask("with a password", ann, nil, false)
		strong := w.signIn(northwind, ann, "pwd", "otp", "mfa")
		ask("with two", ann, nil, true)
		ask("the session with two", ann, strong, true)
		ask("the session with one", ann, weak, false)
		ask("a session that is none", ann, "x\x00", false)
		bob := w.person(northwind, "Bob")
		w.give(northwind, bob, "clerk", "emea")
		ask("another's session", bob, strong, false)
		w.write(northwind, func(tx *store.Tx) error {
			_, err := tx.EndSession(w.ctx, strong)
			return err
		})
		ask("that has ended", ann, nil, false)
		w.signIn(northwind, ann, "pwd", "otp", "mfa")
		ask("again", ann, nil, true)
		w.later(13 * time.Hour)
		ask("that is over, with nothing to renew", ann, nil, false)

		// The whole organization asks: nothing is in force without.
		w.give(northwind, bob, "editor", "emea")
		w.wants("before", bob, true, "granted")
		w.system(func(tx *store.SystemTx) {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: northwind, Name: "Northwind", Settings: store.Settings{RequireMFA: true}})
			tx.In(northwind).BumpOrganization(w.ctx)
		})
		w.wants("the organization asks", bob, false, "second-factor")
		w.signIn(northwind, bob, "hwk", "user", "mfa")
		w.wants("shown", bob, true, "granted")
	})
}

func TestConfiguration_IsTheSpecificationsDocument(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rec := w.post("", "/.well-known/authzen-configuration", "", func(r *http.Request) { r.Method = http.MethodGet })
		want := `{"access_evaluation_endpoint":"https://id.example/access/v1/evaluation","access_evaluations_endpoint":"https://id.example/access/v1/evaluations",` +
			`"policy_decision_point":"https://id.example"}` + "\n"
		if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/json" || rec.Body.String() != want || rec.Header().Get("Cache-Control") == "" {
			t.Errorf("got %d %v %s", rec.Code, rec.Header(), rec.Body)
		}
	})
}
