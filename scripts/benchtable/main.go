// Command benchtable turns the output of go test -bench into a Markdown table, on
// standard output. scripts/bench.sh calls it.
//
//	go test -run '^$' -bench . ./shared/im/usersig | go run ./scripts/benchtable
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

func main() {
	n, err := table(os.Stdin, os.Stdout)
	if err == nil && n == 0 {
		err = fmt.Errorf("no benchmark reported anything")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
}

var (
	line = regexp.MustCompile(`^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.+)$`)
	pair = regexp.MustCompile(`(\S+)\s+(\S+)`)
)

// table writes a row for each benchmark: its name, what it takes, and how it stands
// to the peers that ran beside it. It returns how many rows there are.
func table(in io.Reader, out io.Writer) (rows int, err error) {
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		m := line.FindStringSubmatch(scan.Text())
		if m == nil {
			continue
		}
		var takes, ratios []string
		for _, p := range pair.FindAllStringSubmatch(m[2], -1) {
			value, unit := p[1], p[2]
			switch {
			case value == "0" && unit == "ns/op":
			case strings.HasPrefix(unit, "x/") || strings.HasPrefix(unit, "x-") || strings.Contains(unit, "times"):
				ratios = append(ratios, value+" "+unit)
			default:
				takes = append(takes, value+" "+unit)
			}
		}
		if rows == 0 {
			fmt.Fprint(out, "| benchmark | figures | ratios to peers in the same run |\n|---|---|---|\n")
		}
		rows++
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", m[1], strings.Join(takes, ", "), strings.Join(ratios, ", "))
	}
	return rows, scan.Err()
}
