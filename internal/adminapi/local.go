package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// SignOn is whether an organization demands single sign-on.
type SignOn struct {
	Enforced bool           `json:"enforced" doc:"By an administrator, or by the operator's file"`
	InForce  bool           `json:"in_force" doc:"It holds for a domain at least; it waits while nobody has come in through the connection"`
	Declared bool           `json:"declared" doc:"The operator's file demands it, and only the file takes that back"`
	Since    *time.Time     `json:"since" doc:"Since when an administrator demands it"`
	MadeBy   string         `json:"made_by,omitempty"`
	Domains  []SignOnDomain `json:"domains"`
}

// SignOnDomain is a proven domain with the connection its people go through.
type SignOnDomain struct {
	Domain     string        `json:"domain"`
	Connection id.Connection `json:"connection"`
	Works      bool          `json:"works" doc:"Somebody has come in through it, or a test sign-in has passed"`
}

// Exception lets one address in without the provider, for a time.
type Exception struct {
	ID      id.SSOException `json:"id"`
	Address string          `json:"address"`
	Kind    string          `json:"kind" enum:"break-glass,guest"`
	Reason  string          `json:"reason"`
	Source  string          `json:"source" enum:"console,api,file"`
	MadeBy  string          `json:"made_by"`
	Created time.Time       `json:"created"`
	Expires time.Time       `json:"expires"`
	Over    bool            `json:"over" doc:"It ended, and lets nobody in"`
	HasCode bool            `json:"has_code" doc:"Its holder has a break-glass code that was not used; nobody else ever sees it"`
}

// NewException names somebody.
type NewException struct {
	Address string    `json:"address" maxLength:"254" example:"olga@northwind.example"`
	Kind    string    `json:"kind" enum:"break-glass,guest"`
	Reason  string    `json:"reason" minLength:"1" maxLength:"400"`
	Expires time.Time `json:"expires" doc:"Within a year"`
}

func exceptionOf(now time.Time) func(store.SSOException) Exception {
	return func(e store.SSOException) Exception {
		return Exception{
			ID: e.ID, Address: e.Address, Kind: e.Kind, Reason: e.Reason, Source: e.Source, MadeBy: e.MadeBy, Created: e.Created.UTC(),
			Expires: e.Expires.UTC(), Over: e.Over(now), HasCode: e.HasCode,
		}
	}
}

func (a *API) local(api huma.API) {
	const path = "/organizations/{organization}/sso"
	signOn := func(ctx context.Context, tx *store.Tx) (*one[SignOn], error) {
		e, err := tx.Enforcement(ctx)
		out := SignOn{
			Enforced: e.Demanded(), InForce: e.InForce(), Declared: e.File, Since: optional(e.Since), MadeBy: e.MadeBy, Domains: []SignOnDomain{},
		}
		for _, d := range e.Domains {
			out.Domains = append(out.Domains, SignOnDomain{d.Domain, d.Connection, d.Works})
		}
		return &one[SignOn]{out}, err
	}
	handle(a, api, huma.Operation{
		OperationID: "get-sso", Method: http.MethodGet, Path: path, Summary: "Whether single sign-on is demanded, and where it is in force",
	}, func(ctx context.Context, in *Of) (out *one[SignOn], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			out, err = signOn(ctx, tx)
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "set-sso", Method: http.MethodPut, Path: path, Summary: "Demand single sign-on for the proven domains, or no longer",
		Description: "Demanding it wants a test sign-in that has passed through the connection of each domain, as it is set up now, and a break-glass exception.",
	}, func(ctx context.Context, in *struct {
		Of
		Body struct {
			Enforced bool `json:"enforced"`
		}
	},
	) (out *one[SignOn], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			if in.Body.Enforced {
				err = tx.EnforceSSO(ctx, actorOf(ctx), "")
			} else {
				err = tx.ReleaseSSO(ctx, actorOf(ctx))
			}
			if err == nil {
				out, err = signOn(ctx, tx)
			}
			return err
		})
		return out, err
	})
	const exceptions = "/organizations/{organization}/sso-exceptions"
	handle(a, api, huma.Operation{
		OperationID: "list-sso-exceptions", Method: http.MethodGet, Path: exceptions,
		Summary: "Who signs in without the provider although single sign-on is demanded; those that end first first",
	}, func(ctx context.Context, in *struct {
		Of
		Paging
	},
	) (out *List[Exception], err error) {
		err = a.read(ctx, in.Organization, func(tx *store.Tx) error {
			all, err := tx.SSOExceptions(ctx)
			if err != nil {
				return err
			}
			page, next, err := cut(in.Paging, all, func(e store.SSOException) string { return string(e.ID) })
			out = listOf(page, next, exceptionOf(tx.Now()))
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "make-sso-exception", Method: http.MethodPost, Path: exceptions, DefaultStatus: http.StatusCreated,
		Summary: "Name an exception, or renew the one of the same address", Errors: []int{http.StatusUnprocessableEntity},
	}, func(ctx context.Context, in *struct {
		Of
		Body NewException
	},
	) (out *made[Exception], err error) {
		err = a.write(ctx, in.Organization, func(tx *store.Tx) error {
			e, err := tx.PutException(ctx, store.SSOException{
				Address: in.Body.Address, Kind: in.Body.Kind, Reason: in.Body.Reason, Expires: in.Body.Expires, Source: "api",
			}, actorOf(ctx))
			out = &made[Exception]{
				Location: "/api/v1/organizations/" + string(in.Organization) + "/sso-exceptions/" + string(e.ID), Body: exceptionOf(tx.Now())(e),
			}
			return err
		})
		return out, err
	})
	handle(a, api, huma.Operation{
		OperationID: "end-sso-exception", Method: http.MethodDelete, Path: exceptions + "/{exception}", DefaultStatus: http.StatusNoContent,
		Summary: "End an exception, and the sessions that came of it",
	}, func(ctx context.Context, in *struct {
		Of
		Exception id.SSOException `path:"exception"`
	},
	) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			_, err := tx.EndException(ctx, in.Exception, actorOf(ctx))
			return err
		})
	})
	handle(a, api, huma.Operation{
		OperationID: "send-password-link", Method: http.MethodPost, Path: "/organizations/{organization}/users/{user}/password-link",
		DefaultStatus: http.StatusNoContent, Summary: "Send a user a link to choose a password; nobody else sees or sets one",
	}, func(ctx context.Context, in *OfUser) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			if err := tx.MayLocal(ctx, in.User, "password"); err != nil {
				// The caller is allowed to; it is the user who may have no password.
				if f := fault.As(err); f != nil && f.Kind == fault.Forbidden {
					return fault.New(fault.Conflict, "This user signs in through an identity provider, or is not active, so there is no password to choose.").WithCode(f.Code)
				}
				return err
			}
			return tx.SendReset(ctx, in.User, a.URL, actorOf(ctx))
		})
	})
	handle(a, api, huma.Operation{
		OperationID: "remove-password", Method: http.MethodDelete, Path: "/organizations/{organization}/users/{user}/password",
		DefaultStatus: http.StatusNoContent, Summary: "Take a user's password away; their sessions end",
	}, func(ctx context.Context, in *OfUser) (*Nothing, error) {
		return &Nothing{}, a.write(ctx, in.Organization, func(tx *store.Tx) error {
			return tx.RemovePassword(ctx, in.User, actorOf(ctx), "")
		})
	})
}
