package rediskv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/redistest"
)

// TestCluster proves that no call leaves its slot, since a node refuses the keys
// of another, and that no call tells an untruth while a slot moves.
func TestCluster(t *testing.T) {
	// Each node gives out the address of a proxy before it for its own.
	var proxies []*proxy
	behindProxy := func(s *redistest.Server) {
		p := startProxy(t, s.Addr)
		proxies = append(proxies, p)
		redistest.Config("cluster-announce-port", portOf(t, p.addr, 0))(s)
		redistest.Config("cluster-announce-bus-port", portOf(t, s.Addr, 10000))(s)
	}
	servers := redistest.Cluster(t, 3, behindProxy)
	url := "redis://" + servers[0].Addr + "?cluster=1"
	t.Run("AnyName", func(t *testing.T) { testAnyName(t, openFor(t, url, Options{}), servers[0]) })
	t.Run("WithoutCluster", func(t *testing.T) { testWithoutCluster(t, servers) })
	t.Run("ACL", func(t *testing.T) {
		for _, server := range servers {
			rights := append([]string{"~bc:*", "-@all", "+cluster|slots"}, strings.Fields(Commands)...)
			server.Command(append([]string{"ACL", "SETUSER", "backchannel", "on", ">" + secret}, rights...)...)
		}
		s := openFor(t, "redis://backchannel:"+secret+"@"+servers[0].Addr+"?cluster=1", Options{})
		for i := range 5 {
			partition := fmt.Sprint("acl ", i)
			if err := s.Commit(t.Context(), partition, "op", put("k", "v")); err != nil {
				t.Error(err)
			}
			if page, err := s.List(t.Context(), partition, kv.Range{}); err != nil || len(page.Items) != 1 {
				t.Error(page, err)
			}
		}
		cannotOpen(t, "redis://backchannel:wrong-"+secret+"@"+servers[0].Addr+"?cluster=1", "refuses the user and password")
	})
	t.Run("SlotMoves", func(t *testing.T) { testSlotMoves(t, openFor(t, url, Options{}), servers) })
	t.Run("Contract", func(t *testing.T) {
		kvtest.Run(t, kvtest.Harness{
			Open: func(t *testing.T, now func() time.Time) kv.Store {
				return openFor(t, url, Options{Now: now})
			},
			Reopen: func(t *testing.T, s kv.Store, now func() time.Time) kv.Store {
				for _, server := range servers {
					server.Kill()
					server.Restart()
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				return openFor(t, url, Options{Now: now})
			},
			LoseAnswers: func(t *testing.T, _ kv.Store, n int) {
				// A partition lies on one node, so n befall what the test does.
				left := 1 << 30
				for _, p := range proxies {
					left = min(left, p.befall(loseAnswer, n))
				}
				if left > 0 {
					t.Errorf("%d answers were not lost", left)
				}
			},
			Work: 300,
		})
	})
	t.Run("NodeDown", func(t *testing.T) {
		servers[0].Kill()
		s := openFor(t, url+"&addr="+servers[1].Addr+"&addr="+servers[2].Addr, Options{})
		servers[0].Restart()
		for i := range 20 {
			if err := s.Commit(t.Context(), fmt.Sprint("node down ", i), "op", put("k", "v")); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// portOf returns the port of addr, that many further up.
func portOf(t *testing.T, addr string, up int) string {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(a.Port + up)
}

// testAnyName uses partitions whose names look like parts of a key.
func testAnyName(t *testing.T, s *Store, server *redistest.Server) {
	names := []string{"{", "}", "{}", "}{", "{a}", "a}{b}", "%", "%7D", "%257D", "a", "a}index", "i:", " "}
	prefixes := map[string]bool{}
	for _, name := range names {
		in := keysOf(name)
		prefixes[in.prefix] = true
		slots := map[string]bool{}
		for _, key := range []string{in.index(), in.expiries(), in.open(), in.item("{x}"), in.item("}"), in.segment("{y}")} {
			slots[server.Command("CLUSTER", "KEYSLOT", key)] = true
		}
		if len(slots) != 1 {
			t.Errorf("%q lies in %d slots", name, len(slots))
		}
		if err := s.Commit(t.Context(), name, "op", put("{x}", name), put("}", name)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	if len(prefixes) != len(names) {
		t.Errorf("%d prefixes for %d partitions", len(prefixes), len(names))
	}
	for _, name := range names {
		page, err := s.List(t.Context(), name, kv.Range{})
		if err != nil || len(page.Items) != 2 || string(page.Items[0].Value) != name {
			t.Errorf("%q: %+v, %v", name, page, err)
		}
	}
}

// testWithoutCluster asks a node for what lies on another, without cluster=1.
func testWithoutCluster(t *testing.T, servers []*redistest.Server) {
	from, _ := owners(t, "p", servers)
	for _, server := range servers {
		s := openFor(t, "redis://"+server.Addr, Options{})
		if server == from {
			accepted(t, s)
		} else {
			refused(t, s, "add cluster=1")
		}
	}
}

// owners returns the node that a partition lies on, and another.
func owners(t *testing.T, partition string, servers []*redistest.Server) (from, to *redistest.Server) {
	t.Helper()
	slot := slotOf(t, partition, servers[0])
	at := slot * len(servers) / 16384
	return servers[at], servers[(at+1)%len(servers)]
}

func slotOf(t *testing.T, partition string, server *redistest.Server) int {
	t.Helper()
	slot, err := strconv.Atoi(server.Command("CLUSTER", "KEYSLOT", keysOf(partition).index()))
	if err != nil {
		t.Fatal(err)
	}
	return slot
}

// testSlotMoves moves a partition to another node key by key, and writes to it at
// every step. While its keys are apart, writes fail and change nothing; a key
// that is read alone is found on either side.
func testSlotMoves(t *testing.T, s *Store, servers []*redistest.Server) {
	const partition = "moving"
	ctx := t.Context()
	from, to := owners(t, partition, servers)
	slot := strconv.Itoa(slotOf(t, partition, from))
	if err := s.Commit(ctx, partition, "made", put("a", "1"), put("b", "1")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Tally(ctx, partition, "s", kv.Event{ID: "e", At: time.Now()}, one); err != nil {
		t.Fatal(err)
	}

	rev, done := map[string]string{"a": "made", "b": "made"}, 0
	step := func(when string) {
		t.Helper()
		done++
		op := fmt.Sprint("op-", done)
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		err := s.Commit(short, partition, op,
			kv.Put{Key: "a", Value: []byte(op), If: kv.Rev(rev["a"])}, put("new-"+op, ""), kv.Add{Key: "n", Deltas: []kv.Delta{one}})
		if err == nil {
			rev["a"] = op
		} else if !errors.Is(err, kv.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%s: %v", when, err)
		}
		for key, want := range rev {
			if i, err := s.Get(ctx, partition, key); err != nil || i.Rev != want {
				t.Fatalf("%s: %s at %q, want %q: %v", when, key, i.Rev, want, err)
			}
		}
	}
	step("before")
	nodeID := func(server *redistest.Server) string { return server.Command("CLUSTER", "MYID") }
	to.Command("CLUSTER", "SETSLOT", slot, "IMPORTING", nodeID(from))
	from.Command("CLUSTER", "SETSLOT", slot, "MIGRATING", nodeID(to))
	step("announced")
	host, port, _ := strings.Cut(to.Addr, ":")
	for {
		keys := from.Command("CLUSTER", "GETKEYSINSLOT", slot, "1")
		if keys == "" {
			break
		}
		from.Command("MIGRATE", host, port, keys, "0", "1000")
		step("without " + keys)
	}
	for _, server := range []*redistest.Server{to, from} {
		server.Command("CLUSTER", "SETSLOT", slot, "NODE", nodeID(to))
	}
	last := rev["a"]
	step("moved")
	if rev["a"] == last {
		t.Error("writes still fail where the slot has moved to")
	}
	count, err := s.Get(ctx, partition, "n")
	if err != nil {
		t.Fatal(err)
	}
	page, err := s.List(ctx, partition, kv.Range{Prefix: "new-"})
	if err != nil || int64(len(page.Items)) != count.Counters["n"] {
		t.Errorf("%d items made and %d counted: %v", len(page.Items), count.Counters["n"], err)
	}
	sums, err := kv.Totals(ctx, s, partition, "none/")
	if err != nil || sums["n"] != 1 {
		t.Errorf("totals %v, %v", sums, err)
	}
	t.Logf("%d of %d writes were made while the slot moved", count.Counters["n"], done)
}
