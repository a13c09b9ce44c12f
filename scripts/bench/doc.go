// Package bench holds the benchmarks whose peers must not enter the product's
// go.mod. It is a module of its own, and nothing but its tests has code.
//
//	cd scripts/bench && go test -run '^$' -bench . -benchtime 20x -timeout 30m
//
// Every benchmark runs ours and its peers in turn within one run, since a
// machine drifts by more than they differ, and reports the ratios as metrics.
package bench
