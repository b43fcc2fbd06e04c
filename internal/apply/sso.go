package apply

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

// localSignIn reads the ways to sign in without a provider. A list that is there and empty says none; one that is not there says
// nothing.
func (d *Declaration) localSignIn(o fileOrganization) []connection.Method {
	if !o.At.has("local_sign_in") {
		return nil
	}
	out := []connection.Method{}
	for i, m := range o.LocalSignIn {
		switch {
		case !slices.Contains(connection.Methods, m):
			d.problems.at(o.At, "local_sign_in["+itoa(i)+"]", "%q is neither password nor passkey", m)
		case slices.Contains(out, m):
			d.problems.at(o.At, "local_sign_in["+itoa(i)+"]", "%s stands there twice", m)
		}
		out = append(out, m)
	}
	slices.Sort(out)
	return out
}

func showLocal(methods []connection.Method) string {
	switch {
	case methods == nil:
		return ""
	case len(methods) == 0:
		return "none"
	}
	return list(methods, ", ")
}

func (d *Declaration) ssoException(org id.Organization, x fileSSOException) {
	e := store.DeclaredException{Organization: org, SSOException: store.SSOException{
		Address: x.Address, Kind: x.Kind, Reason: x.Reason, Expires: time.Time(x.Expires), Source: "file",
	}}
	if !d.once(key(exceptionKind, org, scim.Fold(x.Address)), x.At, "address") {
		return
	}
	if f := fault.As(store.CheckException(e.SSOException, time.Now())); f != nil {
		for _, field := range f.Fields {
			if x.At.has(field.Path) {
				d.problems.at(x.At, field.Path, "%s", field.Message)
			}
		}
	}
	d.want.Exceptions = append(d.want.Exceptions, e)
}

func exceptionObject(e store.DeclaredException) object {
	return object{
		kind: exceptionKind, org: e.Organization, local: scim.Fold(e.Address), label: e.Address,
		put: func(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error {
			return tx.PutDeclaredException(ctx, e, actor)
		},
		drop: func(ctx context.Context, tx *store.SystemTx, _ audit.Actor) error {
			return tx.DropDeclaredException(ctx, e)
		},
		fields: []field{{name: "kind", value: e.Kind}, {name: "expires", value: showTime(e.Expires)}, {name: "reason", value: e.Reason}},
	}
}

// checkEnforced refuses a demand that could hold for nobody.
func (c *checker) checkEnforced(o store.DeclaredOrganization) {
	if !o.Settings.EnforceSSO {
		return
	}
	for _, way := range c.merged.Connections {
		if way.Organization == o.ID && len(way.Settings.Domains) > 0 && !way.Settings.Closed() {
			return
		}
	}
	c.at(key(organizationKind, o.ID, ""), "enforce_sso", "no connection of %s that is on has a domain, so there is nobody it would hold for", o.ID)
}

// waiting says of each demand for single sign-on where it does not hold yet: through a connection that nobody has come in by, it would
// lock everybody out. It begins by itself with the first sign-in.
func waiting(ctx context.Context, tx *store.SystemTx, want *store.Declared) ([]string, error) {
	var out []string
	for _, o := range want.Organizations {
		if !o.Settings.EnforceSSO {
			continue
		}
		for _, m := range want.Domains {
			if m.Organization != o.ID {
				continue
			}
			works, err := tx.ConnectionWorks(ctx, o.ID, m.Connection)
			if err != nil {
				return nil, err
			}
			if !works {
				out = append(out, fmt.Sprintf("enforce_sso of %s waits for %s: nobody has come in through %s yet, and no test sign-in has passed", o.ID, m.Domain, m.Connection))
			}
		}
	}
	return out, nil
}
