package store_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Whoever looks for somebody among what a directory pushed finds its own people first, however many others match, and nobody
// twice; by a part of a userName, an address or a name, or by a whole external id.
func TestFindPushed_TheDirectorysOwnComeFirst(t *testing.T) {
	t.Parallel()
	eachSearched(t, func(t searched) {
		// People without a record, who were here before: as many as are looked at in one go, and more.
		const others = 230
		var early []string
		for range others {
			early = append(early, string(id.New[id.User]()))
		}
		err := t.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			for i, user := range early {
				name, status := fmt.Sprintf("schmidt-%d", i), "active"
				if i == 3 {
					status = "deleted"
				}
				tx.Queue(`insert into users (organization, id, status, seated, user_name, user_name_key, email, email_key, email_verified, display_name, kept_without_directory, custom_access, created, updated, logins)
					values ('northwind', $1, $2, true, $3, $3, $4, $4, false, 'Somebody', false, false, 1, 1, 0)`, user, status, name, fmt.Sprintf("nr-%d@northwind.example", i))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		anna := t.push("northwind", "Anna.Schmidt@northwind.example", "Anna 100%_ Ätz")
		bert := t.push("northwind", "bert@northwind.example", "Bert Schmidt")
		carl := t.push("northwind", "carl@northwind.example", "")
		t.push("fieldserv", "dora.schmidt@fieldserv.example", "Dora Schmidt")

		if err := t.db.Write(t.Context(), "northwind", func(tx *store.Tx) error {
			tx.Queue(`update directory_records set external_id = 'Schmidt' where organization = 'northwind' and user_id = $1`, carl)
			return nil
		}); err != nil {
			t.Fatal(err)
		}

		finds := func(text string, want ...string) {
			t.Helper()
			var found []store.PushedPerson
			err := t.db.Read(t.Context(), "northwind", func(tx *store.Tx) (err error) {
				found, err = tx.FindPushed(t.Context(), "entra", text)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, p := range found {
				got = append(got, string(p.User))
				if own := p.User == id.User(anna) || p.User == id.User(bert) || p.User == id.User(carl); own != (p.Directory == "entra") {
					t.Errorf("%s: %s is said to be of directory %q", text, p.UserName, p.Directory)
				}
			}
			if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", text, diff)
			}
		}
		most := append([]string{anna, bert}, early[:3]...)
		most = append(most, early[4:9]...)
		finds("SCHMIDT", most...)
		finds("Schmidt", append([]string{anna, bert, carl}, most[2:9]...)...)
		finds("anna.SCHMIDT@", anna)
		finds("100%_", anna)
		finds("100__")
		finds("nr-22@", early[22])
		finds("nr-3@")
		finds("dora")
	})
}
