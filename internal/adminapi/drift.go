package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Drifted is a user who is here although the identity provider may not know.
type Drifted struct {
	ID       id.User               `json:"id"`
	Name     string                `json:"name"`
	UserName string                `json:"user_name"`
	Status   directory.Status      `json:"status"`
	Source   directory.LocalSource `json:"source,omitempty" doc:"Why the user exists, where no directory speaks for it"`
	Since    time.Time             `json:"since" doc:"When the user was made; of a stale one, when the directory last changed its record"`
	LastSeen *time.Time            `json:"last_seen"`
}

func (a *API) drift(api huma.API) {
	handle(a, api, huma.Operation{
		OperationID: "list-drift", Method: http.MethodGet, Path: "/organizations/{organization}/directories/{directory}/drift",
		Summary: "Users who are here although the identity provider may not know, by id",
	}, func(ctx context.Context, in *struct {
		OfDirectory
		Kind   store.Drift `query:"kind" enum:"manual,orphaned,stale" default:"stale" doc:"manual: no directory speaks for the user; orphaned: an administrator's word alone keeps the user; stale: neither changed by this directory nor seen here for so many days"`
		Days   int         `query:"days" minimum:"1" maximum:"3650" default:"90" doc:"For stale"`
		Limit  int         `query:"limit" minimum:"1" maximum:"500" default:"50"`
		Cursor id.User     `query:"cursor" maxLength:"400" doc:"next of the page before"`
	},
	) (out *List[Drifted], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			if _, err := tx.Directory(ctx, in.Directory); err != nil {
				return err
			}
			before := tx.Now().AddDate(0, 0, -in.Days)
			found, err := tx.Drifted(ctx, in.Directory, in.Kind, before, in.Cursor, in.Limit+1)
			if err != nil {
				return err
			}
			next := ""
			if len(found) > in.Limit {
				found = found[:in.Limit]
				next = string(found[in.Limit-1].User)
			}
			out = listOf(found, next, func(d store.Drifted) Drifted {
				return Drifted{d.User, d.Name, d.UserName, d.Status, d.Source, d.Since.UTC(), optional(d.LastSeen)}
			})
			return nil
		})
		return out, err
	})
}
