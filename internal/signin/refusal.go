package signin

import (
	"errors"
	"net/http"
	"strings"

	"github.com/vestibule-id/vestibule/internal/connection"
	"github.com/vestibule-id/vestibule/internal/fault"
)

// The codes of this package; package connection has those of the person's own situation.
const (
	CodeAttempt     connection.Code = "attempt-over"         // expired, finished, or another browser's
	CodeProvider    connection.Code = "provider-error"       // the provider answered what it must not
	CodeUnreachable connection.Code = "provider-unreachable" // the provider did not answer in time
	CodeDenied      connection.Code = "provider-denied"      // the provider turned the person away
	CodeToken       connection.Code = "token-refused"        // the ID token proves nothing
	CodeIssuer      connection.Code = "issuer-mismatch"      // the answer is another provider's
	CodeUnasked     connection.Code = "not-asked-for"        // the provider sent somebody whom we had not sent there
	CodeOtherPerson connection.Code = "other-person"         // somebody else proved it than who is signed in
	CodeNotFresh    connection.Code = "not-fresh"            // the provider let the person through without asking anew
	CodeNoFactor    connection.Code = "no-factor"            // a second factor is demanded, and the person has none that serves
	CodeNoAddress   connection.Code = "no-address"           // a code is to be sent, and there is nowhere to send it or nobody to carry it
	CodeTooMany     connection.Code = "too-many-codes"       // wrong codes, or codes sent
	CodeChallenge   connection.Code = "challenge-over"       // the question was answered already, or it took too long
	CodeUnknownKey  connection.Code = "passkey-unknown"      // removed, or of another installation
	CodeRefusedKey  connection.Code = "passkey-refused"      // its answer proves nothing
	CodeCopiedKey   connection.Code = "passkey-copied"       // its count went backwards
	CodeNothingHere connection.Code = "nothing-from-client"  // the home serves the organization asked for, which has given the person nothing
	// CodeWrongPassword stands in the log alone: the page tells everybody the same without it.
	CodeWrongPassword connection.Code = "wrong-password"

	CodeInvitationOver  connection.Code = "invitation-over"  // accepted, expired, revoked or sent again meanwhile
	CodeInvitationOther connection.Code = "invitation-other" // the provider vouches for another address than the invited one
	CodeInvitationKnown connection.Code = "invitation-known" // the provider's account is a user's here already

	CodeInternal connection.Code = "internal" // our own fault
)

// refusal ends a sign-in. Code is for everybody, detail for the administrator, cause for the log.
type refusal struct {
	code   connection.Code
	detail string
	cause  error
	said   string // instead of the code's own words, where they can be more exact
}

func refuse(code connection.Code, detail string) *refusal {
	return &refusal{code: code, detail: detail}
}

// Error implements error.
func (r *refusal) Error() string {
	if r.cause != nil {
		return string(r.code) + ": " + r.detail + ": " + r.cause.Error()
	}
	return string(r.code) + ": " + r.detail
}

// Unwrap gives the cause.
func (r *refusal) Unwrap() error { return r.cause }

// refusalOf gives every error the form of a refusal. What nobody classified is our own fault, and only the log is told of it.
func refusalOf(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	if f := fault.As(err); f != nil {
		_, worded := wordsOf[connection.Code(f.Code)]
		switch {
		case worded:
			return &refusal{code: connection.Code(f.Code), detail: f.Message, cause: errors.Unwrap(f)}
		case f.Kind == fault.Gone:
			return &refusal{code: CodeAttempt, cause: err}
		case f.Code != "":
			return &refusal{code: connection.Code(f.Code), detail: f.Message, cause: err}
		}
	}
	return &refusal{code: CodeInternal, cause: err}
}

// words are what a page says of a code: what happened, and what the reader can do. %s is the organization's name.
type words struct {
	status int
	title  string
	said   string
	do     string
	again  bool // trying again can help
}

const askAdministrator = "Ask an administrator of %s and send them the text below."

var wordsOf = map[connection.Code]words{
	connection.CodeUnknownOrganization: {http.StatusBadRequest, "This link is not right", "The organization it names does not exist here.", "Go back to the application and start again. If it happens again, tell whoever gave you the link.", false},
	connection.CodeUnknownConnection:   {http.StatusBadRequest, "This link is not right", "The way to sign in that it names does not exist here.", "Go back to the application and start again. If it happens again, tell whoever gave you the link.", false},
	connection.CodeConnectionDisabled:  {http.StatusForbidden, "This way to sign in is switched off", "An administrator of %s has switched it off.", askAdministrator, false},
	connection.CodeNoConnection:        {http.StatusForbidden, "There is no way to sign in yet", "%s has not set up how its people sign in.", askAdministrator, false},
	connection.CodeOtherOrganization:   {http.StatusForbidden, "You belong to another organization", "Your address belongs to %s, and the page you want belongs to an organization that it does not serve.", "Go back and sign in with an address of that organization, or ask its administrators for access.", false},

	connection.CodeSuspended:   {http.StatusForbidden, "Your access is suspended", "An administrator of %s has suspended your account.", askAdministrator, false},
	connection.CodeDeactivated: {http.StatusForbidden, "Your account is deactivated", "The directory of %s says that your account is not active.", "If that is wrong, your IT department can activate it there; it then works here by itself.", false},
	connection.CodePending:     {http.StatusForbidden, "Your invitation waits", "%s has invited you, and the invitation was not accepted yet.", "Open the link in the invitation you got by mail, or ask an administrator to send it again.", false},
	connection.CodeDeleted:     {http.StatusForbidden, "Your account was removed", "Your account at %s was removed. Signing in does not bring it back.", askAdministrator, false},
	connection.CodeOverLimit:   {http.StatusForbidden, "No seat is free", "%s has used all its seats. Your account is kept and works as soon as one is free.", askAdministrator, false},
	connection.CodeNoSeat:      {http.StatusForbidden, "No seat is free", "%s has used all its seats, so no account could be made for you.", askAdministrator, false},

	connection.CodeEnforced: {http.StatusForbidden, "Sign in through your organization", "%s signs people of your domain in through its own identity provider alone.", "Go back, enter your address and follow the way there. If the provider is away, use a break-glass code or ask an administrator of %s.", true},
	connection.CodeNotLocal: {http.StatusForbidden, "Sign in through your organization", "Your account at %s is signed in to through an identity provider, so there is no other way to it here.", "Go back, enter your address and follow the way there.", true},

	connection.CodeBoundElse:     {http.StatusForbidden, "This account belongs to another sign-in", "Your account at %s is tied to another account of your identity provider.", askAdministrator, false},
	connection.CodeSeveral:       {http.StatusForbidden, "It is not clear who you are", "More than one account of %s fits what your identity provider says.", askAdministrator, false},
	connection.CodeKeysDiffer:    {http.StatusForbidden, "It is not clear who you are", "An account of %s has your address, but not the same key as your identity provider sends.", askAdministrator, false},
	connection.CodeNotPushed:     {http.StatusForbidden, "There is no account for you yet", "The directory of %s has not told us about you.", "Ask your IT department to assign this application to you. If they have, send them the text below.", true},
	connection.CodeNoEmail:       {http.StatusForbidden, "Your address is missing", "Your identity provider did not say what your email address is, so no account could be made at %s.", askAdministrator, false},
	connection.CodeForeignDomain: {http.StatusForbidden, "Your address is from elsewhere", "Accounts at %s are only made for addresses of its own domains, and yours is not one.", "Sign in with your address of that organization. If you have none, ask one of its administrators to invite you.", true},
	connection.CodeUnverified:    {http.StatusForbidden, "Your address is not confirmed", "Your identity provider does not vouch for your email address, so no account could be made at %s.", "Confirm your address there and sign in again.", true},
	connection.CodeEmailTaken:    {http.StatusForbidden, "Somebody holds this address", "An account of %s has this address already and is not tied to your sign-in.", askAdministrator, false},

	CodeAttempt:         {http.StatusGone, "This sign-in is over", "It was finished already, took longer than ten minutes, was begun in another browser, or this browser keeps no cookies.", "Go back to the application or the page where you started, and sign in from there. Back and reload do not work: each sign-in counts once.", false},
	CodeProvider:        {http.StatusBadGateway, "Your identity provider's answer could not be used", "What it answered does not fit how %s set it up here.", askAdministrator, true},
	CodeUnreachable:     {http.StatusServiceUnavailable, "Your identity provider does not answer", "The identity provider of %s could not be reached in time.", "Try again in a minute.", true},
	CodeDenied:          {http.StatusForbidden, "Your identity provider turned you away", "It did not sign you in to %s.", "Try again. If it stays, your IT department can see why, and may have to assign this application to you.", true},
	CodeToken:           {http.StatusForbidden, "The sign-in could not be verified", "What your identity provider sent does not prove who you are to %s.", "Try again. If it stays, send the text below to your administrator.", true},
	CodeIssuer:          {http.StatusForbidden, "The answer came from elsewhere", "The answer is not of the identity provider that %s uses.", "Try again. If it stays, send the text below to your administrator.", true},
	CodeUnasked:         {http.StatusForbidden, "This sign-in did not begin here", "Your identity provider sent you without being asked. Such a sign-in could be somebody else's, so it is not taken.", "Open the application you want to use, or this site, and sign in from there.", false},
	CodeOtherPerson:     {http.StatusForbidden, "That was somebody else", "You are signed in to %s as one person, and another one has just been shown. Nothing was changed.", "Sign out first if you want to use the other account, or try again with this one.", true},
	CodeNotFresh:        {http.StatusForbidden, "Your identity provider did not ask you anew", "What you want to do needs a fresh sign-in, and the provider of %s let you through on an earlier one.", "Try again and choose another way, or sign out there first. If it stays, send the text below to your administrator.", true},
	CodeNoFactor:        {http.StatusForbidden, "A second factor is missing", "%s asks for a second factor, and none of yours can be used for it.", "Ask an administrator of %s to reset your factors; you then set up a new one when you sign in.", true},
	CodeNoAddress:       {http.StatusConflict, "No code can be sent to you", "Your account at %s has no address to send a code to, or nobody carries messages for it.", "Choose another way, or ask an administrator of %s.", true},
	CodeTooMany:         {http.StatusTooManyRequests, "Too many codes", "Too many codes were asked for or tried for your account at %s.", "Wait a quarter of an hour, or use a passkey.", true},
	CodeChallenge:       {http.StatusGone, "This question is over", "It was answered already, or it took too long.", "Try again: you get a new one.", true},
	CodeUnknownKey:      {http.StatusForbidden, "This passkey is not known here", "It was removed from your account, or it belongs to another installation.", "Sign in another way. You can remove the passkey from your device.", true},
	CodeRefusedKey:      {http.StatusForbidden, "The passkey could not be verified", "What your device answered does not prove who you are.", "Try again, or choose another way.", true},
	CodeCopiedKey:       {http.StatusForbidden, "This passkey may have been copied", "It counted backwards, as a copy of it would.", "Use another way to sign in, remove this passkey in your account and enrol a new one. Tell an administrator of %s.", true},
	CodeWrongPassword:   {http.StatusUnauthorized, "That does not fit", "What you entered does not fit together.", "Try again, or have a link sent to you.", true},
	CodeInvitationOver:  {http.StatusGone, "This invitation cannot be used", "It was accepted, taken back or sent again meanwhile.", "Take the link of the newest letter, sign in if you have accepted already, or ask whoever invited you.", false},
	CodeInvitationOther: {http.StatusForbidden, "That is another address", "The account you signed in with has another address than the one that was invited to %s.", "Open the link again and sign in with the invited address, or ask whoever invited you to invite the other one.", false},
	CodeInvitationKnown: {http.StatusForbidden, "You are here already", "The account you signed in with belongs to a user of %s already, so it needs no invitation.", "Sign in without the invitation. If you are to have more roles, ask whoever invited you to give them to that account.", false},
	CodeInternal:        {http.StatusInternalServerError, "Something went wrong on our side", "You were not signed in. Nothing was changed.", "Try again. If it stays, send the text below to whoever runs this installation.", true},
}

// named puts the organization's name where a sentence has room for it.
func named(sentence, organization string) string {
	return strings.ReplaceAll(sentence, "%s", organization)
}
