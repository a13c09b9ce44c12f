package roomstats

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// TestTableIsAMap: rows of any users, added in any order and amounts, are those
// of a map; pages list every user once, in order; no leaf outgrows a write unit.
func TestTableIsAMap(t *testing.T) {
	s, _ := open(t)
	r := rand.New(rand.NewPCG(1, 2))
	tab := table{store: s.store, partition: "p", prefix: "u/"}
	want := map[string][2]int64{}
	for round := range 60 {
		deltas := map[string][]int64{}
		for range 1 + r.IntN(40) {
			user := fmt.Sprintf("%c%d", 'a'+rune(r.IntN(26)), r.IntN(300))
			if r.IntN(9) == 0 {
				user = "用户" + user // UserIDs are text
			}
			if deltas[user] != nil {
				continue
			}
			n, g := r.Int64N(5), r.Int64N(2)
			deltas[user] = []int64{n, g}
			was := want[user]
			want[user] = [2]int64{was[0] + n, was[1] + g}
		}
		writes, after, _, err := tab.add(t.Context(), deltas)
		if err != nil || len(after) != len(deltas) {
			t.Fatal(len(after), err)
		}
		for _, row := range after {
			if w := want[row.user]; row.number(0) != w[0] || row.number(1) != w[1] {
				t.Fatalf("%s is %v after the change, want %v", row.user, row.numbers, w)
			}
		}
		for part := range slices.Chunk(writes, kv.MaxWrites) {
			if err := s.store.Commit(t.Context(), "p", fmt.Sprint(round, part[0].(kv.Put).Key), part...); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []string
	for after := ""; ; {
		rows, more, err := tab.page(t.Context(), after, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if w := want[row.user]; row.number(0) != w[0] || row.number(1) != w[1] {
				t.Errorf("%s is %v, want %v", row.user, row.numbers, w)
			}
			got = append(got, row.user)
			after = row.user
		}
		if !more {
			break
		}
		if len(rows) != 7 {
			t.Fatalf("a page of %d with more behind it", len(rows))
		}
	}
	if users := slices.Sorted(maps.Keys(want)); !slices.Equal(got, users) {
		t.Errorf("%d users in pages, want %d", len(got), len(users))
	}
	if row, err := tab.get(t.Context(), "nobody"); err != nil || len(row.numbers) != 0 {
		t.Errorf("%+v, %v", row, err)
	}
	leaves, err := s.store.List(t.Context(), "p", kv.Range{Limit: kv.MaxPage})
	if err != nil || len(leaves.Items) < len(want)/60 {
		t.Fatalf("%d leaves for %d users, %v", len(leaves.Items), len(want), err)
	}
	for _, item := range leaves.Items {
		if len(item.Value) > leafBytes {
			t.Errorf("a leaf of %d bytes", len(item.Value))
		}
	}
}

func TestSumsStayWithinInt64(t *testing.T) {
	for _, tt := range []struct{ got, want int64 }{
		{sum(math.MaxInt64, 1), math.MaxInt64},
		{sum(math.MinInt64, -1), math.MinInt64},
		{sum(5, -7), -2},
		{times(math.MaxInt64, 2), math.MaxInt64},
		{times(math.MaxInt64, -2), math.MinInt64},
		{times(-1, math.MinInt64), math.MaxInt64},
		{times(math.MinInt64, -1), math.MaxInt64},
		{times(0, math.MinInt64), 0},
		{times(1<<31, 1<<31), 1 << 62},
		{times(-3, 7), -21},
		{bounded(math.MaxInt64), 1<<53 - 1},
		{bounded(-5), 0},
	} {
		if tt.got != tt.want {
			t.Errorf("%d, want %d", tt.got, tt.want)
		}
	}
}
