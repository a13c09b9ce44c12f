package queue_test

import (
	"testing"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
)

// TestOnEveryEngine runs the ledger's tests over each engine of the store, but
// for TestLaterForEverEnds: its four hundred sweeps tell no more of an engine.
func TestOnEveryEngine(t *testing.T) {
	var tests []enginetest.Test
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"AJobIsDoneOnce", TestAJobIsDoneOnce},
		{"FailuresAreTriedAgainThenLaidAside", TestFailuresAreTriedAgainThenLaidAside},
		{"Drop", TestDrop},
		{"LaterDoesNotCount", TestLaterDoesNotCount},
		{"AnEngineThatWasAway", TestAnEngineThatWasAway},
		{"AStoreThatWasAway", TestAStoreThatWasAway},
		{"FarAheadWaitsInTheLedger", TestFarAheadWaitsInTheLedger},
		{"BeforeItsTime", TestBeforeItsTime},
		{"AWorkerThatDied", TestAWorkerThatDied},
		{"NoTimeLeft", TestNoTimeLeft},
		{"PanicsAreFailures", TestPanicsAreFailures},
		{"WhatIsNoJob", TestWhatIsNoJob},
		{"Storm", TestStorm},
		{"BeforeItsCallersCommit", TestBeforeItsCallersCommit},
		{"AnyInterleaving", func(t *testing.T) { interleave(t, 1, 150) }},
	} {
		tests = append(tests, enginetest.Test{Name: c.name, Run: func(t *testing.T, store kv.Store, clock *kvtest.Clock) {
			defer func(open func(*testing.T) (kv.Store, *kvtest.Clock)) { openState = open }(openState)
			openState = func(*testing.T) (kv.Store, *kvtest.Clock) { return store, clock }
			c.test(t)
		}})
	}
	enginetest.Run(t, tests)
}
