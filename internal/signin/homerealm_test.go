package signin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// 182: whoever enters addresses learns of a domain where its people sign in, and of no address whether somebody has it. Status, every
// header and every byte are the same, but for what each answer draws anew and the address itself; so are the rows that it leaves.
func TestHomeRealm_TellsOfNoAddressWhetherItIsKnown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.push("oid-ann", "ann", "ann@northwind.example")
		w.push("oid-gus", "gus", "gus@guests.example") // of a domain that is nobody's
		leaver := w.push("oid-lea", "lea", "lea@northwind.example")
		w.deactivate(leaver, "oid-lea", "lea", "lea@northwind.example")
		type said struct {
			status int
			header http.Header
			body   string
			rows   int
		}
		ask := func(email string) said {
			t.Helper()
			page := w.get(w.get("/signin?return_to=/").header.Get("Location"))
			attempt, _ := page.doc.Find("input[name=attempt]").Attr("value")
			before := w.rows()
			a := w.do(w.browser, http.MethodPost, "/signin", url.Values{"attempt": {attempt}, "email": {email}})
			s := said{status: a.status, header: a.header.Clone(), body: a.body}
			for _, rows := range w.rows() {
				s.rows += len(rows)
			}
			for _, rows := range before {
				s.rows -= len(rows)
			}
			drawn := []string{attempt, email, url.QueryEscape(email)}
			if to, away := strings.CutPrefix(a.header.Get("Refresh"), "0; url="); away {
				u, err := url.Parse(to)
				w.must(err)
				for _, name := range []string{"state", "nonce", "code_challenge"} {
					drawn = append(drawn, u.Query().Get(name))
				}
			}
			for name := range s.header {
				for i, v := range s.header[name] {
					s.header[name][i] = mask(v, drawn)
				}
			}
			s.body = mask(s.body, drawn)
			s.header.Del("Date")
			return s
		}
		// All addresses are of one length, so that Content-Length is compared too.
		for _, alike := range [][]string{
			{"ann@northwind.example", "lea@northwind.example", "nob@northwind.example"},
			{"gus@guests.example", "nob@guests.example", "ann@nobody.example"},
		} {
			first := ask(alike[0])
			if first.status != http.StatusOK || first.body == "" {
				t.Fatalf("%s: %d %s", alike[0], first.status, first.body)
			}
			for _, email := range alike[1:] {
				if diff := cmp.Diff(first, ask(email), cmp.AllowUnexported(said{})); diff != "" {
					t.Errorf("%s and %s differ:\n%s", alike[0], email, diff)
				}
			}
		}
	})
}

func mask(s string, drawn []string) string {
	for _, v := range drawn {
		if v != "" {
			s = strings.ReplaceAll(s, v, "…")
		}
	}
	return s
}
