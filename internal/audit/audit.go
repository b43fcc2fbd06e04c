// Package audit describes what happened: who did what to whom, when, from where, by which door, before and after.
// Every write carries its event in the same transaction; audit is not logging.
package audit

import (
	"encoding/json"

	"github.com/vestibule-id/vestibule/internal/id"
)

// Door is the way a change came in.
type Door string

// The doors of MODEL: each one is under the same rules.
const (
	Console   Door = "console"
	API       Door = "api"
	CLI       Door = "cli"
	Apply     Door = "apply"
	SCIM      Door = "scim"
	SignIn    Door = "sign-in"
	OpenID    Door = "openid"
	SAML      Door = "saml" // towards applications
	JobRunner Door = "job"
)

// ActorKind says what sort of actor acted.
type ActorKind string

// The kinds of actor.
const (
	ActorUser        ActorKind = "user"
	ActorOperator    ActorKind = "operator"
	ActorDirectory   ActorKind = "directory"
	ActorConnection  ActorKind = "connection"
	ActorApplication ActorKind = "application"
	ActorSystem      ActorKind = "system"
	ActorSetupLink   ActorKind = "setup-link" // whoever holds it; the name is its contact's
)

// Actor is who acts, together with the request they act by. A door makes one per request and hands it down.
type Actor struct {
	Kind         ActorKind
	ID           string
	Name         string          // as a person would say it
	Organization id.Organization // the actor's own; '' for operators and the system
	Door         Door
	IP           string
	Request      string // the request's id, as in the log
	// AMR are the methods shown in the session that a user acts in: what counts only with a second factor counts by them. They are
	// no part of the event.
	AMR []string
}

// Outcomes of an event.
const (
	Done    = "done"
	Refused = "refused"
)

// Event is one thing that happened. Action is object.verb in the words of the model: user.created, grant.given,
// session.ended, sign-in.refused. Before and After hold only what changed, never a secret, token or assertion.
type Event struct {
	ID         id.Event // made by the store when empty
	Actor      Actor
	Action     string
	TargetKind string
	TargetID   string
	TargetName string
	User       id.User // the user it concerns, if any: the filter "everything about this person"
	Outcome    string  // Done when empty
	Code       string  // the short code of a refusal, as shown on the page
	Before     json.RawMessage
	After      json.RawMessage
	Reason     string
	At         int64 // UTC microseconds; set by the store when 0
}
