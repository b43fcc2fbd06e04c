package adminapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Organization is an organization in a list.
type Organization struct {
	ID        id.Organization   `json:"id"`
	Name      string            `json:"name"`
	SeatLimit *int64            `json:"seat_limit" doc:"null: no limit"`
	Seated    int64             `json:"seated" doc:"How many seats are taken"`
	Flags     map[string]string `json:"flags,omitempty" doc:"What operator and administrators should see, each with a sentence"`
	Created   time.Time         `json:"created"`
}

func organizationOf(o store.OrganizationSummary) Organization {
	out := Organization{ID: o.ID, Name: o.Name, Seated: o.Seated, Flags: o.Flags, Created: o.Created.UTC()}
	if o.SeatLimit > 0 {
		out.SeatLimit = &o.SeatLimit
	}
	return out
}

// Group is a group of an organization.
type Group struct {
	ID         id.Group      `json:"id"`
	Name       string        `json:"name"`
	Directory  id.Directory  `json:"directory,omitempty" doc:"Pushed by it"`
	Connection id.Connection `json:"connection,omitempty" doc:"Claimed by it"`
	Members    int           `json:"members" doc:"Direct ones"`
	Created    time.Time     `json:"created"`
	Modified   time.Time     `json:"modified"`
}

// Member is a user or a group in a group.
type Member struct {
	ID     string                 `json:"id"`
	Kind   directory.MemberKind   `json:"kind" doc:"user or group"`
	Source directory.MemberSource `json:"source"`
	Name   string                 `json:"name"`
	Added  time.Time              `json:"added"`
}

// Directory is an identity provider that pushes.
type Directory struct {
	ID          id.Directory `json:"id"`
	Name        string       `json:"name"`
	Dialect     string       `json:"dialect"`
	Key         string       `json:"key"`
	Created     time.Time    `json:"created"`
	LastRequest *time.Time   `json:"last_request"`
}

// Resource is a node of an organization's tree.
type Resource struct {
	ID     id.Resource `json:"id"`
	Parent id.Resource `json:"parent,omitempty" doc:"Absent: the root"`
	Type   string      `json:"type"`
	Name   string      `json:"name"`
	Depth  int         `json:"depth"`
}

func (a *API) organizations(api huma.API) {
	handle(a, api, huma.Operation{
		OperationID: "list-organizations", Method: http.MethodGet, Path: "/organizations", Summary: "Organizations, by id",
	}, func(ctx context.Context, in *struct {
		Paging
		Q string `query:"q" maxLength:"200" doc:"Part of the id or the name"`
	},
	) (out *List[Organization], err error) {
		err = a.DB.System().Read(ctx, func(tx *store.SystemTx) error {
			all, err := tx.Organizations(ctx)
			if err != nil {
				return err
			}
			all = slices.DeleteFunc(all, func(o store.OrganizationSummary) bool { return !matches(in.Q, string(o.ID), o.Name) })
			page, next, err := cut(in.Paging, all, func(o store.OrganizationSummary) string { return string(o.ID) })
			out = listOf(page, next, organizationOf)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "get-organization", Method: http.MethodGet, Path: "/organizations/{organization}", Summary: "One organization",
	}, func(ctx context.Context, in *Of) (out *one[Organization], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			self, err := tx.Self(ctx)
			if err != nil {
				return err
			}
			_, used, err := tx.Seats(ctx)
			out = &one[Organization]{organizationOf(store.OrganizationSummary{
				ID: self.ID, Name: self.Name, SeatLimit: self.SeatLimit, Seated: used, Flags: self.Flags, Created: self.Created,
			})}
			return err
		})
		return out, err
	})
	list(a, api, "groups", "Groups, by name",
		func(ctx context.Context, tx *store.Tx) ([]directory.Group, error) { return tx.Groups(ctx) },
		func(g directory.Group) (string, []string) { return string(g.ID), []string{string(g.ID), g.Name} },
		func(g directory.Group) Group {
			return Group{g.ID, g.Name, g.Directory, g.Connection, g.MemberCount, g.Created.UTC(), g.Modified.UTC()}
		})
	list(a, api, "directories", "Directories, by id",
		func(ctx context.Context, tx *store.Tx) ([]directory.Directory, error) { return tx.Directories(ctx) },
		func(d directory.Directory) (string, []string) { return string(d.ID), []string{string(d.ID), d.Name} },
		func(d directory.Directory) Directory {
			return Directory{d.ID, d.Name, d.Dialect, d.Key, d.Created.UTC(), optional(d.LastRequest)}
		})
	type placed struct {
		access.Resource
		depth int
	}
	list(a, api, "resources", "The resource tree, depth first",
		func(ctx context.Context, tx *store.Tx) (out []placed, err error) {
			tree, err := tx.Tree(ctx)
			if err != nil {
				return nil, err
			}
			for _, r := range tree.All() {
				out = append(out, placed{r, tree.Depth(r.ID)})
			}
			return out, nil
		},
		func(r placed) (string, []string) { return string(r.ID), []string{string(r.ID), r.Name, r.Type} },
		func(r placed) Resource { return Resource{r.ID, r.Parent, r.Type, r.Name, r.depth} })
	handle(a, api, huma.Operation{
		OperationID: "list-group-members", Method: http.MethodGet, Path: "/organizations/{organization}/groups/{group}/members",
		Summary: "Direct members of a group, by id",
	}, func(ctx context.Context, in *struct {
		Of
		Paging
		Group id.Group `path:"group"`
	},
	) (out *List[Member], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			if _, err := tx.Group(ctx, in.Group); err != nil {
				return err
			}
			members, err := tx.GroupMembers(ctx, in.Group, in.Cursor, in.Limit+1)
			next := ""
			if len(members) > in.Limit {
				members = members[:in.Limit]
				next = members[in.Limit-1].ID
			}
			out = listOf(members, next, func(m directory.Member) Member { return Member{m.ID, m.Kind, m.Source, m.Name, m.Added.UTC()} })
			return err
		})
		return out, err
	})
}

// list registers a list of an organization that is short enough to be read whole. Key gives an item's cursor and the texts
// that q looks into.
func list[T, U any](a *API, api huma.API, name, summary string, load func(context.Context, *store.Tx) ([]T, error),
	key func(T) (string, []string), shape func(T) U,
) {
	handle(a, api, huma.Operation{
		OperationID: "list-" + name, Method: http.MethodGet, Path: "/organizations/{organization}/" + name, Summary: summary,
	}, func(ctx context.Context, in *struct {
		Of
		Paging
		Q string `query:"q" maxLength:"200" doc:"Part of the id or the name"`
	},
	) (out *List[U], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			all, err := load(ctx, tx)
			if err != nil {
				return err
			}
			all = slices.DeleteFunc(slices.Clone(all), func(item T) bool {
				_, texts := key(item)
				return !matches(in.Q, texts...)
			})
			page, next, err := cut(in.Paging, all, func(item T) string {
				cursor, _ := key(item)
				return cursor
			})
			out = listOf(page, next, shape)
			return err
		})
		return out, err
	})
}

// Permission is something an application can ask about.
type Permission struct {
	ID   id.Permission `json:"id"`
	Name string        `json:"name"`
}

func (a *API) catalogue(api huma.API) {
	handle(a, api, huma.Operation{
		OperationID: "list-permissions", Method: http.MethodGet, Path: "/permissions", Summary: "What applications can ask about",
	}, func(ctx context.Context, in *struct{ Paging }) (out *List[Permission], err error) {
		err = a.DB.System().Read(ctx, func(tx *store.SystemTx) error {
			c, err := tx.Catalogue(ctx)
			if err != nil {
				return err
			}
			page, next, err := cut(in.Paging, c.Permissions(), func(p access.Permission) string { return string(p.ID) })
			out = listOf(page, next, func(p access.Permission) Permission { return Permission{p.ID, p.Name} })
			return err
		})
		return out, err
	})
}

// Conflict is something that waits for a decision.
type Conflict struct {
	ID       id.Conflict     `json:"id"`
	Kind     string          `json:"kind" doc:"collision, exclusive-roles or group-name"`
	Subject  string          `json:"subject"`
	Document json.RawMessage `json:"document"`
	Created  time.Time       `json:"created"`
}

func (a *API) conflicts(api huma.API) {
	list(a, api, "conflicts", "What waits for a decision, oldest first",
		func(ctx context.Context, tx *store.Tx) ([]store.Conflict, error) { return tx.Conflicts(ctx, "") },
		func(c store.Conflict) (string, []string) { return string(c.ID), []string{c.Kind, c.Subject} },
		func(c store.Conflict) Conflict { return Conflict{c.ID, c.Kind, c.Subject, c.Document, c.Created.UTC()} })
	handle(a, api, huma.Operation{
		OperationID: "resolve-conflict", Method: http.MethodPost, DefaultStatus: http.StatusNoContent,
		Path:        "/organizations/{organization}/conflicts/{conflict}/resolve",
		Summary:     "Decide a conflict",
		Description: "A group name: keep or rebind. A collision: same-person or different-people. Exclusive roles are resolved by taking one of them away.",
	}, func(ctx context.Context, in *struct {
		Of
		Conflict id.Conflict `path:"conflict"`
		Body     struct {
			Decision string `json:"decision" enum:"keep,rebind,same-person,different-people"`
		}
	},
	) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			open, err := tx.Conflicts(ctx, "")
			if err != nil {
				return err
			}
			i := slices.IndexFunc(open, func(c store.Conflict) bool { return c.ID == in.Conflict })
			if i < 0 {
				return fault.New(fault.NotFound, "There is no open conflict %q in this organization.", in.Conflict)
			}
			byName := in.Body.Decision == store.KeepBound || in.Body.Decision == store.Rebind
			switch kind := open[i].Kind; {
			case kind == store.ConflictGroupName && byName:
				return tx.ResolveGroupName(ctx, actorOf(ctx), in.Conflict, in.Body.Decision)
			case kind == store.ConflictCollision && !byName:
				return tx.ResolveCollision(ctx, in.Conflict, in.Body.Decision == store.SamePerson, actorOf(ctx))
			}
			return fault.New(fault.Invalid, "A conflict of the kind %s is not decided so.", open[i].Kind).
				WithField("decision", "It does not fit the conflict.")
		})
	})
}
