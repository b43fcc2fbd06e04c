// Package scim is the System for Cross-domain Identity Management, version 2.0: what a service
// provider must do with the resources, filters and patches that identity providers send it
// (RFC 7643, RFC 7644, RFC 9865).
//
// Its core is pure. A ResourceType says what a resource is made of. DecodeJSON reads a body;
// Create, Replace and Apply decide what the resource becomes and return a Result; Project chooses
// what is answered; ParseFilter turns a filter into an expression that Match evaluates in memory and
// that a store can compile to SQL over the document that Folded makes. Nothing here needs a clock,
// a network or a database.
//
// # What identity providers send
//
// None of them keeps to the letter of the standard. Each departure that is understood has a name, a
// Deviation, and each identity provider a Dialect: a table of the deviations it may use, with the
// place where each was seen. What a dialect forgives is counted in Repairs, so that an administrator
// can see how his provider talks. What no table lists is refused with the status and keyword of
// RFC 7644 section 3.12.
//
// # Readings
//
// Where the standard leaves a choice, or says two things, this package reads it so:
//
//   - "ne" is the negation of "eq", on absent and on multi-valued attributes too: "title ne "x""
//     equals "not (title eq "x")". RFC 7644 section 3.4.2.2 does not say.
//   - An empty string is the same as no value to a filter: "title pr" is false for it.
//   - "attribute eq null" means absent, "ne null" means present.
//   - An attribute whose returned is "never" is checked and forgotten: it can be neither filtered
//     (a filter on a password is an oracle of one bit, RFC 7644 section 7.5) nor stored.
//   - A comparison with a multi-valued complex attribute looks at its "value".
//   - Removing what is not there succeeds (RFC 7644 section 3.5.2.2 gives such an example for
//     members, table 9 would say noTarget).
//   - A remove with a value is refused, or, to the dialects that send it, removes those values; it
//     never empties the attribute.
//   - A PUT that leaves out an attribute with a default keeps what is stored: an inactive user comes back
//     by "active": true and nothing else. A PATCH that removes it makes it unassigned, and it stays so
//     until a value comes.
package scim
