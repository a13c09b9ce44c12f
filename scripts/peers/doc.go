// Package peers measures whole functions, as they are deployed, beside Express
// apps of the scenario guide's shape and beside a handler that does nothing.
//
//	go test -run '^$' -bench . ./scripts/peers
//
// Each server is a process of its own, and the servers run alternately within one run:
// the ratios are meaningful, since the figures drift with the machine. The tests check
// that our functions and the peers do the same work.
package peers
