// Package wiring makes programs of features and settings.
//
// A feature is one scenario of the product: chat moderation, team matching, the
// support desk. A feature describes itself once, as a [Feature] in a package below
// this one: its needs, the settings that it reads, and its registrations with the
// [House] of the program that opens it. The lists in package features have all
// features; each function's main picks a [Program]:
//
//	faas.Main(match.Feature.Function, wiring.Alone(match.Feature, cloud.Engines).Build)
//
// A program reads all settings first and reports their faults together, then
// opens the store, the queue and the features in the order of the list. When one
// of them cannot be opened, everything opened before is closed.
package wiring

import "context"

// Feature is one scenario, described once for all programs that have it.
type Feature struct {
	// Name is the feature's noun, in lower case: the name of its rule's package,
	// of its wiring package and of its group of settings.
	Name string
	// Function is the function that has this feature alone, as under functions/.
	Function string

	// Callbacks says that the feature has rules for IM's callbacks. CallbacksOptional
	// says that the feature's own function also works without callbacks, and so
	// without CALLBACK_TOKEN.
	Callbacks, CallbacksOptional bool
	// Store and Queue say whether the feature's own function works without STATE_URL
	// and QUEUE_URL. A feature with a queue also has job handlers.
	Store, Queue Need
	// Jobs says that the feature has job handlers although its own function has no
	// queue: the clock enqueues the work that the function leaves undone.
	Jobs bool
	// Callers says who calls the routes of the feature's own function.
	Callers Callers

	// Read reads the feature's settings and reports their faults. Its result opens
	// the feature, unless there was a fault; nil means that the feature is off in
	// this program, because the settings that switch it on are not given.
	Read func(s *Settings) Open
}

// Open makes a feature's rules and registers them with the house. Open must not call
// other services, unless the feature cannot start without the call, since the first
// request waits for Open.
type Open func(ctx context.Context, h *House) error

// Need says whether a program works without a setting.
type Need int

// The needs.
const (
	None     Need = iota // the setting is not read
	Optional             // the program works without it, with less
	Required             // the program does not start without it
)
