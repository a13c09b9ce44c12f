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
	"path"
	"regexp"
	"strconv"
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

// row is a benchmark: its name, what it takes, and how it stands to its peers.
type row struct {
	name          string
	takes, ratios []string
	nanoseconds   float64 // an operation; 0: not told
}

// table writes a row for each benchmark. Where a benchmark's last part is ours, those
// beside it are its peers, and say how many times as long they take. It returns how
// many rows there are.
func table(in io.Reader, out io.Writer) (int, error) {
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, 1<<20)
	var rows []row
	ours := map[string]float64{}
	for scan.Scan() {
		m := line.FindStringSubmatch(scan.Text())
		if m == nil {
			continue
		}
		r := row{name: m[1]}
		for _, p := range pair.FindAllStringSubmatch(m[2], -1) {
			value, unit := p[1], p[2]
			if unit == "ns/op" {
				r.nanoseconds, _ = strconv.ParseFloat(value, 64)
			}
			switch {
			case value == "0" && unit == "ns/op":
			case strings.HasPrefix(unit, "x/") || strings.HasPrefix(unit, "x-") || strings.Contains(unit, "times"):
				r.ratios = append(r.ratios, value+" "+unit)
			default:
				r.takes = append(r.takes, value+" "+unit)
			}
		}
		if path.Base(r.name) == "ours" {
			ours[path.Dir(r.name)] = r.nanoseconds
		}
		rows = append(rows, r)
	}
	for n, r := range rows {
		if least := ours[path.Dir(r.name)]; least > 0 && r.nanoseconds > 0 && path.Base(r.name) != "ours" {
			r.ratios = append(r.ratios, strconv.FormatFloat(r.nanoseconds/least, 'g', 3, 64)+" times ours")
		}
		if n == 0 {
			fmt.Fprint(out, "| benchmark | figures | ratios to peers in the same run |\n|---|---|---|\n")
		}
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", r.name, strings.Join(r.takes, ", "), strings.Join(r.ratios, ", "))
	}
	return len(rows), scan.Err()
}
