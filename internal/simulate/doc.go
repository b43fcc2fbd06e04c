// Package simulate plays an identity provider's provisioning against a SCIM server, any server: the first push, changes,
// groups and their members, renames, leavers, people who come back, and a full resynchronization, in the bodies and the
// order that the provider uses. What the server answers is judged as the provider would judge it, and what it stored is
// read back.
//
// A Dialect is one provider. Its table of Rows says for everything it sends where that is known from and what breaks when
// a server does not understand it; a Finding names its row. No live provider was recorded: a row whose source begins with
// "assumed" comes from reports of integrators, and gives way to a recording.
//
// The cycle is the same for all:
//
//	probe       the provider's test of the connection
//	push        for each person: look up, create, or adopt whom an earlier run left behind
//	duplicate   create one person again: a conflict, not a second record
//	groups      look up, create, fill
//	change      title, department, manager, country
//	rename      a new name, address and userName; groups are renamed too
//	membership  one member leaves, another comes
//	deactivate  a fifth of the people leave
//	reactivate  half of them come back
//	delete      the others are deleted, where the provider deletes
//	unlink      one group is emptied and deleted
//	import      everybody page by page, by providers that do
//	resync      look up everybody again: nothing may have changed
//	cleanup     when asked for: delete everything this run made or adopted
//
// People and groups follow from the seed alone, so a run that was left behind is found again by the next with that seed.
package simulate
