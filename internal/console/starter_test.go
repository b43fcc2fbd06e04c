package console_test

import (
	"strings"
	"testing"

	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

func TestStarter_IsForTheOperatorOfAnInstallationWithoutOrganizations(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		b := h.operator()
		if got := b.page("/").text(".empty a"); got != "Download a file to start from" {
			t.Errorf("the empty list of organizations offers %q", got)
		}
		if got := b.get("/operator/starter"); got.status != 200 || !strings.Contains(got.body, "\norganizations:\n") ||
			!strings.HasPrefix(got.header.Get("Content-Disposition"), "attachment") {
			t.Errorf("got %d %v %.40q", got.status, got.header, got.body)
		}
		if got := h.browser().get("/operator/starter"); got.location != "/operator/signin?return_to=/operator/starter" {
			t.Errorf("a stranger is answered %d to %q", got.status, got.location)
		}
	})
}
