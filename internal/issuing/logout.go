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

	"github.com/vestibule-id/vestibule/internal/outbox"
	"github.com/vestibule-id/vestibule/internal/store"
)

// logoutTimeout bounds one back-channel call; the outbox tries again.
const logoutTimeout = 10 * time.Second

// SendLogout carries out a delivery of the kind outbox.BackChannelLogout: it signs the logout token now, since it lives two
// minutes, and posts it (Back-Channel Logout 1.0 section 2.5). An application that is no longer declared, or takes no such
// call any more, has nothing to be told: that is a receipt, not a failure. Client dials through netguard and follows no
// redirect.
func (p *Provider) SendLogout(ctx context.Context, client *http.Client, d outbox.Delivery) (receipt json.RawMessage, err error) {
	var notice store.LogoutNotice
	if err := json.Unmarshal(d.Payload, &notice); err != nil {
		return nil, fmt.Errorf("read delivery %s: %w", d.ID, err)
	}
	all, err := p.current(ctx)
	if err != nil {
		return nil, err
	}
	c, declared := all.byID[notice.Application]
	if !declared || c.application.BackchannelLogoutURI == "" {
		return json.RawMessage(`{"skipped":"the application takes no back-channel logout any more"}`), nil
	}
	token, err := p.oidc.SignLogoutToken(c.protocol, string(notice.User), string(notice.Session))
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
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	// Section 2.8 names 200; 204 is what frameworks answer to a body-less success.
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent {
		return nil, fmt.Errorf("%s answered %d to the logout", notice.Application, res.StatusCode)
	}
	return json.RawMessage(fmt.Sprintf(`{"status":%d}`, res.StatusCode)), nil
}
