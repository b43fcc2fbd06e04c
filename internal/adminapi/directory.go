package adminapi

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

// Wave is what a directory took away lately.
type Wave struct {
	Started  time.Time  `json:"started"`
	Departed int64      `json:"departed" doc:"How many people it deactivated or deleted"`
	Braked   *time.Time `json:"braked" doc:"Since when groups that give roles take nobody in; null: they do"`
	Released *time.Time `json:"released" doc:"When an administrator let it be"`
}

// Undone is what became of undoing a wave.
type Undone struct {
	Restored int          `json:"restored"`
	Left     []LeftBehind `json:"left" doc:"Who could not be brought back"`
}

// LeftBehind is somebody who could not be brought back.
type LeftBehind struct {
	User   id.User `json:"user"`
	Reason string  `json:"reason"`
}

// Repair is a kind of departure from the standard that a directory's dialect understood as it was meant.
type Repair struct {
	Kind   scim.Deviation `json:"kind" doc:"The deviation's name, as docs/standards.md lists it"`
	Said   string         `json:"said"`
	Times  int64          `json:"times"`
	First  time.Time      `json:"first"`
	Latest time.Time      `json:"latest"`
}

// OfDirectory is a call about one directory.
type OfDirectory struct {
	Of
	Directory id.Directory `path:"directory" doc:"The directory's id"`
}

type changeDirectory struct {
	OfDirectory
	Body *Reason
}

func (c *changeDirectory) reason() string {
	if c.Body == nil {
		return ""
	}
	return c.Body.Reason
}

func (a *API) directories(api huma.API) {
	const path = "/organizations/{organization}/directories/{directory}"
	handle(a, api, huma.Operation{
		OperationID: "get-wave", Method: http.MethodGet, Path: path + "/wave", Summary: "Whom a directory took away lately",
	}, func(ctx context.Context, in *OfDirectory) (out *one[Wave], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			if _, err := tx.Directory(ctx, in.Directory); err != nil {
				return err
			}
			w, err := tx.Wave(ctx, in.Directory)
			if err != nil {
				return err
			}
			if w == nil {
				return fault.New(fault.NotFound, "The directory %s has taken nobody away lately.", in.Directory)
			}
			out = &one[Wave]{Wave{w.Started.UTC(), w.Departed, optional(w.Braked), optional(w.Released)}}
			return nil
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "list-repairs", Method: http.MethodGet, Path: path + "/repairs", Summary: "What a directory's dialect has repaired, by kind",
	}, func(ctx context.Context, in *OfDirectory) (out *List[Repair], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			if _, err := tx.Directory(ctx, in.Directory); err != nil {
				return err
			}
			list, err := tx.Repairs(ctx, in.Directory)
			out = listOf(list, "", func(r store.Repaired) Repair {
				return Repair{r.Deviation, directory.RepairWords[r.Deviation], r.Times, r.First.UTC(), r.Latest.UTC()}
			})
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "release-wave", Method: http.MethodPost, Path: path + "/wave/release", DefaultStatus: http.StatusNoContent,
		Summary: "Let a wave be as it is: groups that give roles take people in again",
	}, func(ctx context.Context, in *changeDirectory) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.ReleaseWave(ctx, actorOf(ctx), in.Directory, in.reason())
		})
	})
	handle(a, api, huma.Operation{
		OperationID: "undo-wave", Method: http.MethodPost, Path: path + "/wave/undo", DefaultStatus: http.StatusOK,
		Summary: "Bring everybody back whom a directory took away in its latest wave",
	}, func(ctx context.Context, in *changeDirectory) (out *one[Undone], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			undone, err := tx.UndoWave(ctx, actorOf(ctx), in.Directory, in.reason())
			out = &one[Undone]{Undone{Restored: undone.Restored, Left: []LeftBehind{}}}
			for user, reason := range undone.Left {
				out.Body.Left = append(out.Body.Left, LeftBehind{user, reason})
			}
			slices.SortFunc(out.Body.Left, func(a, b LeftBehind) int { return cmp.Compare(a.User, b.User) })
			return err
		})
		return out, err
	})
}
