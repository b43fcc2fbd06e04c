package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/seal"
)

// fromDNS marks a domain that its owner's zone has proven; one that the operator's file declares is proven by the operator's word.
const fromDNS = "dns"

// DomainClaim is a domain that an organization says is its own.
type DomainClaim struct {
	connection.Proof
	Organization id.Organization
	Domain       string
	Declared     bool          // by the operator: there is nothing to prove
	Connection   id.Connection // of a declared one: the connection it was declared on
	Created      time.Time
	Checked      time.Time // zero: never
	Found        string    // what the last look found, as a sentence
}

// Domains lists what the organization says is its own, declared and claimed, by name.
func (tx *Tx) Domains(ctx context.Context) ([]DomainClaim, error) {
	declared, err := collect[DomainClaim](tx.query(ctx, `
		select domain, connection, verified
		from domains
		where organization = $1
			and source = $2`, tx.Organization, fromFile))(func(s scanner) (d DomainClaim, err error) {
		d.Organization, d.Declared = tx.Organization, true
		err = s.Scan(&d.Domain, &d.Connection, at(&d.Verified))
		d.Created = d.Verified
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("list the declared domains: %w", err)
	}
	claimed, err := collect[DomainClaim](tx.query(ctx, `
		select `+claimColumns+`
		from domain_claims
		where organization = $1`, tx.Organization))(scanClaim)
	if err != nil {
		return nil, fmt.Errorf("list the claimed domains: %w", err)
	}
	claimed = slices.DeleteFunc(claimed, func(c DomainClaim) bool {
		return slices.ContainsFunc(declared, func(d DomainClaim) bool { return d.Domain == c.Domain })
	})
	all := append(declared, claimed...)
	slices.SortFunc(all, func(a, b DomainClaim) int { return cmp.Compare(a.Domain, b.Domain) })
	return all, nil
}

const claimColumns = `organization, domain, challenge, created, checked, verified, failing, lapsed, found`

func scanClaim(s scanner) (d DomainClaim, err error) {
	err = s.Scan(&d.Organization, &d.Domain, &d.Challenge, at(&d.Created), at(&d.Checked), at(&d.Verified), at(&d.Failing), at(&d.Lapsed),
		orEmpty(&d.Found))
	return d, err
}

// DomainClaim reads one.
func (tx *Tx) DomainClaim(ctx context.Context, domain string) (DomainClaim, error) {
	return tx.domainClaim(ctx, domain, "")
}

func (tx *Tx) domainClaim(ctx context.Context, domain, lock string) (DomainClaim, error) {
	d, err := scanClaim(tx.queryRow(ctx, `
		select `+claimColumns+`
		from domain_claims
		where organization = $1
			and domain = $2`+lock, tx.Organization, domain))
	if errors.Is(err, errNoRows) {
		err = fault.New(fault.NotFound, "This organization has not said that %s is its own.", domain)
	}
	return d, err
}

// maxClaims of an organization that are not proven: each is asked for in the DNS.
const maxClaims = 50

// ClaimDomain begins the proof that a domain is the organization's: with a value that its zone has to hold. Nothing follows from a
// claim; anybody may claim anything.
func (tx *Tx) ClaimDomain(ctx context.Context, actor audit.Actor, name string) (DomainClaim, error) {
	domain := connection.Domain(name)
	if domain == "" {
		return DomainClaim{}, fault.New(fault.Invalid, "%q is not a domain such as northwind.example.", name).
			WithField("domain", "It is not a domain.")
	}
	all, err := tx.Domains(ctx)
	if err != nil {
		return DomainClaim{}, err
	}
	waiting := 0
	for _, d := range all {
		if d.Domain == domain {
			return DomainClaim{}, fault.New(fault.Conflict, "%s stands in the list already.", domain).WithField("domain", "It stands in the list already.")
		}
		if d.Verified.IsZero() {
			waiting++
		}
	}
	if waiting >= maxClaims {
		return DomainClaim{}, fault.New(fault.Conflict, "%d domains wait for their proof. Prove or remove some first.", waiting)
	}
	d := DomainClaim{
		Organization: tx.Organization, Domain: domain, Created: tx.now, Proof: connection.Proof{Challenge: seal.Handle()},
	}
	tx.queue(`
		insert into domain_claims (organization, domain, challenge, created)
		values ($1, $2, $3, $4)`, tx.Organization, domain, d.Challenge, micros(tx.now))
	tx.recordDomain(ctx, actor, "domain.claimed", domain, "")
	return d, nil
}

func (tx *Tx) recordDomain(ctx context.Context, actor audit.Actor, action, domain, reason string) {
	tx.Record(ctx, audit.Event{Actor: actor, Action: action, TargetKind: "domain", TargetID: domain, TargetName: domain, Reason: reason})
}

// NoteProof keeps what a look at the zone found, and what follows: the domain is proven, or given up. It has one owner over all
// organizations: who comes second is refused, whatever their zone says, until the first has lost it.
func (tx *SystemTx) NoteProof(
	ctx context.Context, actor audit.Actor, org id.Organization, domain string, records []string, answered bool, found string,
) (DomainClaim, error) {
	in := tx.In(org)
	d, err := in.domainClaim(ctx, domain, tx.d.forUpdate())
	if err != nil {
		return d, err
	}
	was := d.State()
	d.Proof, d.Checked, d.Found = d.Judge(records, answered, tx.now), tx.now, found
	if !d.Verified.IsZero() {
		// Each time, not at the first alone: the operator's file may have had the domain meanwhile and let it go.
		var owner id.Organization
		if _, err := tx.exec(ctx, `
			insert into domains (domain, organization, connection, verified, source)
			values ($1, $2, '', $3, $4)
			on conflict (domain) do nothing`, domain, org, micros(tx.now), fromDNS); err != nil {
			return d, fmt.Errorf("keep the owner of %s: %w", domain, err)
		}
		if err := tx.queryRow(ctx, `
			select organization
			from domains
			where domain = $1`, domain).Scan(&owner); err != nil {
			return d, fmt.Errorf("read the owner of %s: %w", domain, err)
		}
		if owner != org {
			d.Proof = connection.Proof{Challenge: d.Challenge}
			d.Found = "The record stands, but another organization of this installation owns the domain."
			in.Record(ctx, audit.Event{
				Actor: actor, Action: "domain.refused", TargetKind: "domain", TargetID: domain, TargetName: domain,
				Outcome: audit.Refused, Code: "domain-taken",
			})
		}
	}
	switch now := d.State(); {
	case now == was, now == "waiting":
	case now == "lapsed":
		tx.queue(`
			delete from domains
			where domain = $1 and organization = $2 and source = $3`, domain, org, fromDNS)
		in.recordDomain(ctx, actor, "domain.lapsed", domain, "Its record has been missing for a week.")
	case now == "failing":
		in.recordDomain(ctx, actor, "domain.failing", domain, found)
	case was == "failing":
		in.recordDomain(ctx, actor, "domain.recovered", domain, "")
	default:
		in.recordDomain(ctx, actor, "domain.proven", domain, "")
	}
	tx.queue(`
		update domain_claims
		set checked = $1, verified = $2, failing = $3, lapsed = $4, found = $5
		where organization = $6 and domain = $7`,
		micros(d.Checked), microsOrNull(d.Verified), microsOrNull(d.Failing), microsOrNull(d.Lapsed), orNull(d.Found), org, domain)
	return d, nil
}

// ReleaseDomain gives a claimed domain up, proven or not: nobody is sent here by it from then on.
func (tx *SystemTx) ReleaseDomain(ctx context.Context, actor audit.Actor, org id.Organization, domain, reason string) error {
	in := tx.In(org)
	if _, err := in.domainClaim(ctx, domain, tx.d.forUpdate()); err != nil {
		return err
	}
	tx.queue(`
		delete from domains
		where domain = $1 and organization = $2 and source = $3`, domain, org, fromDNS)
	tx.queue(`
		delete from domain_claims
		where organization = $1 and domain = $2`, org, domain)
	in.recordDomain(ctx, actor, "domain.released", domain, reason)
	return nil
}

// DueProofs lists the proven domains of all organizations whose zone was not asked for a day.
func (tx *SystemTx) DueProofs(ctx context.Context, limit int) ([]DomainClaim, error) {
	return collect[DomainClaim](tx.query(ctx, `
		select `+claimColumns+`
		from domain_claims
		where verified is not null
			and checked <= $1
		order by checked
		limit $2`, micros(tx.now.Add(-connection.ProofEvery)), limit))(scanClaim)
}
