package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/seal"
)

// SetupLink is a link by which somebody without an account sets something up, and what it reaches: the purposes it is for, and of the
// organization only what was made through it or named when it was made.
type SetupLink struct {
	ID          id.SetupLink
	Hash        string
	Purposes    []connection.SetupPurpose
	Contact     string
	ContactName string
	Connection  id.Connection // made through it
	Renews      id.Connection // whose certificates it is for
	Directory   id.Directory  // whose provisioning it is for
	Token       string        // id of the directory's token made through it
	Domains     []string      // given with it, or claimed through it
	Opens       bool          // it may open the connection it made, once a test has passed
	Delivery    id.Delivery   // of the letter
	MadeBy      string
	Created     time.Time
	Expires     time.Time
	Opened      time.Time // first
	Used        time.Time // last
	Finished    time.Time
	Revoked     time.Time
}

// State says what the link still is.
func (l *SetupLink) State(now time.Time) connection.SetupState {
	switch {
	case !l.Revoked.IsZero():
		return connection.SetupRevoked
	case !l.Finished.IsZero():
		return connection.SetupFinished
	case !now.Before(l.Expires):
		return connection.SetupExpired
	case !l.Opened.IsZero():
		return connection.SetupOpened
	}
	return connection.SetupWaiting
}

// Live says whether it still opens anything.
func (l *SetupLink) Live(now time.Time) bool {
	s := l.State(now)
	return s == connection.SetupWaiting || s == connection.SetupOpened
}

// For says whether a purpose is among the link's.
func (l *SetupLink) For(p connection.SetupPurpose) bool { return slices.Contains(l.Purposes, p) }

// Actor is who acts by the link: whoever holds it, under its contact's address. from says where the request came from.
func (l *SetupLink) Actor(org id.Organization, from audit.Actor) audit.Actor {
	from.Kind, from.ID, from.Organization = audit.ActorSetupLink, string(l.ID), org
	from.Name = l.Contact + " by setup link"
	return from
}

const setupColumns = `id, hash, purposes, contact, contact_name, connection, renews, directory, token, domains, opens, delivery, made_by,
			created, expires, opened, used, finished, revoked`

func scanSetupLink(s scanner) (l SetupLink, err error) {
	var purposes, domains string
	var opens int64
	err = s.Scan(&l.ID, &l.Hash, &purposes, &l.Contact, orEmpty(&l.ContactName), orEmpty(&l.Connection), orEmpty(&l.Renews),
		orEmpty(&l.Directory), orEmpty(&l.Token), &domains, &opens, orEmpty(&l.Delivery), &l.MadeBy, at(&l.Created), at(&l.Expires),
		at(&l.Opened), at(&l.Used), at(&l.Finished), at(&l.Revoked))
	for _, p := range strings.Fields(purposes) {
		l.Purposes = append(l.Purposes, connection.SetupPurpose(p))
	}
	l.Domains, l.Opens = strings.Fields(domains), opens != 0
	return l, err
}

// NewSetupLink is what an administrator asks for.
type NewSetupLink struct {
	Purposes    []connection.SetupPurpose
	Contact     string
	ContactName string
	Directory   id.Directory
	Renews      id.Connection
	Domains     []string // proven ones, whose people a connection of the link may be for
	Opens       bool
	Expires     time.Time // zero: after connection.SetupTerm
	URL         string    // the public base URL
	Write       bool      // a letter to the contact
}

// MakeSetupLink makes a link and gives its address, this once; with Write a letter takes it to the contact.
func (tx *Tx) MakeSetupLink(ctx context.Context, actor audit.Actor, n NewSetupLink) (l SetupLink, address string, err error) {
	l = SetupLink{
		ID: id.New[id.SetupLink](), ContactName: mail.Line(n.ContactName), Opens: n.Opens, MadeBy: actor.Name, Created: tx.now.UTC(),
		Expires: n.Expires.UTC(),
	}
	if l.Purposes, err = connection.CleanSetup(n.Purposes); err != nil {
		return l, "", err
	}
	if l.Contact, err = mail.ParseAddress(n.Contact); err != nil {
		return l, "", fault.Wrap(err, fault.Invalid, "Whose link is it?").WithField("contact", "An email address is wanted.")
	}
	if n.Expires.IsZero() {
		l.Expires = tx.now.Add(connection.SetupTerm).UTC()
	}
	if !l.Expires.After(tx.now) || l.Expires.After(tx.now.Add(connection.MaxSetupTerm)) {
		return l, "", fault.New(fault.Invalid, "A setup link lasts from a moment to 90 days.").WithField("expires", "Choose a day within the next 90.")
	}
	if err := tx.setupReach(ctx, &l, n); err != nil {
		return l, "", err
	}
	token := seal.Handle()
	l.Hash = seal.Fingerprint(token)
	address = n.URL + SetupPath(tx.Organization, l.ID) + "/open/" + token
	if n.Write {
		l.Delivery, err = tx.PostLetter(ctx, mail.Letter{
			Template: mail.SetupLink, To: mail.Address{Name: l.ContactName, Email: l.Contact},
			Data: map[string]any{
				"Inviter": actor.Name, "Purpose": connection.SetupWords(l.Purposes), "Link": address, "Until": mail.When(l.Expires),
			},
		})
		if err != nil {
			return l, "", err
		}
	}
	opens := 0
	if l.Opens {
		opens = 1
	}
	tx.queue(`
		insert into setup_links (organization, id, hash, purposes, contact, contact_name, renews, directory, domains, opens, delivery,
			made_by, created, expires)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		tx.Organization, l.ID, l.Hash, setupWords(l.Purposes), l.Contact, orNull(l.ContactName), orNull(l.Renews), orNull(l.Directory),
		strings.Join(l.Domains, " "), opens, orNull(l.Delivery), l.MadeBy, micros(tx.now), micros(l.Expires))
	tx.recordSetup(ctx, actor, "setup-link.created", &l, map[string]any{
		"purposes": l.Purposes, "expires": l.Expires, "directory": l.Directory, "renews": l.Renews, "domains": l.Domains, "opens": l.Opens,
	}, "")
	return l, address, nil
}

// setupReach settles which directory, which domains and which connection the link is for.
func (tx *Tx) setupReach(ctx context.Context, l *SetupLink, n NewSetupLink) error {
	if n.Directory != "" {
		// Of use for provisioning, and for a connection whose people are found by what the directory pushes.
		if _, err := tx.Directory(ctx, n.Directory); err != nil {
			return err
		}
		l.Directory = n.Directory
	}
	if l.For(connection.SetUpSCIM) && l.Directory == "" {
		return fault.New(fault.Invalid, "Say which directory is provisioned.").
			WithField("directory", "A link for provisioning is for one directory, which the operator's file declares.")
	}
	if len(n.Domains) > 0 && l.For(connection.SetUpSSO) {
		all, err := tx.Domains(ctx)
		if err != nil {
			return err
		}
		for _, d := range n.Domains {
			if !slices.ContainsFunc(all, func(c DomainClaim) bool { return c.Domain == d && !c.Verified.IsZero() }) {
				return fault.New(fault.Invalid, "%s is not a proven domain of this organization.", d).WithField("domains", "Choose among the proven domains.")
			}
		}
		l.Domains = n.Domains
	}
	if !l.For(connection.SetUpCertificate) {
		return nil
	}
	if n.Renews == "" {
		return fault.New(fault.Invalid, "Say whose certificate is renewed.").WithField("renews", "Choose a SAML connection.")
	}
	m, err := tx.ManagedConnection(ctx, n.Renews)
	if err != nil {
		return err
	}
	if m.Protocol != connection.SAML {
		return fault.New(fault.Invalid, "%s has no certificates.", m.Name).WithField("renews", "Choose a SAML connection.")
	}
	l.Renews = n.Renews
	return nil
}

func setupWords(purposes []connection.SetupPurpose) string {
	var out []string
	for _, p := range purposes {
		out = append(out, string(p))
	}
	return strings.Join(out, " ")
}

// SetupPath is where the pages of a link are on this host.
func SetupPath(org id.Organization, link id.SetupLink) string {
	return "/setup-link/" + string(org) + "/" + string(link)
}

func (tx *Tx) recordSetup(ctx context.Context, actor audit.Actor, action string, l *SetupLink, after map[string]any, reason string) {
	e := audit.Event{
		Actor: actor, Action: action, TargetKind: "setup-link", TargetID: string(l.ID), TargetName: l.Contact, Reason: reason,
	}
	if after != nil {
		e.After = auditJSON(after)
	}
	tx.Record(ctx, e)
}

// SetupLinks lists the organization's links, the newest first.
func (tx *Tx) SetupLinks(ctx context.Context) ([]SetupLink, error) {
	all, err := collect[SetupLink](tx.query(ctx, `
		select `+setupColumns+`
		from setup_links
		where organization = $1
		order by id desc
		limit 200`, tx.Organization))(scanSetupLink)
	if err != nil {
		return nil, fmt.Errorf("list the setup links: %w", err)
	}
	return all, nil
}

// SetupLink reads one, for who manages it.
func (tx *Tx) SetupLink(ctx context.Context, link id.SetupLink) (SetupLink, error) {
	l, err := scanSetupLink(tx.queryRow(ctx, `
		select `+setupColumns+`
		from setup_links
		where organization = $1
			and id = $2`, tx.Organization, link))
	if errors.Is(err, errNoRows) {
		err = notFound("setup link", link)
	}
	return l, err
}

// SetupLinkBy reads the link that a token opens, for who holds it. It is held until the transaction ends when something is changed
// through it, so that two forms sent at once come one after the other. Another organization's link, another link's token and one that
// never was are the same answer; one that is over says why.
func (tx *Tx) SetupLinkBy(ctx context.Context, link id.SetupLink, token string, change bool) (SetupLink, error) {
	lock := ""
	if change {
		lock = tx.d.forUpdate()
	}
	unknown := func() error {
		return fault.New(fault.NotFound, "This setup link is not known here. Open it from your letter again, and copy all of it; if that does not help, ask whoever sent it for a new one.").
			WithCode(string(connection.CodeSetupUnknown))
	}
	if len(token) != 43 || !id.IsUUID(string(link)) {
		return SetupLink{}, unknown()
	}
	l, err := scanSetupLink(tx.queryRow(ctx, `
		select `+setupColumns+`
		from setup_links
		where organization = $1
			and id = $2
			and hash = $3`+lock, tx.Organization, link, seal.Fingerprint(token)))
	if errors.Is(err, errNoRows) {
		return l, unknown()
	}
	if err != nil {
		return l, err
	}
	gone := func(code connection.Code, said string) error {
		return fault.New(fault.Gone, "%s If there is more to do, ask %s for a new link.", said, l.MadeBy).WithCode(string(code))
	}
	switch l.State(tx.now) {
	case connection.SetupRevoked:
		return l, gone(connection.CodeSetupRevoked, "This setup link was taken back.")
	case connection.SetupFinished:
		return l, gone(connection.CodeSetupFinished, "What this setup link was for is done, and the link is used up.")
	case connection.SetupExpired:
		return l, gone(connection.CodeSetupExpired, "This setup link ended on "+mail.When(l.Expires)+".")
	}
	return l, nil
}

// OpenSetupLink notes that somebody opened a link.
func (tx *Tx) OpenSetupLink(ctx context.Context, l *SetupLink, actor audit.Actor) {
	tx.queue(`
		update setup_links
		set opened = coalesce(opened, $1), used = $1
		where organization = $2 and id = $3`, micros(tx.now), tx.Organization, l.ID)
	tx.recordSetup(ctx, actor, "setup-link.opened", l, nil, "")
}

// keepSetup keeps what was made through a link, so that it and nothing else is reached by it later.
func (tx *Tx) keepSetup(l *SetupLink) {
	tx.queue(`
		update setup_links
		set connection = $1, token = $2, domains = $3, used = $4
		where organization = $5 and id = $6`,
		orNull(l.Connection), orNull(l.Token), strings.Join(l.Domains, " "), micros(tx.now), tx.Organization, l.ID)
}

// setupScope refuses what a link is not for.
func setupScope(l *SetupLink, p connection.SetupPurpose) error {
	if l.For(p) {
		return nil
	}
	return fault.New(fault.Forbidden, "This setup link is for %s, and not for this.", connection.SetupWords(l.Purposes)).
		WithCode(string(connection.CodeSetupScope))
}

// SetupConnectionID is the id of the connection that a link makes for a provider: known before it is made, since it stands in the
// addresses that are entered there first.
func SetupConnectionID(l *SetupLink, provider string, protocol connection.Protocol) id.Connection {
	tail := strings.ReplaceAll(string(l.ID), "-", "")
	return id.Connection(provider + "-" + string(protocol) + "-" + tail[len(tail)-8:])
}

// SetupConnection keeps the settings of the connection that a link is for, as a draft. It never changes one that is open, nor one that
// was not made through it, and takes a directory and domains only of the link's own.
func (tx *Tx) SetupConnection(ctx context.Context, actor audit.Actor, l *SetupLink, c connection.Connection, version int64) error {
	if err := setupScope(l, connection.SetUpSSO); err != nil {
		return err
	}
	if c.Directory != "" && c.Directory != l.Directory {
		return fault.New(fault.Forbidden, "This setup link is not for that directory.").WithCode(string(connection.CodeSetupScope))
	}
	for _, d := range c.Settings.Domains {
		if !slices.Contains(l.Domains, d) {
			return fault.New(fault.Forbidden, "This setup link is not for the domain %s.", d).WithCode(string(connection.CodeSetupScope))
		}
	}
	if l.Connection == "" {
		if err := tx.MakeConnection(ctx, actor, c); err != nil {
			return err
		}
		l.Connection = c.ID
		tx.keepSetup(l)
		return nil
	}
	if err := tx.setupDraft(ctx, l, c.ID); err != nil {
		return err
	}
	return tx.ChangeConnection(ctx, actor, c, version)
}

// setupDraft refuses a connection that is not the link's own, or that people sign in through already.
func (tx *Tx) setupDraft(ctx context.Context, l *SetupLink, c id.Connection) error {
	if l.Connection == "" || c != l.Connection {
		return fault.New(fault.Forbidden, "This setup link is not for that connection.").WithCode(string(connection.CodeSetupScope))
	}
	was, err := tx.managedConnection(ctx, c, tx.d.forUpdate())
	if err == nil && !was.Settings.Draft {
		err = fault.New(fault.Conflict, "People sign in through %s already. It is changed by an administrator now; ask %s.", was.Name, l.MadeBy)
	}
	return err
}

// DropSetupConnection takes the draft away that a link made, so that another provider can be chosen.
func (tx *Tx) DropSetupConnection(ctx context.Context, actor audit.Actor, l *SetupLink) error {
	if err := setupScope(l, connection.SetUpSSO); err != nil {
		return err
	}
	if err := tx.setupDraft(ctx, l, l.Connection); err != nil {
		return err
	}
	if err := tx.DeleteConnection(ctx, actor, l.Connection, "Another provider was chosen."); err != nil {
		return err
	}
	l.Connection = ""
	tx.keepSetup(l)
	return nil
}

// OpenSetupConnection lets people in through the connection that a link made, where whoever made the link allowed that. As everywhere a
// test has to have passed.
func (tx *Tx) OpenSetupConnection(ctx context.Context, actor audit.Actor, l *SetupLink) error {
	if err := setupScope(l, connection.SetUpSSO); err != nil {
		return err
	}
	if !l.Opens {
		return fault.New(fault.Forbidden, "%s opens the connection; this setup link does not.", l.MadeBy).WithCode(string(connection.CodeSetupScope))
	}
	if err := tx.setupDraft(ctx, l, l.Connection); err != nil {
		return err
	}
	return tx.OpenConnection(ctx, actor, l.Connection)
}

// SetupToken makes a token for the link's directory; its secret is shown once. Replaces is the token of this link that the page knew
// of: the same form sent twice makes one token, and of two the earlier is revoked.
func (tx *Tx) SetupToken(ctx context.Context, actor audit.Actor, l *SetupLink, replaces string) (secret string, made directory.Token, err error) {
	if err := setupScope(l, connection.SetUpSCIM); err != nil {
		return "", made, err
	}
	if replaces != l.Token {
		return "", made, fault.New(fault.Conflict, "A token was made meanwhile, and is not shown again. If nobody kept it, make another in its place.").
			WithCode("token-made")
	}
	if l.Token != "" {
		if err := tx.RevokeDirectoryToken(ctx, actor, l.Directory, l.Token, "Another was made in its place."); err != nil && fault.KindOf(err) != fault.NotFound {
			return "", made, err
		}
	}
	secret, made, err = tx.CreateDirectoryToken(ctx, actor, l.Directory, directory.Token{Source: directory.TokenFromConsole})
	if err != nil {
		return "", made, err
	}
	l.Token = made.ID
	tx.keepSetup(l)
	return secret, made, nil
}

// SetupDomain claims a domain through a link.
func (tx *Tx) SetupDomain(ctx context.Context, actor audit.Actor, l *SetupLink, name string) (DomainClaim, error) {
	if err := setupScope(l, connection.SetUpDomain); err != nil {
		return DomainClaim{}, err
	}
	if len(l.Domains) >= 20 {
		return DomainClaim{}, fault.New(fault.Conflict, "Twenty domains are enough for one link. Ask %s for another.", l.MadeBy)
	}
	d, err := tx.ClaimDomain(ctx, actor, name)
	if err != nil {
		return d, err
	}
	l.Domains = append(l.Domains, d.Domain)
	tx.keepSetup(l)
	return d, nil
}

// SetupDomains reads the domains claimed through a link, as far as they are still claimed.
func (tx *Tx) SetupDomains(ctx context.Context, l *SetupLink) ([]DomainClaim, error) {
	all, err := tx.Domains(ctx)
	return slices.DeleteFunc(all, func(d DomainClaim) bool { return !slices.Contains(l.Domains, d.Domain) }), err
}

// SetupCertificate decides about the metadata that waits at the connection a link is for.
func (tx *Tx) SetupCertificate(ctx context.Context, actor audit.Actor, l *SetupLink, fingerprint string) error {
	if err := setupScope(l, connection.SetUpCertificate); err != nil {
		return err
	}
	// What the contact handed in is approved by somebody else: what a provider publishes at its address is at least the provider's.
	if _, _, _, err := tx.renewal(ctx, l); err == nil {
		return fault.New(fault.Forbidden, "What was handed in is approved by %s, and not through this setup link.", l.MadeBy).
			WithCode(string(connection.CodeSetupScope))
	} else if fault.KindOf(err) != fault.Conflict {
		return err
	}
	return tx.DecideSAMLMetadata(ctx, actor, l.Renews, fingerprint, true, "Compared by the contact of a setup link.")
}

// FinishSetupLink uses a link up, on its holder's word that all is done.
func (tx *Tx) FinishSetupLink(ctx context.Context, actor audit.Actor, l *SetupLink) {
	tx.queue(`
		update setup_links
		set finished = $1, used = $1
		where organization = $2 and id = $3`, micros(tx.now), tx.Organization, l.ID)
	tx.recordSetup(ctx, actor, "setup-link.finished", l, nil, "")
}

// RevokeSetupLink voids a link at once. What was set up through it stays.
func (tx *Tx) RevokeSetupLink(ctx context.Context, actor audit.Actor, link id.SetupLink, reason string) error {
	l, err := scanSetupLink(tx.queryRow(ctx, `
		select `+setupColumns+`
		from setup_links
		where organization = $1
			and id = $2`+tx.d.forUpdate(), tx.Organization, link))
	if errors.Is(err, errNoRows) {
		return notFound("setup link", link)
	}
	if err != nil {
		return err
	}
	if !l.Revoked.IsZero() {
		return nil
	}
	tx.queue(`
		update setup_links
		set revoked = $1
		where organization = $2 and id = $3`, micros(tx.now), tx.Organization, l.ID)
	if l.Delivery != "" {
		tx.cancelLetter(l.Delivery)
	}
	tx.recordSetup(ctx, actor, "setup-link.revoked", &l, nil, reason)
	return nil
}
