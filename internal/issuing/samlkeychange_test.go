package issuing_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/issuing"
	"github.com/vestibule-id/vestibule/internal/saml"
)

// published gives the serial numbers of the certificates in the metadata, the one in use first.
func (w *reporting) published() (out []string) {
	w.t.Helper()
	w.clock.Advance(2 * time.Second) // the keys are looked at each second
	m, err := saml.ReadMetadata(w.get("/saml/idp/metadata", nil).Body.Bytes(), saml.MetadataOptions{Now: w.clock.Now()})
	w.must(err)
	for _, c := range m.Certificates {
		out = append(out, saml.Fingerprint(c))
	}
	return out
}

func TestChangeAssertionKey_IsAnnouncedAndThenSigns(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		first := w.published()
		cert, from, err := issuing.ChangeAssertionKey(w.ctx, w.db, operator, 14*24*time.Hour)
		w.must(err)
		next := saml.Fingerprint(cert)
		if got := w.published(); !slices.Equal(got, append(first, next)) {
			t.Fatalf("published %v, want %v and %s", got, first, next)
		}
		// Sooner: the same key, since applications hold it.
		again, sooner, err := issuing.ChangeAssertionKey(w.ctx, w.db, operator, time.Hour)
		if err != nil || saml.Fingerprint(again) != next || !sooner.Before(from) {
			t.Fatalf("again: %v %v", sooner, err)
		}
		w.clock.Advance(time.Hour)
		w.must(w.node.Rotate(w.ctx))
		w.must(w.node.Rotate(w.ctx))
		if got := w.published(); !slices.Equal(got, []string{next}) {
			t.Errorf("then %v, want %s alone", got, next)
		}
	})
}

func TestChangeAssertionKey_AtOnceDropsWhatMayHaveLeaked(t *testing.T) {
	eachReporting(t, func(t *testing.T, w *reporting) {
		if _, _, err := issuing.ChangeAssertionKey(w.ctx, w.db, operator, 14*24*time.Hour); err != nil {
			t.Fatal(err)
		}
		cert, _, err := issuing.ChangeAssertionKey(w.ctx, w.db, operator, 0)
		w.must(err)
		if got := w.published(); !slices.Equal(got, []string{saml.Fingerprint(cert)}) {
			t.Errorf("published %v", got)
		}
		w.signIn(northwind, "")
		message := w.request(reports)
		to, fields := form(t, w.ask(redirected(t, message, "")))
		if _, err := w.read(reports, to, idOf(message), fields); err != nil {
			t.Error(err)
		}
	})
}

func TestChangeAssertionKey_WithoutAKeyThereIsNothingToChange(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if _, _, err := issuing.ChangeAssertionKey(w.ctx, w.db, operator, 0); fault.KindOf(err) != fault.NotFound {
			t.Errorf("got %v", err)
		}
		if rec := w.get("/saml/idp/metadata", url.Values{}); rec.Code != http.StatusOK {
			t.Errorf("metadata: %d", rec.Code)
		}
	})
}
