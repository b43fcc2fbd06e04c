package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/expiry"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Expiry is something that ends.
type Expiry struct {
	ID      string      `json:"id" doc:"The same after a renewal, which moves expires alone"`
	Kind    expiry.Kind `json:"kind" enum:"token,secret,certificate,key,domain,relationship,exception,invitation,setup-link,api-token,signing-key"`
	What    string      `json:"what"`
	Expires time.Time   `json:"expires"`
	Then    string      `json:"then" doc:"What happens then, and what prevents it"`
	Spare   bool        `json:"spare" doc:"Something else does its work already"`
	Told    bool        `json:"told" doc:"Whether people are told ahead, by letter and webhook"`
	Page    string      `json:"page,omitempty" doc:"Where it is mended in the console"`
}

func (a *API) expiries(api huma.API) {
	handle(a, api, huma.Operation{
		OperationID: "list-installation-expiries", Method: http.MethodGet, Path: "/expiries",
		Summary: "What ends of the installation's own: API tokens, and signing keys, which renew themselves",
	}, func(ctx context.Context, _ *struct{}) (out *List[Expiry], err error) {
		err = a.DB.System().Read(ctx, func(tx *store.SystemTx) error {
			all, err := tx.InstallationExpiries(ctx)
			if err != nil {
				return err
			}
			out = listOf(all, "", func(i expiry.Item) Expiry {
				return Expiry{
					ID: i.ID, Kind: i.Kind, What: i.What, Expires: i.At.UTC(), Then: i.Then, Spare: i.Spare, Told: i.Told,
					Page: a.URL + "/operator/calendar",
				}
			})
			return nil
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "list-expiries", Method: http.MethodGet, Path: "/organizations/{organization}/expiries",
		Summary: "Everything that expires or is renewed, what ends first first",
	}, func(ctx context.Context, in *struct {
		Of
		Kind expiry.Kind `query:"kind" enum:"token,secret,certificate,key,domain,relationship,exception,invitation,setup-link" doc:"Only these"`
		Days int         `query:"days" minimum:"1" maximum:"36500" doc:"Only what ends within so many days, or has ended"`
	},
	) (out *List[Expiry], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			all, err := tx.Expiries(ctx)
			if err != nil {
				return err
			}
			var found []expiry.Item
			for _, i := range all {
				if (in.Kind == "" || i.Kind == in.Kind) && (in.Days == 0 || !i.At.After(tx.Now().AddDate(0, 0, in.Days))) {
					found = append(found, i)
				}
			}
			out = listOf(found, "", func(i expiry.Item) Expiry {
				e := Expiry{ID: i.ID, Kind: i.Kind, What: i.What, Expires: i.At.UTC(), Then: i.Then, Spare: i.Spare, Told: i.Told}
				if i.Path != "" {
					e.Page = a.URL + "/o/" + string(in.Organization) + "/" + i.Path
				}
				return e
			})
			return nil
		})
		return out, err
	})
}
