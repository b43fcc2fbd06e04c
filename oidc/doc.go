// Package oidc is the protocol half of an OpenID Provider: it reads and judges what arrives from
// browsers and applications, asks its owner three small questions, and writes the answer. It knows
// nothing of who the people are, where anything is stored, or how they sign in.
//
// # What it speaks
//
// OpenID Connect Core 1.0 (authorization code flow only), Discovery 1.0, RP-Initiated Logout 1.0,
// Back-Channel Logout 1.0 (it signs the token, its owner delivers), OAuth 2.0 (RFC 6749) as
// tightened by RFC 9700, PKCE (RFC 7636), bearer tokens (RFC 6750), revocation (RFC 7009),
// introspection (RFC 7662), the iss parameter (RFC 9207) and JWT access tokens (RFC 9068) for
// applications that act for themselves.
//
// # The flow
//
// Nothing is kept in memory between two requests; each state is a row of the owner's store.
//
//	state              how it is reached                         how it is left
//	-----------------  ----------------------------------------  ------------------------------------------
//	(nothing)          GET or POST /authorize, judged here       refused on a page of ours: client or
//	                                                             redirect URI not known for certain
//	                                                             refused at the client: anything else wrong
//	                                                             -> attempt, or -> code if a session fits
//	attempt            Browser.Authorize keeps the request and   GET /authorize/resume by the same browser
//	                   binds it to the browser's cookie; the     after it has signed in -> code; by another
//	                   browser goes to the sign-in page          browser, twice, or too late: refused here
//	code               Browser kept it, 60 seconds, as a hash    POST /token by the same client with the same
//	                                                             redirect URI and the PKCE verifier -> tokens
//	tokens             Tokens.Redeem, one transaction            access token: 15 minutes or its user's end
//	                                                             refresh token: POST /token -> tokens, the old
//	                                                             one is spent
//	spent code or      presented a second time                   the whole family is revoked: whoever holds
//	refresh token                                                the newest token may be the thief (RFC 9700
//	                                                             section 4.14.2, RFC 6749 section 4.1.2)
//	signed out         GET or POST /end_session                  session and what hangs on it ended, other
//	                                                             applications told by a logout token
//
// # What it insists on
//
//   - PKCE with S256 from every client, confidential ones too (RFC 9700 section 2.1.1).
//   - Redirect URIs equal byte for byte to a registered one, after the one decoding that the query
//     string itself needs. Only a public client's loopback address may change its port (RFC 8252
//     section 7.3).
//   - A parameter at most once (RFC 6749 section 3.1), of a bounded length, in a body of at most 64 KiB.
//   - Secrets, tokens and codes never in a query on the endpoints meant for applications.
//   - Codes and opaque tokens are the owner's to make and carry 256 random bits; it keeps hashes only.
//
// request, request_uri, registration, the device grant, token exchange and client assertions are not
// served and are refused by name.
package oidc
