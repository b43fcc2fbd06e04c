package console_test

import (
	"testing"

	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/internal/store/storetest"
)

// The dialog begins at the address, and is worked out anew while somebody fills it in: who has gone on to the name must not
// be taken back, and write the name behind the address.
func TestInvite_LeavesTheFocusWhereItIsWhenItIsWorkedOutAnew(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h := open(t, db)
		h.declare()
		b := h.operator()
		if n := b.page("/o/northwind/invitations/new").Find("#email[autofocus]").Length(); n != 1 {
			t.Errorf("the dialog opens with %d addresses to begin at, want one", n)
		}
		again := b.post("/o/northwind/invitations/new", "email", "ida@northwind.example", "role", "user", "resource", "emea")
		if again.status != 200 || again.Find("[autofocus]").Length() != 0 || again.Find("#email").AttrOr("value", "") != "ida@northwind.example" {
			t.Errorf("worked out anew it answers %d and pulls the focus to %d places", again.status, again.Find("[autofocus]").Length())
		}
	})
}
