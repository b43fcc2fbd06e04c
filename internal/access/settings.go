package access

import (
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

// Settings is an organization's document (organizations.settings). The JSON names are those of the operator's file;
// durations are seconds.
type Settings struct {
	AllowedDomains       []string        `json:"allowed_domains,omitempty"` // as connection.Domain has them; none: unrestricted
	RequireMFA           bool            `json:"require_mfa,omitempty"`
	EnforceSSO           bool            `json:"enforce_sso,omitempty"`
	Session              SessionSettings `json:"session"`
	AvailableRoles       []id.Role       `json:"available_roles,omitempty"` // Every for all
	DefaultRoles         []RoleAt        `json:"default_roles,omitempty"`
	DefaultProviderRoles []id.Role       `json:"default_provider_roles,omitempty"`
	InvitationLifetime   Seconds         `json:"invitation_lifetime"`
}

// SessionSettings says how long a session of the organization lives.
type SessionSettings struct {
	Lifetime Seconds `json:"lifetime"`
	Idle     Seconds `json:"idle"`
}

// Seconds is a duration as the store keeps it.
type Seconds int64

// Duration gives it as Go has it.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// RelationshipSettings is a provider relationship's document (relationships.document).
type RelationshipSettings struct {
	AllowedRoles []id.Role     `json:"allowed_roles,omitempty"`
	Resources    []id.Resource `json:"resources,omitempty"` // none: the whole organization
	Expires      time.Time     `json:"expires,omitzero"`
	RequireMFA   bool          `json:"require_mfa,omitempty"`
	// An operator's file speaks for both sides: what it declares is approved.
	Approved bool `json:"approved"`
}
