package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func (h *house) directory() *directory.Directory {
	h.t.Helper()
	var d *directory.Directory
	h.must(h.db.Read(h.t.Context(), "northwind", func(tx *store.Tx) (err error) {
		d, err = tx.Directory(h.t.Context(), "entra")
		return err
	}))
	return d
}

func TestTokens_SecondOneIsShownOnceUsedAndTheFirstRevoked(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		h := open(t, storetest.Open(t, kind, storetest.WithClock(clock)))
		h.declare()
		b := h.as("northwind", "Olivia Owner")
		at := "/o/northwind/directories/entra/tokens"

		made := b.post(at, "expires", "")
		secret := made.Find("[aria-labelledby=secret] code").Text()
		if made.status != http.StatusOK || !strings.HasPrefix(secret, "vsc_") || len(secret) != 47 {
			t.Fatalf("making a token answers %d with %q: %s", made.status, secret, made.text("main"))
		}
		var fresh directory.Token
		for _, of := range h.directory().Tokens {
			if of.Source == directory.TokenFromConsole {
				fresh = of
			}
		}
		if !h.db.Keys.Matches(secret, fresh.Hash) || fresh.MadeBy != "Olivia Owner" {
			t.Errorf("kept is %+v", fresh)
		}
		for _, path := range []string{at, at + "/of/" + fresh.ID, "/o/northwind/directories"} {
			if strings.Contains(b.page(path).body, secret) {
				t.Errorf("%s shows the secret again", path)
			}
		}
		if got := b.page(at).text("main"); !strings.Contains(got, "has not come with the new token "+secret[:10]+"… yet") ||
			!strings.Contains(got, "Made here by Olivia Owner") {
			t.Errorf("the page says %q", got)
		}

		clock.Advance(time.Hour)
		h.must(h.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			tx.TouchDirectoryToken(t.Context(), "entra", fresh.ID)
			return nil
		}))
		clock.Advance(5 * time.Minute)
		if got := b.page(at).text("main"); !strings.Contains(got, "was first used 5 minutes ago, and no older one since") {
			t.Errorf("after its first use the page says %q", got)
		}
		if got := b.page(at + "/of/" + fresh.ID).text("#token-use"); !strings.Contains(got, "First used 5 minutes ago") {
			t.Errorf("its own page says %q", got)
		}

		// What the file declares is taken away there. An hour later who takes tokens away shows anew who they are.
		b = h.as("northwind", "Olivia Owner")
		if got := b.page(at).text("main"); !strings.Contains(got, "Declared in the operator's file, and taken away there") {
			t.Errorf("the declared token says %q", got)
		}
		if got := b.post(at + "/of/main/revoke"); got.status != http.StatusConflict {
			t.Errorf("revoking a declared token answers %d", got.status)
		}
		if got := b.page(at + "/of/" + fresh.ID + "/revoke").text("#sheet"); !strings.Contains(got, "Northwind Entra ID's next call with it is refused") {
			t.Errorf("the dialog says %q", got)
		}
		if got := b.post(at+"/of/"+fresh.ID+"/revoke", "reason", "rotated"); got.status != http.StatusSeeOther {
			t.Errorf("revoking answers %d: %s", got.status, got.text("main"))
		}
		if got := len(h.directory().Tokens); got != 1 {
			t.Errorf("%d tokens are left", got)
		}
		if got := strings.Join(h.actions("entra/"+fresh.ID), " "); got != "directory-token.revoked directory-token.created" {
			t.Errorf("the log holds %q", got)
		}
	})
}

func TestTokens_AreForWhoManagesConnections(t *testing.T) {
	t.Parallel()
	h := declared(t)
	at := "/o/northwind/directories/entra/tokens"
	for _, b := range []*browser{h.as("northwind", "Adam Admin"), h.as("northwind", "Niko New"), h.as("fieldserv", "Femi Field"), h.browser()} {
		for _, path := range []string{at, at + "/new", at + "/of/main", at + "/of/main/revoke"} {
			if got := b.get(path); got.status == http.StatusOK {
				t.Errorf("%s is shown to whom it is not for", path)
			}
		}
		for _, path := range []string{at, at + "/of/main/revoke"} {
			if got := b.post(path); got.status == http.StatusOK || strings.Contains(got.body, "vsc_") {
				t.Errorf("%s answers %d to whom it is not for", path, got.status)
			}
		}
	}
	if got := len(h.directory().Tokens); got != 1 {
		t.Errorf("%d tokens, want the declared one alone", got)
	}
	op := h.operator()
	if got := op.post(at, "expires", "2001-01-01"); got.status != http.StatusUnprocessableEntity {
		t.Errorf("a token that is over before it began: %d", got.status)
	}
	if got := op.post("/o/northwind/directories/nowhere/tokens"); got.status != http.StatusNotFound {
		t.Errorf("a directory that is not there: %d", got.status)
	}
}

func TestOverview_SaysWhatWantsAttention(t *testing.T) {
	t.Parallel()
	storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
		clock := storetest.NewClock()
		h := open(t, storetest.Open(t, kind, storetest.WithClock(clock)))
		h.declare()
		touch := func() {
			h.must(h.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
				tx.TouchDirectoryToken(t.Context(), "entra", "main")
				return nil
			}))
		}
		said := func() string {
			return h.as("northwind", "Olivia Owner").page("/o/northwind").text("[aria-labelledby=attention]")
		}
		expect := func(when string, want ...string) {
			t.Helper()
			got := said()
			for _, w := range want {
				if rest, absent := strings.CutPrefix(w, "!"); absent == strings.Contains(got, rest) {
					t.Errorf("%s: want %q in %q", when, w, got)
				}
			}
		}
		touch()
		expect("at first", "Olivia Owner is the only active Owner", "The token main of Northwind Entra ID expires in 20 days, on",
			"!last called", "!seats")
		clock.Advance(90 * time.Minute)
		expect("two rounds missed", "!last called")
		clock.Advance(100 * time.Minute)
		expect("four rounds missed", "Northwind Entra ID last called 3 hours ago. It normally calls about every 40 minutes.")
		touch()
		h.give("Adam Admin", "owner", "northwind")
		expect("with a second owner", "!only active", "!last called")

		h.must(h.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredOrganization(store.DeclaredOrganization{
				ID: "northwind", Name: "Northwind Energy", SeatLimit: 5, Settings: store.Settings{DefaultRoles: []access.RoleAt{{Role: "viewer"}}},
			})
			tx.In("northwind").BumpOrganization(t.Context())
			return nil
		}))
		expect("without a free seat", "All seats are taken")
		clock.Advance(19*24*time.Hour + 12*time.Hour)
		expect("in the last day", "The token main of Northwind Entra ID expires in 9 hours")
		clock.Advance(24 * time.Hour)
		expect("afterwards", "The token main of Northwind Entra ID expired on")

		// An event-driven directory may be silent for a week.
		h.must(h.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredDirectory(store.DeclaredDirectory{
				Organization: "northwind", ID: "entra", Name: "Northwind Okta", Dialect: "okta", Key: directory.KeyExternalID,
			})
			tx.PutDeclaredToken(store.DeclaredToken{Organization: "northwind", Directory: id.Directory("entra"), ID: "main", Hash: "x.hash"})
			return nil
		}))
		touch()
		clock.Advance(6 * 24 * time.Hour)
		expect("six days", "!last called")
		clock.Advance(2 * 24 * time.Hour)
		expect("eight days", "Northwind Okta last called 8 days ago. It calls when something changes; a week without any change is rare.")
	})
}
