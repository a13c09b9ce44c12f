// Package imtest is an emulator of Tencent Cloud Chat (IM) on one machine, without an
// account: it has IM's interfaces to backends and clients.
//
// Create a [Server], add an [App], and point a REST client at the server's URL and the
// app's callbacks at your own:
//
//	emu := imtest.NewServer(imtest.Options{})
//	app := emu.AddApp(imtest.AppConfig{SDKAppID: 1400000000, Key: key, CallbackURL: bundle.URL + "/im", CallbackToken: token})
//	web := httptest.NewServer(emu)
//
// The server answers the REST API under /v4/ with IM's documented codes and limits,
// checks the UserSig of every call, and sends callbacks with IM's query string,
// signature, timeout of two seconds and verdicts. [App.Login] gives a test a user with
// a device, in place of the client SDK; pages do the same over HTTP under /client/, and
// inspect and control the emulator under /emulator/ (README.md describes these routes).
// [App.Seen] and [App.State] return what users really received: the ground truth with
// which a test compares its own state.
//
// Citations such as (1047/34374) name pages of IM's documentation; the comment of
// package im says how to open them.
//
// # What is modelled
//
// Accounts, profiles, friends, friend groups and blacklists, one-to-one messages,
// groups of all types, AVChatRooms with presence by heartbeat, communities with topics,
// messages with history, recall and modification, attributes, counters, mutes
// and bans, robots, all-member push, imports from other systems, and the callbacks
// of all these. README.md lists the commands that are not modelled. Data
// centres: an app lives in one, and is unknown (60026) in the others, which are
// served under /dc/NAME/.
//
// # What is unknown
//
// If the documentation is silent or contradicts itself, [Unknowns] has a switch, so
// that a test can show that a backend works in both cases.
//
// # Faults
//
// [App.Misbehave] and [App.FailNext] make callbacks duplicate, late, reordered or lost,
// and make REST calls answer late, with any code or not at all, before or after they
// took effect: at random from a seed, or on the next call.
//
// # Independence
//
// Nothing here uses a request or answer type of the REST client. The two share only the
// wire format, so a misspelt field fails a test.
package imtest
