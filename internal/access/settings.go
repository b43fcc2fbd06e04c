package access

import (
	"time"

	"github.com/vestibule-id/vestibule/internal/id"
)

// RelationshipSettings are a provider relationship's terms (relationships.document). The JSON names are those of the operator's
// file.
type RelationshipSettings struct {
	AllowedRoles []id.Role     `json:"allowed_roles,omitempty"`
	Resources    []id.Resource `json:"resources,omitempty"` // none: the whole organization
	Expires      time.Time     `json:"expires,omitzero"`
	RequireMFA   bool          `json:"require_mfa,omitempty"`
}
