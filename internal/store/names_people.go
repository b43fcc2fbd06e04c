package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// Administrators look for people by a part of a name, a userName or an address. Whether it is one is judged here and not by the
// stores: they fold letters each in their own way, SQLite none but ASCII's, and no column holds the folded name. The people's
// index names who may match, in the list's order, so that what is read is about what is shown. Whoever is in no pack yet comes
// behind, and is read in that order.

// needle is what people are looked for by.
type needle struct {
	text     string // folded
	userName string // as userNames are
}

// needleOf gives the needle of what somebody typed; false where that is nothing.
func needleOf(typed string) (needle, bool) {
	typed = strings.TrimSpace(typed)
	n := needle{scim.Fold(typed), scim.UserNameKey(typed)}
	return n, n.text != ""
}

// in reports whether it is a part of one of somebody's names.
func (n needle) in(userName, email, shown string) bool {
	return strings.Contains(scim.UserNameKey(userName), n.userName) || strings.Contains(scim.Fold(email), n.text) ||
		strings.Contains(scim.Fold(shown), n.text)
}

// sought is what of it the people's packs can be asked for.
func (n needle) sought() sought {
	out := soughtPart(n.text)
	if n.userName != n.text {
		out = sought{any: []sought{out, soughtPart(n.userName)}}
	}
	return out
}

// soughtPart asks for a part of a text, which may be shorter than a gram.
func soughtPart(text string) (out sought) {
	add := func(gram int64) {
		if len(out.grams) < soughtGrams && !slices.Contains(out.grams, gram) {
			out.grams = append(out.grams, gram)
		}
	}
	if grams(text, 0, add); out.grams == nil {
		var all int64
		for _, r := range text {
			all = (all<<21 | int64(r)) & math.MaxInt64
		}
		add(all)
	}
	return out
}

// findPeople gives whom the organization's index names, and up to which id it knows everybody; nil where there are no packs.
func (tx *Tx) findPeople(ctx context.Context, n needle) (c *found, reached string, err error) {
	reached, packs, err := tx.nameIndex(ctx, people)
	if err != nil || len(packs) == 0 {
		return nil, "", err
	}
	c = &found{tx: tx, directory: people}
	if c.packs, c.n, err = tx.inPacks(ctx, people, n.sought(), packs); err != nil {
		return nil, "", err
	}
	// Whoever was renamed since is judged here, without being read as a whole.
	type renamed struct{ user, userName, email, shown string }
	list, err := collect[renamed](tx.query(ctx, `
		select u.id, u.user_name, u.email, u.display_name
		from users u
		where u.organization = $1
			and u.id <= $2
			and `+tx.d.amongFew("u.id", `
				select c.user_id
				from name_changes c
				where c.organization = $1
					and c.directory = ''`)+`
		order by u.id`, tx.Organization, reached))(func(s scanner) (r renamed, err error) {
		err = s.Scan(&r.user, &r.userName, orEmpty(&r.email), &r.shown)
		return r, err
	})
	if err != nil {
		return nil, "", fmt.Errorf("search beside the index of people: %w", err)
	}
	for _, r := range list {
		if n.in(r.userName, r.email, r.shown) {
			c.beside = append(c.beside, r.user)
		}
	}
	c.n += len(c.beside)
	return c, reached, nil
}

// listed is a list of people in order of their ids: those of some ids, unless there are none, else so many of those behind an id.
type listed[T any] struct {
	read  func(ctx context.Context, ids []string, after string, limit int) ([]T, error)
	names func(*T) (user id.User, userName, email, shown string)
	// narrow says that the list is much shorter than the organization's, and known by other means: whom an index of all names
	// finds is then not worth asking for one by one, if that is many.
	narrow bool
}

// named gives the next so many of a list, behind an id, of one of whose names a needle is a part. tx is the organization's whose
// people they are.
func (l listed[T]) named(ctx context.Context, tx *Tx, n needle, after string, limit int) (out []T, err error) {
	if !utf8.ValidString(n.text) {
		return nil, nil
	}
	last := after
	take := func(rows []T) {
		for i := range rows {
			user, userName, email, shown := l.names(&rows[i])
			if last = string(user); len(out) < limit && n.in(userName, email, shown) {
				out = append(out, rows[i])
			}
		}
	}
	if !l.narrow {
		// What many are called by is met at once in the list's own order.
		rows, err := l.read(ctx, nil, last, earlyFound*limit)
		if err != nil {
			return nil, err
		}
		if take(rows); len(out) == limit || len(rows) < earlyFound*limit {
			return out, nil
		}
	}
	index, reached, err := tx.findPeople(ctx, n)
	if err != nil {
		return nil, err
	}
	if index != nil && (!l.narrow || index.n <= mostFound) {
		reader := index.read()
		if err := reader.skip(ctx, last); err != nil {
			return nil, err
		}
		for size := 2 * limit; ; size = min(2*size, fewFound) {
			ids, err := reader.more(ctx, size)
			if err != nil {
				return nil, err
			}
			if len(ids) == 0 {
				break
			}
			for ids := range slices.Chunk(ids, fewFound) {
				rows, err := l.read(ctx, ids, "", 0)
				if err != nil {
					return nil, err
				}
				if take(rows); len(out) == limit {
					return out, nil
				}
			}
		}
		last = max(last, reached)
	}
	for size := 2 * limit; ; size = min(2*size, fewFound) {
		rows, err := l.read(ctx, nil, last, size)
		if err != nil {
			return nil, err
		}
		if take(rows); len(out) == limit || len(rows) < size {
			return out, nil
		}
	}
}

// userNamed is a user's names.
func userNamed(u *directory.User) (user id.User, userName, email, shown string) {
	return u.ID, u.UserName, u.Email, u.DisplayName
}
