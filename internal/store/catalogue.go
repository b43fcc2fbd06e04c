package store

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// declared keeps what the operator declared, as last read, with the version it was read at. It is never trusted by itself:
// whoever uses it has just read the version in the same transaction, so that no node ever decides over an older catalogue
// or tree than its transaction sees.
type declared struct {
	mu            sync.Mutex // guards both fields; held only to read or replace them
	catalogue     versioned[*access.Catalogue]
	organizations map[id.Organization]versioned[*Organization]
}

// edition says which state of a cached thing a transaction sees. An organization that was taken away and declared anew
// counts its versions from the beginning; when it was created tells the two apart.
type edition struct {
	version int64
	created int64
}

type versioned[T any] struct {
	edition edition
	value   T
}

// Catalogue gives the operator's permissions and roles, and the custom roles of the transaction's organization.
func (tx *Tx) Catalogue(ctx context.Context) (*access.Catalogue, error) {
	catalogue, _, err := tx.configuration(ctx)
	return catalogue, err
}

// configuration gives what decisions of the organization rest on, in one statement where it is known already: its catalogue, and
// itself, nil where there is none.
func (tx *Tx) configuration(ctx context.Context) (*access.Catalogue, *Organization, error) {
	var version int64
	var seen edition
	err := tx.queryRow(ctx, `
		select v.version, o.version, o.created
		from versions v
		left join organizations o on o.organization = $1
		where v.name = 'configuration'`, tx.Organization).Scan(&version, orZero(&seen.version), orZero(&seen.created))
	if err != nil {
		return nil, nil, fmt.Errorf("read the configuration's version: %w", err)
	}
	operators, err := tx.catalogueAt(ctx, version)
	if err != nil || seen == (edition{}) {
		return operators, nil, err
	}
	self, err := tx.organizationAt(ctx, seen)
	if err != nil {
		return nil, nil, err
	}
	return self.catalogue(operators), self, nil
}

// Catalogue gives the operator's permissions and roles, and no organization's.
func (tx *SystemTx) Catalogue(ctx context.Context) (*access.Catalogue, error) {
	return tx.readCatalogue(ctx)
}

func (w *work) readCatalogue(ctx context.Context) (*access.Catalogue, error) {
	var version int64
	err := w.queryRow(ctx, `
		select version
		from versions
		where name = 'configuration'`).Scan(&version)
	if err != nil {
		return nil, fmt.Errorf("read the configuration's version: %w", err)
	}
	return w.catalogueAt(ctx, version)
}

// catalogueAt gives the operator's catalogue of a version that this transaction has just read.
func (w *work) catalogueAt(ctx context.Context, version int64) (*access.Catalogue, error) {
	w.db.declared.mu.Lock()
	kept := w.db.declared.catalogue
	w.db.declared.mu.Unlock()
	if kept.value != nil && kept.edition.version == version {
		return kept.value, nil
	}
	catalogue, err := w.loadCatalogue(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	// What this transaction changed itself is not committed: another may yet commit something else under this version.
	if !w.bumped {
		w.db.declared.mu.Lock()
		w.db.declared.catalogue = versioned[*access.Catalogue]{edition{version: version}, catalogue}
		w.db.declared.mu.Unlock()
	}
	return catalogue, nil
}

func (w *work) loadCatalogue(ctx context.Context) (*access.Catalogue, error) {
	permissions, err := collect[access.Permission](w.query(ctx, `
		select id, name
		from permissions
		order by position, id`))(func(s scanner) (p access.Permission, err error) {
		err = s.Scan(&p.ID, &p.Name)
		return p, err
	})
	if err != nil {
		return nil, err
	}
	roles, err := collect[access.Role](w.query(ctx, `
		select id, name, document
		from roles
		order by position, id`))(func(s scanner) (r access.Role, err error) {
		var id id.Role
		var name string
		err = s.Scan(&id, &name, decode(&r))
		r.ID, r.Name = id, name
		return r, err
	})
	if err != nil {
		return nil, err
	}
	exclusive, err := collect[[]id.Role](w.query(ctx, `
		select roles
		from exclusive_roles
		order by position`))(func(s scanner) (set []id.Role, err error) {
		err = s.Scan(decode(&set))
		return set, err
	})
	if err != nil {
		return nil, err
	}
	if w.bumped {
		roles, exclusive = holding(permissions, roles, exclusive)
	}
	catalogue, err := access.NewCatalogue(permissions, roles, exclusive)
	if f := fault.As(err); f != nil && len(f.Fields) > 0 {
		// What is stored was checked before it was stored: this is our fault, not the caller's.
		return nil, fmt.Errorf("the stored catalogue: %s: %s", f.Fields[0].Path, f.Fields[0].Message)
	}
	return catalogue, err
}

// holding leaves out of roles and sets what is not there. While an operator's file is applied, its roles go and come one after the other,
// and what goes is told in words in between; that all of it holds together in the end was checked before.
func holding(permissions []access.Permission, roles []access.Role, exclusive [][]id.Role) ([]access.Role, [][]id.Role) {
	knownPermission, knownRole := map[id.Permission]bool{}, map[id.Role]bool{access.Every: true}
	for _, p := range permissions {
		knownPermission[p.ID] = true
	}
	for _, r := range roles {
		knownRole[r.ID] = true
	}
	gone := func(r id.Role) bool { return !knownRole[r] }
	for i := range roles {
		r := &roles[i]
		r.Permissions = slices.DeleteFunc(r.Permissions, func(p id.Permission) bool { return !knownPermission[p] })
		r.Includes, r.MayGrant = slices.DeleteFunc(r.Includes, gone), slices.DeleteFunc(r.MayGrant, gone)
	}
	for i := range exclusive {
		exclusive[i] = slices.DeleteFunc(exclusive[i], gone)
	}
	return roles, slices.DeleteFunc(exclusive, func(set []id.Role) bool { return len(set) < 2 })
}
