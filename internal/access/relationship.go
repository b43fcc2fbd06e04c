package access

import (
	"fmt"
	"time"

	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// CodeOutside says that a relationship leaves nothing of what was to be given to a provider's user.
const CodeOutside = "outside-relationship"

// InForce reports whether terms that were approved at a time (zero: never) are in force.
func (r RelationshipSettings) InForce(approved, now time.Time) bool {
	return !approved.IsZero() && !now.Before(approved) && (r.Expires.IsZero() || now.Before(r.Expires))
}

// Propose checks the form of what a provider asks for, in the organization it would serve. What is in it is its decision.
func Propose(f *Facts, terms RelationshipSettings, now time.Time) error {
	bad := fault.New(fault.Invalid, "These terms do not hold together.")
	if len(terms.AllowedRoles) == 0 {
		bad.WithField("allowed_roles", "Name at least one role that may be held.")
	}
	for i, r := range terms.AllowedRoles {
		// Custom roles are the served organization's own: a provider that proposes one would learn whether it is there, and a
		// change of it would change the terms.
		switch _, known := f.Catalogue.Role(r); {
		case IsCustom(r):
			bad.WithField(path("allowed_roles", i), "A relationship names roles that the operator declared, or every role; %s is a custom role.", r)
		case !known && r != Every:
			bad.WithField(path("allowed_roles", i), "There is no role %q.", r)
		}
	}
	for i, r := range terms.Resources {
		if _, known := f.Tree.Get(r); !known {
			bad.WithField(path("resources", i), "%s has no resource %q.", f.Organization.Name, r)
		}
	}
	if !terms.Expires.IsZero() && !terms.Expires.After(now) {
		bad.WithField("expires", "It would be over before it began.")
	}
	if len(bad.Fields) > 0 {
		bad.Message += " " + bad.Fields[0].Message
		return bad
	}
	return nil
}

// Approve decides whether somebody of the organization that is served may let a provider in on these terms: only who could give each
// of the roles at each of the resources, for as long. Else a relationship would be a way to give what one may not give.
func Approve(giver Giver, f *Facts, terms RelationshipSettings, now time.Time) error {
	if err := Propose(f, terms, now); err != nil {
		return err
	}
	if giver.Operator {
		return nil
	}
	at := terms.Resources
	if len(at) == 0 {
		at = []id.Resource{f.Tree.Root()}
	}
	for _, allowed := range terms.AllowedRoles {
		roles := []id.Role{allowed}
		if allowed == Every {
			roles = nil
			for _, r := range f.Catalogue.roles {
				if f.Catalogue.Covers(f.Organization.Available, r.ID) {
					roles = append(roles, r.ID)
				}
			}
		}
		for _, r := range roles {
			for _, resource := range at {
				if err := giver.ceiling(f, Want{Role: r, Resource: resource, Expires: terms.Expires}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// outside refuses to give a provider's user what the relationship leaves nothing of: it would stand in every list and never be in force.
func (e *Effective) outside(want Want) error {
	if e.cut == nil || len(e.cut(Held{Role: want.Role, Resource: want.Resource})) > 0 {
		return nil
	}
	return fault.New(fault.Forbidden, "%s comes from a provider, and its relationship allows nothing of %s at %s.", e.User.Name,
		e.catalogue.Name(want.Role), e.tree.Name(want.Resource)).WithCode(CodeOutside)
}

// External reports whether the user is a provider's, and not one of the organization's own.
func (e *Effective) External() bool { return e.User.Home != "" && e.User.Home != e.Organization }

// Terms says a relationship's terms as a line for a log or a page.
func (r RelationshipSettings) Terms(c *Catalogue, t *Tree) string {
	roles, at := "", ""
	for i, role := range r.AllowedRoles {
		if i > 0 {
			roles += ", "
		}
		if role == Every {
			roles += "every role"
			continue
		}
		roles += c.Name(role)
	}
	for i, resource := range r.Resources {
		if i > 0 {
			at += ", "
		}
		at += t.Name(resource)
	}
	if at == "" {
		at = t.Name(t.Root())
	}
	line := fmt.Sprintf("%s at %s", roles, at)
	if !r.Expires.IsZero() {
		line += ", until " + r.Expires.UTC().Format("2 January 2006")
	}
	if r.RequireMFA {
		line += ", with a second factor"
	}
	return line
}
