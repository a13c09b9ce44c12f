//go:build race

package imtest_test

// stormShare makes the storm smaller: the race detector slows it down by as much.
const stormShare = 8
