package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// A request that was answered the moment before the node stops is in the log, and counted without anything that somebody
// outside could make many of.
func TestRun_KeepsTheLastRequestsOfTheLog(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{ID: "northwind", Name: "Northwind"})
			tx.PutDeclaredDirectory(store.DeclaredDirectory{Organization: "northwind", ID: "entra", Name: "Entra", Dialect: "entra", Key: directory.KeyExternalID})
			tx.PutDeclaredToken(store.DeclaredToken{Organization: "northwind", Directory: "entra", ID: "main", Hash: db.Keys.Hash("word")})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		s := node(t, db, io.Discard)
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx, l) }()
		for path, token := range map[string]string{"/Users": "word", "/Users/nobody": "word", "/Schemas": "wrong", "/Nonsense/x": "wrong"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+"/scim/northwind/entra/v2"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
		}
		var lines []string
		for _, line := range strings.Split(ask(s, http.MethodGet, "/metrics").Body.String(), "\n") {
			if strings.HasPrefix(line, "vestibule_scim_") {
				lines = append(lines, line)
			}
		}
		if diff := cmp.Diff(lines, []string{
			"vestibule_scim_log_lost_total 0",
			`vestibule_scim_requests_total{dialect="entra",operation="list",resource="User",status="200"} 1`,
			`vestibule_scim_requests_total{dialect="entra",operation="read",resource="User",status="404"} 1`,
			`vestibule_scim_requests_total{dialect="none",operation="list",resource="discovery",status="401"} 1`,
			`vestibule_scim_requests_total{dialect="none",operation="read",resource="other",status="401"} 1`,
		}); diff != "" {
			t.Error(diff)
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		err = db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			list, err := tx.Requests(t.Context(), "entra", store.RequestFilter{})
			if len(list) != 4 {
				t.Errorf("the log holds %d requests", len(list))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
