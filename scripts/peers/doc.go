// Package peers measures whole functions, as they are deployed, beside Express
// apps of the scenario guide's shape and beside a handler that does nothing.
//
//	go test -run '^$' -bench . ./scripts/peers
//
// Each server is a process of its own, and they take turns within one run: the
// ratios count, since the figures drift with the machine. The tests see to it
// that ours and the peers do the same work.
package peers
