package signin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/store"
)

// Resolver asks the DNS. It is *net.Resolver but for tests.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// proofTimeout bounds one question, and proofBatch how many one run of the job asks.
const (
	proofTimeout = 5 * time.Second
	proofBatch   = 200
)

// CheckDomain asks a claimed domain's zone for its proof now, and keeps what follows.
func (s *SignIn) CheckDomain(ctx context.Context, actor audit.Actor, org id.Organization, domain string) (d store.DomainClaim, err error) {
	err = s.DB.Read(ctx, org, func(tx *store.Tx) error {
		d, err = tx.DomainClaim(ctx, domain)
		return err
	})
	if err != nil {
		return d, err
	}
	records, answered, found := s.lookup(ctx, domain, d.Challenge)
	err = s.DB.System().Write(ctx, func(tx *store.SystemTx) error {
		d, err = tx.NoteProof(ctx, actor, org, domain, records, answered, found)
		return err
	})
	return d, err
}

// lookup gives the records beside a domain, and whether the zone answered at all.
func (s *SignIn) lookup(ctx context.Context, domain, challenge string) (records []string, answered bool, found string) {
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	var resolver Resolver = net.DefaultResolver
	if s.Resolver != nil {
		resolver = s.Resolver
	}
	name := connection.ChallengeName(domain)
	// The trailing dot keeps the search list of this machine out of it.
	records, err := resolver.LookupTXT(ctx, name+".")
	var none *net.DNSError
	switch {
	case errors.As(err, &none) && none.IsNotFound:
		return nil, true, "There is no TXT record at " + name + " yet. A new one may take an hour to be seen everywhere."
	case err != nil:
		s.Log.WarnContext(ctx, "a domain's zone does not answer", "domain", domain, "error", err)
		return nil, false, "The domain's name servers did not answer, so nothing is decided."
	}
	for _, r := range records {
		if r == challenge {
			return records, true, "The record stands."
		}
	}
	return records, true, fmt.Sprintf("There are %d TXT records at %s, and none holds the value.", len(records), name)
}

// CheckDomains asks the zones of all proven domains again that were not asked for a day: a domain that was sold or let go must not
// go on bringing people in.
func (s *SignIn) CheckDomains(ctx context.Context) error {
	var due []store.DomainClaim
	err := s.DB.System().Read(ctx, func(tx *store.SystemTx) (err error) {
		due, err = tx.DueProofs(ctx, proofBatch)
		return err
	})
	if err != nil {
		return err
	}
	actor := audit.Actor{Kind: audit.ActorSystem, Door: audit.JobRunner}
	for _, d := range due {
		if _, err := s.CheckDomain(ctx, actor, d.Organization, d.Domain); err != nil {
			return fmt.Errorf("check the domain %s: %w", d.Domain, err)
		}
	}
	return nil
}
