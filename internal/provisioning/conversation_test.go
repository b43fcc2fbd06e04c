package provisioning_test

import (
	"net/http"
	"testing"

	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/scim"
	"github.com/vestibule-id/vestibule/scim/scimtest"
)

// The conversations of the identity providers, as they hold them, on both stores.
func TestConversations(t *testing.T) {
	t.Parallel()
	for _, folder := range scimtest.Folders() {
		directory := folder
		if _, known := scim.DialectNamed(folder); !known {
			directory = "plain" // it keeps to the standard where that matters, and needs no table of its own
		}
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
				scimtest.Play(t, folder, func(t *testing.T) scimtest.Provider {
					w := newWorld(t, kind)
					return scimtest.Provider{
						Handler: w.http, Base: "/scim/northwind/" + directory + "/v2",
						Header: http.Header{"Authorization": {"Bearer " + token("northwind", directory)}},
					}
				})
			})
		})
	}
}
