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
BenchmarkFind/words=20/ours-2   	  100	 2000 ns/op
BenchmarkFind/words=20/theirs-2   	  100	 9000 ns/op
PASS
`), &out)
	want := "| benchmark | figures | ratios to peers in the same run |\n|---|---|---|\n" +
		"| `Event/boltkv/callers=32` | 38000 events/s | 9.1 x/sqlite-full |\n| `Sign` | 4100 ns/op |  |\n" +
		"| `Find/words=20/ours` | 2000 ns/op |  |\n| `Find/words=20/theirs` | 9000 ns/op | 4.5 times ours |\n"
	if err != nil || n != 4 || out.String() != want {
		t.Errorf("%d rows, %v\n%s", n, err, out.String())
	}
}
