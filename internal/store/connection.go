package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vestibule-id/vestibule/internal/audit"
	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
	"github.com/vestibule-id/vestibule/internal/id"
)

// madeHere marks a connection that an administrator made, by console, API or a setup link.
const madeHere = "console"

// ManagedConnection is a connection with what managing it needs.
type ManagedConnection struct {
	connection.Connection
	Declared bool  // in the operator's file, and changed there
	Version  int64 // of the settings: whether a test sign-in was of these
	Created  time.Time
}

const managedColumns = `id, name, protocol, directory, document, source, version, created`

func (tx *Tx) scanManaged(s scanner) (c ManagedConnection, err error) {
	var source string
	c.Organization = tx.Organization
	err = s.Scan(&c.ID, &c.Name, &c.Protocol, orEmpty(&c.Directory), decode(&c.Settings), &source, &c.Version, at(&c.Created))
	c.Declared = source == fromFile
	return c, err
}

// ManagedConnections lists the organization's connections by id.
func (tx *Tx) ManagedConnections(ctx context.Context) ([]ManagedConnection, error) {
	all, err := collect[ManagedConnection](tx.query(ctx, `
		select `+managedColumns+`
		from connections
		where organization = $1
		order by id`, tx.Organization))(tx.scanManaged)
	if err != nil {
		return nil, fmt.Errorf("list the connections: %w", err)
	}
	return all, nil
}

// ManagedConnection reads one.
func (tx *Tx) ManagedConnection(ctx context.Context, c id.Connection) (ManagedConnection, error) {
	return tx.managedConnection(ctx, c, "")
}

func (tx *Tx) managedConnection(ctx context.Context, c id.Connection, lock string) (ManagedConnection, error) {
	m, err := tx.scanManaged(tx.queryRow(ctx, `
		select `+managedColumns+`
		from connections
		where organization = $1
			and id = $2`+lock, tx.Organization, c))
	if errors.Is(err, errNoRows) {
		err = fault.New(fault.NotFound, "This organization has no connection %q.", c)
	}
	return m, err
}

// CheckConnection checks what an administrator wants of a connection, and completes it. Each wrong field is named.
func (tx *Tx) CheckConnection(ctx context.Context, c *connection.Connection) error {
	var dir *connection.Directory
	if c.Directory != "" {
		d, err := tx.Directory(ctx, c.Directory)
		switch {
		case err == nil:
			dir = &connection.Directory{ID: d.ID, Dialect: d.Dialect, Key: connection.Attribute(d.Key)}
		case fault.KindOf(err) != fault.NotFound:
			return err
		}
	}
	if err := connection.Validate(c, dir); err != nil {
		return err
	}
	proven, err := tx.provenDomains(ctx)
	if err != nil {
		return err
	}
	f := fault.New(fault.Invalid, "The connection %s is not complete.", c.ID)
	for _, d := range c.Settings.Domains {
		if !slices.Contains(proven, d) {
			f.WithField("domains", "%s is not proven to be this organization's. Prove it under Domains first.", d)
		}
	}
	if len(f.Fields) > 0 {
		return f
	}
	return nil
}

func (tx *Tx) provenDomains(ctx context.Context) ([]string, error) {
	return collect[string](tx.query(ctx, `
		select domain
		from domains
		where organization = $1
		order by domain`, tx.Organization))(func(s scanner) (d string, err error) {
		err = s.Scan(&d)
		return d, err
	})
}

// MakeConnection keeps a new connection as a draft: nobody but a test sign-in goes through it until it is opened.
func (tx *Tx) MakeConnection(ctx context.Context, actor audit.Actor, c connection.Connection) error {
	if !id.Declared(string(c.ID)) {
		return fault.New(fault.Invalid, "This cannot be an id.").
			WithField("id", "Lower-case letters, digits, dot, dash and underscore, at most 63, beginning with a letter or digit.")
	}
	c.Settings.Draft = true
	if err := tx.CheckConnection(ctx, &c); err != nil {
		return err
	}
	n, err := tx.exec(ctx, `
		insert into connections (organization, id, name, protocol, directory, document, version, created, source)
		values ($1, $2, $3, $4, $5, $6, 1, $7, $8)
		on conflict (organization, id) do nothing`,
		tx.Organization, c.ID, c.Name, c.Protocol, orNull(c.Directory), encode(c.Settings), micros(tx.now), madeHere)
	if err != nil {
		return fmt.Errorf("make connection %s: %w", c.ID, err)
	}
	if n == 0 {
		return fault.New(fault.Conflict, "There is a connection %s already.", c.ID).WithField("id", "It is taken.")
	}
	tx.recordConnection(ctx, actor, "connection.created", c, nil, "")
	return nil
}

// ChangeConnection keeps new settings of a connection that was made here. With them earlier test sign-ins count no longer, and what
// was fetched from an OpenID Provider is forgotten. Version is that of the settings which the change was made on; an empty secret leaves the
// one there is.
func (tx *Tx) ChangeConnection(ctx context.Context, actor audit.Actor, c connection.Connection, version int64) error {
	was, err := tx.changeable(ctx, c.ID)
	if err != nil {
		return err
	}
	if was.Version != version {
		return fault.New(fault.Conflict, "Somebody else has changed this connection meanwhile. Look at it again first.")
	}
	c.Protocol = was.Protocol // identities hang on it
	c.Settings.Draft, c.Settings.Disabled = was.Settings.Draft, was.Settings.Disabled
	if c.Settings.ClientSecret == "" {
		c.Settings.ClientSecret = was.Settings.ClientSecret
	}
	if err := tx.CheckConnection(ctx, &c); err != nil {
		return err
	}
	if c.Name == was.Name && c.Directory == was.Directory && string(encodeJSON(c.Settings)) == string(encodeJSON(was.Settings)) {
		return nil
	}
	tx.queue(`
		update connections
		set name = $1, directory = $2, document = $3, version = version + 1
		where organization = $4 and id = $5`,
		c.Name, orNull(c.Directory), encode(c.Settings), tx.Organization, c.ID)
	tx.queue(`delete from connection_documents where organization = $1 and connection = $2 and kind not like 'saml-%'`, tx.Organization, c.ID)
	tx.recordConnection(ctx, actor, "connection.changed", c, &was.Connection, "")
	return nil
}

// changeable reads a connection for a change and refuses one that the operator's file declares.
func (tx *Tx) changeable(ctx context.Context, c id.Connection) (ManagedConnection, error) {
	was, err := tx.managedConnection(ctx, c, tx.d.forUpdate())
	if err == nil && was.Declared {
		err = fault.New(fault.Conflict, "The connection %s is declared in the operator's file, and changed there.", was.Name)
	}
	return was, err
}

// OpenConnection lets people sign in through a connection. One that was never open needs a test sign-in that somebody passed with the
// settings as they are.
func (tx *Tx) OpenConnection(ctx context.Context, actor audit.Actor, c id.Connection) error {
	was, err := tx.changeable(ctx, c)
	if err != nil || !was.Settings.Closed() {
		return err
	}
	if was.Settings.Draft {
		_, passed, err := tx.PassedTest(ctx, c, "")
		if err != nil {
			return err
		}
		if !passed {
			return fault.New(fault.Conflict, "Nobody has passed a test sign-in through %s with these settings. Pass one first.", was.Name).
				WithCode("test-needed")
		}
	}
	was.Settings.Draft, was.Settings.Disabled = false, false
	return tx.setConnectionState(ctx, actor, was, "connection.opened", "")
}

// CloseConnection lets nobody in through a connection until it is opened again. Who is signed in stays.
func (tx *Tx) CloseConnection(ctx context.Context, actor audit.Actor, c id.Connection, reason string) error {
	was, err := tx.changeable(ctx, c)
	if err != nil || was.Settings.Closed() {
		return err
	}
	was.Settings.Disabled = true
	return tx.setConnectionState(ctx, actor, was, "connection.closed", reason)
}

// setConnectionState leaves the version: what was tested is still what is set.
func (tx *Tx) setConnectionState(ctx context.Context, actor audit.Actor, c ManagedConnection, action, reason string) error {
	_, err := tx.exec(ctx, `
		update connections
		set document = $1
		where organization = $2 and id = $3`, encode(c.Settings), tx.Organization, c.ID)
	if err != nil {
		return fmt.Errorf("set the state of connection %s: %w", c.ID, err)
	}
	tx.recordConnection(ctx, actor, action, c.Connection, &c.Connection, reason)
	return nil
}

// DeleteConnection takes a connection away. The identities it made stay and mean nothing without it.
func (tx *Tx) DeleteConnection(ctx context.Context, actor audit.Actor, c id.Connection, reason string) error {
	was, err := tx.changeable(ctx, c)
	if err != nil {
		return err
	}
	if !was.Settings.Closed() {
		return fault.New(fault.Conflict, "People sign in through %s. Switch it off first.", was.Name)
	}
	tx.queue(`delete from connections where organization = $1 and id = $2`, tx.Organization, c)
	tx.recordConnection(ctx, actor, "connection.deleted", was.Connection, &was.Connection, reason)
	return nil
}

// recordConnection tells what changed, field by field; of a secret, that it did.
func (tx *Tx) recordConnection(ctx context.Context, actor audit.Actor, action string, c connection.Connection, was *connection.Connection, reason string) {
	e := audit.Event{
		Actor: actor, Action: action, TargetKind: "connection", TargetID: string(c.ID), TargetName: c.Name, Reason: reason,
	}
	after := connectionFields(c)
	if was == nil {
		e.After = auditJSON(after)
		tx.Record(ctx, e)
		return
	}
	before := connectionFields(*was)
	changedBefore, changedAfter := map[string]any{}, map[string]any{}
	for name := range before {
		if fmt.Sprint(before[name]) != fmt.Sprint(after[name]) {
			changedBefore[name] = before[name]
		}
	}
	for name := range after {
		if fmt.Sprint(before[name]) != fmt.Sprint(after[name]) {
			changedAfter[name] = after[name]
		}
	}
	if c.Settings.ClientSecret != was.Settings.ClientSecret {
		changedAfter["client_secret"] = "replaced"
	}
	if len(changedBefore)+len(changedAfter) > 0 {
		e.Before, e.After = auditJSON(changedBefore), auditJSON(changedAfter)
	}
	tx.Record(ctx, e)
}

func connectionFields(c connection.Connection) map[string]any {
	c.Settings.ClientSecret = ""
	fields := map[string]any{}
	if err := json.Unmarshal(encodeJSON(c.Settings), &fields); err != nil {
		panic("store: the settings of a connection: " + err.Error()) // our own struct
	}
	fields["name"], fields["protocol"], fields["directory"] = c.Name, c.Protocol, c.Directory
	return fields
}

func encodeJSON(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("store: encode: " + err.Error()) // our own structs always encode
	}
	return raw
}
