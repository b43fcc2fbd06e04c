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

// DriftedGroup is a group that is here although the identity provider may not know.
type DriftedGroup struct {
	ID        id.Group     `json:"id"`
	Name      string       `json:"name"`
	Directory id.Directory `json:"directory,omitempty" doc:"Which pushed it; none: it was made here"`
	Members   int64        `json:"members"`
	Since     time.Time    `json:"since" doc:"When it was made here, or last changed by the directory"`
}

// Walk is when a directory last went through everybody it knows.
type Walk struct {
	Means    store.WalkMeans `json:"means" enum:"listed,named" doc:"listed: it read the whole list; named: it asked for or sent one after the other"`
	Started  time.Time       `json:"started"`
	Finished time.Time       `json:"finished"`
	Seen     int64           `json:"seen"`
}

// DriftOf is a call for a part of a directory's drift.
type DriftOf struct {
	OfDirectory
	Kind  store.Drift     `query:"kind" enum:"manual,orphaned,stale,unseen" default:"stale" doc:"manual: no directory speaks for it; orphaned: an administrator's word alone keeps it; stale: neither changed by this directory nor seen here for so many days; unseen: the directory's last full walk did not meet it"`
	Days  int             `query:"days" minimum:"1" maximum:"3650" default:"90" doc:"For stale"`
	Means store.WalkMeans `query:"means" enum:"listed,named" doc:"For unseen: the last walk by these means, instead of the last of all"`
	Limit int             `query:"limit" minimum:"1" maximum:"500" default:"50"`
}

// query finds what is asked for. There is nothing unseen where the directory has never gone through everybody: known is false.
func (in *DriftOf) query(ctx context.Context, tx *store.Tx, groups bool) (q store.DriftQuery, known bool, err error) {
	if _, err := tx.Directory(ctx, in.Directory); err != nil {
		return q, false, err
	}
	q = store.DriftQuery{Directory: in.Directory, Kind: in.Kind, Before: tx.Now().AddDate(0, 0, -in.Days), Limit: in.Limit + 1}
	if in.Kind != store.DriftUnseen {
		return q, true, nil
	}
	walks, err := tx.Walks(ctx, in.Directory, groups)
	for _, w := range walks {
		if in.Means == "" || w.Means == in.Means {
			q.Walk = w
			return q, true, err
		}
	}
	return q, false, err
}

func (a *API) drift(api huma.API) {
	const path = "/organizations/{organization}/directories/{directory}"
	handle(a, api, huma.Operation{
		OperationID: "list-drift", Method: http.MethodGet, Path: path + "/drift",
		Summary: "Users who are here although the identity provider may not know, by id",
	}, func(ctx context.Context, in *struct {
		DriftOf
		Cursor id.User `query:"cursor" maxLength:"400" doc:"next of the page before"`
	},
	) (out *List[Drifted], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			q, known, err := in.query(ctx, tx, false)
			var found []store.Drifted
			if err == nil && known {
				found, err = tx.Drifted(ctx, q, in.Cursor)
			}
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
	handle(a, api, huma.Operation{
		OperationID: "list-drifted-groups", Method: http.MethodGet, Path: path + "/drift/groups",
		Summary: "Groups that are here although the identity provider may not know, by id",
	}, func(ctx context.Context, in *struct {
		DriftOf
		Cursor id.Group `query:"cursor" maxLength:"400" doc:"next of the page before"`
	},
	) (out *List[DriftedGroup], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			q, known, err := in.query(ctx, tx, true)
			var found []store.DriftedGroup
			if err == nil && known {
				found, err = tx.DriftedGroups(ctx, q, in.Cursor)
			}
			if err != nil {
				return err
			}
			next := ""
			if len(found) > in.Limit {
				found = found[:in.Limit]
				next = string(found[in.Limit-1].Group)
			}
			out = listOf(found, next, func(d store.DriftedGroup) DriftedGroup {
				return DriftedGroup{d.Group, d.Name, d.Directory, d.Members, d.Since.UTC()}
			})
			return nil
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "list-walks", Method: http.MethodGet, Path: path + "/walks",
		Summary: "When a directory last went through all users, or all groups, it knows; the latest first",
	}, func(ctx context.Context, in *struct {
		OfDirectory
		Of string `query:"of" enum:"users,groups" default:"users"`
	},
	) (out *List[Walk], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			if _, err := tx.Directory(ctx, in.Directory); err != nil {
				return err
			}
			walks, err := tx.Walks(ctx, in.Directory, in.Of == "groups")
			out = listOf(walks, "", func(w store.Walk) Walk { return Walk{w.Means, w.Started.UTC(), w.Finished.UTC(), w.Seen} })
			return err
		})
		return out, err
	})
}
