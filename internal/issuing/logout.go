package issuing

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
)

// logoutTimeout bounds one back-channel call; the outbox tries again.
const logoutTimeout = 10 * time.Second

// SendLogout gives the handler of deliveries of the kind outbox.BackChannelLogout: it signs the logout token when it is
// called, since that lives two minutes, and posts it (Back-Channel Logout 1.0 section 2.5). An application that is no longer
// declared, or takes no such call any more, has nothing to be told: that is a receipt, not a failure. Client dials through
// netguard and follows no redirect.
func (p *Provider) SendLogout(client *http.Client) func(context.Context, outbox.Delivery) (receipt json.RawMessage, err error) {
	return func(ctx context.Context, d outbox.Delivery) (json.RawMessage, error) {
		var notice store.LogoutNotice
		if err := json.Unmarshal(d.Payload, &notice); err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "This delivery cannot be read.")
		}
		all, err := p.current(ctx)
		if err != nil {
			return nil, err
		}
		c, declared := all.byID[notice.Application]
		if !declared || c.application.BackchannelLogoutURI == "" {
			return json.RawMessage(`{"skipped":"the application takes no back-channel logout any more"}`), nil
		}
		token, err := p.oidc.SignLogoutToken(c.protocol, string(notice.User), string(notice.Session), string(d.ID))
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, logoutTimeout)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.application.BackchannelLogoutURI,
			strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := client.Do(req)
		if err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "%s cannot be reached.", c.application.Name)
		}
		defer func() { _ = res.Body.Close() }()
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
		switch res.StatusCode {
		case http.StatusOK, http.StatusNoContent: // section 2.8 names 200; frameworks answer 204 to a success without a body
			return json.RawMessage(fmt.Sprintf(`{"status":%d}`, res.StatusCode)), nil
		case http.StatusBadRequest: // the same section: the request was judged and refused, and would be again
			return nil, fault.New(fault.Invalid, "%s refused the logout.", c.application.Name)
		}
		return nil, fault.New(fault.Unavailable, "%s answered %d to the logout.", c.application.Name, res.StatusCode)
	}
}
