package scimtest

import (
	"net/http"
	"testing"
)

const said = `# A user is made.
POST /Users
X-Test: <tag>
{"a":
 1}
-> 201
ETag: W/"1"
{"id":"<user>","list":[1],"gone":null,"any":"..."}

GET /Users/<user>?filter=a eq "b"
-> 204
`

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse(said)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d exchanges, %v", len(got), err)
	}
	if x := got[0]; x.Body != "{\"a\":\n 1}" || x.Status != 201 || x.WantHeader.Get("ETag") != `W/"1"` || x.Header.Get("X-Test") != "<tag>" {
		t.Errorf("%+v", x)
	}
	for _, bad := range []string{"GET /Users\n", "nonsense\n", "GET /Users\n-> twenty\n", "GET /Users\nno header\n-> 200\n"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

// An answer that departs from what is wanted in any way is told.
func TestExchange_TellsEveryDeparture(t *testing.T) {
	t.Parallel()
	answer := func(status int, etag, body string) error {
		p := Provider{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", etag)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		})}
		exchanges, err := Parse(said)
		if err != nil {
			t.Fatal(err)
		}
		return p.exchange(exchanges[0], map[string]string{})
	}
	if err := answer(201, `W/"1"`, `{"id":"x","list":[1],"any":{},"more":2}`); err != nil {
		t.Errorf("as wanted: %v", err)
	}
	for name, err := range map[string]error{
		"status":  answer(200, `W/"1"`, `{"id":"x","list":[1],"any":1}`),
		"header":  answer(201, `W/"2"`, `{"id":"x","list":[1],"any":1}`),
		"absent":  answer(201, `W/"1"`, `{"id":"x","list":[1]}`),
		"there":   answer(201, `W/"1"`, `{"id":"x","list":[1],"any":1,"gone":1}`),
		"list":    answer(201, `W/"1"`, `{"id":"x","list":[1,2],"any":1}`),
		"no id":   answer(201, `W/"1"`, `{"id":7,"list":[1],"any":1}`),
		"no JSON": answer(201, `W/"1"`, `x`),
	} {
		if err == nil {
			t.Errorf("%s passes", name)
		}
	}
}
