// Package desktest holds the suite of every adapter of [desk.Desk], [Run], and the
// fakes of both desks, [Zendesk] and [Salesforce]: http.Handlers that behave as the
// desks' manuals say, and fail on demand.
//
// The fakes and the adapters meet on the wire alone; no type of theirs is shared.
// scripts/dev serves the fakes too.
package desktest
