package console

import (
	"net/url"
	"slices"

	"github.com/a-h/templ"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// severalAtOnce is how many people are given roles in one step: several pages of a list, and fewer than its preview looks at (impactOver).
const severalAtOnce = 100

// several reads the people whom a list's checkboxes name. Each must be one whose page the viewer may open.
func (c *Console) several(v *visit, tx *store.Tx, chosen []string) ([]*access.Effective, error) {
	if !v.viewer.gives() {
		return nil, v.givesNothing()
	}
	var users []id.User
	for _, u := range chosen {
		if !slices.Contains(users, id.User(u)) {
			users = append(users, id.User(u))
		}
		if len(users) > severalAtOnce {
			return nil, fault.New(fault.Invalid, "More people were chosen than are given roles in one step. Choose at most %s at once.", number(severalAtOnce))
		}
	}
	held, err := tx.AccessOf(v.ctx, users)
	if err != nil {
		return nil, err
	}
	var out []*access.Effective
	for _, u := range users {
		e := held[u]
		if e == nil || !v.viewer.meets(e) {
			return nil, fault.New(fault.NotFound, "One of those chosen is not in %s any more, or no longer among those you see. Choose again.",
				v.organization.Name)
		}
		if e.User.Status == string(directory.Deleted) {
			return nil, fault.New(fault.Conflict, "%s is deleted. Restore the user first, or choose the others without.", e.User.Name)
		}
		out = append(out, e)
	}
	return out, nil
}

// chooseForSeveral works out the dialog in which the people chosen in a list are given the same roles. Whoever holds one of them
// already, and for no shorter, keeps it as it is.
func (c *Console) chooseForSeveral(v *visit, tx *store.Tx, chosen url.Values) (giveForm, error) {
	people, err := c.several(v, tx, chosen["user"])
	if err != nil {
		return giveForm{}, err
	}
	home := v.at("users")
	if chosen.Get("back") == "inbox" || !v.viewer.may(access.UsersRead) {
		home, v.section = v.at("inbox"), "inbox"
	}
	f := giveForm{
		person: person{frame: v.frame}, Several: people, Title: "Give " + peopleWord(len(people)) + " the same roles",
		Form: v.at("users/give"), Home: home, Then: home,
	}
	switch len(people) {
	case 1:
		f.Title = "Give " + people[0].User.Name + " roles"
	case 0:
		f.Title, f.Problem = "Give several people the same roles", "Nobody is chosen. Tick the people in the list first."
		return f, nil
	}
	facts := *v.viewer.ground
	facts.Grants = slices.Clone(facts.Grants)
	before := len(facts.Grants)
	f.pick(v, &facts, access.Grant{}, chosen, people...)
	if f.Problem != "" {
		return f, nil
	}
	added := facts.Grants[before:]
	var users []id.User
	gets := map[id.User][]access.Grant{}
	for _, e := range people {
		users = append(users, e.User.ID)
		for _, g := range added {
			if slices.ContainsFunc(e.Kept(), func(h access.Held) bool { return covers(e, h, g) }) {
				continue
			}
			g.User = e.User.ID
			gets[g.User] = append(gets[g.User], g)
			f.Gives = append(f.Gives, store.Grant{User: g.User, Role: g.Role, Resource: g.Resource, Expires: g.Expires})
		}
	}
	given := len(gets)
	if given == 0 {
		f.Problem = "All of them hold this already."
		return f, nil
	}
	i, err := impactOf(v, tx, users, func(of *access.Facts) { of.Grants = append(of.Grants, gets[of.User.ID]...) })
	f.Impact, f.Problem = &i, i.Refused
	switch {
	case len(people) == 1:
		f.Saved = people[0].User.Name + " holds " + f.Summary + " now."
	case given == len(people):
		f.Saved = peopleWord(given) + " hold " + f.Summary + " now."
	default:
		f.Saved = "All " + number(len(people)) + " hold " + f.Summary + " now; it was given to those who did not: " + peopleWord(given) + "."
	}
	return f, err
}

// covers reports whether what somebody holds gives, now and for as long, what another grant would.
func covers(e *access.Effective, h access.Held, g access.Grant) bool {
	return e.Catalogue().Carries(h.Role, g.Role) && e.Tree().Reaches(h.Resource, g.Resource) && !h.Starts.After(g.Created) &&
		(h.Expires.IsZero() || !g.Expires.IsZero() && !h.Expires.Before(g.Expires))
}

// nobody reports whether the dialog is one for several people of whom none is chosen.
func (f *giveForm) nobody() bool { return f.Access == nil && len(f.Several) == 0 }

// names lists those of several, for the head of the dialog.
func (f *giveForm) names() string {
	var out []string
	for _, e := range f.Several {
		out = append(out, e.User.Name)
	}
	return namesOf(out)
}

func (c *Console) giveSeveralDialog(v *visit, tx *store.Tx) (templ.Component, error) {
	f, err := c.chooseForSeveral(v, tx, v.r.URL.Query())
	if err != nil {
		return nil, err
	}
	return givePage(f), nil
}
