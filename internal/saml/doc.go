// Package saml is the house's SAML 2.0: a service provider towards upstream identity providers, and an identity provider
// towards applications. It makes and reads requests and answers, and publishes and reads metadata. It knows no organization, keeps no state, fetches nothing, and hands out its
// own words only; goxmldsig and etree stay inside.
//
// # The subject in one screen
//
// A person wants to sign in. We send the browser to her company's identity provider with an AuthnRequest (SAML Core
// section 3.4.1), either in the query of a redirect, deflated (SAML Bindings section 3.4), or in a form that posts itself
// (Bindings 3.5). The provider authenticates her and lets the browser post a Response to our assertion consumer service. In
// it lies an Assertion (Core 2.3.3): issued by the provider, about a Subject with a NameID, confirmed for whoever bears it
// at one address until one instant, under Conditions such as its audience, with an AuthnStatement of when and how she was
// authenticated and an AttributeStatement of what the provider says about her. The rules of who sends what and checks what
// are the Web Browser SSO Profile (SAML Profiles section 4.1); those of ending the sessions together are the Single Logout
// Profile (Profiles 4.4). What the two sides know of each other, names, addresses and keys, each publishes as metadata
// (SAML Metadata section 2).
//
// All of it goes through a browser, so every byte is the attacker's to change or to make. The only thing he cannot do is
// sign with the provider's key. The whole art is to believe nothing but what that key signed.
//
// # How a response is read
//
//	step          what it does                                                            refused as
//	bytes         size, base64, UTF-8, no document type, CDATA, comment or instruction,   shape
//	              depth and counts, well-formed, stable in a round trip
//	tree          every prefix declared, no attribute and no id twice                     shape
//	structure     one Response; assertions and signatures only where the schema has       shape, signature
//	              them; each signature over its own parent by the two transforms of
//	              Core 5.4 with algorithms that hold
//	envelope      version, status, issuer, destination, InResponseTo, as the response     status, issuer, destination,
//	              itself says                                                             request
//	signature     if the response is signed: verified with each pinned key, and from      signature
//	              there on its verified copy counts; the envelope is checked again
//	decryption    if the assertion is encrypted                                           decryption
//	signature     if the assertion is signed: verified likewise                           signature
//	assertion     age of both; version, issuer, conditions and every audience             issuer, time, audience,
//	              restriction, bearer confirmation, NameID, authentication, attributes    subject, authn-context
//	once          by the caller, in the transaction that makes the session                replay
//
// # How a request is read
//
// Towards applications the sides change: an AuthnRequest goes through the same gate (bytes, tree, structure), and then
//
//	issuer        names an application that is registered, with no more in the message than the name
//	signature     by a registered certificate, where there is one; from there on the verified copy counts
//	destination   this address, which a signed request must name
//	time          made within minutes
//	address       the answer is asked for where it is registered, or nowhere in particular
//
// Until then everything stays on a page of ours; from there on what cannot be met is told by a status (Issuer.Refuse). Once
// is left to the caller, as with responses.
//
// # Why it is built this way
//
// Signature wrapping (Somorovsky et al., 2012; XSW 1-8 in the tests) moves the signed element to where the verifier finds
// it and puts a forged one where the reader looks. So the gate admits one place for it, and identity is read from the
// element alone that goxmldsig parsed anew out of the very bytes it digested, never from the document that came in.
//
// KeyInfo is a claim of the sender about his own key. It is dropped, and each certificate of this connection is tried, which
// is also what keeps sign-ins working through a rollover at a provider that sends none.
//
// XML Encryption's CBC has no integrity, and a stranger who can tell one failure from another decrypts with it (Jager and
// Somorovsky, 2011); so can PKCS #1 v1.5 be turned into an oracle (Bleichenbacher, 1998). Hence OAEP only, a random key in
// place of one that does not open, and one answer for everything that goes wrong behind the key. The envelope is checked
// before any key is touched, so that each question costs an attempt of its own, and the caller ends an attempt with its
// first response.
//
// A panic is a refusal at every exported reader: the parsers below are fed by strangers.
//
// The service provider of crewjam/saml is not used. It accepts SHA-1, a missing audience, a document type and an answer
// stolen from somebody else's request, reads the element that came in rather than the verified one, panics on some input,
// and keeps its clock skew in globals. What would remain of it after our gate, our verification and our checks is the
// reading of attributes. It serves in the tests as the other implementation, on both sides.
//
// # What is left to the caller
//
// Of the negative catalogue's cases 116 to 163, those that no library can hold belong to the sign-in flow:
//
//   - 143, of another browser's attempt: bind the attempt to a browser by a cookie, and pass that attempt's request id.
//   - 145, on another node: Once within the transaction, on a unique key of connection and id.
//   - 153: the landing page is looked up by the handle; what Handle does not know lands on the fixed page.
//   - 154, the time it takes: what follows a successful opening takes longer than a failed one, by a verification; do not
//     answer one address faster than it may ask, and end the attempt.
//   - 156: escape Status on the page.
//   - 159: a request with SAMLart and no SAMLResponse is refused here; route nothing to it.
//   - 144, where unsolicited responses are taken: ask the person before anybody is signed in, since any page could have sent one.
//   - 160: the assertion consumer service answers POST only.
//   - 161: choose the connection by the address that was posted to, never by the issuer in the message.
//   - 162, another user's: end only sessions of that NameID at this connection.
//   - 163, http: fetch metadata over https with limits; compare, and keep what needs approval until a person has looked.
//
// # What is not served
//
// SOAP and artifact bindings, EncryptedID and EncryptedAttribute, NameID management, attribute queries, ECP, ECDSA on
// other curves than P-256 and P-384, inclusive canonicalization (Core 5.4.3 asks for the exclusive), RetrievalMethod, and
// SHA-1 anywhere but within OAEP.
package saml
