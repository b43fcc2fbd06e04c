package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// watched is two nodes on one store, with an administrator who gets letters, a webhook and a directory with a token.
type watched struct {
	t     *testing.T
	clock *storetest.Clock
	nodes []*store.DB
	seen  map[id.Delivery]bool
}

func watch(t *testing.T, kind storetest.Kind, test func(w *watched)) {
	clock := storetest.NewClock()
	url := storetest.URL(t, kind)
	w := &watched{t: t, clock: clock, seen: map[id.Delivery]bool{}}
	for range 2 {
		db := storetest.OpenURL(t, url, storetest.WithClock(clock))
		db.Public = "https://id.example"
		w.nodes = append(w.nodes, db)
	}
	db := w.nodes[0]
	world(t, db)
	must(t, db.System().Write(t.Context(), func(tx *store.SystemTx) error {
		tx.PutDeclaredRole(store.DeclaredRole{Role: access.Role{ID: "keeper", Name: "Keeper", Permissions: []id.Permission{access.ConnectionsManage}}, Position: 9})
		tx.PutDeclaredDirectory(store.DeclaredDirectory{Organization: "northwind", ID: "okta", Name: "Okta", Dialect: "okta", Key: directory.KeyExternalID})
		tx.Bump(t.Context(), "configuration")
		return nil
	}))
	keeper := person(t, db, "northwind", "kim@northwind.example")
	person(t, db, "northwind", "ann@northwind.example")
	must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.Give(ctx, operator, store.Grant{User: keeper, Role: "keeper", Resource: "northwind"}); err != nil {
			return err
		}
		_, err := tx.MakeWebhook(ctx, operator, "https://hook.example", []notification.Kind{notification.Expiry, notification.Directories},
			"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
		return err
	}))
	w.news() // what setting up told
	test(w)
}

// token gives the directory's token an end, so many days from now; zero: none.
func (w *watched) token(days int) {
	w.t.Helper()
	var expires time.Time
	if days != 0 {
		expires = w.clock.Now().AddDate(0, 0, days)
	}
	must(w.t, write(w.t, w.nodes[0], func(ctx context.Context, tx *store.Tx) error {
		tx.SaveDirectoryToken(ctx, "okta", directory.Token{ID: "main", Hash: "h", Source: directory.TokenFromFile, Expires: expires})
		return nil
	}))
}

// look lets both nodes do their periodic work at the same moment.
func (w *watched) look(fn func(*store.DB, context.Context) error) {
	w.t.Helper()
	var both sync.WaitGroup
	for _, db := range w.nodes {
		both.Go(func() {
			if err := fn(db, w.t.Context()); err != nil {
				w.t.Error(err)
			}
		})
	}
	both.Wait()
}

// news gives what has been told since the last call: letters by their address and subject, webhooks by their type.
func (w *watched) news() (out []string) {
	w.t.Helper()
	db := w.nodes[0]
	var list []outbox.Delivery
	must(w.t, db.Read(w.t.Context(), "northwind", func(tx *store.Tx) (err error) {
		list, err = tx.Deliveries(w.t.Context(), "", "", 500)
		return err
	}))
	for _, d := range list {
		if w.seen[d.ID] {
			continue
		}
		w.seen[d.ID] = true
		switch d.Kind {
		case outbox.Mail:
			m, err := db.Letter(d)
			must(w.t, err)
			out = append(out, m.To.Email+": "+m.Subject)
		case outbox.Webhook:
			var hook store.Hook
			var body struct{ Type string }
			must(w.t, json.Unmarshal(d.Payload, &hook))
			must(w.t, json.Unmarshal(hook.Body, &body))
			out = append(out, body.Type)
		}
	}
	slices.Sort(out)
	return out
}

func TestTellExpiries_EachStepOnceAndALastWord(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		watch(t, kind, func(w *watched) {
			w.token(70)
			ends := w.clock.Now().AddDate(0, 0, 70)
			on := mail.When(ends)
			var got []string
			play := func(days int) {
				for range days * 4 {
					w.clock.Advance(6 * time.Hour)
					w.look((*store.DB).TellExpiries)
					left := int(ends.Sub(w.clock.Now()).Hours() / 24)
					for _, n := range w.news() {
						got = append(got, fmt.Sprintf("%d days: %s", left, n))
					}
				}
			}
			play(72)
			var want []string
			for _, days := range []int{60, 30, 14, 7, 1} {
				want = append(want, fmt.Sprintf("%d days: expiry.expiry-warning", days),
					fmt.Sprintf("%d days: kim@northwind.example: Northwind: The token main of Okta expires on %s", days, on))
			}
			want = append(want, "0 days: expiry.expired", "0 days: kim@northwind.example: Northwind: The token main of Okta has expired")
			if diff := cmp.Diff(got, want); diff != "" {
				t.Error(diff)
			}
			if n := w.count("expiry.told"); n != 6 {
				t.Errorf("%d events, want one for each", n)
			}

			// Renewed: it begins anew, at the step that the new end has reached.
			got = nil
			w.token(20)
			ends = w.clock.Now().AddDate(0, 0, 20)
			play(1)
			if len(got) != 2 {
				t.Errorf("renewed: got %q", got)
			}
			// Without an end nothing is left to tell of, nor kept.
			got = nil
			w.token(0)
			play(1)
			if len(got) != 0 {
				t.Errorf("without an end: got %q", got)
			}
			var rows []string
			must(t, w.nodes[0].Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
				rows, err = tx.Strings(t.Context(), `select thing from expiry_warnings where organization = $1`, tx.Organization)
				return err
			}))
			if len(rows) != 0 {
				t.Errorf("kept %q", rows)
			}
		})
	})
}

func (w *watched) count(action string) int {
	w.t.Helper()
	var events []string
	must(w.t, w.nodes[0].Read(w.t.Context(), "northwind", func(tx *store.Tx) (err error) {
		events, err = tx.Strings(w.t.Context(), `select action from audit where organization = $1 and action = $2`, tx.Organization, action)
		return err
	}))
	return len(events)
}

func TestExpiries_ReadsEveryKind(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		watch(t, kind, func(w *watched) {
			db := w.nodes[0]
			w.token(5)
			in := func(days int) time.Time { return w.clock.Now().AddDate(0, 0, days) }
			must(t, db.System().Write(t.Context(), func(tx *store.SystemTx) error {
				tx.PutDeclaredConnection(connection.Connection{
					Organization: "northwind", ID: "oidc", Name: "Entra", Protocol: connection.OIDC,
					Settings: connection.Settings{ClientSecretExpires: in(9).Format(time.DateOnly)},
				})
				return tx.PutDeclaredRelationship(t.Context(), store.DeclaredRelationship{
					Provider: "fieldserv", Client: "northwind", RelationshipSettings: access.RelationshipSettings{Expires: in(20)},
				}, operator)
			}))
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.PutException(ctx, store.SSOException{
					Address: "glass@northwind.example", Kind: store.BreakGlass, Reason: "drill", Source: "console", Expires: in(30),
				}, operator)
				return err
			}))
			inviteOne(t, db, "dana@northwind.example") // for fourteen days
			must(t, write(t, db, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, `
					insert into domain_claims (organization, domain, challenge, created, verified, failing)
					values ($1, 'northwind.example', 'x', 1, 1, $2)`, tx.Organization, w.clock.Now().Add(-24*time.Hour).UnixMicro())
				return err
			}))
			var got []string
			must(t, db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
				items, err := tx.Expiries(t.Context())
				for _, i := range items {
					got = append(got, i.What)
				}
				return err
			}))
			want := []string{
				"The token main of Okta", "The proof of northwind.example", "The client secret of Entra", "The invitation of dana@northwind.example",
				"What northwind allowed fieldserv", "The exception of glass@northwind.example from single sign-on",
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Error(diff)
			}
		})
	})
}

func TestTellSilences_OnceForEachAndWhenItIsBack(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		watch(t, kind, func(w *watched) {
			w.token(0)
			call := func() {
				must(t, write(t, w.nodes[0], func(ctx context.Context, tx *store.Tx) error {
					tx.TouchDirectoryToken(ctx, "okta", "main")
					tx.LogRequests(ctx, []directory.Request{{
						Directory: "okta", ID: id.At[id.Request](tx.Now()), At: tx.Now(), Method: "GET", Status: 200, TokenState: directory.TokenGood, Token: "main",
					}})
					return nil
				}))
			}
			var got []string
			pass := func(hours int, calls bool) {
				for range hours {
					w.clock.Advance(time.Hour)
					if calls {
						call()
					}
					w.look((*store.DB).TellSilences)
					got = append(got, w.news()...)
				}
			}
			expect := func(when string, want ...string) {
				t.Helper()
				if diff := cmp.Diff(got, want); diff != "" {
					t.Errorf("%s: %s", when, diff)
				}
				got = nil
			}
			// It calls every hour, and so four hours without a call are a silence, long before the week that such a directory gets.
			pass(15, true)
			expect("as usual")
			pass(3, false)
			expect("three hours")
			pass(8, false)
			expect("longer", "directories.directory-silent", "kim@northwind.example: Northwind: the directory Okta has fallen silent")
			pass(3, true)
			expect("back", "directories.directory-back", "kim@northwind.example: Northwind: the directory Okta is back")
			pass(4, false)
			expect("again", "directories.directory-silent", "kim@northwind.example: Northwind: the directory Okta has fallen silent")
			if silent, back := w.count("directory.silent"), w.count("directory.back"); silent != 2 || back != 1 {
				t.Errorf("got %d and %d events", silent, back)
			}
		})
	})
}
