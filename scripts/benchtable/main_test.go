package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	var out strings.Builder
	n, err := table(strings.NewReader(`goos: linux
BenchmarkEvent/boltkv/callers=32-2   	      20	         0 ns/op	     38000 events/s	         9.1 x/sqlite-full
BenchmarkSign-2   	  100	 4100 ns/op
PASS
`), &out)
	want := "| benchmark | figures | ratios to peers in the same run |\n|---|---|---|\n" +
		"| `Event/boltkv/callers=32` | 38000 events/s | 9.1 x/sqlite-full |\n| `Sign` | 4100 ns/op |  |\n"
	if err != nil || n != 2 || out.String() != want {
		t.Errorf("%d rows, %v\n%s", n, err, out.String())
	}
}
