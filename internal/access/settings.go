package access

import (
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

// RelationshipSettings is a provider relationship's document (relationships.document). The JSON names are those of the
// operator's file.
type RelationshipSettings struct {
	AllowedRoles []id.Role     `json:"allowed_roles,omitempty"`
	Resources    []id.Resource `json:"resources,omitempty"` // none: the whole organization
	Expires      time.Time     `json:"expires,omitzero"`
	RequireMFA   bool          `json:"require_mfa,omitempty"`
	// An operator's file speaks for both sides: what it declares is approved.
	Approved bool `json:"approved"`
}
