package provisioning

import (
	"context"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
	"github.com/vestibule-id/vestibule/scim"
)

// tenant is the scim.Store of one directory for one request.
type tenant struct {
	db           *store.DB
	organization id.Organization
	pusher       store.Pusher
	trace        *trace // nil where nobody watches
	dry          bool   // nothing is kept
}

var _ scim.Store = (*tenant)(nil)

func (t *tenant) read(ctx context.Context, f func(p *store.Push) error) error {
	return toSCIM(t.db.Read(ctx, t.organization, func(tx *store.Tx) error { return f(tx.Push(t.pusher)) }))
}

func (t *tenant) write(ctx context.Context, f func(p *store.Push) error) error {
	write := t.db.Write
	if t.dry {
		write = t.db.Try
	}
	var events []audit.Event
	err := write(ctx, t.organization, func(tx *store.Tx) error {
		err := f(tx.Push(t.pusher))
		events = tx.Recorded()
		return err
	})
	if err == nil {
		t.trace.change(events)
	}
	return toSCIM(err)
}

// Create stores a user or group. Of two pushes of one name at the same moment the slower learns of the other only when it
// commits; it runs again, and then meets the other as if it had come later.
func (t *tenant) Create(ctx context.Context, rt *scim.ResourceType, r scim.Result, want scim.Want) (*scim.Resource, error) {
	if rt == t.pusher.User && !t.dry {
		res, events, err := t.db.CreateNewcomer(ctx, t.organization, t.pusher, r)
		if res != nil || err != nil {
			t.trace.change(events)
			return res, toSCIM(err)
		}
	}
	res, err := t.create(ctx, rt, r, want)
	if fault.KindOf(err) == fault.Conflict && rt == t.pusher.User {
		res, err = t.create(ctx, rt, r, want)
	}
	return res, err
}

func (t *tenant) create(ctx context.Context, rt *scim.ResourceType, r scim.Result, want scim.Want) (*scim.Resource, error) {
	var res *scim.Resource
	var refusal error
	err := t.write(ctx, func(p *store.Push) (err error) {
		if rt == t.pusher.Group {
			res, err = p.CreateGroup(ctx, r, want)
			return err
		}
		res, refusal, err = p.CreateUser(ctx, r, want)
		return err
	})
	if err != nil {
		return nil, err
	}
	return res, toRefusal(refusal)
}

// toRefusal translates a refusal that was committed: it is final, so what caused it is not kept for a second try.
func toRefusal(err error) error {
	if err == nil {
		return nil
	}
	return scim.AsError(toSCIM(err))
}

func (t *tenant) Get(ctx context.Context, rt *scim.ResourceType, resource string, want scim.Want) (res *scim.Resource, err error) {
	if rt == roleType {
		return t.role(ctx, resource)
	}
	if rt == t.pusher.User {
		res, err = t.db.GetUser(ctx, t.organization, &t.pusher, resource, want)
		return res, toSCIM(err)
	}
	err = t.read(ctx, func(p *store.Push) (err error) {
		res, err = p.GetGroup(ctx, resource, want)
		return err
	})
	return res, err
}

// Stream is Get for a group with all its members.
func (t *tenant) Stream(ctx context.Context, _ *scim.ResourceType, resource string, begin func(*scim.Resource) error, rows func([]scim.Reference) error) error {
	return t.read(ctx, func(p *store.Push) error { return p.StreamGroup(ctx, resource, begin, rows) })
}

func (t *tenant) List(ctx context.Context, rt *scim.ResourceType, q scim.Query) (page *scim.Page, err error) {
	if rt == roleType {
		return t.listRoles(ctx, q)
	}
	if rt == t.pusher.User {
		page, err := t.db.FindUser(ctx, t.organization, &t.pusher, q)
		if page != nil || err != nil {
			return page, toSCIM(err)
		}
	}
	err = t.read(ctx, func(p *store.Push) (err error) {
		page, err = p.List(ctx, rt, q)
		return err
	})
	return page, err
}

func (t *tenant) Modify(ctx context.Context, rt *scim.ResourceType, resource string, check func(int64) error, change func(scim.Attributes) (scim.Result, error), want scim.Want) (res *scim.Resource, err error) {
	if rt == t.pusher.User && !t.dry {
		quiet := t.db.Quiet(t.organization, t.pusher.Directory.ID)
		if quiet.Load() {
			res, events, err := t.db.ChangeQuietly(ctx, t.organization, t.pusher, resource, check, change, want)
			if res != nil || err != nil {
				t.trace.change(events)
				return res, toSCIM(err)
			}
		}
		decide := change
		change = func(current scim.Attributes) (scim.Result, error) {
			r, err := decide(current)
			quiet.Store(err == nil && t.db.IsQuiet(&t.pusher, current, r))
			return r, err
		}
	}
	err = t.write(ctx, func(p *store.Push) (err error) {
		if rt == t.pusher.Group {
			res, err = p.ModifyGroup(ctx, resource, check, change, want)
		} else {
			res, err = p.ModifyUser(ctx, resource, check, change, want)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (t *tenant) Delete(ctx context.Context, rt *scim.ResourceType, resource string, check func(int64) error) error {
	return t.write(ctx, func(p *store.Push) error {
		if rt == t.pusher.Group {
			return p.DeleteGroup(ctx, resource, check)
		}
		return p.DeleteUser(ctx, resource, check)
	})
}
