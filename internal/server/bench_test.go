package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// BenchmarkRequests reads and creates one record at a time through a whole node over a socket. The client allocates next to nothing, so
// that what is counted is the node's own: its requests, and what is done beside them for their log. Hello is what net/http takes of it.
func BenchmarkRequests(b *testing.B) {
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"hello":"world"}`) })
	b.Run("hello", func(b *testing.B) {
		s := httptest.NewServer(hello)
		defer s.Close()
		asking(b, s.Listener.Addr().String(), http.StatusOK, getting(func(int) string { return "/" }))
	})
	for _, kind := range storetest.Kinds {
		b.Run(string(kind), func(b *testing.B) {
			s, users := nodeOf(b, kind)
			l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx, l) }()
			b.Cleanup(func() {
				stop()
				if err := <-ended; err != nil {
					b.Error(err)
				}
			})
			b.Run("get", func(b *testing.B) {
				asking(b, l.Addr().String(), http.StatusOK, getting(func(i int) string { return benchBase + "/Users/" + users[i] }))
			})
			b.Run("filter", func(b *testing.B) {
				asking(b, l.Addr().String(), http.StatusOK, getting(func(i int) string {
					return benchBase + fmt.Sprintf("/Users?filter=userName+eq+%%22USER%d%%40x.org%%22", i)
				}))
			})
			patched := 0
			b.Run("patch", func(b *testing.B) {
				asking(b, l.Addr().String(), http.StatusOK, func(i int) []byte {
					patched++
					return sending("PATCH", "/"+users[i%len(users)], fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],`+
						`"Operations":[{"op":"replace","path":"title","value":"T %d"}]}`, patched))
				})
			})
			b.Run("create", func(b *testing.B) {
				next := len(users)
				asking(b, l.Addr().String(), http.StatusCreated, func(int) []byte {
					next++
					return sending("POST", "", person(next))
				})
			})
		})
	}
}

const (
	benchBase  = "/scim/northwind/entra/v2"
	benchUsers = 100
)

// nodeOf is a node with a directory of a few people.
func nodeOf(b *testing.B, kind storetest.Kind) (*Server, []string) {
	b.Helper()
	db := storetest.Open(b, kind)
	err := db.System().Write(b.Context(), func(tx *store.SystemTx) error {
		tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind"})
		tx.PutDeclaredDirectory(store.DeclaredDirectory{
			Organization: "northwind", ID: "entra", Name: "Entra", Dialect: "entra", Key: directory.KeyExternalID,
			Settings: directory.Settings{RateLimit: directory.RateLimit{PerMinute: directory.MaxPerMinute}},
		})
		tx.PutDeclaredToken(store.DeclaredToken{Organization: "northwind", Directory: "entra", ID: "main", Hash: db.Keys.Hash("word")})
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	log := NewLogWriter(io.Discard)
	s, err := New(b.Context(), Options{DB: db, URL: "http://127.0.0.1:8080", Log: log.Logger(), Version: Version{Version: "test"}})
	if err != nil {
		b.Fatal(err)
	}
	users := make([]string, benchUsers)
	for i := range users {
		r := httptest.NewRequest(http.MethodPost, benchBase+"/Users", strings.NewReader(person(i)))
		r.Header.Set("Authorization", "Bearer word")
		r.Header.Set("Content-Type", "application/scim+json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		_, rest, _ := strings.Cut(w.Body.String(), `"id":"`)
		users[i], _, _ = strings.Cut(rest, `"`)
		if w.Code != http.StatusCreated {
			b.Fatal(w.Body)
		}
	}
	return s, users
}

// person is what a directory pushes of the i-th.
func person(i int) string {
	return fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User",
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],"externalId":"e-%d","userName":"user%d@x.org","active":true,"displayName":"User %d",
		"name":{"givenName":"G","familyName":"F","formatted":"G F"},"emails":[{"type":"work","value":"user%d@x.org","primary":true}],"title":"T",
		"phoneNumbers":[{"type":"work","value":"+44 20 7946 0000"}],"addresses":[{"type":"work","streetAddress":"1 High Street","locality":"London"}],
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"D","costCenter":"C"}}`, i, i, i, i)
}

// getting asks for one path after the other, and then again from the first.
func getting(path func(i int) string) func(int) []byte {
	requests := make([][]byte, benchUsers)
	for i := range requests {
		requests[i] = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer word\r\nAccept: application/scim+json\r\n\r\n", path(i))
	}
	return func(i int) []byte { return requests[i%len(requests)] }
}

// sending is a request with a body to something below Users.
func sending(method, below, body string) []byte {
	return fmt.Appendf(nil, "%s %s/Users%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer word\r\nContent-Type: application/scim+json\r\n"+
		"Content-Length: %d\r\n\r\n%s", method, benchBase, below, len(body), body)
}

// asking sends a request, reads its answer, and sends the next.
func asking(b *testing.B, address string, expected int, request func(i int) []byte) {
	b.Helper()
	c, err := new(net.Dialer).DialContext(b.Context(), "tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReaderSize(c, 64<<10)
	once := func(i int) {
		if _, err := c.Write(request(i)); err != nil {
			b.Fatal(err)
		}
		status, length := 0, 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			line = bytes.TrimRight(line, "\r\n")
			if len(line) == 0 {
				break
			}
			if status == 0 {
				status, _ = strconv.Atoi(string(line[9:12]))
			}
			if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				length, _ = strconv.Atoi(string(n))
			}
		}
		if _, err := in.Discard(length); err != nil || status != expected {
			b.Fatal(status, err)
		}
	}
	for i := range 2 * benchUsers {
		once(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		once(i)
	}
}
