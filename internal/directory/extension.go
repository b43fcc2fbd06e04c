package directory

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/vestibule-id/vestibule/scim"
)

// Extension is a schema that a directory's users or groups have beside the core one. Without a definition it is EnterpriseUser.
type Extension struct {
	ID         string          `json:"id"`
	Resource   string          `json:"resource"` // ResourceUser or ResourceGroup
	Required   bool            `json:"required,omitempty"`
	Definition json.RawMessage `json:"definition,omitempty"` // as scim.Schema's Definition wrote it
}

// The resource types that can be extended.
const (
	ResourceUser  = "User"
	ResourceGroup = "Group"
)

// Declares reports whether a directory has schemas of its own.
func (s *Settings) Declares() bool {
	return slices.ContainsFunc(s.Extensions, func(x Extension) bool { return len(x.Definition) > 0 })
}

// Enterprise is the extension that a directory has when its file says nothing of extensions.
func Enterprise() Extension { return Extension{ID: scim.EnterpriseURN, Resource: ResourceUser} }

// Extended gives the extensions in force.
func (s *Settings) Extended() []Extension {
	if s.Extensions == nil {
		return []Extension{Enterprise()}
	}
	return s.Extensions
}

// Types are what a directory's resources are made of. Those of equal extensions are the same pointers while they are in use.
type Types struct {
	User, Group *scim.ResourceType
	// Never are the names, in lower case, of the attributes of the directory's own schemas that are never returned.
	Never []string
}

// made remembers the types of each set of extensions: a schema is read once, not at every request.
var made = struct {
	sync.Mutex
	types map[string]Types
}{types: map[string]Types{}}

// maxMade bounds what is remembered, far beyond what any installation declares.
const maxMade = 1000

// Types gives the resource types of a directory with these settings.
func (s *Settings) Types() (Types, error) {
	key, err := json.Marshal(s.Extended())
	if err != nil {
		return Types{}, err
	}
	made.Lock()
	defer made.Unlock()
	if t, ok := made.types[string(key)]; ok {
		return t, nil
	}
	var user, group []scim.Extension
	var never []string
	for _, x := range s.Extended() {
		schema := scim.EnterpriseUser()
		if len(x.Definition) > 0 {
			if schema, err = scim.LoadExtension(x.Definition); err != nil {
				return Types{}, fmt.Errorf("extension %s: %w", x.ID, err)
			}
		}
		for _, a := range schema.Attributes {
			for _, part := range append([]*scim.Attribute{a}, a.Sub...) {
				if part.Returned == scim.ReturnedNever {
					never = append(never, strings.ToLower(part.Name))
				}
			}
		}
		e := scim.Extension{Schema: schema, Required: x.Required}
		if x.Resource == ResourceGroup {
			group = append(group, e)
		} else {
			user = append(user, e)
		}
	}
	if len(made.types) >= maxMade {
		clear(made.types)
	}
	t := Types{User: scim.UserType(user...), Group: scim.GroupType(group...), Never: never}
	made.types[string(key)] = t
	return t, nil
}
