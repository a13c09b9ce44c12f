// Package desktest holds what every adapter of [desk.Desk] faces, [Run], and
// the fakes of both desks, [Zendesk] and [Salesforce]: http.Handlers that behave
// as the desks' manuals say, and misbehave as they are told.
//
// The fakes and the adapters meet on the wire alone; no type of theirs is shared.
// scripts/dev serves the fakes too.
package desktest
