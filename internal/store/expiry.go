package store

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/expiry"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
)

// Expiries lists everything of the organization that ends, what ends first first.
func (tx *Tx) Expiries(ctx context.Context) ([]expiry.Item, error) {
	var f expiry.Facts
	for _, load := range []func(context.Context, *expiry.Facts) error{
		tx.endingTokens, tx.endingConnections, tx.endingProofs, tx.endingRelationships, tx.endingOfPeople,
	} {
		if err := load(ctx, &f); err != nil {
			return nil, fmt.Errorf("list what expires: %w", err)
		}
	}
	return expiry.List(f, tx.now), nil
}

func (tx *Tx) endingTokens(ctx context.Context, f *expiry.Facts) error {
	list, err := tx.Directories(ctx)
	for i := 0; i < len(list) && err == nil; i++ {
		var full *directory.Directory
		if full, err = tx.Directory(ctx, list[i].ID); err == nil {
			f.Directories = append(f.Directories, *full)
		}
	}
	return err
}

func (tx *Tx) endingConnections(ctx context.Context, f *expiry.Facts) error {
	all, err := tx.Connections(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		of := expiry.Connection{Connection: c}
		if c.Protocol == connection.SAML && !c.Settings.Disabled {
			known, err := tx.SAMLMetadata(ctx, c)
			if err != nil {
				return err
			}
			// What cannot be read says nothing about its end; that it cannot is told elsewhere.
			if approved, err := ReadSAMLMetadata(c, known.Approved.Body); err == nil {
				of.SAML.Provider = approved.Certificates
			}
			keys, err := tx.SAMLKeys(ctx, c.ID)
			if err != nil {
				return err
			}
			for _, k := range keys {
				of.SAML.Keys = append(of.SAML.Keys, expiry.OwnKey{
					ID: k.ID, Purpose: string(k.Purpose), Former: k.State == KeyFormer, Certificate: k.Certificate,
				})
			}
		}
		f.Connections = append(f.Connections, of)
	}
	return nil
}

func (tx *Tx) endingProofs(ctx context.Context, f *expiry.Facts) error {
	domains, err := tx.Domains(ctx)
	for _, d := range domains {
		if !d.Declared {
			f.Proofs = append(f.Proofs, expiry.Proof{Domain: d.Domain, Proof: d.Proof})
		}
	}
	return err
}

func (tx *Tx) endingRelationships(ctx context.Context, f *expiry.Facts) (err error) {
	f.Relationships, err = collect[expiry.Served](tx.query(ctx, `
		select provider, client, document, created
		from relationships
		where approved is not null
			and (provider = $1 or client = $1)
		order by provider, client`, tx.Organization))(func(s scanner) (r expiry.Served, err error) {
		var terms access.RelationshipSettings
		err = s.Scan(&r.Provider, &r.Client, decode(&terms), at(&r.Made))
		r.Expires = terms.Expires
		return r, err
	})
	return err
}

// endingShown is how many of a kind that only stands in the list are listed.
const endingShown = 200

func (tx *Tx) endingOfPeople(ctx context.Context, f *expiry.Facts) error {
	exceptions, err := tx.SSOExceptions(ctx)
	if err != nil {
		return err
	}
	for _, e := range exceptions {
		f.Exceptions = append(f.Exceptions, expiry.Timed{ID: string(e.ID), Person: e.Address, Made: e.Created, Expires: e.Expires})
	}
	links, err := tx.SetupLinks(ctx)
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Live(tx.now) {
			f.SetupLinks = append(f.SetupLinks, expiry.Timed{ID: string(l.ID), Person: l.Contact, Made: l.Created, Expires: l.Expires})
		}
	}
	f.Invitations, err = collect[expiry.Timed](tx.query(ctx, `
		select i.id, i.email, i.sent, i.expires
		from invitations i
		join users u on u.organization = i.organization and u.id = i.user_id
		where i.organization = $1
			and i.accepted is null
			and i.revoked is null
			and i.expires > $2
			and u.status = 'pending'
		order by i.expires, i.id
		limit $3`, tx.Organization, micros(tx.now), endingShown))(func(s scanner) (t expiry.Timed, err error) {
		err = s.Scan(&t.ID, &t.Person, at(&t.Made), at(&t.Expires))
		return t, err
	})
	return err
}

// watcher is who tells of what nobody did.
var watcher = audit.Actor{Kind: audit.ActorSystem, Name: "watch", Door: audit.JobRunner}

// dueWarning is something that people are told of now.
type dueWarning struct {
	expiry.Item
	step int
}

// dueWarnings gives what is to be told now, and the things that were told of once and end no more.
func (tx *Tx) dueWarnings(ctx context.Context) (due []dueWarning, gone []string, err error) {
	items, err := tx.Expiries(ctx)
	if err != nil {
		return nil, nil, err
	}
	told := map[string]expiry.Told{}
	_, err = collect[struct{}](tx.query(ctx, `
		select thing, expires, step
		from expiry_warnings
		where organization = $1
		order by thing`, tx.Organization))(func(s scanner) (none struct{}, err error) {
		var thing string
		var t expiry.Told
		err = s.Scan(&thing, at(&t.At), &t.Step)
		told[thing] = t
		return none, err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read what was told of what expires: %w", err)
	}
	for _, i := range items {
		known := told[i.ID]
		delete(told, i.ID)
		i.At = i.At.Truncate(time.Microsecond) // as it is kept
		if step, is := expiry.Due(i, known, tx.now); is {
			due = append(due, dueWarning{i, step})
		}
	}
	for thing := range told {
		gone = append(gone, thing)
	}
	slices.Sort(gone)
	return due, gone, nil
}

// TellExpiries writes to those who look after sign-in and provisioning, and to webhooks, about what ends: on each of the days ahead
// once, and once when it has ended.
func (db *DB) TellExpiries(ctx context.Context) error {
	return db.tellEach(ctx, "what expires", func(tx *Tx) (bool, error) {
		due, gone, err := tx.dueWarnings(ctx)
		return len(due)+len(gone) > 0, err
	}, func(tx *Tx) error {
		tx.Lock(ctx, "expiries")
		due, gone, err := tx.dueWarnings(ctx)
		if err != nil {
			return err
		}
		for _, thing := range gone {
			tx.queue(`
				delete from expiry_warnings
				where organization = $1
					and thing = $2`, tx.Organization, thing)
		}
		for _, w := range due {
			if err := tx.tellExpiry(ctx, w); err != nil {
				return err
			}
		}
		return nil
	})
}

func (tx *Tx) tellExpiry(ctx context.Context, w dueWarning) error {
	tx.queue(`
		insert into expiry_warnings (organization, thing, expires, step, told)
		values ($1, $2, $3, $4, $5)
		on conflict (organization, thing) do update
		set expires = excluded.expires, step = excluded.step, told = excluded.told`,
		tx.Organization, w.ID, micros(w.At), w.step, micros(tx.now))
	days := int(math.Ceil(max(w.At.Sub(tx.now), 0).Hours() / 24))
	l := mail.Letter{Template: mail.ExpiryWarning, Data: map[string]any{
		"What": w.What, "On": mail.When(w.At), "Days": days, "Then": w.Then, "Link": tx.pageLink("calendar"), "Operator": false,
	}}
	if w.Path != "" {
		l.Data["Link"] = tx.pageLink(w.Path)
	}
	if w.step == expiry.LastWord {
		l.Template = mail.Expired
	}
	letters, err := tx.NotifyHolders(ctx, notification.Expiry, l)
	if err != nil {
		return err
	}
	tx.Record(ctx, audit.Event{
		Actor: watcher, Action: "expiry.told", TargetKind: string(w.Kind), TargetID: w.ID,
		TargetName: w.What, After: auditJSON(map[string]any{"expires": w.At.UTC(), "days_ahead": w.step, "letters": letters}),
	})
	return nil
}

// tellEach does periodic telling for every organization: looked for by a reading transaction, since most of the time there is nothing
// and a scan must not keep SQLite's one writer. What fails for one organization keeps no other from being told.
func (db *DB) tellEach(ctx context.Context, what string, look func(tx *Tx) (bool, error), tell func(tx *Tx) error) error {
	if db.Public == "" {
		return nil
	}
	var all []id.Organization
	err := db.System().Read(ctx, func(tx *SystemTx) (err error) {
		all, err = column[id.Organization](tx.lastQuery(ctx, `
			select organization
			from organizations
			order by organization`))
		return err
	})
	if err != nil {
		return err
	}
	var failed error
	for _, org := range all {
		var some bool
		err := db.Read(ctx, org, func(tx *Tx) (err error) {
			some, err = look(tx)
			return err
		})
		if err == nil && some {
			err = db.Write(ctx, org, tell)
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("tell %s in %s: %w", what, org, err)
		}
	}
	return failed
}
