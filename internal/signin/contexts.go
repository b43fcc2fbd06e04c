package signin

import (
	"context"
	"slices"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/mfa"
	"github.com/vestibule-id/vestibule/internal/session"
	"github.com/vestibule-id/vestibule/internal/store"
)

// givesSecond says whether a connection's provider can be asked for a second factor: its word counts, and it is known by which context
// it gives one. A SAML provider refuses whoever it cannot authenticate in the context asked for (Core section 3.3.2.2.1), so it is asked
// for none that the connection does not demand.
func givesSecond(c connection.Connection) bool {
	return c.Protocol == connection.OIDC && c.Settings.TrustAMR && len(c.Settings.MFAContexts) > 0
}

// contexts are those that an OpenID Provider is asked for: what the connection demands, and its second factor where one is asked for
// here, by the application or by our own question from which the person has come. acr_values is a wish (Core section 3.1.2.1): who comes
// back without is asked here.
func (f *flow) contexts(ctx context.Context, c connection.Connection, attempt session.Attempt, hints session.Hints) ([]string, error) {
	demanded := c.Settings.ACRValues
	if !givesSecond(c) {
		return demanded, nil
	}
	var asked mfa.Demand
	asked.Asked(hints.ACRValues, "")
	if len(asked.Multiple) == 0 {
		var proved string
		err := f.DB.System().Read(ctx, func(tx *store.SystemTx) (err error) {
			_, proved, err = tx.ProvedAttempt(ctx, attempt.ID, attempt.Browser)
			return err
		})
		if err != nil || proved == "" {
			return demanded, err
		}
	}
	if len(demanded) == 0 {
		return c.Settings.MFAContexts, nil
	}
	// One of those demanded has to come back, so nothing else is asked for.
	both := slices.DeleteFunc(slices.Clone(demanded), func(s string) bool { return !slices.Contains(c.Settings.MFAContexts, s) })
	if len(both) == 0 {
		return demanded, nil
	}
	return both, nil
}
