package session

import (
	"net/http"
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

const setupPrefix = "vestibule_l_"

// SetupLink is the cookie that carries a setup link's token on from the address it came in, which then stands in no later one. Each link
// has a cookie of its own: two in one browser do not meet.
func (c Cookies) SetupLink(link id.SetupLink, token string, lifetime time.Duration) *http.Cookie {
	return c.make(c.name(setupPrefix+string(link)), token, int(lifetime/time.Second))
}

// SetupToken gives the token this browser shows for a setup link, or "".
func (c Cookies) SetupToken(r *http.Request, link id.SetupLink) string {
	if !id.IsUUID(string(link)) {
		return ""
	}
	return one(r, c.name(setupPrefix+string(link)))
}
