package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// factor gives a person an app, as enrolling does.
func (h *house) factor(name string) id.Factor {
	h.t.Helper()
	own := store.Factor{ID: id.New[id.Factor](), User: h.users[name], Kind: mfa.TOTP, Name: "Telephone", Confirmed: h.db.Now()}
	own.Secret = h.db.Keys.Seal(store.FactorPlace(own.ID), []byte("otpauth://totp/x"))
	h.must(h.db.Write(h.t.Context(), "northwind", func(tx *store.Tx) error { return tx.AddFactor(h.t.Context(), own) }))
	return own.ID
}

// factors gives how many factors a person has left.
func (h *house) factors(name string) (n int) {
	h.t.Helper()
	h.must(h.db.Read(h.t.Context(), "northwind", func(tx *store.Tx) error {
		list, err := tx.Factors(h.t.Context(), h.users[name])
		n = len(list)
		return err
	}))
	return n
}

// proved is a browser with a session that has shown these methods at a time.
func (h *house) proved(name string, amr []string, at time.Time) *browser {
	h.t.Helper()
	b, handle := h.browser(), seal.Handle()
	h.must(h.db.Write(h.t.Context(), "northwind", func(tx *store.Tx) error {
		return tx.StartSession(h.t.Context(), session.Start{
			ID: id.New[id.Session](), Hash: seal.Fingerprint(handle), User: h.users[name], Connection: "corp",
			Expires: tx.Now().Add(time.Hour), Idle: time.Hour, IP: "192.0.2.7", UserAgent: "Firefox/140 (Linux)", AuthTime: at, AMR: amr,
		})
	}))
	at0, err := url.Parse(h.url)
	h.must(err)
	b.client.Jar.SetCookies(at0, []*http.Cookie{session.For(h.url).Session("northwind", handle, time.Hour)})
	return b
}

func TestAccount_ShowsWhoKeepsWhatAndWhatOneHas(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		h.factor("Dana Dubois")
		page := h.as("northwind", "Dana Dubois").get("/o/northwind/me/security")
		text := page.text("main")
		for _, want := range []string{"dana@northwind.example", "Your sign-in through", "Authenticator app", "You have no recovery codes", "Your organizations in this browser"} {
			if !strings.Contains(text, want) {
				t.Errorf("the page does not say %q: %s", want, text)
			}
		}
		if strings.Contains(page.body, "otpauth") {
			t.Error("the page shows a secret")
		}
	})
}

// A browser left open shows much and changes little.
func TestAccount_WhatIsSensitiveAsksForAFreshProof(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		own := h.factor("Dana Dubois")
		remove := "/o/northwind/me/factors/" + string(own) + "/remove"
		two := []string{"fed", "otp", "mfa"}
		for what, b := range map[string]*browser{
			"a while ago":              h.proved("Dana Dubois", two, h.db.Now().Add(-11*time.Minute)),
			"lately, by one factor":    h.proved("Dana Dubois", []string{"fed"}, h.db.Now()),
			"by a provider long since": h.proved("Dana Dubois", nil, h.db.Now().Add(-time.Hour)),
		} {
			for _, got := range []answer{b.get(remove), b.post(remove)} {
				if to := got.location; got.status != http.StatusSeeOther || !strings.HasPrefix(to, "/signin/again?organization=northwind&return_to=") {
					t.Errorf("%s: %d to %q", what, got.status, to)
				}
			}
		}
		if h.factors("Dana Dubois") != 1 {
			t.Error("it was removed")
		}
		other := h.as("northwind", "Dana Dubois")
		b := h.proved("Dana Dubois", two, h.db.Now())
		if got := b.get(remove); got.status != http.StatusOK {
			t.Errorf("fresh: %d %s", got.status, got.text("main"))
		}
		if got := b.post(remove); got.status != http.StatusSeeOther || h.factors("Dana Dubois") != 0 {
			t.Errorf("fresh: %d %s", got.status, got.text("main"))
		}
		if got := other.get("/o/northwind/me/security"); got.status != http.StatusSeeOther {
			t.Errorf("another session after a removal: %d", got.status)
		}
		if got := b.get("/o/northwind/me/security"); got.status != http.StatusOK {
			t.Errorf("the session that removed it: %d", got.status)
		}
	})
}

func TestAccount_TheLastFactorStaysWhileOneIsDemanded(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		own := h.factor("Dana Dubois")
		h.must(h.db.System().Write(t.Context(), func(tx *store.SystemTx) error {
			tx.PutDeclaredRole(store.DeclaredRole{Role: access.Role{ID: "vault", Name: "Vault", RequireMFA: true}, Position: 99})
			tx.Bump(t.Context(), "configuration")
			return nil
		}))
		h.give("Dana Dubois", "vault", "northwind")
		b := h.proved("Dana Dubois", []string{"fed", "otp", "mfa"}, h.db.Now())
		got := b.post("/o/northwind/me/factors/" + string(own) + "/remove")
		if got.status != http.StatusConflict || !strings.Contains(got.text("main"), "The role Vault asks for a second factor.") || h.factors("Dana Dubois") != 1 {
			t.Errorf("%d %s", got.status, got.text("main"))
		}
		// 186: somebody else's is not there.
		theirs := h.factor("Olivia Owner")
		if got := b.post("/o/northwind/me/factors/" + string(theirs) + "/prefer"); got.status != http.StatusNotFound {
			t.Errorf("another person's factor: %d", got.status)
		}
	})
}

func TestUser_FactorsAreResetByWhoCouldGiveWhatThePersonHolds(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		h.factor("Dana Dubois")
		h.factor("Olivia Owner")
		admin := h.as("northwind", "Adam Admin")
		for name, want := range map[string]int{"Dana Dubois": 0, "Olivia Owner": 1} {
			admin.post("/o/northwind/users/"+string(h.users[name])+"/do/reset-factors", "reason", "lost the telephone")
			if got := h.factors(name); got != want {
				t.Errorf("%s: %d factors left, want %d", name, got, want)
			}
		}
		h.must(h.db.Read(t.Context(), "northwind", func(tx *store.Tx) error {
			list, err := tx.SessionsOf(t.Context(), h.users["Dana Dubois"])
			if err == nil && len(list) > 0 {
				t.Errorf("sessions after the reset: %v", list)
			}
			return err
		}))
	})
}

// Names that a provider or a directory says are changed there, and the page says so.
func TestAccount_ANameFromElsewhereIsChangedThere(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		b := h.as("northwind", "Dana Dubois")
		page := b.page("/o/northwind/me/security")
		if !strings.Contains(page.text("main"), "it is changed there") || page.Find("a[href='/o/northwind/me/profile'], a[href='/o/northwind/me/email']").Length() != 0 {
			t.Errorf("who keeps it: %s", page.text("main"))
		}
		for _, got := range []answer{b.get("/o/northwind/me/profile"), b.post("/o/northwind/me/profile", "name", "Dee")} {
			if got.status != http.StatusForbidden || !strings.Contains(got.text("main"), "It is changed there") {
				t.Errorf("a name of the provider: %d %s", got.status, got.text("main"))
			}
		}
	})
}
