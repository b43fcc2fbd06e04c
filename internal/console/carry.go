package console

import (
	"slices"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// earlier is a deleted account that had the userName or the address of a user: who comes back by a new push is a new user
// without the old one's roles, and the giver may carry those over that people had given.
type earlier struct {
	ID      id.User
	Name    string
	Deleted when
	Roles   []string
	Beyond  int // that the viewer may not give
	grants  []store.Grant
}

// earlierOf lists the accounts of which something is left to carry over.
func earlierOf(v *visit, tx *store.Tx, p person) ([]earlier, error) {
	if !v.viewer.gives() || p.User.Status == directory.Deleted {
		return nil, nil
	}
	users, err := tx.EarlierUsers(v.ctx, *p.User)
	if err != nil {
		return nil, err
	}
	var out []earlier
	for i := range users {
		grants, _, err := tx.ListGrants(v.ctx, store.GrantFilter{User: users[i].ID, Source: access.Manual, Limit: 200})
		if err != nil {
			return nil, err
		}
		e := earlier{ID: users[i].ID, Name: users[i].Name(), Deleted: v.when(users[i].DeletedAt, "")}
		for _, g := range grants {
			over := !g.Expires.IsZero() && !g.Expires.After(v.now)
			held := slices.ContainsFunc(p.Access.Kept(), func(h access.Held) bool { return h.Role == g.Role && h.Resource == g.Resource })
			if over || held {
				continue
			}
			if _, may := v.viewer.giver().May(v.viewer.ground, g.Role, g.Resource); !may {
				e.Beyond++
				continue
			}
			e.grants = append(e.grants, g)
			e.Roles = append(e.Roles, summary(v.viewer.ground, []id.Role{g.Role}, []id.Resource{g.Resource}))
		}
		if len(e.grants) > 0 {
			out = append(out, e)
		}
	}
	return out, nil
}

// carry gives a user the roles that people had given to an earlier account: each one under every rule of giving.
func (c *Console) carry(v *visit, tx *store.Tx) (string, string, error) {
	p, err := c.person(v, tx)
	if err != nil {
		return "", "", err
	}
	list, err := earlierOf(v, tx, p)
	if err != nil {
		return "", "", err
	}
	i := slices.IndexFunc(list, func(e earlier) bool { return string(e.ID) == v.form("from") })
	if i < 0 {
		return "", "", fault.New(fault.Conflict, "There is nothing left to carry over from that account to %s.", p.User.Name())
	}
	for _, g := range list[i].grants {
		if _, err := tx.Give(v.ctx, v.viewer.actor, store.Grant{
			User: p.User.ID, Role: g.Role, Resource: g.Resource, Expires: g.Expires,
			Reason: "Carried over from the deleted account " + string(list[i].ID),
		}); err != nil {
			return "", "", err
		}
	}
	return plural(len(list[i].grants), "role") + " carried over to " + p.User.Name() + ".", string(p.at("")), nil
}
