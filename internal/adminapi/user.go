package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// User is a user in a list.
type User struct {
	ID            id.User          `json:"id"`
	Status        directory.Status `json:"status" enum:"pending,active,suspended,deleted"`
	Seated        bool             `json:"seated" doc:"False for an active user beyond the seat limit, who has no access until a seat is free"`
	UserName      string           `json:"user_name"`
	Email         string           `json:"email"`
	EmailVerified bool             `json:"email_verified"`
	Name          string           `json:"name"`
	GivenName     string           `json:"given_name,omitempty"`
	FamilyName    string           `json:"family_name,omitempty"`
	External      bool             `json:"external" doc:"A provider's user"`
	CustomAccess  bool             `json:"custom_access" doc:"Switched off the default roles"`
	Created       time.Time        `json:"created"`
	Updated       time.Time        `json:"updated"`
	LastSeen      *time.Time       `json:"last_seen"`
	LastLogin     *time.Time       `json:"last_login"`
	LastLoginIP   string           `json:"last_login_ip"`
	Logins        int64            `json:"logins"`
	SuspendedAt   *time.Time       `json:"suspended_at,omitempty" doc:"By an administrator; absent where a directory says inactive"`
	SuspendedBy   string           `json:"suspended_by,omitempty"`
	SettledAt     *time.Time       `json:"settled_at,omitempty" doc:"\"Leave as is\" was pressed in the inbox"`
	SettledBy     string           `json:"settled_by,omitempty"`
	Note          string           `json:"note,omitempty" doc:"What the user wrote on the page that said there is no access"`
	DeletedAt     *time.Time       `json:"deleted_at,omitempty"`
}

// UserDetail is one user.
type UserDetail struct {
	User
	HomeOrganization id.Organization `json:"home_organization,omitempty" doc:"Of a provider's user, who belongs there and works here"`
	Groups           []string        `json:"groups" doc:"The names of the groups the user is in, nested ones included"`
	Sources          []Source        `json:"sources" doc:"What the user's access rests on"`
}

// Source is something a user's access rests on.
type Source struct {
	Kind      directory.LocalSource `json:"kind" doc:"directory, just-in-time, invitation, invited, operator or without-directory"`
	Directory id.Directory          `json:"directory,omitempty"`
	Active    bool                  `json:"active"`
	Since     *time.Time            `json:"since,omitempty"`
}

func userOf(u directory.User) User {
	return User{
		ID: u.ID, Status: u.Status, Seated: u.Seated, UserName: u.UserName, Email: u.Email, EmailVerified: u.EmailVerified,
		Name: u.Name(), GivenName: u.GivenName, FamilyName: u.FamilyName, CustomAccess: u.CustomAccess,
		Created: u.Created.UTC(), Updated: u.Updated.UTC(), LastSeen: optional(u.LastSeen), LastLogin: optional(u.LastLogin),
		LastLoginIP: u.LastLoginIP, Logins: u.Logins, SuspendedAt: optional(u.SuspendedAt), SuspendedBy: u.SuspendedBy,
		SettledAt: optional(u.SettledAt), SettledBy: u.SettledBy, Note: u.Note, DeletedAt: optional(u.DeletedAt),
	}
}

// userDetail reads one user as it is answered by every call about one.
func userDetail(ctx context.Context, tx *store.Tx, user id.User) (*one[UserDetail], error) {
	u, err := tx.UserDetail(ctx, user)
	if fault.KindOf(err) == fault.NotFound {
		return externalDetail(ctx, tx, user)
	}
	if err != nil {
		return nil, err
	}
	e, err := tx.Access(ctx, user)
	if err != nil {
		return nil, err
	}
	d := UserDetail{User: userOf(*u), Groups: e.GroupNames(), Sources: []Source{}}
	if d.Groups == nil {
		d.Groups = []string{}
	}
	for _, s := range u.Sources {
		d.Sources = append(d.Sources, Source{s.Kind, s.Directory, s.Active, optional(s.Since)})
	}
	return &one[UserDetail]{Body: d}, nil
}

// one is an answer with one thing.
type one[T any] struct {
	Body T
}

type listUsers struct {
	Of
	Paging
	Q        string           `query:"q" maxLength:"200" doc:"Part of the name, the address or the userName"`
	Status   directory.Status `query:"status" enum:"pending,active,suspended,deleted" doc:"Absent: every status but deleted"`
	Role     id.Role          `query:"role" doc:"Holds it: directly, by inclusion, through any group, or by default"`
	Resource id.Resource      `query:"resource" doc:"Holds something there or above, beyond defaults; with role: holds that role there"`
	Awaiting bool             `query:"awaiting" doc:"The inbox: signed in or pushed, and nothing beyond defaults"`
}

type changeUser struct {
	OfUser
	Body *Reason
}

type switchAccess struct {
	OfUser
	Body struct {
		Custom bool `json:"custom" doc:"True takes the organization's default roles away, false brings them back"`
		Reason
	}
}

func (a *API) users(api huma.API) {
	handle(a, api, huma.Operation{
		OperationID: "list-users", Method: http.MethodGet, Path: "/organizations/{organization}/users", Summary: "Users",
	}, func(ctx context.Context, in *listUsers) (out *List[User], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			users, next, err := tx.ListUsers(ctx, store.UserFilter{
				Query: in.Q, Status: in.Status, Role: in.Role, Resource: in.Resource, Awaiting: in.Awaiting, Cursor: in.Cursor, Limit: in.Limit,
			})
			out = listOf(users, next, userOf)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "get-user", Method: http.MethodGet, Path: "/organizations/{organization}/users/{user}", Summary: "One user",
	}, func(ctx context.Context, in *OfUser) (out *one[UserDetail], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) (err error) {
			out, err = userDetail(ctx, tx, in.User)
			return err
		})
		return out, err
	})
	for _, change := range []struct {
		name, summary string
		do            func(ctx context.Context, tx *store.Tx, user id.User, reason string) error
	}{
		{"suspend", "Take a user's access: sessions and tokens end at once", func(ctx context.Context, tx *store.Tx, user id.User, reason string) error {
			return tx.Suspend(ctx, user, actorOf(ctx), reason)
		}},
		{"reactivate", "Lift a suspension", func(ctx context.Context, tx *store.Tx, user id.User, reason string) error {
			return tx.Reactivate(ctx, user, actorOf(ctx), reason)
		}},
		{"restore", "Bring a deleted user back with the roles it had", func(ctx context.Context, tx *store.Tx, user id.User, reason string) error {
			return tx.RestoreUser(ctx, user, actorOf(ctx), reason)
		}},
		{"settle", "Leave a user in the inbox as it is", func(ctx context.Context, tx *store.Tx, user id.User, _ string) error {
			return tx.Settle(ctx, actorOf(ctx), user)
		}},
	} {
		handle(a, api, huma.Operation{
			OperationID: change.name + "-user", Method: http.MethodPost, DefaultStatus: http.StatusOK,
			Path: "/organizations/{organization}/users/{user}/" + change.name, Summary: change.summary,
		}, func(ctx context.Context, in *changeUser) (out *one[UserDetail], err error) {
			reason := ""
			if in.Body != nil {
				reason = in.Body.Reason
			}
			err = a.write(ctx, in.Organization, func(tx *store.Tx) (err error) {
				if err := change.do(ctx, tx, in.User, reason); err != nil {
					return err
				}
				out, err = userDetail(ctx, tx, in.User)
				return err
			})
			return out, err
		})
	}
	handle(a, api, huma.Operation{
		OperationID: "delete-user", Method: http.MethodDelete, Path: "/organizations/{organization}/users/{user}",
		Summary: "Delete a user that no directory pushes", DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *struct {
		OfUser
		Reason string `query:"reason" maxLength:"500"`
	},
	) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.DeleteUser(ctx, in.User, actorOf(ctx), in.Reason)
		})
	})
	handle(a, api, huma.Operation{
		OperationID: "switch-access", Method: http.MethodPut, Path: "/organizations/{organization}/users/{user}/custom-access",
		Summary: "Switch a user off the default roles, or back", DefaultStatus: http.StatusOK,
	}, func(ctx context.Context, in *switchAccess) (out *one[UserDetail], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) (err error) {
			if err := tx.SetCustomAccess(ctx, in.User, in.Body.Custom, actorOf(ctx), in.Body.Reason.Reason); err != nil {
				return err
			}
			out, err = userDetail(ctx, tx, in.User)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "get-access", Method: http.MethodGet, Path: "/organizations/{organization}/users/{user}/access",
		Summary: "What a user may do, and why",
	}, func(ctx context.Context, in *OfUser) (out *one[Access], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			e, err := tx.Access(ctx, in.User)
			if err != nil {
				return err
			}
			out = &one[Access]{Body: accessOf(e)}
			return nil
		})
		return out, err
	})
}

// Access is what a user may do, and why.
type Access struct {
	User         id.User                         `json:"user"`
	Nothing      string                          `json:"nothing,omitempty" doc:"Why nothing at all is in force"`
	Roles        []id.Role                       `json:"roles" doc:"In force at the whole organization, included roles spelled out"`
	Grants       []HeldGrant                     `json:"grants" doc:"In force, from every source"`
	Parked       []HeldGrant                     `json:"parked" doc:"Held back, since they exclude one another"`
	Outside      []HeldGrant                     `json:"outside" doc:"Not yet, or no longer"`
	Restrictions []HeldRestriction               `json:"restrictions"`
	Permissions  map[id.Resource][]id.Permission `json:"permissions" doc:"By resource"`
}

// HeldGrant is a role held at a resource, and where it comes from.
type HeldGrant struct {
	Role         id.Role       `json:"role"`
	RoleName     string        `json:"role_name"`
	Resource     id.Resource   `json:"resource"`
	ResourceName string        `json:"resource_name"`
	Source       access.Source `json:"source" doc:"manual, invitation, scim, sso, group, default or provider"`
	Grant        id.Grant      `json:"grant,omitempty"`
	Group        id.Group      `json:"group,omitempty"`
	Starts       *time.Time    `json:"starts,omitempty"`
	Expires      *time.Time    `json:"expires,omitempty"`
	Why          []access.Hop  `json:"why" doc:"The way from the user to the role: group, mapping or grant, role, resource"`
	Because      string        `json:"because" doc:"The same as a line"`
	Against      []id.Role     `json:"against,omitempty" doc:"The roles that exclude one another"`
}

// HeldRestriction takes actions away at a resource and below.
type HeldRestriction struct {
	ID       id.Restriction `json:"id"`
	Group    id.Group       `json:"group,omitempty" doc:"The group it comes through"`
	Resource id.Resource    `json:"resource"`
	Actions  []string       `json:"actions"`
	Reason   string         `json:"reason,omitempty"`
}

func accessOf(e *access.Effective) Access {
	held := func(h access.Held) HeldGrant {
		return HeldGrant{
			Role: h.Role, RoleName: e.Catalogue().Name(h.Role), Resource: h.Resource, ResourceName: e.Tree().Name(h.Resource),
			Source: h.Source, Grant: h.Grant, Group: h.Group, Starts: optional(h.Starts), Expires: optional(h.Expires),
			Why: h.Why, Because: access.Sentence(h.Why),
		}
	}
	out := Access{
		User: e.User.ID, Nothing: e.Nothing, Roles: append([]id.Role{}, e.RootRoles()...), Grants: []HeldGrant{}, Parked: []HeldGrant{},
		Outside: []HeldGrant{}, Restrictions: []HeldRestriction{}, Permissions: e.ByResource(),
	}
	for _, h := range e.Grants {
		out.Grants = append(out.Grants, held(h))
	}
	for _, p := range e.Parked {
		h := held(p.Held)
		h.Against = p.Against
		out.Parked = append(out.Parked, h)
	}
	for _, h := range e.Outside {
		out.Outside = append(out.Outside, held(h))
	}
	for _, r := range e.Restrictions {
		out.Restrictions = append(out.Restrictions, HeldRestriction{r.ID, r.Group, r.Resource, r.Actions, r.Reason})
	}
	return out
}
