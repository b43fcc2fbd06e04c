package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// RelationshipTerms are what a provider's users may hold in the organization that is served.
type RelationshipTerms struct {
	AllowedRoles []id.Role     `json:"allowed_roles" minItems:"1" maxItems:"200" doc:"* for every role the organization may use"`
	Resources    []id.Resource `json:"resources,omitempty" maxItems:"500" doc:"Absent or empty: the whole organization"`
	Expires      *time.Time    `json:"expires,omitempty" doc:"Absent: until one side cuts it"`
	RequireMFA   bool          `json:"require_mfa,omitempty"`
}

func (t RelationshipTerms) terms() access.RelationshipSettings {
	return access.RelationshipSettings{
		AllowedRoles: t.AllowedRoles, Resources: t.Resources, Expires: timeOf(t.Expires), RequireMFA: t.RequireMFA,
	}
}

// Relationship is a provider relationship, the same from both sides.
type Relationship struct {
	Provider     id.Organization `json:"provider" doc:"Whose people work"`
	ProviderName string          `json:"provider_name"`
	Client       id.Organization `json:"client" doc:"For whom"`
	ClientName   string          `json:"client_name"`
	State        string          `json:"state" enum:"proposed,in-force,ended"`
	AllowedRoles []id.Role       `json:"allowed_roles"`
	Resources    []id.Resource   `json:"resources" doc:"Empty: the whole organization"`
	Expires      *time.Time      `json:"expires"`
	RequireMFA   bool            `json:"require_mfa"`
	Approved     *time.Time      `json:"approved"`
	Created      time.Time       `json:"created"`
	Source       string          `json:"source" doc:"file where the operator's file declares it, else manual"`
}

func relationshipOf(now time.Time) func(store.Relationship) Relationship {
	return func(r store.Relationship) Relationship {
		out := Relationship{
			Provider: r.Provider, ProviderName: r.ProviderName, Client: r.Client, ClientName: r.ClientName, State: r.State(now),
			AllowedRoles: r.Terms.AllowedRoles, Resources: r.Terms.Resources, Expires: optional(r.Terms.Expires),
			RequireMFA: r.Terms.RequireMFA, Approved: optional(r.Approved), Created: r.Created.UTC(), Source: r.Source,
		}
		if out.AllowedRoles == nil {
			out.AllowedRoles = []id.Role{}
		}
		if out.Resources == nil {
			out.Resources = []id.Resource{}
		}
		return out
	}
}

// ProviderUser is a provider's user as the organization that is served sees them.
type ProviderUser struct {
	ID               id.User          `json:"id"`
	HomeOrganization id.Organization  `json:"home_organization"`
	Name             string           `json:"name"`
	Email            string           `json:"email"`
	Status           directory.Status `json:"status" enum:"pending,active,suspended,deleted" doc:"At home"`
	LastLogin        *time.Time       `json:"last_login" doc:"When they last opened an application for this organization"`
	LastLoginIP      string           `json:"last_login_ip"`
	Logins           int64            `json:"logins"`
}

func providerUserOf(u store.ProviderUser) ProviderUser {
	return ProviderUser{u.User, u.Home, u.Name, u.Email, u.Status, optional(u.LastLogin), u.LastLoginIP, u.Logins}
}

// externalDetail is a provider's user in the shape of a user of the organization.
func externalDetail(ctx context.Context, tx *store.Tx, user id.User) (*one[UserDetail], error) {
	u, err := tx.ProviderUser(ctx, user)
	if err != nil {
		return nil, err
	}
	e, err := tx.Access(ctx, user)
	if err != nil {
		return nil, err
	}
	d := UserDetail{
		User: User{
			ID: u.User, Status: u.Status, Seated: u.Seated, UserName: u.UserName, Email: u.Email, EmailVerified: u.EmailVerified,
			Name: u.Name, External: true, Created: u.Created.UTC(), Updated: u.Created.UTC(), LastSeen: optional(u.LastLogin),
			LastLogin: optional(u.LastLogin), LastLoginIP: u.LastLoginIP, Logins: u.Logins,
		},
		HomeOrganization: u.Home, Groups: e.GroupNames(), Sources: []Source{},
	}
	if d.Groups == nil {
		d.Groups = []string{}
	}
	return &one[UserDetail]{Body: d}, nil
}

// OfProvider is a call about one provider.
type OfProvider struct {
	Of
	Provider id.Organization `path:"provider" doc:"The organization that serves"`
}

// OfClient is a call about one of those that are served.
type OfClient struct {
	Of
	Client id.Organization `path:"client" doc:"The organization that is served"`
}

func (a *API) providers(api huma.API) {
	const providers, clients = "/organizations/{organization}/providers", "/organizations/{organization}/clients"
	for _, list := range []struct {
		id, path, summary string
		read              func(*store.Tx, context.Context) ([]store.Relationship, error)
	}{
		{"list-providers", providers, "Who serves this organization, or asks to", (*store.Tx).Providers},
		{"list-clients", clients, "Whom this organization serves, or asks to", (*store.Tx).Clients},
	} {
		handle(a, api, huma.Operation{
			OperationID: list.id, Method: http.MethodGet, Path: list.path, Summary: list.summary,
		}, func(ctx context.Context, in *struct {
			Of
			Paging
		},
		) (out *List[Relationship], err error) {
			err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
				all, err := list.read(tx, ctx)
				if err != nil {
					return err
				}
				page, next, err := cut(in.Paging, all, func(r store.Relationship) string { return string(r.Provider) + "/" + string(r.Client) })
				out = listOf(page, next, relationshipOf(tx.Now()))
				return err
			})
			return out, err
		})
	}
	handle(a, api, huma.Operation{
		OperationID: "get-provider", Method: http.MethodGet, Path: providers + "/{provider}", Summary: "One provider relationship",
	}, func(ctx context.Context, in *OfProvider) (out *one[Relationship], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			r, err := tx.Relationship(ctx, in.Provider, in.Organization)
			out = &one[Relationship]{relationshipOf(tx.Now())(r)}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "set-provider", Method: http.MethodPut, Path: providers + "/{provider}", DefaultStatus: http.StatusOK,
		Summary:     "Let a provider's users work here, on these terms",
		Description: "Approves a proposal, changes what is in force, or begins a relationship. What the users hold is cut to the terms at once.",
	}, func(ctx context.Context, in *struct {
		OfProvider
		Body RelationshipTerms
	},
	) (out *one[Relationship], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			r, err := tx.SetTerms(ctx, actorOf(ctx), in.Provider, in.Body.terms())
			out = &one[Relationship]{relationshipOf(tx.Now())(r)}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "propose-to-client", Method: http.MethodPut, Path: clients + "/{client}", DefaultStatus: http.StatusOK,
		Summary:     "Ask another organization to be let in on these terms",
		Description: "Nothing is in force before the other side approves. 409 while other terms are in force.",
	}, func(ctx context.Context, in *struct {
		OfClient
		Body RelationshipTerms
	},
	) (out *one[Relationship], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			r, err := tx.Propose(ctx, actorOf(ctx), in.Client, in.Body.terms())
			out = &one[Relationship]{relationshipOf(tx.Now())(r)}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "cut-provider", Method: http.MethodDelete, Path: providers + "/{provider}", DefaultStatus: http.StatusNoContent,
		Summary:     "End a provider relationship, or refuse a proposal",
		Description: "Everything the provider's users hold towards this organization ends at once, and what they were given here is taken away.",
	}, func(ctx context.Context, in *struct {
		OfProvider
		Reason string `query:"reason" maxLength:"500"`
	},
	) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.Cut(ctx, actorOf(ctx), in.Provider, in.Organization, in.Reason)
		})
	})
	handle(a, api, huma.Operation{
		OperationID: "cut-client", Method: http.MethodDelete, Path: clients + "/{client}", DefaultStatus: http.StatusNoContent,
		Summary: "End a provider relationship from the provider's side, or withdraw a proposal",
	}, func(ctx context.Context, in *struct {
		OfClient
		Reason string `query:"reason" maxLength:"500"`
	},
	) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.Cut(ctx, actorOf(ctx), in.Organization, in.Client, in.Reason)
		})
	})
	handle(a, api, huma.Operation{
		OperationID: "list-provider-users", Method: http.MethodGet, Path: providers + "/{provider}/users",
		Summary:     "The provider's users who have access here, or were here",
		Description: "To whom something was given, who opened an application, and everybody active where the provider's default roles come to something within the terms. What each may do, and why, is under /users/{user}/access. With email, the one of the provider's users with exactly this address, to give a role to: nobody else of a provider is listed.",
	}, func(ctx context.Context, in *struct {
		OfProvider
		Paging
		Email string `query:"email" maxLength:"254"`
		Q     string `query:"q" maxLength:"200" doc:"Part of the name, the address or the userName, of those who are listed"`
	},
	) (out *List[ProviderUser], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			if _, err := tx.Relationship(ctx, in.Provider, in.Organization); err != nil {
				return err
			}
			if in.Email != "" {
				u, err := tx.ProviderUserByAddress(ctx, in.Provider, in.Email)
				out = listOf([]store.ProviderUser{u}, "", providerUserOf)
				return err
			}
			users, next, err := tx.ProviderUsers(ctx, in.Provider, in.Q, in.Cursor, in.Limit)
			out = listOf(users, next, providerUserOf)
			return err
		})
		return out, err
	})
}
