package decision_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/application"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// askAll asks several questions and wants answers.
func (w *world) askAll(app id.Application, body map[string]any) []verdict {
	w.t.Helper()
	rec := w.post(app, "/access/v1/evaluations", text(body))
	var answer struct {
		Decision    *bool     `json:"decision"`
		Evaluations []verdict `json:"evaluations"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || rec.Code != http.StatusOK || answer.Decision != nil {
		w.t.Fatalf("%s: %d %s", text(body), rec.Code, rec.Body)
	}
	return answer.Evaluations
}

func TestEvaluations_DefaultsAndSemantics(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann, ben, zoe := w.person(northwind, "Ann"), w.person(northwind, "Ben"), w.person(southwind, "Zoe")
		w.give(northwind, ann, "editor", "london-1")
		w.give(northwind, ben, "viewer", "northwind")
		w.give(southwind, zoe, "editor", "southwind")
		at := func(resource string, org id.Organization) map[string]any {
			return question("", "", "site", resource, org)["resource"].(map[string]any)
		}
		subject := func(u id.User) map[string]any { return map[string]any{"type": "user", "id": u} }
		body := func(semantic string, evaluations ...any) map[string]any {
			b := question(ann, "assets.update", "site", "london-1", northwind)
			b["evaluations"] = evaluations
			if semantic != "" {
				b["options"] = map[string]any{"evaluations_semantic": semantic, "another": true}
			}
			return b
		}
		yes, no := map[string]any{}, map[string]any{"resource": at("only-northwind", northwind)}
		mistake := map[string]any{"resource": map[string]any{"id": "london-1"}}
		far := map[string]any{"subject": subject(zoe), "resource": at("london-1", southwind)}
		foreign := map[string]any{"resource": at("london-1", fieldserv)}
		reads := map[string]any{"subject": subject(ben), "action": map[string]any{"name": "assets.read"}}
		for _, test := range []struct {
			semantic    string
			evaluations []any
			want        string
		}{
			{"", []any{yes, no, reads, far, mistake, foreign, yes}, "+-++!-+"},
			{"execute_all", []any{no, yes, mistake}, "-+!"},
			{"deny_on_first_deny", []any{yes, far, no, yes}, "++-"},
			{"deny_on_first_deny", []any{yes, mistake, no, yes}, "+!"},
			{"deny_on_first_deny", []any{far, foreign, yes}, "+-"},
			{"deny_on_first_deny", []any{yes, far, yes}, "+++"},
			{"permit_on_first_permit", []any{no, mistake, far, yes}, "-!+"},
			{"permit_on_first_permit", []any{no, yes, far}, "-+"},
			{"permit_on_first_permit", []any{foreign, no, mistake}, "--!"},
		} {
			got := ""
			for _, v := range w.askAll("both", body(test.semantic, test.evaluations...)) {
				switch {
				case v.Context.Error != nil:
					if v.Context.Error.Status != http.StatusBadRequest || v.yes() {
						t.Errorf("got %+v", v)
					}
					got += "!"
				case v.yes():
					got += "+"
				default:
					got += "-"
				}
			}
			if got != test.want {
				t.Errorf("%s of %s: got %s, want %s", test.semantic, text(test.evaluations), got, test.want)
			}
		}
		// Without evaluations it is the other endpoint (section 7.1).
		for _, b := range []map[string]any{body(""), question(ann, "assets.update", "site", "london-1", northwind)} {
			rec := w.post("both", "/access/v1/evaluations", text(b))
			if rec.Code != http.StatusOK || !strings.HasPrefix(rec.Body.String(), `{"decision":true,`) {
				t.Errorf("got %d %s", rec.Code, rec.Body)
			}
		}
		// An entity stands for itself: the default's properties are not joined to it (section 7.1.1).
		got := w.askAll("both", body("", map[string]any{"resource": map[string]any{"type": "site", "id": "london-1"}}))
		if len(got) != 1 || got[0].Context.Error == nil {
			t.Errorf("got %+v", got)
		}
		many := make([]any, 1001)
		for i := range many {
			many[i] = yes
		}
		if got := w.askAll("both", body("", many[:1000]...)); len(got) != 1000 || !got[999].yes() {
			t.Errorf("got %d answers", len(got))
		}
		if rec := w.post("both", "/access/v1/evaluations", text(body("", many...))); rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), "1000") {
			t.Errorf("got %d %s", rec.Code, rec.Body)
		}
	})
}

// Every way to come without a token of one's own: refused as RFC 6750 section 3 has it.
func TestCaller_OnlyAnApplicationsOwnTokenOpens(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ann := w.person(northwind, "Ann")
		body := text(question(ann, "assets.read", "site", "london-1", ""))
		good := w.token("reports")
		parts := strings.Split(good, ".")
		const path = "/access/v1/evaluation"
		refused := func(name string, status int, challenge string, changes ...change) {
			t.Helper()
			for _, at := range []string{path, "/access/v1/evaluations"} {
				rec := w.post("", at, body, append(changes, header("X-Request-ID", "theirs"))...)
				if rec.Code != status || !strings.HasPrefix(rec.Header().Get("WWW-Authenticate"), challenge) || rec.Header().Get("X-Request-Id") != "theirs" ||
					!strings.HasPrefix(rec.Header().Get("Content-Type"), "text/plain") || len(strings.TrimSpace(rec.Body.String())) < 20 {
					t.Errorf("%s: got %d %v %s", name, rec.Code, rec.Header(), rec.Body)
				}
				if challenge == `Bearer realm="access"` && rec.Header().Get("WWW-Authenticate") != challenge {
					t.Errorf("%s: an error code without a token: %v", name, rec.Header())
				}
			}
		}
		bearer := func(token string) change { return header("Authorization", "Bearer "+token) }
		const none, invalid = `Bearer realm="access"`, `Bearer realm="access", error="invalid_token", error_description="`
		refused("no token", http.StatusUnauthorized, none)
		refused("an empty one", http.StatusUnauthorized, none, header("Authorization", "Bearer "))
		refused("the secret", http.StatusUnauthorized, none, func(r *http.Request) { r.SetBasicAuth("reports", secret) })
		refused("a person's, a directory's or the admin API's opaque token", http.StatusUnauthorized, invalid, bearer("northwind."+strings.Repeat("a", 43)))
		refused("a changed one", http.StatusUnauthorized, invalid, bearer(parts[0]+"."+parts[1]+"A."+parts[2]))
		refused("an unsigned one", http.StatusUnauthorized, invalid, bearer("eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0."+parts[1]+"."))
		refused("two", http.StatusBadRequest, `Bearer realm="access", error="invalid_request"`, header("Authorization", "Bearer "+good, "Bearer "+good))
		refused("in the address", http.StatusBadRequest, `Bearer realm="access", error="invalid_request"`, func(r *http.Request) { r.URL.RawQuery = "access_token=" + good })
		// Of our own keys, and for something else.
		for name, forged := range map[string]string{
			"an ID token":           w.signed("JWT", claims{"iss": issuer, "sub": "reports", "aud": "reports", "client_id": "reports"}),
			"a logout token":        w.signed("logout+jwt", claims{"iss": issuer, "sub": "reports", "aud": issuer, "client_id": "reports"}),
			"another audience":      w.signed("at+jwt", claims{"iss": issuer, "sub": "reports", "aud": "https://api.example", "client_id": "reports"}),
			"another issuer":        w.signed("at+jwt", claims{"iss": "https://evil.example", "sub": "reports", "aud": issuer, "client_id": "reports"}),
			"a person's subject":    w.signed("at+jwt", claims{"iss": issuer, "sub": string(ann), "aud": issuer, "client_id": "reports"}),
			"a client that is none": w.signed("at+jwt", claims{"iss": issuer, "sub": "nobody", "aud": issuer, "client_id": "nobody"}),
		} {
			refused(name, http.StatusUnauthorized, invalid, bearer(forged))
		}
		if rec := w.post("", path, body, bearer(w.signed("at+jwt", claims{"iss": issuer, "sub": "reports", "aud": issuer, "client_id": "reports"}))); rec.Code != http.StatusOK {
			t.Errorf("the forger is no good: %d %s", rec.Code, rec.Body)
		}
		if rec := w.post("", path, body, header("Authorization", "bearer "+good)); rec.Code != http.StatusOK {
			t.Errorf("RFC 9110 section 11.1: a scheme is known by any case; got %d", rec.Code)
		}

		// What the operator does to the application holds for tokens that it has already.
		app := w.app("reports", northwind)
		app.GrantTypes = []string{application.RefreshToken}
		w.system(func(tx *store.SystemTx) { tx.SaveApplication(w.ctx, app) })
		refused("an application that may not act for itself any more", http.StatusUnauthorized, invalid, bearer(good))
		w.system(func(tx *store.SystemTx) { tx.SaveApplication(w.ctx, w.app("reports", northwind)) })
		if rec := w.post("", path, body, bearer(good)); rec.Code != http.StatusOK {
			t.Errorf("got %d %s", rec.Code, rec.Body)
		}
		w.system(func(tx *store.SystemTx) { tx.RemoveApplication(w.ctx, "reports") })
		refused("an application that is gone", http.StatusUnauthorized, invalid, bearer(good))
		good = w.token("everywhere")
		w.clock.Advance(10 * time.Minute)
		refused("an expired one", http.StatusUnauthorized, invalid, bearer(good))
	})
}

// What cannot be read is said in a sentence, as text (section 10.1.2), with the id that the request came with.
func TestRequest_WhatIsWrongIsSaid(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const one, several = "/access/v1/evaluation", "/access/v1/evaluations"
		ok := text(question(id.New[id.User](), "assets.read", "site", "london-1", northwind))
		with := func(name string, v any) string {
			q := question(id.New[id.User](), "assets.read", "site", "london-1", northwind)
			if q[name] = v; v == nil {
				delete(q, name)
			}
			return text(q)
		}
		for _, test := range []struct {
			path, body string
			status     int
			said       string
		}{
			{one, ``, 400, "JSON"},
			{one, `{`, 400, "JSON"},
			{one, `{"subject":}`, 400, "JSON"},
			{one, `[` + ok + `]`, 400, "JSON object"},
			{one, ok + ok, 400, "follows"},
			{one, `{"subject":{"type":"user","id":"a"},"subject":{"type":"user","id":"b"}}`, 400, "twice"},
			{one, `{"subject":{"type":"user","id":"a","\u0069d":"b"}}`, 400, "twice"},
			{one, "{\"subject\":\"\xff\"}", 400, "UTF-8"},
			{one, strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), 400, "nested"},
			{one, `{}`, 400, `subject is missing: {"type": "user"`},
			{one, with("subject", nil), 400, "subject is missing"},
			{one, with("action", nil), 400, "action is missing"},
			{one, with("resource", nil), 400, "resource is missing"},
			{one, `{"Subject":{"type":"user","id":"a"},"action":{"name":"x"},"resource":{"type":"site","id":"x"}}`, 400, "subject is missing"},
			{one, with("subject", "ann"), 400, "subject is an object"},
			{one, with("subject", map[string]any{"type": "user"}), 400, "subject.id is missing"},
			{one, with("subject", map[string]any{"id": "a"}), 400, "subject.type is missing"},
			{one, with("subject", map[string]any{"type": "user", "id": 7}), 400, "subject.id is a string"},
			{one, with("subject", map[string]any{"type": "user", "id": strings.Repeat("a", 600)}), 400, "at most 512"},
			{one, with("subject", map[string]any{"type": "user", "id": "a", "properties": 7}), 400, "subject.properties is an object"},
			{one, with("subject", map[string]any{"type": "user", "id": "a", "properties": map[string]any{"sid": 7}}), 400, "sid is a string"},
			{one, with("action", map[string]any{}), 400, "action.name is missing"},
			{one, with("action", map[string]any{"name": 123}), 400, "action.name is a string"},
			{one, with("resource", map[string]any{"id": "x"}), 400, "resource.type is missing"},
			{one, with("resource", map[string]any{"type": "x"}), 400, "resource.id is missing"},
			{one, with("resource", map[string]any{"type": "site", "id": "london-1"}), 400, "resource.properties.organization is missing"},
			{one, with("resource", map[string]any{"type": "site", "id": "x", "properties": map[string]any{"organization": []string{"northwind"}}}), 400, "is a string"},
			{one, with("context", "now"), 400, "context is an object"},
			{one, with("padding", strings.Repeat("x", 1<<20)), 413, "bytes"},
			{several, `{"evaluations":{}}`, 400, "evaluations is a list"},
			{several, `{"evaluations":[{}],"options":7}`, 400, "options is an object"},
			{several, `{"evaluations":[{}],"options":{"evaluations_semantic":7}}`, 400, "is a string"},
			{several, `{"evaluations":[{}],"options":{"evaluations_semantic":"all"}}`, 400, "permit_on_first_permit"},
			{several, `{"evaluations":[{}],"subject":"ann"}`, 400, "subject is an object"},
			{several, `{"evaluations":[]}`, 400, "subject is missing"},
			{several, `{}`, 400, "subject is missing"},
		} {
			rec := w.post("everywhere", test.path, test.body, header("X-Request-ID", "their own id/1"))
			if rec.Code != test.status || !strings.Contains(rec.Body.String(), test.said) || rec.Header().Get("X-Request-Id") != "their own id/1" ||
				rec.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("%.200s: got %d %v %s, want %q", test.body, rec.Code, rec.Header(), rec.Body, test.said)
			}
		}
		// In a list, what is wrong with one is said of that one (section 7.2.1).
		got := w.askAll("everywhere", map[string]any{"evaluations": []any{7, map[string]any{}, json.RawMessage(ok)}})
		if len(got) != 3 || got[0].Context.Error == nil || got[1].Context.Error == nil || got[2].Context.Error != nil {
			t.Errorf("got %+v", got)
		}
		for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json-patch+json"} {
			if rec := w.post("everywhere", one, ok, header("Content-Type", kind)); rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), "application/json") {
				t.Errorf("%q: got %d %s", kind, rec.Code, rec.Body)
			}
		}
		for _, body := range []string{ok, with("unknown", map[string]any{"a": []any{1.5, nil, true}}), with("options", 7)} {
			rec := w.post("everywhere", one, body, header("X-Request-ID", "a", "b"), header("Content-Type", "application/json; charset=utf-8"))
			if rec.Code != http.StatusOK || cmp.Diff(rec.Header()["X-Request-Id"], []string{"a"}) != "" {
				t.Errorf("got %d %v %s", rec.Code, rec.Header(), rec.Body)
			}
		}
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodHead} {
			for _, path := range []string{one, several} {
				rec := w.post("everywhere", path, ok, func(r *http.Request) { r.Method = method }, header("X-Request-ID", "a"))
				if rec.Code != http.StatusMethodNotAllowed || rec.Header().Get("Allow") != "POST" || rec.Header().Get("X-Request-Id") != "a" {
					t.Errorf("%s: got %d %v", method, rec.Code, rec.Header())
				}
			}
		}
	})
}

// A number is none of what is read; one beyond what a float holds is no reason to refuse what it stands beside.
func TestRequest_StrangeNumbersAreIgnored(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		q := text(question(id.New[id.User](), "assets.read", "site", "london-1", northwind))
		if rec := w.post("everywhere", "/access/v1/evaluation", fmt.Sprintf(`{"x":1e99999,%s`, q[1:])); rec.Code != http.StatusOK {
			t.Errorf("got %d %s", rec.Code, rec.Body)
		}
	})
}
