package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/scim"
)

// What a directory's extensions demand of the store: values that nobody else of the directory may have, and that what is
// stored goes on being readable when the file says something else of them.

// digest is a value as unique_values holds it: an index takes no text of any length.
func digest(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// checkUnique refuses values that another resource of the directory holds, with a sentence that names the attribute. Of two
// pushes at the same moment the slower meets the table's key instead.
func (p *Push) checkUnique(ctx context.Context, rt *scim.ResourceType, resource string, before, after scim.Attributes) error {
	if err := p.holdSchemas(ctx); err != nil {
		return err
	}
	held := rt.Unique(before)
	for _, u := range rt.Unique(after) {
		if slices.Contains(held, u) {
			continue
		}
		var holder string
		err := p.tx.queryRow(ctx, `
			select resource_id
			from unique_values
			where organization = $1
				and directory = $2
				and resource = $3
				and attribute = $4
				and digest = $5`, p.tx.Organization, p.Directory.ID, rt.Name, u.Path, digest(u.Value)).Scan(&holder)
		if errors.Is(err, errNoRows) || err == nil && holder == resource {
			continue
		}
		if err != nil {
			return fmt.Errorf("look for another %s: %w", u.Path, err)
		}
		return fault.New(fault.Conflict, "Another %s of this directory has this value of %s, which must be unique.", rt.Name, u.Path)
	}
	return nil
}

// holdSchemas keeps the schemas of a directory as they are until this write is through, and refuses a write that was read by
// other ones: a node knows a directory for a second, and what it stores by a schema that is gone nobody could read.
func (p *Push) holdSchemas(ctx context.Context) error {
	if !p.Directory.Declares() {
		return nil
	}
	var version int64
	err := p.tx.queryRow(ctx, `
		select version
		from directories
		where organization = $1
			and id = $2`+p.tx.d.forShare(), p.tx.Organization, p.Directory.ID).Scan(&version)
	if err != nil && !errors.Is(err, errNoRows) {
		return fmt.Errorf("hold the schemas of directory %s: %w", p.Directory.ID, err)
	}
	if err != nil || version != p.Directory.Version {
		return fault.New(fault.Unavailable, "The settings of this directory are just changing.")
	}
	return nil
}

// claim queues what of a resource's values is unique, and lets go of what it was.
func (p *Push) claim(rt *scim.ResourceType, resource string, before, after scim.Attributes) {
	was, is := rt.Unique(before), rt.Unique(after)
	for _, u := range was {
		if !slices.Contains(is, u) {
			p.tx.queue(`
				delete from unique_values
				where organization = $1
					and directory = $2
					and resource = $3
					and attribute = $4
					and digest = $5`, p.tx.Organization, p.Directory.ID, rt.Name, u.Path, digest(u.Value))
		}
	}
	for _, u := range is {
		if !slices.Contains(was, u) {
			p.tx.queue(`
				insert into unique_values (organization, directory, resource, attribute, digest, resource_id)
				values ($1, $2, $3, $4, $5, $6)`, p.tx.Organization, p.Directory.ID, rt.Name, u.Path, digest(u.Value), resource)
		}
	}
}

// unclaim queues that a resource which goes lets its values go.
func (p *Push) unclaim(resource string) {
	if len(p.Directory.Extensions) == 0 {
		return
	}
	p.tx.queue(`
		delete from unique_values
		where organization = $1
			and directory = $2
			and resource_id = $3`, p.tx.Organization, p.Directory.ID, resource)
}

// ReviseDirectory is PutDeclaredDirectory for a directory that may hold people already. A file may add schemas and attributes
// as it likes; what it takes away or changes must leave what is stored as it is, or it is refused: nobody's data goes
// because a line went from a file.
func (tx *SystemTx) ReviseDirectory(ctx context.Context, d DeclaredDirectory) error {
	in := tx.In(d.Organization)
	old, err := in.Directory(ctx, d.ID)
	if fault.KindOf(err) == fault.NotFound {
		tx.PutDeclaredDirectory(d)
		return nil
	}
	if err != nil {
		return err
	}
	if encode(old.Extended()) != encode(d.Extended()) {
		// Whoever is pushing comes first, and whoever comes later reads the new schemas (holdSchemas).
		if _, err := in.exec(ctx, `
			update directories
			set version = version + 1
			where organization = $1
				and id = $2`, d.Organization, d.ID); err != nil {
			return fmt.Errorf("lock directory %s: %w", d.ID, err)
		}
		if err := in.reviseExtensions(ctx, old, d); err != nil {
			return err
		}
	}
	tx.PutDeclaredDirectory(d)
	return nil
}

// stored is a record or a group as its document stands.
type stored struct {
	id  string
	doc json.RawMessage
}

func (tx *Tx) reviseExtensions(ctx context.Context, old *directory.Directory, d DeclaredDirectory) error {
	types, err := d.Types()
	if err != nil {
		return err
	}
	changed := changedExtensions(old.Extended(), d.Extended())
	p := tx.Push(Pusher{Directory: directory.Directory{ID: d.ID, Name: d.Name, Settings: d.Settings}, User: types.User, Group: types.Group})
	for _, of := range []struct {
		rt        *scim.ResourceType
		table, id string
	}{{types.User, "directory_records", "user_id"}, {types.Group, "groups", "id"}} {
		var among []string
		args := []any{tx.Organization, d.ID}
		for _, schema := range changed {
			args = append(args, schema)
			among = append(among, fmt.Sprintf("document -> cast($%d as text) is not null", len(args)))
		}
		if len(among) == 0 {
			continue
		}
		all, err := collect[stored](tx.query(ctx, `
			select `+of.id+`, document
			from `+of.table+`
			where organization = $1
				and directory = $2
				and (`+strings.Join(among, " or ")+`)
			order by `+of.id, args...))(func(s scanner) (x stored, err error) {
			err = s.Scan(&x.id, rawJSON(&x.doc))
			return x, err
		})
		if err != nil {
			return fmt.Errorf("read what %s holds of its extensions: %w", d.ID, err)
		}
		if err := p.refit(of.rt, of.table, of.id, all); err != nil {
			return err
		}
	}
	return nil
}

// changedExtensions gives the schemas that two lists do not have in the same way.
func changedExtensions(old, now []directory.Extension) []string {
	without := func(list, other []directory.Extension) (ids []string) {
		for _, x := range list {
			if !slices.ContainsFunc(other, func(y directory.Extension) bool { return encode(x) == encode(y) }) {
				ids = append(ids, x.ID)
			}
		}
		return ids
	}
	ids := append(without(old, now), without(now, old)...)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// refit checks that everything fits a resource type some of whose schemas have changed, and writes what is stored beside it
// anew. all is what has data of one of them.
func (p *Push) refit(rt *scim.ResourceType, table, idColumn string, all []stored) error {
	tx := p.tx
	misfits, path, why := 0, "", ""
	holders := map[scim.UniqueValue]string{}
	var changed []scim.Attributes
	for _, x := range all {
		a, err := scim.DecodeStored(x.doc)
		if err != nil {
			return fmt.Errorf("%s %s: %w", rt.Name, x.id, err)
		}
		at, because := rt.Misfit(a)
		for _, u := range rt.Unique(a) {
			if holders[u] != "" && because == "" {
				at, because = u.Path, "two have the same value, and it is to be unique"
			}
			holders[u] = x.id
		}
		if because != "" {
			if misfits++; misfits == 1 {
				path, why = at, because
			}
			continue
		}
		a = rt.Refit(a)
		a["id"] = x.id
		changed = append(changed, a)
	}
	if misfits > 0 {
		return fault.New(fault.Conflict,
			"The extensions of directory %s/%s cannot change so: of its records %d hold %s, which the files no longer allow (%s). Let the directory take the values away first, or leave the extension as it is.",
			tx.Organization, p.Directory.ID, misfits, path, strings.TrimSuffix(why, "."))
	}
	// All that these records claim is claimed anew, and what they claimed by attributes that are gone goes.
	for _, a := range changed {
		tx.queue(`
			delete from unique_values
			where organization = $1
				and directory = $2
				and resource = $3
				and resource_id = $4`, tx.Organization, p.Directory.ID, rt.Name, asText(a, "id"))
	}
	for i, a := range changed {
		id := asText(a, "id")
		delete(a, "id")
		tx.queue(`
			update `+table+`
			set document = $4, folded = $5
			where organization = $1
				and directory = $2
				and `+idColumn+` = $3`, tx.Organization, p.Directory.ID, id, string(rt.StoredDocument(a)), p.folded(rt, a))
		p.claim(rt, id, nil, a)
		changed[i] = nil
	}
	return nil
}
