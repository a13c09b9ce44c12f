package sdkgate

import (
	"maps"
	"slices"
)

// Commands are what the gate answers, in order.
func Commands() []string { return slices.Sorted(maps.Keys(commands)) }
