package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// The log is ordered by its ids, which are made of the moments of their requests (id.At). So the key finds what is older or younger than a
// moment, and no index of the moments has to be kept, which cost each row as much as the key. Older releases made the id when the
// row was written, some moments later than its request: whoever looks for a time looks that much further among the ids.
const idLater = 5 * time.Minute

const requestColumns = `r.directory, r.id, r.at, r.method, r.path, r.query, r.status, r.scim_type, r.detail, r.duration_us, r.operation,
	r.resource_kind, r.resource_id, r.resource_name, r.search, r.token_id, r.token_state, r.ip, r.request, r.repairs, r.effects,
	r.replay_of, r.whole`

func scanRequest(s scanner, more ...any) (directory.Request, error) {
	var r directory.Request
	var took, status int64
	err := s.Scan(append([]any{
		&r.Directory, &r.ID, at(&r.At), &r.Method, &r.Path, &r.Query, &status, orEmpty(&r.Type), orEmpty(&r.Detail), &took, &r.Operation,
		orEmpty(&r.ResourceKind), orEmpty(&r.ResourceID), orEmpty(&r.ResourceName), &r.Search, orEmpty(&r.Token), &r.TokenState, &r.IP,
		&r.Request, decode(&r.Repairs), decode(&r.Effects), orEmpty(&r.ReplayOf), &r.Whole,
	}, more...)...)
	r.Took, r.Status = time.Duration(took)*time.Microsecond, int(status)
	return r, err
}

// LogRequests keeps requests of the organization's directories, each row on its own: a directory that is gone by now takes
// none of the others along. What the dialects forgave in them is counted.
func (tx *Tx) LogRequests(_ context.Context, list []directory.Request) {
	tx.countRepairs(list)
	if tx.d == postgresDialect {
		tx.logTogether(list)
		return
	}
	tx.logRows(list)
}

// logTogether is LogRequests in one statement, where each would cost PostgreSQL more than its row. The arrays stand in the select's list
// and not in its from: there PostgreSQL first copies each of them into a store of its own, and then all into another. The directories are
// an array as well, or it would join them and may take all of that apart again for each.
func (tx *Tx) logTogether(list []directory.Request) {
	const columns = 21
	var text [columns][]string
	for c := range text {
		text[c] = make([]string, len(list))
	}
	times, statuses, took, whole := make([]int64, len(list)), make([]int64, len(list)), make([]int64, len(list)), make([]bool, len(list))
	for i := range list {
		r := &list[i]
		times[i], statuses[i], took[i], whole[i] = micros(r.At), int64(r.Status), r.Took.Microseconds(), r.Whole
		var repairs, effects string
		if len(r.Repairs) > 0 {
			repairs = encode(r.Repairs)
		}
		if len(r.Effects) > 0 {
			effects = encode(r.Effects)
		}
		for c, s := range [columns]string{
			string(r.Directory), string(r.ID), r.Method, r.Path, r.Query, string(r.Type), r.Detail, r.Operation, r.ResourceKind, r.ResourceID,
			r.ResourceName, r.Search, r.Token, string(r.TokenState), r.IP, r.Request, repairs, effects, string(r.ReplayOf), r.Body, r.Answer,
		} {
			text[c][i] = s
		}
	}
	args := appendTexts([]any{tx.Organization, times, statuses, took, whole}, text[:])
	tx.queue(`
		insert into scim_requests (organization, directory, id, at, method, path, query, status, scim_type, detail, duration_us,
			operation, resource_kind, resource_id, resource_name, search, token_id, token_state, ip, request, repairs, effects,
			replay_of, whole, request_body, response_body)
		select $1, s.directory, s.id, s.at, s.method, s.path, s.query, s.status, nullif(s.scim_type, ''), nullif(s.detail, ''), s.took,
			s.operation, nullif(s.resource_kind, ''), nullif(s.resource_id, ''), nullif(s.resource_name, ''), s.search,
			nullif(s.token_id, ''), s.token_state, s.ip, s.request, cast(nullif(s.repairs, '') as json),
			cast(nullif(s.effects, '') as json), nullif(s.replay_of, ''), s.whole, nullif(s.request_body, ''),
			nullif(s.response_body, '')
		from (
			select unnest(cast($2 as bigint[])) as at, unnest(cast($3 as bigint[])) as status, unnest(cast($4 as bigint[])) as took,
				unnest(cast($5 as boolean[])) as whole, unnest(cast($6 as text[])) as directory,
				unnest(cast($7 as text[])) as id, unnest(cast($8 as text[])) as method, unnest(cast($9 as text[])) as path,
				unnest(cast($10 as text[])) as query, unnest(cast($11 as text[])) as scim_type,
				unnest(cast($12 as text[])) as detail, unnest(cast($13 as text[])) as operation,
				unnest(cast($14 as text[])) as resource_kind, unnest(cast($15 as text[])) as resource_id,
				unnest(cast($16 as text[])) as resource_name, unnest(cast($17 as text[])) as search,
				unnest(cast($18 as text[])) as token_id, unnest(cast($19 as text[])) as token_state,
				unnest(cast($20 as text[])) as ip, unnest(cast($21 as text[])) as request,
				unnest(cast($22 as text[])) as repairs, unnest(cast($23 as text[])) as effects,
				unnest(cast($24 as text[])) as replay_of, unnest(cast($25 as text[])) as request_body,
				unnest(cast($26 as text[])) as response_body) s
		where s.directory = any (array(
			select d.id
			from directories d
			where d.organization = $1))`, args...)
}

// logColumns are those of a row that logRows writes, in its order.
const logColumns = `organization, directory, id, at, method, path, query, status, scim_type, detail, duration_us, operation, resource_kind,
	resource_id, resource_name, search, token_id, token_state, ip, request, repairs, effects, replay_of, whole, request_body,
	response_body`

// logShapes are how many rows a statement of logRows may take, the most first. To begin and end a statement costs SQLite half of
// what a row does.
var logShapes = [...]int{32, 4, 1}

var logTexts = sync.OnceValue(func() map[int]string {
	row := "(" + strings.Repeat("?, ", strings.Count(logColumns, ",")-1) + "?)"
	texts := map[int]string{}
	for _, n := range logShapes {
		texts[n] = `
			insert into scim_requests (` + logColumns + `)
			select ?, s.*
			from (values ` + strings.Repeat(row+", ", n-1) + row + `) s
			where s.column1 in (
				select d.id
				from directories d
				where d.organization = ?)`
	}
	return texts
})

// logRows is LogRequests on SQLite.
func (tx *Tx) logRows(list []directory.Request) {
	for _, n := range logShapes {
		for ; len(list) >= n; list = list[n:] {
			args := append(make([]any, 0, 2+n*strings.Count(logColumns, ",")), tx.Organization)
			for i := range list[:n] {
				r := &list[i]
				var repairs, effects any
				if len(r.Repairs) > 0 {
					repairs = encode(r.Repairs)
				}
				if len(r.Effects) > 0 {
					effects = encode(r.Effects)
				}
				args = append(args, r.Directory, r.ID, micros(r.At), r.Method, r.Path, r.Query, r.Status, orNull(r.Type),
					orNull(r.Detail), r.Took.Microseconds(), r.Operation, orNull(r.ResourceKind), orNull(r.ResourceID),
					orNull(r.ResourceName), r.Search, orNull(r.Token), r.TokenState, r.IP, r.Request, repairs, effects, orNull(r.ReplayOf),
					r.Whole, orNull(r.Body), orNull(r.Answer))
			}
			tx.queue(logTexts()[n], append(args, tx.Organization)...)
		}
	}
}

// RequestFilter says which requests a listing shows; the zero value shows all.
type RequestFilter struct {
	Text   string // somewhere in the names, userNames and external ids it speaks of
	Method string
	Errors bool // refused ones only
	From   time.Time
	To     time.Time // before
	Before id.Request
	Limit  int // 50 where it is 0
}

// Requests lists a directory's requests without their bodies, newest first.
func (tx *Tx) Requests(ctx context.Context, dir id.Directory, f RequestFilter) ([]directory.Request, error) {
	sql, args := f.query(tx.Organization, dir)
	list, err := collect[directory.Request](tx.query(ctx, sql, args...))(func(s scanner) (directory.Request, error) { return scanRequest(s) })
	if err != nil {
		return nil, fmt.Errorf("list the requests of directory %s: %w", dir, err)
	}
	return list, nil
}

func (f RequestFilter) query(org id.Organization, dir id.Directory) (sql string, args []any) {
	args = []any{org, dir}
	var where strings.Builder
	and := func(clause string, value any) {
		args = append(args, value)
		where.WriteString("\n\t\t\tand " + strings.ReplaceAll(clause, "?", "$"+strconv.Itoa(len(args))))
	}
	if f.Errors {
		where.WriteString("\n\t\t\tand r.status >= 400")
	}
	if f.Text != "" {
		and(`r.search like ? escape '\'`, "%"+escapeLike(scim.Fold(f.Text))+"%")
	}
	if f.Method != "" {
		and("r.method = ?", f.Method)
	}
	if !f.From.IsZero() {
		and("r.at >= ?", micros(f.From))
		and("r.id >= ?", id.From[id.Request](f.From))
	}
	if !f.To.IsZero() {
		and("r.at < ?", micros(f.To))
		and("r.id < ?", id.From[id.Request](f.To.Add(idLater)))
	}
	if f.Before != "" {
		and("r.id < ?", f.Before)
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	args = append(args, limit)
	return `
		select ` + requestColumns + `
		from scim_requests r
		where r.organization = $1
			and r.directory = $2` + where.String() + `
		order by r.id desc
		limit $` + strconv.Itoa(len(args)), args
}

// Request gives one request with its bodies. A fault of kind NotFound where there is none, or no longer.
func (tx *Tx) Request(ctx context.Context, dir id.Directory, request id.Request) (directory.Request, error) {
	var body, answer string
	r, err := scanRequest(tx.queryRow(ctx, `
		select `+requestColumns+`, r.request_body, r.response_body
		from scim_requests r
		where r.organization = $1
			and r.directory = $2
			and r.id = $3`, tx.Organization, dir, request), orEmpty(&body), orEmpty(&answer))
	if errors.Is(err, errNoRows) {
		return r, notFound("request", request)
	}
	r.Body, r.Answer = body, answer
	return r, err
}

const refusedRequests = `
		select count(*)
		from (
			select 1
			from scim_requests r
			where r.organization = $1
				and r.directory = $2
				and r.status >= 400
				and r.id >= $3
				and r.at >= $4
			limit $5) s`

// RefusedRequests counts the requests of a directory that were refused since a moment, to most at most.
func (tx *Tx) RefusedRequests(ctx context.Context, dir id.Directory, since time.Time, most int) (n int, err error) {
	err = tx.queryRow(ctx, refusedRequests, tx.Organization, dir, id.From[id.Request](since), micros(since), most).Scan(&n)
	return n, err
}

// TokenRefusals says how a directory's requests fare at the door: the last one that was refused for its token, and the last
// one that was let in.
func (tx *Tx) TokenRefusals(ctx context.Context, dir id.Directory) (refused *directory.Request, admitted time.Time, err error) {
	list, err := collect[directory.Request](tx.query(ctx, `
		select `+requestColumns+`
		from scim_requests r
		where r.organization = $1
			and r.directory = $2
			and r.status >= 400
			and r.token_state in ('expired', 'unknown')
		order by r.id desc
		limit 1`, tx.Organization, dir))(func(s scanner) (directory.Request, error) { return scanRequest(s) })
	if err != nil || len(list) == 0 {
		return nil, time.Time{}, err
	}
	err = tx.queryRow(ctx, `
		select r.at
		from scim_requests r
		where r.organization = $1
			and r.directory = $2
			and r.token_state = 'good'
		order by r.id desc
		limit 1`, tx.Organization, dir).Scan(at(&admitted))
	if errors.Is(err, errNoRows) {
		err = nil
	}
	return &list[0], admitted, err
}

// PushedPerson is a user under which a directory has a record, as far as it was looked for.
type PushedPerson struct {
	User       id.User
	Name       string
	UserName   string
	Directory  id.Directory // "" for a user without a record of this directory
	ExternalID string
	Active     bool // as the record says
	Status     directory.Status
	Seated     bool
	Since      time.Time
}

const (
	pushedFound = 10
	// pushedRead is how many users are looked at before the directory's own are looked for among its records: whoever finds fewer
	// has seen them all.
	pushedRead = 200
)

// FindPushed looks for users by a part of their name, userName or address, or by their external id: those of the directory
// first, then the organization's others.
func (tx *Tx) FindPushed(ctx context.Context, dir id.Directory, text string) ([]PushedPerson, error) {
	type found struct {
		PushedPerson
		email string
	}
	const columns = `u.id, u.display_name, u.user_name, u.email, r.directory, r.external_id, coalesce(r.active, false), u.status, u.seated,
			coalesce(r.created, u.created)`
	find := func(ctx context.Context, sql string, args ...any) ([]found, error) {
		return collect[found](tx.query(ctx, sql, append([]any{tx.Organization, dir}, args...)...))(func(s scanner) (p found, err error) {
			err = s.Scan(&p.User, &p.Name, &p.UserName, orEmpty(&p.email), orEmpty(&p.Directory), orEmpty(&p.ExternalID), &p.Active, &p.Status,
				&p.Seated, at(&p.Since))
			return p, err
		})
	}
	failed := func(err error) error { return fmt.Errorf("look for %q: %w", text, err) }
	const own = `
		select ` + columns + `
		from directory_records r
		cross join users u
		where r.organization = $1
			and r.directory = $2
			and u.organization = $1
			and u.id = r.user_id
			and u.status <> 'deleted'`

	all, err := find(ctx, own+`
			and r.external_id = $3`, text)
	if err != nil {
		return nil, failed(err)
	}
	users, _, err := tx.ListUsers(ctx, UserFilter{Query: text, Limit: pushedRead})
	if err != nil {
		return nil, failed(err)
	}
	ids := make([]id.User, len(users))
	for i, u := range users {
		ids[i] = u.ID
	}
	some, err := find(ctx, `
		select `+columns+`
		from users u
		left join directory_records r on r.organization = $1
			and r.directory = $2
			and r.user_id = u.id
		where u.organization = $1
			and `+tx.d.amongFew("u.id", tx.d.elements("$3"))+`
		order by u.id`, encode(ids))
	if err != nil {
		return nil, failed(err)
	}
	owned := 0
	for _, p := range some {
		if p.Directory != "" {
			owned++
		}
	}
	all = append(all, some...)
	if n, ok := needleOf(text); ok && len(some) == pushedRead && owned < pushedFound {
		more, err := listed[found]{
			narrow: true,
			names:  func(p *found) (id.User, string, string, string) { return p.User, p.UserName, p.email, p.Name },
			read: func(ctx context.Context, ids []string, after string, limit int) ([]found, error) {
				if ids != nil {
					return find(ctx, own+`
			and `+tx.d.amongFew("r.user_id", tx.d.elements("$3"))+`
		order by r.user_id`, encode(ids))
				}
				return find(ctx, own+`
			and r.user_id > $3
		order by r.user_id
		limit cast($4 as bigint)`, after, limit)
			},
		}.named(ctx, tx, n, "", pushedFound)
		if err != nil {
			return nil, failed(err)
		}
		all = append(all, more...)
	}
	people := make([]PushedPerson, len(all))
	for i, p := range all {
		people[i] = p.PushedPerson
	}
	mine := func(p PushedPerson) bool { return p.Directory != "" }
	slices.SortFunc(people, func(a, b PushedPerson) int {
		switch {
		case mine(a) && !mine(b):
			return -1
		case mine(b) && !mine(a):
			return 1
		}
		return cmp.Compare(a.User, b.User)
	})
	people = slices.CompactFunc(people, func(a, b PushedPerson) bool { return a.User == b.User })
	return people[:min(len(people), pushedFound)], nil
}

// GroupGives lists what being in a group gives: by mapping and by grant, of the group itself and of those it is in.
func (tx *Tx) GroupGives(ctx context.Context, group id.Group) ([]access.RoleAt, error) {
	return collect[access.RoleAt](tx.query(ctx, tx.d.outerGroups("$2")+`
		select g.role, g.resource
		from group_roles g
		where g.organization = $1
			and g.group_id in (select id from outer_groups)
		union
		select g.role, g.resource
		from grants g
		where g.organization = $1
			and g.group_id in (select id from outer_groups)
			and (g.starts is null or g.starts <= $3)
			and (g.expires is null or g.expires > $3)
		order by 1, 2`, tx.Organization, group, micros(tx.now)))(func(s scanner) (r access.RoleAt, err error) {
		err = s.Scan(&r.Role, &r.Resource)
		return r, err
	})
}

// Recorded gives the audit events that this transaction has written so far.
func (tx *Tx) Recorded() []audit.Event { return tx.recorded }

// errUndone undoes a transaction whose work was only to be looked at.
var errUndone = errors.New("undone, as asked")

// Try runs fn in a writing transaction and keeps nothing of it. The error is fn's, or the one its writes meet: what was
// queued is sent, so that a rule of the schema that would refuse them does so here too.
func (db *DB) Try(ctx context.Context, org id.Organization, fn func(tx *Tx) error) error {
	err := db.Write(ctx, org, func(tx *Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		var one int64
		if err := tx.queryRow(ctx, `select 1`).Scan(&one); err != nil {
			return err
		}
		return errUndone
	})
	if errors.Is(err, errUndone) {
		return nil
	}
	return err
}

const dropOldRequests = `
		delete from scim_requests
		where organization = $1
			and directory = $2
			and id <= (
				select max(s.id)
				from (
					select id
					from scim_requests
					where organization = $1
						and directory = $2
						and id < $3
					order by id
					limit $4) s)`

// dropRequests deletes the requests that have been kept for as long as their directory wants, a few at a time, and gives
// their number. Where none is due it reads the beginning of the key. A row goes by its id alone: one whose id was made later than
// its moment, or by a clock that was ahead, goes as much later and keeps nothing else from going.
func (db *DB) dropRequests(ctx context.Context) (int, error) {
	type kept struct {
		organization id.Organization
		directory    id.Directory
		settings     directory.Settings
	}
	var all []kept
	err := db.System().Read(ctx, func(tx *SystemTx) (err error) {
		all, err = collect[kept](tx.lastQuery(ctx, `
			select organization, id, document
			from directories
			order by organization, id`))(func(s scanner) (k kept, err error) {
			err = s.Scan(&k.organization, &k.directory, decode(&k.settings))
			return k, err
		})
		return err
	})
	total := 0
	for i := 0; i < len(all) && err == nil; {
		var n int64
		err = db.Write(ctx, all[i].organization, func(tx *Tx) (err error) {
			n, err = tx.exec(ctx, dropOldRequests, tx.Organization, all[i].directory, id.From[id.Request](tx.now.Add(-all[i].settings.RequestLog.Retention())), cleanupDelete)
			return err
		})
		total += int(n)
		if n < cleanupDelete {
			i++
		}
	}
	return total, err
}
