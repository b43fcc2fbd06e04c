package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Grant is a role at a resource, given to a user or a group.
type Grant struct {
	ID            id.Grant      `json:"id"`
	User          id.User       `json:"user,omitempty"`
	Group         id.Group      `json:"group,omitempty"`
	Role          id.Role       `json:"role"`
	Resource      id.Resource   `json:"resource"`
	Source        access.Source `json:"source" doc:"manual, invitation, scim or sso"`
	GrantedBy     string        `json:"granted_by"`
	GrantedByName string        `json:"granted_by_name"`
	Reason        string        `json:"reason,omitempty"`
	Created       time.Time     `json:"created"`
	Starts        *time.Time    `json:"starts"`
	Expires       *time.Time    `json:"expires"`
}

func grantOf(g store.Grant) Grant {
	return Grant{
		g.ID, g.User, g.Group, g.Role, g.Resource, g.Source, g.GrantedBy, g.GrantedByName, g.Reason, g.Created.UTC(),
		optional(g.Starts), optional(g.Expires),
	}
}

// NewGrant is a role to be given.
type NewGrant struct {
	User     id.User     `json:"user,omitempty" doc:"A user or a group"`
	Group    id.Group    `json:"group,omitempty"`
	Role     id.Role     `json:"role"`
	Resource id.Resource `json:"resource,omitempty" doc:"Absent: the whole organization"`
	Starts   *time.Time  `json:"starts,omitempty" doc:"Absent: at once"`
	Expires  *time.Time  `json:"expires,omitempty" doc:"Absent: never"`
	Reason   string      `json:"reason,omitempty" maxLength:"500"`
}

type listGrants struct {
	Of
	Paging
	User     id.User       `query:"user"`
	Group    id.Group      `query:"group"`
	Role     id.Role       `query:"role"`
	Resource id.Resource   `query:"resource"`
	Source   access.Source `query:"source" enum:"manual,invitation,scim,sso"`
}

// made is the answer to a call that made something.
type made[T any] struct {
	Location string `header:"Location"`
	Body     T
}

func (a *API) grants(api huma.API) {
	const path = "/organizations/{organization}/grants"
	handle(a, api, huma.Operation{
		OperationID: "list-grants", Method: http.MethodGet, Path: path, Summary: "Stored grants, oldest first",
	}, func(ctx context.Context, in *listGrants) (out *List[Grant], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			grants, next, err := tx.ListGrants(ctx, store.GrantFilter{
				User: in.User, Group: in.Group, Role: in.Role, Resource: in.Resource, Source: in.Source, Cursor: in.Cursor, Limit: in.Limit,
			})
			out = listOf(grants, next, grantOf)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "give-role", Method: http.MethodPost, Path: path, DefaultStatus: http.StatusCreated,
		Summary:     "Give a role at a resource",
		Description: "The same role given again at the same resource renews the grant's term. Above the ceiling 403, exclusive roles 409, unknown role or resource 422.",
	}, func(ctx context.Context, in *struct {
		Of
		Body NewGrant
	},
	) (out *made[Grant], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			g, err := tx.Give(ctx, actorOf(ctx), store.Grant{
				User: in.Body.User, Group: in.Body.Group, Role: in.Body.Role, Resource: in.Body.Resource, Reason: in.Body.Reason,
				Starts: timeOf(in.Body.Starts), Expires: timeOf(in.Body.Expires),
			})
			out = &made[Grant]{"/api/v1/organizations/" + string(in.Organization) + "/grants/" + string(g.ID), grantOf(g)}
			return err
		})
		return out, err
	})
	type ofGrant struct {
		Of
		Grant id.Grant `path:"grant"`
	}
	handle(a, api, huma.Operation{
		OperationID: "get-grant", Method: http.MethodGet, Path: path + "/{grant}", Summary: "One grant",
	}, func(ctx context.Context, in *ofGrant) (out *one[Grant], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			g, err := tx.Grant(ctx, in.Grant)
			out = &one[Grant]{grantOf(g)}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "revoke-grant", Method: http.MethodDelete, Path: path + "/{grant}", Summary: "Take a grant away",
		DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *struct {
		Of
		Grant  id.Grant `path:"grant"`
		Reason string   `query:"reason" maxLength:"500"`
	},
	) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.RevokeGrant(ctx, actorOf(ctx), in.Grant, in.Reason)
		})
	})
}

// Restriction takes actions away from a user or a group's members at a resource and below.
type Restriction struct {
	ID       id.Restriction `json:"id"`
	User     id.User        `json:"user,omitempty"`
	Group    id.Group       `json:"group,omitempty"`
	Resource id.Resource    `json:"resource"`
	Actions  []string       `json:"actions"`
	Reason   string         `json:"reason,omitempty"`
	Created  time.Time      `json:"created"`
}

func restrictionOf(r store.Restriction) Restriction {
	return Restriction{r.ID, r.User, r.Group, r.Resource, r.Actions, r.Reason, r.Created.UTC()}
}

// NewRestriction is a restriction to be set.
type NewRestriction struct {
	User     id.User     `json:"user,omitempty" doc:"A user or a group"`
	Group    id.Group    `json:"group,omitempty"`
	Resource id.Resource `json:"resource,omitempty" doc:"Absent: the whole organization"`
	Actions  []string    `json:"actions" minItems:"1" maxItems:"50" doc:"The part of a permission after the dot" example:"[\"delete\"]"`
	Reason   string      `json:"reason,omitempty" maxLength:"500"`
}

func (a *API) restrictions(api huma.API) {
	const path = "/organizations/{organization}/restrictions"
	handle(a, api, huma.Operation{
		OperationID: "list-restrictions", Method: http.MethodGet, Path: path, Summary: "Restrictions, oldest first",
	}, func(ctx context.Context, in *struct {
		Of
		Paging
		User id.User `query:"user"`
	},
	) (out *List[Restriction], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			all, err := tx.Restrictions(ctx, in.User)
			if err != nil {
				return err
			}
			page, next, err := cut(in.Paging, all, func(r store.Restriction) string { return string(r.ID) })
			out = listOf(page, next, restrictionOf)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "restrict", Method: http.MethodPost, Path: path, Summary: "Take actions away at a resource and below",
		DefaultStatus: http.StatusCreated,
	}, func(ctx context.Context, in *struct {
		Of
		Body NewRestriction
	},
	) (out *one[Restriction], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			r, err := tx.Restrict(ctx, actorOf(ctx), store.Restriction{
				User: in.Body.User, Group: in.Body.Group, Resource: in.Body.Resource, Actions: in.Body.Actions, Reason: in.Body.Reason,
			})
			out = &one[Restriction]{restrictionOf(r)}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "lift-restriction", Method: http.MethodDelete, Path: path + "/{restriction}", Summary: "Lift a restriction",
		DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *struct {
		Of
		Restriction id.Restriction `path:"restriction"`
	},
	) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.LiftRestriction(ctx, actorOf(ctx), in.Restriction)
		})
	})
}

// GroupRole gives whoever is in a group a role at a resource.
type GroupRole struct {
	ID        id.GroupRole `json:"id"`
	Group     string       `json:"group" doc:"A local group's id, else the name of a pushed or claimed group"`
	Directory id.Directory `json:"directory,omitempty" doc:"Narrows the name to groups of this directory"`
	Bound     id.Group     `json:"bound,omitempty" doc:"The group it is bound to; absent while it waits for one"`
	Role      id.Role      `json:"role"`
	Resource  id.Resource  `json:"resource"`
	Source    string       `json:"source" doc:"file where the operator's file declares it, else manual"`
	Created   time.Time    `json:"created"`
}

func groupRoleOf(m store.Mapping) GroupRole {
	return GroupRole{m.ID, m.GroupName, m.Directory, m.Group, m.Role, m.Resource, m.Source, m.Created.UTC()}
}

// NewGroupRole is a mapping to be made.
type NewGroupRole struct {
	Group     string       `json:"group" minLength:"1" maxLength:"400"`
	Directory id.Directory `json:"directory,omitempty"`
	Role      id.Role      `json:"role"`
	Resource  id.Resource  `json:"resource,omitempty" doc:"Absent: the whole organization"`
}

func (a *API) groupRoles(api huma.API) {
	const path = "/organizations/{organization}/group-roles"
	handle(a, api, huma.Operation{
		OperationID: "list-group-roles", Method: http.MethodGet, Path: path, Summary: "What groups give, oldest first",
	}, func(ctx context.Context, in *struct {
		Of
		Paging
	},
	) (out *List[GroupRole], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			all, err := tx.Mappings(ctx)
			if err != nil {
				return err
			}
			page, next, err := cut(in.Paging, all, func(m store.Mapping) string { return string(m.ID) })
			out = listOf(page, next, groupRoleOf)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "map-group", Method: http.MethodPost, Path: path, Summary: "Give a group a role; the group may arrive later",
		DefaultStatus: http.StatusCreated,
	}, func(ctx context.Context, in *struct {
		Of
		Body NewGroupRole
	},
	) (out *one[GroupRole], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			m, err := tx.Map(ctx, actorOf(ctx), store.Mapping{
				GroupName: in.Body.Group, Directory: in.Body.Directory, Role: in.Body.Role, Resource: in.Body.Resource,
			})
			out = &one[GroupRole]{groupRoleOf(m)}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "unmap-group", Method: http.MethodDelete, Path: path + "/{mapping}", Summary: "Take a group's role away",
		DefaultStatus: http.StatusNoContent,
	}, func(ctx context.Context, in *struct {
		Of
		Mapping id.GroupRole `path:"mapping"`
	},
	) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.Unmap(ctx, actorOf(ctx), in.Mapping)
		})
	})
}
