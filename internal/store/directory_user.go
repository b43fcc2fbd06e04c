package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vestibule-id/vestibule/internal/access"
	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/scim"
)

// ConflictCollision is a pushed user whose userName somebody else in the organization holds. Its subject is the directory
// and the userName.
const ConflictCollision = "collision"

// SamePerson is the decision that lets the next push of a collision join the user who holds the name.
const SamePerson = "same-person"

// collision is what an administrator needs to decide who it is.
type collision struct {
	Directory  id.Directory `json:"directory"`
	UserName   string       `json:"user_name"`
	ExternalID string       `json:"external_id,omitempty"`
	Name       string       `json:"name,omitempty"`
	Email      string       `json:"email,omitempty"`
	Holder     id.User      `json:"holder"`
	HolderName string       `json:"holder_name"`
}

// profile is what of a record stands in columns.
type profile struct {
	userName, externalID, displayName, given, family, email string
	active, saysActive                                      bool
	emails                                                  []any
}

func profileOf(a scim.Attributes) profile {
	pr := profile{
		userName: asText(a, "userName"), externalID: asText(a, "externalId"), displayName: asText(a, "displayName"), active: true,
	}
	if active, ok := a["active"].(bool); ok {
		pr.active, pr.saysActive = active, true
	}
	name, _ := a["name"].(map[string]any)
	pr.given, pr.family = asText(name, "givenName"), asText(name, "familyName")
	pr.emails, _ = a["emails"].([]any)
	for i, e := range pr.emails {
		if m, _ := e.(map[string]any); i == 0 || m["primary"] == true {
			pr.email = asText(m, "value")
		}
	}
	return pr
}

// keeping gives the profile of a record that may not say whether the person is active: then it counts as what it said last.
func (pr profile) keeping(active bool) profile {
	if !pr.saysActive {
		pr.active = active
	}
	return pr
}

// shown is the name people read: what the directory says, as far as it says anything.
func (pr profile) shown(a scim.Attributes) string {
	name, _ := a["name"].(map[string]any)
	for _, s := range []string{pr.displayName, asText(name, "formatted"), strings.TrimSpace(pr.given + " " + pr.family)} {
		if s != "" {
			return s
		}
	}
	return pr.userName
}

// key gives the value by which the directory identifies the person, as sent and folded.
func (p *Push) key(pr profile) (sent, folded string) {
	switch p.Directory.Key {
	case directory.KeyUserName:
		return pr.userName, scim.UserNameKey(pr.userName)
	case directory.KeyEmail:
		return pr.email, scim.Fold(pr.email)
	}
	return pr.externalID, pr.externalID
}

// CreateUser stores a pushed user. The error it refuses with comes beside the transaction's own, since the collision that
// waits for an administrator is written although nothing else is.
//
// A pushed user may exist already. Where the person has signed in through a connection of this directory and the key is the
// same, the record joins that user. Where somebody else holds the userName, the push is refused until an administrator has
// said that it is the same person: a directory that may claim any name may claim an administrator's.
func (p *Push) CreateUser(ctx context.Context, r scim.Result, want scim.Want) (res *scim.Resource, refusal, err error) {
	pr := profileOf(r.Attributes)
	nameKey := scim.UserNameKey(pr.userName)
	sent, folded := p.key(pr)
	if err := p.checkManager(ctx, nil, r.Attributes); err != nil {
		return nil, err, nil
	}
	if err := p.checkUnique(ctx, p.User, "", nil, r.Attributes); err != nil {
		return nil, err, nil
	}

	// Each part of this statement is paid for at every push, so what is rarely needed is asked for later.
	var limit int64
	var recognized bool
	var known, holder, here id.User
	err = p.tx.queryRow(ctx, `
		select o.seat_limit,
			exists (
				select 1
				from connections c
				cross join identities i
				where c.organization = $1
					and c.directory = $2
					and i.organization = $1
					and i.connection = c.id
					and i.match_value in ($4, $5)
					and i.closed is null),
			(
				select u.id
				from users u
				where u.organization = $1
					and u.user_name_key = $3
					and u.status <> 'deleted'),
			(
				select x.user_id
				from directory_records x
				where x.organization = $1
					and x.directory = $2
					and x.user_name_key = $3)
		from organizations o
		cross join directories d
		where o.organization = $1
			and d.organization = $1
			and d.id = $2`,
		p.tx.Organization, p.Directory.ID, nameKey, sent, folded).
		Scan(orZero(&limit), &recognized, orEmpty(&holder), orEmpty(&here))
	if errors.Is(err, errNoRows) { // taken away since the request was let in
		return nil, fault.New(fault.Conflict, notThere), nil
	}
	if err == nil && recognized && sent != "" {
		known, err = p.known(ctx, sent, folded)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look for who %s may be: %w", pr.userName, err)
	}

	taken := fault.New(fault.Conflict, "The userName %q is taken.", pr.userName)
	join := known
	switch {
	case here != "":
		return nil, taken, nil
	case holder != "" && holder != join:
		c, err := p.resolved(ctx, nameKey)
		if err != nil {
			return nil, nil, err
		}
		if known != "" || c.Holder != holder || c.ExternalID != pr.externalID {
			return nil, taken, p.collide(ctx, pr, r.Attributes, nameKey, holder)
		}
		join = holder
	}
	if join != "" {
		res, err := p.join(ctx, join, r, pr, want)
		return res, nil, err
	}

	seated := pr.active
	if seated && limit > 0 {
		if seated, err = p.tx.seatFree(ctx); err != nil {
			return nil, nil, err
		}
	}
	user := id.New[id.User]()
	state := directory.Active
	if !pr.active {
		state = directory.Suspended
	}
	p.tx.queue(`
		insert into users (organization, id, status, seated, user_name, user_name_key, email, email_key, email_verified,
			display_name, given_name, family_name, kept_without_directory, custom_access, created, updated, logins)
		values ($1, $2, $3, $4, $5, $6, $7, $8, exists (
				select 1
				from domains
				where domain = $9
					and organization = $1),
			$10, $11, $12, false, false, $13, $13, 0)`,
		p.tx.Organization, user, state, seated, pr.userName, nameKey, orNull(pr.email), orNull(scim.Fold(pr.email)),
		domainOf(pr.email), pr.shown(r.Attributes), orNull(pr.given), orNull(pr.family), micros(p.tx.now))
	res = p.insertRecord(user, r, pr)
	p.record(ctx, audit.Event{
		Action: "user.created", TargetKind: "user", TargetID: string(user), TargetName: pr.shown(r.Attributes), User: user, After: res.Document,
	})
	if err := p.pushRoles(ctx, user, nil, r.Attributes); err != nil {
		return nil, nil, err
	}
	if pr.active && !seated {
		p.record(ctx, audit.Event{
			Action: "user.over-the-limit", TargetKind: "user", TargetID: string(user), TargetName: pr.shown(r.Attributes), User: user,
			Reason: fmt.Sprintf("All %d seats are taken; the user gets access when one is free.", limit),
		})
	}
	return res, nil, nil
}

// known gives the one user who has signed in through a connection of this directory with the key; "" where there is none,
// or more than one.
func (p *Push) known(ctx context.Context, sent, folded string) (user id.User, err error) {
	err = p.tx.queryRow(ctx, `
		select min(i.user_id)
		from connections c
		cross join identities i
		cross join users u
		where c.organization = $1
			and c.directory = $2
			and i.organization = $1
			and i.connection = c.id
			and u.organization = $1
			and u.id = i.user_id
			and i.match_value in ($3, $4)
			and i.closed is null
			and u.status <> 'deleted'
		having count(distinct i.user_id) = 1`, p.tx.Organization, p.Directory.ID, sent, folded).Scan(&user)
	if errors.Is(err, errNoRows) {
		return "", nil
	}
	return user, err
}

// resolved gives the collision over this userName that an administrator decided last to be the same person; the zero value
// where there is none.
func (p *Push) resolved(ctx context.Context, nameKey string) (c collision, err error) {
	err = p.tx.queryRow(ctx, `
		select document
		from conflicts
		where organization = $1
			and kind = $2
			and subject = $3
			and resolution = $4
		order by resolved desc
		limit 1`, p.tx.Organization, ConflictCollision, p.collisionSubject(nameKey), SamePerson).Scan(decode(&c))
	if errors.Is(err, errNoRows) {
		return collision{}, nil
	}
	if err != nil {
		return collision{}, fmt.Errorf("read a resolved collision: %w", err)
	}
	return c, nil
}

func domainOf(email string) string {
	_, domain, _ := strings.Cut(email, "@")
	return strings.ToLower(domain)
}

func (p *Push) collisionSubject(nameKey string) string { return string(p.Directory.ID) + "/" + nameKey }

// collide lists the collision for an administrator.
func (p *Push) collide(ctx context.Context, pr profile, a scim.Attributes, nameKey string, holder id.User) error {
	u, err := p.tx.User(ctx, holder)
	if err != nil {
		return err
	}
	// A directory tries again and again. The first time is news.
	n, err := p.tx.exec(ctx, `
		insert into conflicts (organization, id, kind, subject, document, created)
		values ($1, $2, $3, $4, $5, $6)
		on conflict do nothing`,
		p.tx.Organization, id.New[id.Conflict](), ConflictCollision, p.collisionSubject(nameKey), encode(collision{
			Directory: p.Directory.ID, UserName: pr.userName, ExternalID: pr.externalID, Name: pr.shown(a), Email: pr.email,
			Holder: holder, HolderName: u.Name(),
		}), micros(p.tx.now))
	if err != nil {
		return fmt.Errorf("list a collision: %w", err)
	}
	if n == 0 {
		return nil
	}
	p.record(ctx, audit.Event{
		Action: "user.collided", TargetKind: "user", TargetID: string(holder), TargetName: u.Name(), User: holder, Outcome: audit.Refused,
		Code: "collision", Reason: fmt.Sprintf("%s pushed somebody with the userName %s.", p.Directory.Name, pr.userName),
	})
	return p.tx.tellConflict(ctx, fmt.Sprintf("%s pushed somebody with the userName %s, which %s holds already. Nobody was changed; say whether they are the same person.",
		p.Directory.Name, pr.userName, u.Name()))
}

// ResolveCollision decides a collision: with samePerson the next push of this name joins the user who holds it, without it
// the pushes go on being refused.
func (tx *Tx) ResolveCollision(ctx context.Context, conflict id.Conflict, samePerson bool, actor audit.Actor) error {
	c, err := scanConflict(tx.queryRow(ctx, `
		select `+conflictColumns+`
		from conflicts
		where organization = $1
			and id = $2
			and kind = $3`, tx.Organization, conflict, ConflictCollision))
	if errors.Is(err, errNoRows) || err == nil && !c.Resolved.IsZero() {
		return notFound("open conflict", conflict)
	}
	if err != nil {
		return err
	}
	resolution := SamePerson
	if !samePerson {
		resolution = "different-people"
	}
	var doc collision
	if err := json.Unmarshal(c.Document, &doc); err != nil {
		return fmt.Errorf("conflict %s: %w", c.ID, err)
	}
	if samePerson {
		if err := tx.mayEntrust(ctx, actor, doc.Holder); err != nil {
			return err
		}
	}
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "conflict.resolved", TargetKind: "conflict", TargetID: string(c.ID), TargetName: doc.UserName, User: doc.Holder,
		Before: c.Document, After: auditJSON(map[string]string{"resolution": resolution}),
	})
	_, err = tx.closeConflict(ctx, c.Kind, c.Subject, resolution)
	return err
}

// mayEntrust refuses to hand an account to a directory to whoever could not give what the account holds: the directory's
// people would sign in to it, so an administrator of users who also runs the directory would come by an owner's roles.
func (tx *Tx) mayEntrust(ctx context.Context, actor audit.Actor, user id.User) error {
	tx.Lock(ctx, accessLock)
	giver, err := tx.Giver(ctx, actor)
	if err != nil || giver.Operator {
		return err
	}
	ground, err := tx.ground(ctx)
	if err != nil {
		return err
	}
	of, err := tx.Access(ctx, user)
	if err != nil {
		return err
	}
	return access.Entrust(giver, ground, of)
}

// insertRecord queues the record and its addresses.
func (p *Push) insertRecord(user id.User, r scim.Result, pr profile) *scim.Resource {
	res := &scim.Resource{
		ID: string(user), Version: 1, Created: p.now(), Modified: p.now(), Document: p.User.StoredDocument(r.Attributes),
	}
	p.tx.queueRecord(p.Directory.ID, user, &pr, scim.UserNameKey(pr.userName), managerOf(r.Attributes), string(res.Document), p.folded(p.User, r.Attributes))
	p.tx.noteName(p.Directory.ID, user)
	p.tx.queueEmails(p.Directory.ID, user, pr.emails)
	p.claim(p.User, string(user), nil, r.Attributes)
	return res
}

func (tx *Tx) queueRecord(dir id.Directory, user id.User, pr *profile, nameKey, manager, document, folded string) {
	tx.queue(`
		insert into directory_records (organization, directory, user_id, external_id, user_name_key, display_name_key, active,
			manager, document, folded, version, created, modified)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $11)`,
		tx.Organization, dir, user, orNull(pr.externalID), nameKey, orNull(scim.Fold(pr.displayName)), pr.active, orNull(manager),
		document, folded, micros(tx.now))
}

func (tx *Tx) queueEmails(dir id.Directory, user id.User, emails []any) {
	if len(emails) == 0 {
		return
	}
	var rows strings.Builder
	args := []any{tx.Organization, dir, user}
	for i, e := range emails {
		m, _ := e.(map[string]any)
		if i > 0 {
			rows.WriteString(", ")
		}
		n := len(args)
		rows.WriteString("($1, $2, $3")
		for j := 1; j <= 4; j++ {
			rows.WriteString(", $" + strconv.Itoa(n+j))
		}
		rows.WriteString(")")
		args = append(args, i, orNull(scim.Fold(asText(m, "type"))), orNull(scim.Fold(asText(m, "value"))), m["primary"] == true)
	}
	tx.queue(`
		insert into record_emails (organization, directory, user_id, position, type_key, value_key, is_primary)
		values `+rows.String(), args...)
}

// folded is what a filter looks at besides the columns.
func (p *Push) folded(rt *scim.ResourceType, a scim.Attributes) string {
	return string(rt.EncodeFolded(a))
}

// join puts a record under a user who is there already. From here on the record speaks for the user.
func (p *Push) join(ctx context.Context, user id.User, r scim.Result, pr profile, want scim.Want) (*scim.Resource, error) {
	u, err := p.tx.oneUser(ctx, user, p.tx.d.forUpdate())
	if err != nil {
		return nil, err
	}
	before, err := p.accessBefore(ctx, u)
	if err != nil {
		return nil, err
	}
	records, err := p.tx.recordsOf(ctx, user)
	if err != nil {
		return nil, err
	}
	res := p.insertRecord(user, r, pr)
	p.tx.queue(`
		update users
		set local_source = null, updated = $3
		where organization = $1
			and id = $2`, p.tx.Organization, user, micros(p.tx.now))
	if len(records) == 0 {
		p.speak(user, r.Attributes, pr)
	}
	next := directory.StatusOf(directory.Facts{
		SuspendedByAdministrator: !u.SuspendedAt.IsZero(), KeptWithoutDirectory: u.KeptWithoutDirectory, Records: append(records, pr.active),
	})
	p.record(ctx, audit.Event{
		Action: "user.joined", TargetKind: "user", TargetID: string(user), TargetName: u.Name(), User: user,
		Before: object(map[string]any{"source": u.Local, "status": u.Status}), After: res.Document,
	})
	if err := p.pushRoles(ctx, user, nil, r.Attributes); err != nil {
		return nil, err
	}
	if err := p.move(ctx, u, next, before); err != nil {
		return nil, err
	}
	if want.Groups {
		var raw json.RawMessage
		if err := p.tx.queryRow(ctx, `select `+p.groupsOf("$2", "$3"), p.tx.Organization, user, p.Directory.ID).Scan(rawJSON(&raw)); err != nil {
			return nil, fmt.Errorf("read the groups of user %s: %w", user, err)
		}
		if res.Groups, err = readReferences(raw); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// speak copies a record into the user's own columns: the earliest record speaks for the person towards people.
func (p *Push) speak(user id.User, a scim.Attributes, pr profile) {
	p.tx.queue(`
		update users
		set user_name = $3, user_name_key = $4, email = $5, email_key = $6,
			email_verified = case
				when email_key = $6 and email_verified = true then true
				else exists (
					select 1
					from domains
					where domain = $7
						and organization = $1) end,
			display_name = $8, given_name = $9, family_name = $10, updated = $11
		where organization = $1
			and id = $2`,
		p.tx.Organization, user, pr.userName, scim.UserNameKey(pr.userName), orNull(pr.email), orNull(scim.Fold(pr.email)),
		domainOf(pr.email), pr.shown(a), orNull(pr.given), orNull(pr.family), micros(p.tx.now))
}

// spoken reports whether the user's own columns say already what speak would write. An address that is not verified may be by
// now, so it is asked again.
func spoken(u *directory.User, a scim.Attributes, pr profile) bool {
	return u.UserName == pr.userName && u.Email == pr.email && (pr.email == "" || u.EmailVerified) && u.DisplayName == pr.shown(a) &&
		u.GivenName == pr.given && u.FamilyName == pr.family
}

// accessBefore remembers what a user who has access may do, in case the write takes it.
func (p *Push) accessBefore(ctx context.Context, u *directory.User) (*access.Effective, error) {
	if !u.HasAccess() {
		return nil, nil
	}
	return p.tx.Access(ctx, u.ID)
}

// move is transition for a directory: never refused. A user without a seat waits; an organization that loses the last
// holder of a protected role is flagged.
func (p *Push) move(ctx context.Context, u *directory.User, next directory.Status, before *access.Effective) error {
	if next == u.Status {
		return nil
	}
	if err := p.tx.transition(ctx, u, next, p.Actor); err != nil {
		return err
	}
	p.tx.recordUser(ctx, p.Actor, "user.status", u, status(u.Status), map[string]any{"status": next, "seated": u.Seated}, "")
	if next == directory.Active {
		return p.tx.holdersFound(ctx, []id.User{u.ID})
	}
	if before == nil {
		return nil
	}
	return p.tx.HolderLost(ctx, p.Actor, before)
}

const recordColumns = `r.version, r.created, r.modified, r.document`

// ModifyUser changes a record as change decides, and the user's state with it.
func (p *Push) ModifyUser(ctx context.Context, user string, check Check, change func(scim.Attributes) (scim.Result, error), want scim.Want) (*scim.Resource, error) {
	res := &scim.Resource{ID: user}
	var doc, raw json.RawMessage
	var others, active int64
	var speaks, kept bool
	var undone, unsaid time.Time
	dest := []any{&res.Version, at(&res.Created), at(&res.Modified), rawJSON(&doc), &kept, at(&unsaid), at(&undone), &others, &active, &speaks}
	// Counting a column that the key does not hold keeps SQLite from walking the key for the sake of its being covering.
	columns := recordColumns + `, r.active, r.unsaid, r.undone,
			(
				select count(o.active)
				from directory_records o
				where o.organization = $1
					and o.user_id = $3
					and o.directory <> $2),
			(
				select count(*)
				from directory_records o
				where o.organization = $1
					and o.user_id = $3
					and o.directory <> $2
					and (o.active = true or o.undone is not null)),
			not exists (
				select 1
				from directory_records o
				where o.organization = $1
					and o.user_id = $3
					and (o.created < r.created or o.created = r.created and o.directory < r.directory))`
	if want.Groups {
		columns += ",\n\t\t\t" + p.groupsOf("$3", "$2")
		dest = append(dest, rawJSON(&raw))
	}
	columns += ",\n\t\t\t" + userColumns
	u, err := p.tx.scanUser(shifted{p.tx.queryRow(ctx, `
		select `+columns+`
		from directory_records r
		join users u on u.organization = r.organization
			and u.id = r.user_id
		where r.organization = $1
			and r.directory = $2
			and r.user_id = $3`+p.tx.d.forUpdate(), p.tx.Organization, p.Directory.ID, user), dest})
	if errors.Is(err, errNoRows) {
		return nil, p.noResource(p.User, user)
	}
	if err != nil {
		return nil, fmt.Errorf("read record %s: %w", user, err)
	}
	res.Document = doc
	if res.Groups, err = readReferences(raw); err != nil {
		return nil, err
	}
	if check != nil {
		if err := check(res.Version); err != nil {
			return nil, err
		}
	}
	current, err := scim.DecodeStored(doc)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", user, err)
	}
	current["id"] = user
	r, err := change(current)
	if err != nil {
		return nil, err
	}
	// What is unassigned is not taken back: RFC 7644 section 3.5.2.2 has the attribute gone, and whoever was let in, or not,
	// by what it said stays so.
	pr, was := profileOf(r.Attributes).keeping(kept), profileOf(current).keeping(kept)
	silenced := unsaid.IsZero() && !pr.saysActive
	if pr.saysActive {
		unsaid = time.Time{}
	} else if silenced {
		unsaid = p.tx.now
	}
	counted, counts := was.active, pr.active
	if !undone.IsZero() {
		counted = true
		says, err := saysActive(doc, user, r, change)
		if err != nil {
			return nil, err
		}
		if counts = counts || !says; says {
			p.tx.queue(`
				update directory_records
				set undone = null
				where organization = $1
					and directory = $2
					and user_id = $3`, p.tx.Organization, p.Directory.ID, user)
		}
	}
	settle := func() error {
		if counts == counted {
			return nil
		}
		records := []bool{counts}
		if others > 0 {
			records = append(records, active > 0)
		}
		return p.settle(ctx, &u, counts, records)
	}
	if !r.Changed {
		return res, settle()
	}
	if err := p.checkManager(ctx, current, r.Attributes); err != nil {
		return nil, err
	}
	if err := p.checkUnique(ctx, p.User, user, current, r.Attributes); err != nil {
		return nil, err
	}

	res.Version++
	res.Modified = p.now()
	res.Document = p.User.StoredDocument(r.Attributes)
	p.tx.queue(`
		update directory_records
		set external_id = $4, user_name_key = $5, display_name_key = $6, active = $7, manager = $8, document = $9, folded = $10,
			version = $11, modified = $12, unsaid = $13
		where organization = $1
			and directory = $2
			and user_id = $3`,
		p.tx.Organization, p.Directory.ID, user, orNull(pr.externalID), scim.UserNameKey(pr.userName), orNull(scim.Fold(pr.displayName)),
		pr.active, orNull(managerOf(r.Attributes)), string(res.Document), p.folded(p.User, r.Attributes), res.Version, micros(p.tx.now),
		microsOrNull(unsaid))
	if pr.userName != was.userName || pr.displayName != was.displayName {
		p.tx.noteName(p.Directory.ID, id.User(user))
	}
	if encode(pr.emails) != encode(was.emails) {
		p.tx.queue(`
			delete from record_emails
			where organization = $1
				and directory = $2
				and user_id = $3`, p.tx.Organization, p.Directory.ID, user)
		p.tx.queueEmails(p.Directory.ID, id.User(user), pr.emails)
	}
	p.claim(p.User, user, current, r.Attributes)
	if speaks && !spoken(&u, r.Attributes, pr) {
		p.speak(u.ID, r.Attributes, pr)
	}
	before, after := changes(current, r.Attributes)
	reason := ""
	if silenced {
		reason = directory.Unsaid(counts)
	}
	p.record(ctx, audit.Event{
		Action: "user.changed", TargetKind: "user", TargetID: user, TargetName: pr.shown(r.Attributes), User: u.ID, Before: before, After: after,
		Reason: reason,
	})
	if err := p.pushRoles(ctx, u.ID, current, r.Attributes); err != nil {
		return nil, err
	}
	return res, settle()
}

// saysActive tells whether a change says whether the person is active, or leaves it as it was: it does where it makes the
// same of a record that says the opposite.
func saysActive(doc json.RawMessage, user string, r scim.Result, change func(scim.Attributes) (scim.Result, error)) (bool, error) {
	opposite, err := scim.DecodeStored(doc)
	if err != nil {
		return false, fmt.Errorf("record %s: %w", user, err)
	}
	opposite["id"], opposite["active"] = user, true
	o, err := change(opposite)
	is, other := profileOf(r.Attributes), profileOf(o.Attributes)
	return err == nil && is.saysActive && other.saysActive && other.active == is.active, err
}

// settle works out what follows for a user whose record counts as active from now on, or does so no longer.
func (p *Push) settle(ctx context.Context, u *directory.User, counts bool, records []bool) (err error) {
	if !counts {
		if err := p.departs(ctx, waveDeactivated, u.ID, leftBehind{}); err != nil {
			return err
		}
	}
	next := directory.StatusOf(directory.Facts{
		SuspendedByAdministrator: !u.SuspendedAt.IsZero(), KeptWithoutDirectory: u.KeptWithoutDirectory, Local: u.Local, Records: records,
	})
	var held *access.Effective
	if next != directory.Active {
		if held, err = p.accessBefore(ctx, u); err != nil {
			return err
		}
	}
	return p.move(ctx, u, next, held)
}

// shifted scans other columns before those of the inner scan.
type shifted struct {
	scanner
	first []any
}

func (s shifted) Scan(dest ...any) error { return s.scanner.Scan(append(s.first, dest...)...) }

// DeleteUser drops the record. The user is deleted with it when no source is left, stays as a tombstone with its grants, and
// holds no claim on its userName, address, key or upstream subject.
func (p *Push) DeleteUser(ctx context.Context, user string, check Check) error {
	var left leftBehind
	var doc json.RawMessage
	u, err := p.tx.scanUser(shifted{p.tx.queryRow(ctx, `
		select r.version, r.created, r.active, r.unsaid, r.undone, r.document, `+userColumns+`
		from directory_records r
		join users u on u.organization = r.organization
			and u.id = r.user_id
		where r.organization = $1
			and r.directory = $2
			and r.user_id = $3`+p.tx.d.forUpdate(), p.tx.Organization, p.Directory.ID, user), []any{&left.Version, &left.Created, &left.Active, orZero(&left.Unsaid), orZero(&left.Undone), rawJSON(&doc)}})
	if errors.Is(err, errNoRows) {
		return p.noResource(p.User, user)
	}
	if err != nil {
		return fmt.Errorf("read record %s: %w", user, err)
	}
	if check != nil {
		if err := check(left.Version); err != nil {
			return err
		}
	}
	before, err := p.accessBefore(ctx, &u)
	if err != nil {
		return err
	}
	left.Document, left.Kept = doc, u.KeptWithoutDirectory
	if left.Groups, err = p.groupsLeft(ctx, u.ID); err != nil {
		return err
	}
	reports, err := p.reports(ctx, user)
	if err != nil {
		return err
	}
	for _, r := range reports {
		left.Reports = append(left.Reports, r.user)
	}
	if err := p.departs(ctx, waveDeleted, u.ID, left); err != nil {
		return err
	}
	p.tx.queue(`
		delete from directory_records
		where organization = $1
			and directory = $2
			and user_id = $3`, p.tx.Organization, p.Directory.ID, user)
	p.unclaim(user)
	p.leave(user)
	if err := p.forgetManager(ctx, reports); err != nil {
		return err
	}
	p.record(ctx, audit.Event{
		Action: "user.removed", TargetKind: "user", TargetID: user, TargetName: u.Name(), User: u.ID, Before: doc,
	})
	if len(p.Directory.Roles.Accept) > 0 {
		if err := p.settleRoles(ctx, u.ID, nil); err != nil {
			return err
		}
	}
	next, err := p.tx.statusOf(ctx, &u, !u.SuspendedAt.IsZero())
	if err != nil {
		return err
	}
	if next == directory.Deleted {
		p.tx.bury(&u)
	} else if err := p.succeed(ctx, u.ID); err != nil {
		return err
	}
	return p.move(ctx, &u, next, before)
}

// leave takes a member out of this directory's groups and moves their versions on.
func (p *Push) leave(member string) {
	p.tx.queue(`
		update groups
		set version = version + 1, modified = $4
		where organization = $1
			and directory = $2
			and id in (select m.group_id from group_members m where m.organization = $1 and m.member_id = $3)`,
		p.tx.Organization, p.Directory.ID, member, micros(p.tx.now))
	p.tx.queue(`
		delete from group_members
		where organization = $1
			and member_id = $3
			and group_id in (
				select m.group_id
				from group_members m
				cross join groups g
				where m.organization = $1
					and m.member_id = $3
					and g.organization = $1
					and g.id = m.group_id
					and g.directory = $2)`,
		p.tx.Organization, p.Directory.ID, member)
}

// succeed lets the next record speak for a user whose first one went.
func (p *Push) succeed(ctx context.Context, user id.User) error {
	var doc json.RawMessage
	err := p.tx.queryRow(ctx, `
		select document
		from directory_records
		where organization = $1
			and user_id = $2
		order by created, directory
		limit 1`, p.tx.Organization, user).Scan(rawJSON(&doc))
	if errors.Is(err, errNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the next record of user %s: %w", user, err)
	}
	a, err := scim.DecodeStored(doc)
	if err != nil {
		return fmt.Errorf("record of user %s: %w", user, err)
	}
	p.speak(user, a, profileOf(a))
	return nil
}

func managerOf(a scim.Attributes) string {
	enterprise, _ := a[scim.EnterpriseURN].(map[string]any)
	manager, _ := enterprise["manager"].(map[string]any)
	return asText(manager, "value")
}

// checkManager refuses a manager who is no user of this directory: another organization's id, or another directory's, is
// answered exactly as one that does not exist.
func (p *Push) checkManager(ctx context.Context, before, after scim.Attributes) error {
	manager := managerOf(after)
	if manager == "" || manager == managerOf(before) {
		return nil
	}
	var known bool
	err := p.tx.queryRow(ctx, `
		select exists (
			select 1
			from directory_records
			where organization = $1
				and directory = $2
				and user_id = $3)`, p.tx.Organization, p.Directory.ID, manager).Scan(&known)
	if err != nil {
		return fmt.Errorf("look for manager %s: %w", manager, err)
	}
	if !known {
		return fault.New(fault.Invalid, "The manager %q is not a user of this directory.", manager)
	}
	return nil
}

// report is a record that names somebody as manager.
type report struct {
	user id.User
	doc  json.RawMessage
}

func (p *Push) reports(ctx context.Context, manager string) ([]report, error) {
	list, err := collect[report](p.tx.query(ctx, `
		select r.user_id, r.document
		from directory_records r
		where r.organization = $1
			and r.directory = $2
			and r.manager = $3
		order by r.user_id`+p.tx.d.forUpdate(), p.tx.Organization, p.Directory.ID, manager))(func(s scanner) (report, error) {
		var r report
		err := s.Scan(&r.user, rawJSON(&r.doc))
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("look for reports of %s: %w", manager, err)
	}
	return list, nil
}

// forgetManager takes a user who goes out of the records that name it as manager.
func (p *Push) forgetManager(ctx context.Context, reports []report) error {
	for _, r := range reports {
		if err := p.putManager(ctx, r, ""); err != nil {
			return err
		}
	}
	return nil
}

// putManager names another manager in a record, or none.
func (p *Push) putManager(ctx context.Context, r report, manager string) error {
	a, err := scim.DecodeStored(r.doc)
	if err != nil {
		return fmt.Errorf("record %s: %w", r.user, err)
	}
	was := managerOf(a)
	enterprise, _ := a[scim.EnterpriseURN].(map[string]any)
	if enterprise == nil {
		enterprise = map[string]any{}
		a[scim.EnterpriseURN] = enterprise
	}
	schemas, _ := a["schemas"].([]any)
	reason := "The manager was removed."
	if manager == "" {
		delete(enterprise, "manager")
	} else {
		enterprise["manager"] = map[string]any{"value": manager}
		reason = "The manager is back."
	}
	switch listed := slices.Contains(schemas, any(scim.EnterpriseURN)); {
	case len(enterprise) == 0:
		delete(a, scim.EnterpriseURN)
		a["schemas"] = slices.DeleteFunc(schemas, func(urn any) bool { return urn == scim.EnterpriseURN })
	case !listed:
		a["schemas"] = append(schemas, scim.EnterpriseURN)
	}
	p.tx.queue(`
		update directory_records
		set manager = $7, document = $4, folded = $5, version = version + 1, modified = $6
		where organization = $1
			and directory = $2
			and user_id = $3`,
		p.tx.Organization, p.Directory.ID, r.user, string(p.User.StoredDocument(a)), p.folded(p.User, a), micros(p.tx.now), orNull(manager))
	p.record(ctx, audit.Event{
		Action: "user.changed", TargetKind: "user", TargetID: string(r.user), TargetName: profileOf(a).shown(a), User: r.user,
		Before: object(map[string]any{"manager": was}), After: object(map[string]any{"manager": manager}), Reason: reason,
	})
	return nil
}
