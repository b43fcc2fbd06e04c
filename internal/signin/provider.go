package signin

import (
	"context"
	"net/http"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/page"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Acting as a provider: the person signs in at home, and the token speaks of another organization. Whether the home serves that one is
// decided where the way is chosen, once more when somebody has come in by a way of their own, and by the statement that issues a code.

// serves refuses a sign-in at home for an organization that the home does not serve.
func (f *flow) serves(ctx context.Context, home, organization id.Organization) error {
	if organization == "" || organization == home {
		return nil
	}
	return f.DB.Read(ctx, home, func(tx *store.Tx) error {
		serves, err := tx.Serves(ctx, organization)
		if err == nil && !serves {
			return refuse(connection.CodeOtherOrganization, "")
		}
		return err
	})
}

// towardView is a provider's user who signed in at home and may do nothing for the organization asked for.
type towardView struct {
	person      string
	home        string
	client      string
	application string
	reason      string // why nothing at all is in force; empty: nothing was given
}

// noAccessToward tells a provider's user what is missing, and on which side.
func (f *flow) noAccessToward(w http.ResponseWriter, r *http.Request, home, client id.Organization, application string) {
	ctx := r.Context()
	s, err := f.signedIn(r, home)
	if err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	v := towardView{person: either(s.DisplayName, s.Email, s.UserName), application: application}
	err = f.DB.Read(ctx, home, func(tx *store.Tx) error {
		relationship, err := tx.Relationship(ctx, home, client)
		if err != nil {
			return err
		}
		e, err := tx.AccessToward(ctx, client, s.User, s.AMR)
		if err != nil {
			return err
		}
		v.home, v.client, v.reason = relationship.ProviderName, relationship.ClientName, e.Nothing
		return nil
	})
	if fault.KindOf(err) == fault.NotFound {
		f.fail(w, r, stop{recorded: true, organization: home}, refuse(connection.CodeOtherOrganization, ""))
		return
	}
	if err != nil {
		page.Refuse(w, r, f.Log, err)
		return
	}
	f.render(w, r, http.StatusForbidden, noAccessTowardPage(v))
}
