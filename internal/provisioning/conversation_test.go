package provisioning_test

import (
	"net/http"
	"testing"

	"github.com/vestibule-id/vestibule/internal/store/storetest"
	"github.com/vestibule-id/vestibule/scim/scimtest"
)

// The conversations of the identity providers, as they hold them, on both stores.
func TestConversations(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"entra", "okta"} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			storetest.EachKind(t, func(t *testing.T, kind storetest.Kind) {
				scimtest.Play(t, folder, func(t *testing.T) scimtest.Provider {
					w := newWorld(t, kind)
					return scimtest.Provider{
						Handler: w.http, Base: "/scim/northwind/" + folder + "/v2",
						Header: http.Header{"Authorization": {"Bearer " + token("northwind", folder)}},
					}
				})
			})
		})
	}
}
