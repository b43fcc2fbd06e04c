package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Role is a role that the organization may use, with what inclusion makes of it.
type Role struct {
	ID          id.Role         `json:"id" doc:"A custom role's begins with custom:"`
	Name        string          `json:"name"`
	Includes    []id.Role       `json:"includes" doc:"All of them, nearest first"`
	Permissions []id.Permission `json:"permissions" doc:"With those of included roles"`
	MayGrant    []id.Role       `json:"may_grant" doc:"All roles whose giving it allows"`
	Protected   bool            `json:"protected"`
	RequireMFA  bool            `json:"require_mfa,omitempty" doc:"It counts only in a session that passed a second factor"`
	Custom      bool            `json:"custom,omitempty" doc:"The organization made it"`
}

// CustomRole is a role with, where the organization made it, what it was made of.
type CustomRole struct {
	Role
	Contains *RoleContent `json:"contains,omitempty" doc:"Of a custom role: what it was made of. What the organization may not use now is not in force"`
	Version  int64        `json:"version,omitempty" doc:"Of a custom role: for the next change"`
	People   int64        `json:"people" doc:"How many have it, itself or by a role that includes it"`
	Uses     []string     `json:"uses" doc:"Where it is in use by its own name, each in words"`
	Declared bool         `json:"declared,omitempty" doc:"Of a custom role: the operator's file makes it, and it is changed there"`
	MadeBy   string       `json:"made_by,omitempty"`
	Created  *time.Time   `json:"created,omitempty"`
	Modified *time.Time   `json:"modified,omitempty"`
}

// RoleContent is what a custom role is made of.
type RoleContent struct {
	Name        string          `json:"name" maxLength:"80" example:"Night shift"`
	Description string          `json:"description,omitempty" maxLength:"400"`
	Permissions []id.Permission `json:"permissions,omitempty" maxItems:"500" doc:"Such as the maker holds at the whole organization"`
	Includes    []id.Role       `json:"includes,omitempty" maxItems:"200" doc:"Whoever holds it holds these"`
	MayGrant    []id.Role       `json:"may_grant,omitempty" maxItems:"200" doc:"Its holders may give these; * is every role the organization may use"`
	RequireMFA  bool            `json:"require_mfa,omitempty" doc:"It counts only in a session that passed a second factor"`
}

func (c RoleContent) role(r id.Role) access.Role {
	return access.Role{
		ID: r, Name: c.Name, Description: c.Description, Permissions: c.Permissions, Includes: c.Includes, MayGrant: c.MayGrant,
		RequireMFA: c.RequireMFA,
	}
}

// NewRole is a custom role to be made.
type NewRole struct {
	ID string `json:"id,omitempty" maxLength:"60" doc:"Small letters, digits and hyphens, with custom: before them or without; absent: of the name" example:"night-shift"`
	RoleContent
}

// ChangedRole is what a custom role is to be.
type ChangedRole struct {
	Version int64 `json:"version" minimum:"1" doc:"The version that the change was made on"`
	RoleContent
}

func roleOf(f *access.Facts, r access.Role) Role {
	c := f.Catalogue
	out := Role{
		ID: r.ID, Name: r.Name, Includes: append([]id.Role{}, c.Expand(r.ID)[1:]...),
		Permissions: append([]id.Permission{}, c.PermissionsOf(r.ID)...), MayGrant: []id.Role{}, Protected: r.Protected,
		RequireMFA: c.AsksMFA(r.ID), Custom: r.Custom,
	}
	for _, other := range c.Roles() {
		if c.MayGrant(r.ID, other.ID) && c.Covers(f.Organization.Available, other.ID) {
			out.MayGrant = append(out.MayGrant, other.ID)
		}
	}
	return out
}

// oneRole gives a role with everything about it. One that the organization may not use is none of its roles.
func oneRole(ctx context.Context, tx *store.Tx, role id.Role) (*one[CustomRole], error) {
	f, err := tx.Ground(ctx)
	if err != nil {
		return nil, err
	}
	r, known := f.Catalogue.Role(role)
	if !known || !f.Catalogue.Covers(f.Organization.Available, role) {
		return nil, fault.New(fault.NotFound, "There is no role %q in this organization.", role)
	}
	out := CustomRole{Role: roleOf(f, r), Uses: []string{}}
	if out.People, err = tx.CountPeople(ctx, role); err != nil {
		return nil, err
	}
	use, err := tx.RoleUse(ctx, role)
	if err != nil {
		return nil, err
	}
	out.Uses = append(out.Uses, use.Sentences()...)
	if r.Custom {
		made, err := tx.CustomRole(ctx, role)
		if err != nil {
			return nil, err
		}
		out.Contains = &RoleContent{made.Name, made.Description, made.Permissions, made.Includes, made.MayGrant, made.RequireMFA}
		out.Declared = made.Declared()
		out.Version, out.MadeBy, out.Created, out.Modified = made.Version, made.MadeByName, optional(made.Created), optional(made.Modified)
	}
	return &one[CustomRole]{out}, nil
}

func (a *API) roles(api huma.API) {
	const path = "/organizations/{organization}/roles"
	type item struct {
		ground *access.Facts
		role   access.Role
	}
	list(a, api, "roles", "Roles the organization may use, custom roles last",
		func(ctx context.Context, tx *store.Tx) (out []item, err error) {
			ground, err := tx.Ground(ctx)
			if err != nil {
				return nil, err
			}
			for _, r := range ground.Catalogue.Roles() {
				if ground.Catalogue.Covers(ground.Organization.Available, r.ID) {
					out = append(out, item{ground, r})
				}
			}
			return out, nil
		},
		func(i item) (string, []string) { return string(i.role.ID), []string{string(i.role.ID), i.role.Name} },
		func(i item) Role { return roleOf(i.ground, i.role) })
	type ofRole struct {
		Of
		Role id.Role `path:"role" example:"custom:night-shift"`
	}
	handle(a, api, huma.Operation{
		OperationID: "get-role", Method: http.MethodGet, Path: path + "/{role}", Summary: "One role, what is in it and where it is in use",
	}, func(ctx context.Context, in *ofRole) (out *one[CustomRole], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			out, err = oneRole(ctx, tx, in.Role)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "make-role", Method: http.MethodPost, Path: path, DefaultStatus: http.StatusCreated,
		Summary:     "Make a custom role",
		Description: "It may contain what the roles of available_roles carry. Above the ceiling 403; what does not hold together, names nothing or is taken 422.",
		Errors:      []int{http.StatusUnprocessableEntity},
	}, func(ctx context.Context, in *struct {
		Of
		Body NewRole
	},
	) (out *made[CustomRole], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			r, err := tx.MakeRole(ctx, actorOf(ctx), in.Body.role(access.CustomID(in.Body.ID, in.Body.Name)))
			if err != nil {
				return err
			}
			shown, err := oneRole(ctx, tx, r.ID)
			if err != nil {
				return err
			}
			out = &made[CustomRole]{"/api/v1/organizations/" + string(in.Organization) + "/roles/" + string(r.ID), shown.Body}
			return nil
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "change-role", Method: http.MethodPut, Path: path + "/{role}",
		Summary:     "Replace what a custom role is made of, for all who have it",
		Description: "Refused with 409 where somebody has changed it since, where it would leave a protected role without its last holder, and where somebody would hold roles that exclude each other.",
		Errors:      []int{http.StatusUnprocessableEntity},
	}, func(ctx context.Context, in *struct {
		Of
		Role id.Role `path:"role" example:"custom:night-shift"`
		Body ChangedRole
	},
	) (out *one[CustomRole], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			if _, err := tx.ChangeRole(ctx, actorOf(ctx), in.Body.role(in.Role), in.Body.Version); err != nil {
				return err
			}
			out, err = oneRole(ctx, tx, in.Role)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "delete-role", Method: http.MethodDelete, Path: path + "/{role}", DefaultStatus: http.StatusNoContent,
		Summary: "Delete a custom role that is in use nowhere",
	}, func(ctx context.Context, in *ofRole) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.DeleteRole(ctx, actorOf(ctx), in.Role, 0)
		})
	})
}
