// Package apply brings the store to what an operator's files declare: the catalogue of permissions and roles, the
// organizations with their resources, groups, directories and connections, the provider relationships and the applications.
//
// It goes in four steps. Read reads the files and checks each by itself (decode.go, declare.go); what is wrong is collected,
// each with file, line and field. Inside one transaction, what the store holds is laid under what the files declare, and
// the references are checked over both (check.go); the two are compared object by object (object.go, plan.go); and the
// differences are written, each with its audit event. Where nothing differs, nothing is written, no version moves, and no
// node reloads anything.
//
// It fetches nothing: discovery and metadata are fetched at first use.
package apply

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Options say how to apply.
type Options struct {
	DryRun bool // do everything, and keep nothing of it
	Prune  bool // remove what the files no longer declare
}

// Run brings the store to the declaration and gives what it did, or would do. The error is Problems where the files are
// wrong; nothing is written then.
func (d *Declaration) Run(ctx context.Context, db *store.DB, o Options) (*Plan, error) {
	// Compared first without a write transaction: applying twice must cost a node nothing.
	plan, err := d.compare(ctx, db, o)
	if err != nil || plan.Empty() {
		return plan, err
	}
	// A dry run is the run itself, undone: what would be refused over what the store holds (an extension that records have data
	// of, the last holder of a role) is refused here in the same words.
	undone := errors.New("a dry run keeps nothing")
	err = db.System().Write(ctx, func(tx *store.SystemTx) error {
		tx.LockDeclared(ctx)
		current, err := tx.Declared(ctx)
		if err != nil {
			return err
		}
		if plan, err = d.plan(db.Keys, current, o.Prune); err != nil {
			return err
		}
		if plan.Waits, err = waiting(ctx, tx, &d.want); err != nil {
			return err
		}
		if err := touches(ctx, tx, plan); err != nil {
			return err
		}
		if err := d.write(ctx, tx, plan); err != nil || !o.DryRun {
			return err
		}
		return undone
	})
	if errors.Is(err, undone) {
		err = nil
	}
	return plan, err
}

func (d *Declaration) compare(ctx context.Context, db *store.DB, o Options) (plan *Plan, err error) {
	err = db.System().Read(ctx, func(tx *store.SystemTx) error {
		current, err := tx.Declared(ctx)
		if err != nil {
			return err
		}
		if plan, err = d.plan(db.Keys, current, o.Prune); err != nil {
			return err
		}
		if plan.Waits, err = waiting(ctx, tx, &d.want); err != nil {
			return err
		}
		return touches(ctx, tx, plan)
	})
	return plan, err
}

// plan is a pure function of what the files declare and what the store holds.
func (d *Declaration) plan(keys *seal.Keys, current *store.Declared, prune bool) (*Plan, error) {
	merged := overlay(current, &d.want, prune)
	problems := append(slices.Clone(d.problems), d.check(merged)...)
	if len(problems) > 0 {
		return nil, problems.sorted()
	}
	want := d.want
	want.Permissions, want.Roles = slices.Clone(want.Permissions), slices.Clone(want.Roles)
	want.Exclusive, want.Resources = slices.Clone(want.Exclusive), slices.Clone(want.Resources)
	d.arrange(current, &want)
	d.identify(current, &want)
	d.conceal(keys, current, &want)
	return diff(current, &want, prune), nil
}

// overlay is the state after the change: what is declared, and without prune everything else that is there.
func overlay(current, want *store.Declared, prune bool) *store.Declared {
	if prune {
		return want
	}
	return &store.Declared{
		Permissions: over(current.Permissions, want.Permissions, func(p store.DeclaredPermission) string { return string(p.ID) }),
		Roles:       over(current.Roles, want.Roles, func(r store.DeclaredRole) string { return string(r.ID) }),
		Exclusive:   over(current.Exclusive, want.Exclusive, func(e store.DeclaredExclusive) string { return exclusiveKey(e.Roles) }),
		Organizations: over(current.Organizations, want.Organizations,
			func(o store.DeclaredOrganization) string { return string(o.ID) }),
		CustomRoles: over(current.CustomRoles, want.CustomRoles,
			func(r store.DeclaredCustomRole) string { return string(r.Organization) + "/" + string(r.ID) }),
		Resources: over(current.Resources, want.Resources,
			func(r store.DeclaredResource) string { return string(r.Organization) + "/" + string(r.ID) }),
		Directories: over(current.Directories, want.Directories,
			func(r store.DeclaredDirectory) string { return string(r.Organization) + "/" + string(r.ID) }),
		Connections: over(current.Connections, want.Connections,
			func(c connection.Connection) string { return string(c.Organization) + "/" + string(c.ID) }),
	}
}

func over[T any](current, want []T, key func(T) string) []T {
	declared := map[string]bool{}
	for _, w := range want {
		declared[key(w)] = true
	}
	out := slices.Clone(want)
	for _, c := range current {
		if !declared[key(c)] {
			out = append(out, c)
		}
	}
	return out
}

// arrange gives everything that has an order its place. Places that are in order already stay, so that a file that declares
// a part of the catalogue does not move the rest.
func (d *Declaration) arrange(current, want *store.Declared) {
	arrange(current.Permissions, want.Permissions, func(p *store.DeclaredPermission) (string, *int64) { return string(p.ID), &p.Position })
	arrange(current.Roles, want.Roles, func(r *store.DeclaredRole) (string, *int64) { return string(r.ID), &r.Position })
	// Sets have no order that anybody sees; one that is there keeps its row.
	kept := map[string]int64{}
	for _, e := range current.Exclusive {
		kept[exclusiveKey(e.Roles)] = e.Position
	}
	slices.SortStableFunc(want.Exclusive, func(a, b store.DeclaredExclusive) int {
		return cmp.Compare(rank(kept, a), rank(kept, b))
	})
	arrange(current.Exclusive, want.Exclusive, func(e *store.DeclaredExclusive) (string, *int64) { return exclusiveKey(e.Roles), &e.Position })
	arrange(current.Resources, want.Resources, func(r *store.DeclaredResource) (string, *int64) {
		return string(r.Organization) + "/" + string(r.ID), &r.Position
	})
}

func rank(kept map[string]int64, e store.DeclaredExclusive) int64 {
	if place, exists := kept[exclusiveKey(e.Roles)]; exists {
		return place
	}
	return math.MaxInt64
}

func arrange[T any](current, want []T, of func(*T) (string, *int64)) {
	places := map[string]int64{}
	var highest int64
	for i := range current {
		k, p := of(&current[i])
		places[k] = *p
		highest = max(highest, *p)
	}
	ordered, fresh, last := true, false, int64(-1)
	for i := range want {
		k, _ := of(&want[i])
		place, exists := places[k]
		ordered = ordered && (!exists || !fresh && place > last)
		fresh = fresh || !exists
		last = place
	}
	for i := range want {
		k, p := of(&want[i])
		place, exists := places[k]
		if !exists || !ordered {
			highest++
			place = highest
		}
		*p = place
	}
}

// identify gives mappings that exist their row's id, and new ones a new id.
func (d *Declaration) identify(current, want *store.Declared) {
	ids := map[string]id.GroupRole{}
	for _, g := range current.GroupRoles {
		ids[key(groupRoleKind, g.Organization, groupRoleKey(g))] = g.ID
	}
	want.GroupRoles = slices.Clone(want.GroupRoles)
	for i, g := range want.GroupRoles {
		row, exists := ids[key(groupRoleKind, g.Organization, groupRoleKey(g))]
		if !exists {
			row = id.New[id.GroupRole]()
		}
		want.GroupRoles[i].ID = row
	}
}

// conceal turns secrets into what the store keeps: hashes of what need only be recognized, sealed values of what must be
// read again. What the store holds of the same secret is kept as it is, so that it does not count as a change; unless it lies
// under an older key of the node, which only then can go.
func (d *Declaration) conceal(keys *seal.Keys, current, want *store.Declared) {
	hashes := map[string]string{}
	for _, t := range current.Tokens {
		hashes[key(tokenKind, t.Organization, string(t.Directory)+"/"+t.ID)] = t.Hash
	}
	for _, a := range current.Applications {
		hashes[key(applicationKind, "", string(a.ID))] = a.SecretHash
	}
	for _, c := range current.Clients {
		hashes[key(clientKind, c.Organization, string(c.Directory)+"/"+c.ID)] = c.SecretHash
	}
	hash := func(k string) string {
		secret, kept := d.secrets[k], hashes[k]
		switch {
		case secret == "":
			return ""
		case keys.Current(kept) && keys.Matches(secret, kept):
			return kept
		}
		return keys.Hash(secret)
	}
	want.Tokens = slices.Clone(want.Tokens)
	for i := range want.Tokens {
		t := &want.Tokens[i]
		k := key(tokenKind, t.Organization, string(t.Directory)+"/"+t.ID)
		t.Hash, t.Prefix = hash(k), prefix(d.secrets[k])
	}
	want.Clients = slices.Clone(want.Clients)
	for i := range want.Clients {
		c := &want.Clients[i]
		c.SecretHash = hash(key(clientKind, c.Organization, string(c.Directory)+"/"+c.ID))
	}
	want.Applications = slices.Clone(want.Applications)
	for i := range want.Applications {
		a := &want.Applications[i]
		a.SecretHash = hash(key(applicationKind, "", string(a.ID)))
	}
	sealed := map[string]string{}
	for _, c := range current.Connections {
		sealed[key(connectionKind, c.Organization, string(c.ID))] = c.Settings.ClientSecret
	}
	kept := map[id.Organization]string{}
	for _, o := range current.Organizations {
		kept[o.ID] = o.Settings.Messages.Secret
	}
	want.Organizations = slices.Clone(want.Organizations)
	for i := range want.Organizations {
		o := &want.Organizations[i]
		secret, place := d.secrets[key(organizationKind, o.ID, "")], store.MessagesPlace(o.ID)
		if secret == "" {
			continue
		}
		if plain, err := keys.Open(place, kept[o.ID]); err == nil && string(plain) == secret && keys.Current(kept[o.ID]) {
			o.Settings.Messages.Secret = kept[o.ID]
		} else {
			o.Settings.Messages.Secret = keys.Seal(place, []byte(secret))
		}
	}
	d.concealWebhooks(keys, current, want)
	want.Connections = slices.Clone(want.Connections)
	for i := range want.Connections {
		c := &want.Connections[i]
		k := key(connectionKind, c.Organization, string(c.ID))
		secret, place := d.secrets[k], connection.SecretPlace(c.Organization, c.ID)
		if secret == "" {
			continue
		}
		if plain, err := keys.Open(place, sealed[k]); err == nil && string(plain) == secret && keys.Current(sealed[k]) {
			c.Settings.ClientSecret = sealed[k]
		} else {
			c.Settings.ClientSecret = keys.Seal(place, []byte(secret))
		}
	}
}

// prefix is what people tell tokens apart by: never more than a quarter of one.
func prefix(secret string) string { return secret[:min(4, len(secret)/4)] }

// write does what the plan says, each change with its event, and moves the versions of what changed.
func (d *Declaration) write(ctx context.Context, tx *store.SystemTx, plan *Plan) error {
	names := make([]string, len(d.Files))
	for i, f := range d.Files {
		names[i] = filepath.Base(f)
	}
	actor := audit.Actor{
		Kind: audit.ActorOperator, ID: "apply", Name: "apply of " + strings.Join(names, ", "), Door: audit.Apply,
		Request: string(id.New[id.Event]()),
	}
	held, err := tx.HeldRoles(ctx)
	if err != nil {
		return err
	}
	// Moved before anything is written: what this transaction reads of it from here on is read anew.
	tx.Bump(ctx, "configuration")
	touched, removed, everywhere := map[id.Organization]bool{}, map[id.Organization]bool{}, false
	// What is removed goes first: a domain or a secret may pass from one object to another.
	for _, removing := range []bool{true, false} {
		for _, c := range plan.Changes {
			if (c.Verb == Remove) != removing {
				continue
			}
			if err := c.do(ctx, tx, actor); err != nil {
				return fmt.Errorf("%s: %w", c.object.title(), err)
			}
			if c.object.org != "" && (c.Verb != Remove || c.object.kind != organizationKind) {
				touched[c.object.org] = true
			}
			if c.Verb == Remove && c.object.kind == organizationKind {
				removed[c.object.org] = true
			}
			everywhere = everywhere || c.object.kind == roleKind || c.object.kind == exclusiveKind
		}
	}
	for _, org := range slices.Sorted(maps.Keys(touched)) {
		in := tx.In(org)
		in.BumpOrganization(ctx)
		if err := in.BindAllGroupRoles(ctx, actor); err != nil {
			return err
		}
		if err := in.SeatWaiting(ctx, actor); err != nil {
			return err
		}
	}
	for org := range held {
		if !removed[org] && (everywhere || touched[org]) {
			if err := tx.In(org).NoteAllParked(ctx); err != nil {
				return err
			}
		}
	}
	return tx.KeepHeldRoles(ctx, held)
}

func (c Change) do(ctx context.Context, tx *store.SystemTx, actor audit.Actor) error {
	act := c.object.put
	if c.Verb == Remove {
		act = c.object.drop
	}
	if err := act(ctx, tx, actor); err != nil {
		return err
	}
	if c.object.org == "" {
		tx.Record(ctx, c.event(actor))
	} else {
		tx.In(c.object.org).Record(ctx, c.event(actor))
	}
	return nil
}

func document(m map[string]string) json.RawMessage {
	if len(m) == 0 {
		return nil
	}
	text, _ := json.Marshal(m) // a map of strings always encodes
	return text
}
