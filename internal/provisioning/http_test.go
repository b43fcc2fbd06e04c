package provisioning_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/provisioning"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/scim"
)

// H-01 to H-04, H-07 to H-10, H-12, H-14, H-15: errors, methods, media types, bodies.
func TestHTTP_ErrorsMethodsAndBodies(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		id := c.user("ann@x.org")

		// H-01, H-02, H-03
		c.refused(404, "", "GET", "/Users/nope", "")
		c.refused(404, "", "GET", "/Nope", "")
		c.refused(404, "", "GET", "/Users/%00", "")
		c.refused(404, "", "GET", "/Users/%ff", "")

		// H-04
		for path, allow := range map[string]string{
			"/ServiceProviderConfig": "GET, HEAD", "/Schemas": "GET, HEAD", "/ResourceTypes/User": "GET, HEAD",
			"/Users": "GET, HEAD, POST", "/Users/" + id: "DELETE, GET, HEAD, PATCH, PUT", "/Bulk": "POST", "/Groups/.search": "POST",
		} {
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "GET", "OPTIONS"} {
				if strings.Contains(allow, method) {
					continue
				}
				a := c.do(405, method, path, "")
				if got := a.header.Get("Allow"); got != allow {
					t.Errorf("%s %s: Allow %q, want %q", method, path, got, allow)
				}
			}
		}
		c.do(200, "HEAD", "/Users/"+id, "")

		// H-07, H-08, H-09
		for i, contentType := range []string{"application/scim+json; charset=utf-8", "application/json", "APPLICATION/JSON"} {
			c.do(201, "POST", "/Users", `{`+coreUser+`,"userName":"h`+string(rune('a'+i))+`"}`, "Content-Type", contentType)
		}
		for _, contentType := range []string{"text/plain", "application/xml", "nonsense/"} {
			c.refused(415, "", "POST", "/Users", `{`+coreUser+`,"userName":"h9"}`, "Content-Type", contentType)
		}
		r := c.request("POST", "/Users", `{`+coreUser+`,"userName":"no-type"}`)
		r.Header.Del("Content-Type")
		if a := c.send(r); a.status != 201 {
			t.Errorf("no content type: %d", a.status)
		}
		for _, accept := range []string{"application/scim+json", "*/*", "application/json"} {
			if a := c.do(200, "GET", "/Users/"+id, "", "Accept", accept); a.header.Get("Content-Type") != "application/scim+json" {
				t.Errorf("Accept %s: %s", accept, a.header.Get("Content-Type"))
			}
		}

		// H-10
		for _, body := range []string{"{", "[]", `"x"`, " ", `{"userName":"a"}{}`, "{\"userName\":\"\xff\"}", `{"userName":"a","USERNAME":"b"}`} {
			c.refused(400, "invalidSyntax", "POST", "/Users", body)
		}

		// H-12, also without a Content-Length; H-14
		big := `{"x":"` + strings.Repeat("a", scim.MaxBody) + `"}`
		c.refused(413, "", "POST", "/Users", big)
		r = c.request("POST", "/Users", big)
		r.ContentLength = -1
		if a := c.send(r); a.status != 413 {
			t.Errorf("chunked: %d", a.status)
		}
		deep := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
		started := time.Now()
		c.refused(400, "invalidSyntax", "POST", "/Users", deep)
		if took := time.Since(started); took > 20*time.Second {
			t.Errorf("10,000 levels took %s", took)
		}

		// H-15
		c.do(200, "GET", "//Users/"+id, "")
		c.do(200, "GET", "/Users/"+id+"/", "")
		v1 := *c
		v1.base = strings.Replace(c.base, "/v2", "/v1", 1)
		v1.do(404, "GET", "/Users", "")

		// A query that cannot be read is refused: a filter that vanished would list everybody.
		c.refused(400, "invalidValue", "GET", "/Users?filter=%zz", "")
	})
}

// H-06: whatever is wrong, the answer is the same.
func TestHTTP_WrongTokenAndWrongTenantAreOneAnswer(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		var first string
		for name, c := range map[string]*client{
			"no token":                       {w, w.plain().base, ""},
			"wrong token":                    {w, w.plain().base, "nonsense"},
			"another directory's token":      {w, w.plain().base, token("northwind", "entra")},
			"another organization's token":   {w, w.plain().base, token("fieldserv", "plain")},
			"unknown directory":              {w, "/scim/northwind/nobody/v2", token("northwind", "plain")},
			"unknown organization":           {w, "/scim/nobody/plain/v2", token("northwind", "plain")},
			"no directory":                   {w, "/scim", token("northwind", "plain")},
			"an id that is none":             {w, "/scim/north%00wind/pl%ffain/v2", token("northwind", "plain")},
			"an address that does not exist": {w, w.plain().base + "/Nope", ""},
		} {
			path := "/Users"
			a := c.do(401, "GET", path, "")
			if got := a.header.Get("WWW-Authenticate"); got != "Bearer" {
				t.Errorf("%s: WWW-Authenticate %q", name, got)
			}
			if first == "" {
				first = a.raw
			}
			if a.raw != first {
				t.Errorf("%s: another body: %s", name, a.raw)
			}
		}
		r := w.plain().request("GET", "/Users", "")
		r.Header.Set("Authorization", "Basic "+token("northwind", "plain"))
		if a := w.plain().send(r); a.status != 401 {
			t.Errorf("basic: %d", a.status)
		}
	})
}

func TestToken_ExpiresIsRevokedAndRemembersItsUse(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		c := &client{w, w.plain().base, "second"}
		used := func() time.Time {
			var at time.Time
			w.read("northwind", func(ctx context.Context, tx *store.Tx) error {
				d, err := tx.Directory(ctx, "plain")
				for _, t := range d.Tokens {
					if t.ID == "second" {
						at = t.LastUsed
					}
				}
				return err
			})
			return at
		}
		w.must(w.db.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.PutDeclaredToken(store.DeclaredToken{
				Organization: "northwind", Directory: "plain", ID: "second", Hash: w.db.Keys.Hash("second"), Prefix: "s",
				Expires: w.clock.Now().Add(time.Hour),
			})
			return nil
		}))
		c.do(200, "GET", "/Users", "")
		first := used()
		if !first.Equal(w.clock.Now()) {
			t.Errorf("last used %s, want %s", first, w.clock.Now())
		}
		w.clock.Advance(30 * time.Second)
		c.do(200, "GET", "/Users", "")
		if got := used(); !got.Equal(first) {
			t.Errorf("written again within a minute: %s", got)
		}
		w.clock.Advance(time.Minute)
		c.do(200, "GET", "/Users", "")
		if got := used(); got.Equal(first) {
			t.Error("not written after a minute")
		}
		w.clock.Advance(time.Hour)
		c.do(401, "GET", "/Users", "")

		w.plain().do(200, "GET", "/Users", "")
		w.must(w.db.System().Write(ctx, func(tx *store.SystemTx) error {
			tx.DropDeclaredToken(store.DeclaredToken{Organization: "northwind", Directory: "plain", ID: "main"})
			return nil
		}))
		w.clock.Advance(time.Second)
		w.plain().do(401, "GET", "/Users", "")
	})
}

// A token keeps its door open when the node's key is rotated, as long as the old key is in the ring.
func TestToken_IsRecognizedUnderEveryKeyOfTheRing(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		oldKey, newKey := seal.NewKey(), seal.NewKey()
		url := storetest.URL(t, kind)
		with := func(ring string) *client {
			keys, err := seal.ParseKeys(ring)
			if err != nil {
				t.Fatal(err)
			}
			db := storetest.OpenURL(t, url, storetest.With(func(o *store.Options) { o.Keys = keys }))
			w := &world{t: t, db: db, http: provisioning.New(provisioning.Config{DB: db, URL: publicURL})}
			return w.plain()
		}
		c := with(oldKey)
		err := c.w.db.System().Write(context.Background(), func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind"})
			tx.PutDeclaredDirectory(store.DeclaredDirectory{Organization: "northwind", ID: "plain", Name: "Plain", Dialect: "rfc", Key: "externalId"})
			tx.PutDeclaredToken(store.DeclaredToken{Organization: "northwind", Directory: "plain", ID: "main", Hash: c.w.db.Keys.Hash(c.token), Prefix: "t"})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		c.do(200, "GET", "/Users", "")
		with(newKey+","+oldKey).do(200, "GET", "/Users", "")
		with(newKey).do(401, "GET", "/Users", "")
	})
}

// H-02, and every kind of fault has its answer.
func TestFault_EveryKindHasItsStatus(t *testing.T) {
	t.Parallel()
	want := map[fault.Kind]int{
		fault.Internal: 500, fault.Invalid: 400, fault.Unauthenticated: 401, fault.Forbidden: 403, fault.NotFound: 404, fault.Conflict: 409,
		fault.Stale: 412, fault.Gone: 404, fault.TooLarge: 413, fault.TooMany: 429, fault.Unavailable: 503, fault.Unsupported: 501,
	}
	for _, kind := range fault.Kinds {
		cause := errors.New("the table of secrets")
		e := scim.AsError(provisioning.ToSCIM(fault.Wrap(cause, kind, "A sentence.")))
		if e.Status != want[kind] {
			t.Errorf("%s: got %d, want %d", kind, e.Status, want[kind])
		}
		if strings.Contains(e.Detail, "secrets") {
			t.Errorf("%s tells its cause: %s", kind, e.Detail)
		}
		body, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		typed := strings.Contains(string(body), "scimType")
		if may := e.Status == http.StatusBadRequest || e.Status == http.StatusConflict; typed != may {
			t.Errorf("%s: scimType in %s", kind, body)
		}
	}
	if got := scim.AsError(provisioning.ToSCIM(errors.New("x"))); got.Status != 500 || strings.Contains(got.Detail, "x;") {
		t.Errorf("an error without a kind: %v", got)
	}
}

// V-01 to V-07, H-05, S-04.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, w *world) {
		c := w.plain()
		base := publicURL + c.base
		for _, path := range []string{"/Schemas", "/ResourceTypes", "/ServiceProviderConfig", "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User"} {
			c.refused(403, "", "GET", path+`?filter=id pr`, "")
			c.do(200, "GET", path+"?count=0&startIndex=7&sortBy=id&attributes=id&excludedAttributes=name", "")
			c.do(401, "GET", path, "", "Authorization", "")
		}
		all := c.do(200, "GET", "/Schemas?count=1", "")
		if all.number("totalResults") != 3 || len(all.ids()) != 3 {
			t.Errorf("V-02: %s", all.raw)
		}
		for _, id := range all.ids() {
			one := c.do(200, "GET", "/Schemas/"+id, "")
			if one.text("id") != id || one.meta("location") != base+"/Schemas/"+id || one.meta("resourceType") != "Schema" {
				t.Errorf("V-03, V-07: %s", one.raw)
			}
			if strings.Contains(one.raw, "null") || strings.Contains(one.raw, "api:messages") {
				t.Errorf("V-05, V-07: %s", one.raw)
			}
		}
		c.do(404, "GET", "/Schemas/urn:nope", "")
		c.do(404, "GET", "/ResourceTypes/Nope", "")
		user := c.do(200, "GET", "/ResourceTypes/User", "")
		extensions, _ := user.body["schemaExtensions"].([]any)
		if user.text("endpoint") != "/Users" || user.meta("location") != base+"/ResourceTypes/User" || len(extensions) != 1 {
			t.Errorf("V-06: %s", user.raw)
		}
		spc := c.do(200, "GET", "/ServiceProviderConfig", "")
		for _, flag := range []string{"patch", "bulk", "filter", "sort", "etag"} {
			m, _ := spc.body[flag].(map[string]any)
			if m["supported"] != true {
				t.Errorf("V-04: %s is not supported", flag)
			}
		}
		if m, _ := spc.body["changePassword"].(map[string]any); m["supported"] != false {
			t.Error("V-04: changePassword")
		}
		if schemes, _ := spc.body["authenticationSchemes"].([]any); len(schemes) == 0 || spc.meta("location") != base+"/ServiceProviderConfig" {
			t.Errorf("V-04: %s", spc.raw)
		}
		if p, _ := spc.body["pagination"].(map[string]any); p["cursor"] != true || p["index"] != true || p["defaultPaginationMethod"] != "index" {
			t.Errorf("L-19: %s", spc.raw)
		}
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			c.refused(501, "", method, "/Me", "")
		}
	})
}
