package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/directory"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
	"github.com/vestibule-id/vestibule/internal/mail"
	"github.com/vestibule-id/vestibule/internal/notification"
	"github.com/vestibule-id/vestibule/scim"
)

// A wave is what a directory takes away within a window: whom it deactivates and deletes. Every departure is done at once,
// whatever its number, since one that waited would leave a leaver signed in. But it is written down so that it can be
// undone, and when a wave grows beyond the directory's brake the directory is braked and administrators are told. Until one
// of them undoes or releases it, what cannot be taken back is held: what a deleted person's record was is kept, a group is
// not deleted, and nobody comes into a group that gives roles. After a release, or when a wave that was none has long passed,
// what was kept is purged.

// Wave is a directory's wave as administrators see it.
type Wave struct {
	Directory id.Directory
	Started   time.Time
	Departed  int64     // departures so far
	Threshold int64     // beyond which it is braked; 0 while far from it
	Braked    time.Time // zero: it is not
	Released  time.Time // an administrator let it be
}

// Holds reports whether the directory is braked now.
func (w *Wave) Holds() bool { return !w.Braked.IsZero() && w.Released.IsZero() }

// The kinds of departure.
const (
	waveDeactivated = "deactivated"
	waveDeleted     = "deleted"
)

// departure is all that undoing one takes.
type departure struct {
	id   int64
	kind string
	user id.User
	left leftBehind
}

// leftBehind is what a deleted record was.
type leftBehind struct {
	Document json.RawMessage `json:"document,omitempty"`
	Created  int64           `json:"created,omitempty"`
	Version  int64           `json:"version,omitempty"`
	Groups   []id.Group      `json:"groups,omitempty"`
	Kept     bool            `json:"kept,omitempty"`    // kept without directory before
	Undone   int64           `json:"undone,omitempty"`  // its deactivation was undone before
	Unsaid   int64           `json:"unsaid,omitempty"`  // since then it did not say whether the person is active
	Active   bool            `json:"active,omitempty"`  // what it said last, where it did not
	Reports  []id.User       `json:"reports,omitempty"` // whose records named the person as manager
}

const waveColumns = `directory, started, departed, threshold, braked, released`

func scanWave(s scanner) (w Wave, err error) {
	err = s.Scan(&w.Directory, at(&w.Started), &w.Departed, &w.Threshold, at(&w.Braked), at(&w.Released))
	return w, err
}

// Wave gives a directory's latest wave; nil where there was none.
func (tx *Tx) Wave(ctx context.Context, dir id.Directory) (*Wave, error) {
	w, err := scanWave(tx.queryRow(ctx, `
		select `+waveColumns+`
		from directory_waves
		where organization = $1
			and directory = $2`, tx.Organization, dir))
	if errors.Is(err, errNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the wave of %s: %w", dir, err)
	}
	return &w, nil
}

// groupsLeft are the groups of this directory that a user is in, before it leaves them.
func (p *Push) groupsLeft(ctx context.Context, user id.User) ([]id.Group, error) {
	return column[id.Group](p.tx.query(ctx, `
		select m.group_id
		from group_members m
		cross join groups g
		where m.organization = $1
			and m.member_id = $2
			and g.organization = $1
			and g.id = m.group_id
			and g.directory = $3
		order by m.group_id`, p.tx.Organization, user, p.Directory.ID))
}

// departs writes a departure down and brakes the directory when there are too many.
func (p *Push) departs(ctx context.Context, kind string, user id.User, left leftBehind) error {
	brake := p.Directory.Brake
	over := `(directory_waves.braked is null or directory_waves.released is not null) and directory_waves.started <= $4`
	w, err := scanWave(p.tx.queryRow(ctx, `
		insert into directory_waves (organization, directory, started, departed, threshold)
		values ($1, $2, $3, 1, 0)
		on conflict (organization, directory) do update
		set departed = case when `+over+` then 1 else directory_waves.departed + 1 end,
			threshold = case when `+over+` then 0 else directory_waves.threshold end,
			braked = case when `+over+` then null else directory_waves.braked end,
			released = case when `+over+` then null else directory_waves.released end,
			started = case when `+over+` then excluded.started else directory_waves.started end
		returning `+waveColumns, p.tx.Organization, p.Directory.ID, micros(p.tx.now), micros(p.tx.now.Add(-brake.In()))))
	if err != nil {
		return fmt.Errorf("count a departure: %w", err)
	}
	if w.Departed == 1 {
		p.tx.queue(`
			delete from wave_departures
			where organization = $1
				and directory = $2`, p.tx.Organization, p.Directory.ID)
	}
	p.tx.queue(`
		insert into wave_departures (organization, directory, number, kind, user_id, left_behind, at)
		values ($1, $2, $3, $4, $5, $6, $7)`, p.tx.Organization, p.Directory.ID, w.Departed, kind, user, encode(left), micros(p.tx.now))
	if !w.Braked.IsZero() || w.Departed < brake.AtLeast() {
		return nil
	}
	if w.Threshold == 0 {
		var records int64
		if err := p.tx.queryRow(ctx, `
			select count(*)
			from directory_records
			where organization = $1
				and directory = $2`, p.tx.Organization, p.Directory.ID).Scan(&records); err != nil {
			return fmt.Errorf("count the records of %s: %w", p.Directory.ID, err)
		}
		w.Threshold = brake.Threshold(records)
		p.tx.queue(`
			update directory_waves
			set threshold = $3
			where organization = $1
				and directory = $2`, p.tx.Organization, p.Directory.ID, w.Threshold)
	}
	if w.Departed < w.Threshold {
		return nil
	}
	p.tx.queue(`
		update directory_waves
		set braked = $3
		where organization = $1
			and directory = $2`, p.tx.Organization, p.Directory.ID, micros(p.tx.now))
	sentence := fmt.Sprintf("%s took %d people away within %s. They are without access; nobody new comes into a group of it that gives roles, and nothing is deleted for good, until you undo or release this.",
		p.Directory.Name, w.Departed, brake.In())
	p.record(ctx, audit.Event{
		Action: "directory.braked", TargetKind: "directory", TargetID: string(p.Directory.ID), TargetName: p.Directory.Name,
		Reason: sentence, After: auditJSON(map[string]any{"departed": w.Departed, "threshold": w.Threshold}),
	})
	self, err := p.tx.Self(ctx)
	if err != nil {
		return err
	}
	if err := p.tx.setFlag(ctx, self, brakeFlag(p.Directory.ID), sentence); err != nil {
		return err
	}
	if p.tx.db.Public == "" {
		return nil
	}
	_, err = p.tx.NotifyHolders(ctx, notification.Directories, mail.Letter{Template: mail.BrakeWave, Data: map[string]any{
		"Directory": p.Directory.Name, "Count": w.Departed, "Link": p.tx.db.Public + "/o/" + string(p.tx.Organization) + "/directories/" + string(p.Directory.ID) + "/wave",
	}})
	return err
}

func brakeFlag(dir id.Directory) string { return "brake/" + string(dir) }

// refuseHeld refuses what would bring somebody into a group that gives roles while the directory is braked. The provider is
// told to come again, and has not been told that it happened.
func (p *Push) refuseHeld(ctx context.Context, group id.Group) error {
	w, err := p.tx.Wave(ctx, p.Directory.ID)
	if err != nil || w == nil || !w.Holds() {
		return err
	}
	roles, err := p.tx.rolesOfGroup(ctx, group)
	if err != nil || len(roles) == 0 {
		return err
	}
	return p.held(w, "groups that give roles take nobody in")
}

// refusePurge refuses to delete a group while the directory is braked, where grants, mappings or restrictions would go with
// it that nobody could bring back. Its members can be taken out of it all the same.
func (p *Push) refusePurge(ctx context.Context, group id.Group, bears bool) error {
	w, err := p.tx.Wave(ctx, p.Directory.ID)
	if err != nil || w == nil || !w.Holds() {
		return err
	}
	if !bears {
		err = p.tx.queryRow(ctx, `
			select exists (
				select 1
				from restrictions
				where organization = $1
					and group_id = $2)`, p.tx.Organization, group).Scan(&bears)
	}
	if err != nil || !bears {
		return err
	}
	return p.held(w, "no group that gives or restricts anything is deleted")
}

func (p *Push) held(w *Wave, what string) error {
	held := scim.Errorf(http.StatusServiceUnavailable, "", "%s took %d people away at once, so %s until an administrator undoes or releases this in the console.",
		p.Directory.Name, w.Departed, what)
	held.RetryAfter = 10 * time.Minute
	return held
}

// braked gives the wave that waits for a decision, and its directory.
func (tx *Tx) braked(ctx context.Context, dir id.Directory) (*Wave, *directory.Directory, error) {
	tx.Lock(ctx, accessLock)
	d, err := tx.Directory(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	w, err := tx.Wave(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	if w == nil {
		return nil, nil, fault.New(fault.Conflict, "%s has taken nobody away lately.", d.Name)
	}
	if !w.Released.IsZero() {
		return nil, nil, fault.New(fault.Conflict, "What %s took away was released and is purged. Restore people one by one, or have the directory push them again.", d.Name)
	}
	return w, d, nil
}

// purgeDepartures forgets what a directory's wave was made of, and with it what deleted records were.
func (tx *Tx) purgeDepartures(dir id.Directory) {
	tx.queue(`
		delete from wave_departures
		where organization = $1
			and directory = $2`, tx.Organization, dir)
}

// waveGrace is how long beyond its window a wave that did not grow large can be undone.
const waveGrace = day

// dropWaves purges the waves that are over: nobody has to decide about them, or somebody has. One that is braked waits for
// as long as it takes.
func (db *DB) dropWaves(ctx context.Context) (int, error) {
	type over struct {
		organization id.Organization
		directory    id.Directory
		started      time.Time
		settings     directory.Settings
	}
	var all []over
	err := db.System().Read(ctx, func(tx *SystemTx) (err error) {
		all, err = collect[over](tx.lastQuery(ctx, `
			select w.organization, w.directory, w.started, d.document
			from directory_waves w
			join directories d on d.organization = w.organization
				and d.id = w.directory
			where w.braked is null
				or w.released is not null
			order by w.organization, w.directory`))(func(s scanner) (o over, err error) {
			err = s.Scan(&o.organization, &o.directory, at(&o.started), decode(&o.settings))
			return o, err
		})
		return err
	})
	dropped := 0
	for _, o := range all {
		if err != nil {
			break
		}
		if db.now().Sub(o.started) < o.settings.Brake.In()+waveGrace {
			continue
		}
		err = db.Write(ctx, o.organization, func(tx *Tx) error {
			// Asked again: another wave may have begun.
			n, err := tx.exec(ctx, `
				delete from directory_waves
				where organization = $1
					and directory = $2
					and started = $3
					and (braked is null or released is not null)`, tx.Organization, o.directory, micros(o.started))
			if err == nil && n > 0 {
				tx.purgeDepartures(o.directory)
				dropped++
			}
			return err
		})
	}
	return dropped, err
}

// Departed is somebody whom a directory took away in its latest wave.
type Departed struct {
	Number   int64
	User     id.User
	Name     string
	UserName string
	Deleted  bool // its record; else it says inactive
	Status   directory.Status
	At       time.Time
}

// Departures lists whom a directory took away in its latest wave, from behind a number.
func (tx *Tx) Departures(ctx context.Context, dir id.Directory, after int64, limit int) ([]Departed, error) {
	list, err := collect[Departed](tx.query(ctx, `
		select w.number, w.user_id, coalesce(u.display_name, ''), coalesce(u.user_name, ''), w.kind, coalesce(u.status, 'deleted'), w.at
		from wave_departures w
		left join users u on u.organization = w.organization
			and u.id = w.user_id
		where w.organization = $1
			and w.directory = $2
			and w.number > $3
		order by w.number
		limit cast($4 as bigint)`, tx.Organization, dir, after, limit))(func(s scanner) (d Departed, err error) {
		var kind string
		err = s.Scan(&d.Number, &d.User, &d.Name, &d.UserName, &kind, &d.Status, at(&d.At))
		d.Deleted = kind == waveDeleted
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("list the departures of %s: %w", dir, err)
	}
	return list, nil
}

// Held lists what a braked directory asked for and was told to ask for again, the latest first: the request log has it.
func (tx *Tx) Held(ctx context.Context, dir id.Directory, since time.Time, limit int) ([]directory.Request, error) {
	list, err := collect[directory.Request](tx.query(ctx, `
		select `+requestColumns+`
		from scim_requests r
		where r.organization = $1
			and r.directory = $2
			and r.status = 503
			and r.status >= 400
			and r.id >= $5
			and r.at >= $3
		order by r.id desc
		limit cast($4 as bigint)`, tx.Organization, dir, micros(since), limit, id.From[id.Request](since)))(func(s scanner) (directory.Request, error) { return scanRequest(s) })
	if err != nil {
		return nil, fmt.Errorf("list what %s was refused: %w", dir, err)
	}
	return list, nil
}

func (tx *Tx) lower(ctx context.Context, dir id.Directory) error {
	self, err := tx.Self(ctx)
	if err != nil {
		return err
	}
	return tx.setFlag(ctx, self, brakeFlag(dir), "")
}

// ReleaseWave lets a wave be as it is: the directory is braked no longer.
func (tx *Tx) ReleaseWave(ctx context.Context, actor audit.Actor, dir id.Directory, reason string) error {
	w, d, err := tx.braked(ctx, dir)
	if err != nil {
		return err
	}
	if !w.Holds() {
		return fault.New(fault.Conflict, "%s is not braked.", d.Name)
	}
	tx.queue(`
		update directory_waves
		set released = $3
		where organization = $1
			and directory = $2`, tx.Organization, dir, micros(tx.now))
	tx.purgeDepartures(dir)
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "directory.released", TargetKind: "directory", TargetID: string(dir), TargetName: d.Name, Reason: reason,
		Before: auditJSON(map[string]any{"departed": w.Departed}),
	})
	return tx.lower(ctx, dir)
}

// Undone is what became of undoing a wave.
type Undone struct {
	Restored int
	// Left are those who could not be brought back, each with the reason.
	Left map[id.User]string
}

// UndoWave brings back everybody whom a directory took away in its latest wave, in one transaction.
//
// Who was deactivated is let in again by a word of ours beside the record, which goes on saying what the directory sent and
// is read back so. The word holds until the directory says again whether the person is active: one that outvoted it then
// would keep the next real leaver. Who was deleted has the record again, as the directory sent it, with its groups and pushed
// roles. Who cannot come back, since the userName or the seats are taken, is named and stays away.
func (tx *Tx) UndoWave(ctx context.Context, actor audit.Actor, dir id.Directory, reason string) (Undone, error) {
	undone := Undone{Left: map[id.User]string{}}
	w, d, err := tx.braked(ctx, dir)
	if err != nil {
		return undone, err
	}
	all, err := collect[departure](tx.query(ctx, `
		select number, kind, user_id, left_behind
		from wave_departures
		where organization = $1
			and directory = $2
		order by number desc`, tx.Organization, dir))(func(s scanner) (x departure, err error) {
		err = s.Scan(&x.id, &x.kind, &x.user, decode(&x.left))
		return x, err
	})
	if err != nil {
		return undone, fmt.Errorf("read the departures of %s: %w", dir, err)
	}
	types, err := d.Types()
	if err != nil {
		return undone, err
	}
	p := tx.Push(Pusher{Directory: *d, Dialect: scim.RFC, Actor: actor, User: types.User, Group: types.Group})
	for _, x := range all {
		why, err := p.undo(ctx, x, reason)
		switch {
		case err != nil:
			return undone, fmt.Errorf("bring %s back: %w", x.user, err)
		case why != "":
			undone.Left[x.user] = why
		default:
			undone.Restored++
		}
	}
	tx.queue(`
		delete from wave_departures
		where organization = $1
			and directory = $2`, tx.Organization, dir)
	tx.queue(`
		delete from directory_waves
		where organization = $1
			and directory = $2`, tx.Organization, dir)
	tx.Record(ctx, audit.Event{
		Actor: actor, Action: "directory.undone", TargetKind: "directory", TargetID: string(dir), TargetName: d.Name, Reason: reason,
		Before: auditJSON(map[string]any{"departed": w.Departed}), After: auditJSON(map[string]any{"restored": undone.Restored, "left": len(undone.Left)}),
	})
	return undone, tx.lower(ctx, dir)
}

// undo brings one person back, or says why that cannot be.
func (p *Push) undo(ctx context.Context, x departure, reason string) (why string, err error) {
	tx := p.tx
	u, err := tx.oneUser(ctx, x.user, tx.d.forUpdate())
	if fault.KindOf(err) == fault.NotFound {
		return "The user is gone.", nil
	}
	if err != nil {
		return "", err
	}
	record, err := tx.lookUp(ctx, p.Directory.ID, lookupShape{by: byID}, string(x.user))
	if err != nil {
		return "", fmt.Errorf("read record %s: %w", x.user, err)
	}
	there := len(record) > 0
	if x.kind == waveDeactivated {
		if !there {
			return "", nil // deleted afterwards, which is a departure of its own
		}
		return p.undoDeactivation(ctx, u, reason)
	}
	if there {
		return "", nil
	}
	a, err := scim.DecodeStored(x.left.Document)
	if err != nil {
		return "", fmt.Errorf("record %s: %w", x.user, err)
	}
	if path, why := p.User.Misfit(a); why != "" {
		return fmt.Sprintf("The record holds %s, which the directory's extensions no longer allow.", path), nil
	}
	if err := p.checkUnique(ctx, p.User, string(x.user), nil, a); fault.KindOf(err) == fault.Conflict {
		return fault.As(err).Message, nil
	} else if err != nil {
		return "", err
	}
	pr := profileOf(a).keeping(x.left.Active)
	var taken bool
	if err := tx.queryRow(ctx, `
		select exists (
			select 1
			from directory_records
			where organization = $1
				and directory = $2
				and user_name_key = $3)
			or exists (
			select 1
			from users
			where organization = $1
				and user_name_key = $4
				and status <> 'deleted'
				and id <> $5)`,
		tx.Organization, p.Directory.ID, scim.UserNameKey(pr.userName), scim.UserNameKey(u.UserName), x.user).Scan(&taken); err != nil {
		return "", fmt.Errorf("look for %s: %w", pr.userName, err)
	}
	if taken {
		return fmt.Sprintf("Somebody else holds the userName %s now.", pr.userName), nil
	}
	deleted := u.Status == directory.Deleted
	if full, err := p.full(ctx); deleted && (err != nil || full != "") {
		return full, err
	}
	p.insertRecord(x.user, scim.Result{Attributes: a}, pr)
	tx.queue(`
		update directory_records
		set version = $4, created = $5, undone = $6, unsaid = $7
		where organization = $1
			and directory = $2
			and user_id = $3`, tx.Organization, p.Directory.ID, x.user, x.left.Version+1, x.left.Created, orNull(x.left.Undone),
		orNull(x.left.Unsaid))
	if err := p.manageAgain(ctx, x); err != nil {
		return "", err
	}
	for _, group := range x.left.Groups {
		tx.queue(`
			insert into group_members (organization, group_id, member_id, kind, source, added)
			select g.organization, g.id, $3, $4, $5, cast($6 as bigint)
			from groups g
			where g.organization = $1
				and g.id = $2
			on conflict do nothing`, tx.Organization, group, x.user, directory.UserMember, directory.MemberPushed, micros(tx.now))
		tx.queue(`
			update groups
			set version = version + 1, modified = $3
			where organization = $1
				and id = $2`, tx.Organization, group, micros(tx.now))
	}
	if !deleted {
		return "", p.pushRoles(ctx, x.user, nil, a)
	}
	if err := tx.RestoreUser(ctx, x.user, p.Actor, reason); err != nil {
		return "", err
	}
	// The record speaks for the user again, and not the administrator.
	if u, err = tx.oneUser(ctx, x.user, ""); err != nil {
		return "", err
	}
	tx.queue(`
		update users
		set kept_without_directory = $3
		where organization = $1
			and id = $2`, tx.Organization, x.user, x.left.Kept)
	u.KeptWithoutDirectory = x.left.Kept
	next, err := tx.statusOf(ctx, u, !u.SuspendedAt.IsZero())
	if err != nil {
		return "", err
	}
	if err := p.move(ctx, u, next, nil); err != nil {
		return "", err
	}
	return "", p.pushRoles(ctx, x.user, nil, a)
}

// undoDeactivation lets a person in again whose record says inactive, and leaves the record.
func (p *Push) undoDeactivation(ctx context.Context, u *directory.User, reason string) (why string, err error) {
	n, err := p.tx.exec(ctx, `
		update directory_records
		set undone = $4
		where organization = $1
			and directory = $2
			and user_id = $3
			and active = false
			and undone is null`, p.tx.Organization, p.Directory.ID, u.ID, micros(p.tx.now))
	if err != nil || n == 0 {
		return "", err // the directory has said that the person is active meanwhile
	}
	p.record(ctx, audit.Event{
		Action: "user.departure-undone", TargetKind: "user", TargetID: string(u.ID), TargetName: u.Name(), User: u.ID, Reason: reason,
		After: auditJSON(map[string]any{"until": "the directory says again whether the person is active"}),
	})
	next, err := p.tx.statusOf(ctx, u, !u.SuspendedAt.IsZero())
	if err != nil {
		return "", err
	}
	return "", p.move(ctx, u, next, nil)
}

// manageAgain names somebody who is back as manager again, where nobody else has been named since.
func (p *Push) manageAgain(ctx context.Context, x departure) error {
	for _, user := range x.left.Reports {
		var r report
		err := p.tx.queryRow(ctx, `
			select r.user_id, r.document
			from directory_records r
			where r.organization = $1
				and r.directory = $2
				and r.user_id = $3
				and r.manager is null`+p.tx.d.forUpdate(), p.tx.Organization, p.Directory.ID, user).Scan(&r.user, rawJSON(&r.doc))
		switch {
		case errors.Is(err, errNoRows):
			continue
		case err != nil:
			return fmt.Errorf("read record %s: %w", user, err)
		}
		if err := p.putManager(ctx, r, string(x.user)); err != nil {
			return err
		}
	}
	return nil
}

// full says that no seat is free for one more.
func (p *Push) full(ctx context.Context) (string, error) {
	free, err := p.tx.seatFree(ctx)
	if err != nil || free {
		return "", err
	}
	return "All seats are taken.", nil
}

// CountDepartures counts the people of a directory's latest wave.
func (tx *Tx) CountDepartures(ctx context.Context, dir id.Directory) (deactivated, deleted int, err error) {
	err = tx.queryRow(ctx, `
		select count(distinct case when kind = 'deactivated' then user_id end), count(distinct case when kind = 'deleted' then user_id end)
		from wave_departures
		where organization = $1
			and directory = $2`, tx.Organization, dir).Scan(&deactivated, &deleted)
	return deactivated, deleted, err
}
