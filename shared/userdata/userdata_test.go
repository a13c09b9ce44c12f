package userdata_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
	"github.com/backchannel-im/backchannel/shared/userdata"
)

func TestUserdata(t *testing.T) {
	enginetest.Run(t, []enginetest.Test{
		{Name: "ExportAndErase", Run: testExportAndErase},
		{Name: "Noted", Run: testNoted},
		{Name: "Waits", Run: testWaits},
		{Name: "Crashes", Long: true, Run: testCrashes},
		{Name: "Many", Long: true, Run: testMany},
		{Name: "Places", Long: true, Run: testPlaces},
		{Name: "Search", Long: true, Run: testSearch},
		{Name: "LongJob", Run: testLongJob},
		{Name: "LatePass", Run: testLatePass},
	})
}

var sources = []userdata.Source{
	{Feature: "inbox", Places: func(id string) []userdata.Place { return []userdata.Place{{Partition: "inbox/" + id}} }},
	{Feature: "wallet", Places: func(id string) []userdata.Place {
		return []userdata.Place{{Partition: "wallet/" + id, Keep: func([]kv.Item, time.Time) (string, error) { return "books of account", nil }}}
	}},
	{
		Feature: "shared",
		Forms: []userdata.Form{
			{Holds: "rows", Does: userdata.Erases},
			{Holds: "counts of rooms", Does: userdata.Expires, Within: 30 * time.Hour},
			{Holds: "books", Does: userdata.Keeps, Placed: true, Why: "named where there are some"},
		},
		Places: func(id string) []userdata.Place {
			return []userdata.Place{{Partition: "shared", Prefix: "of/" + id + "/"}}
		},
	},
}

func testExportAndErase(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	eraser := userdata.NewEraser(store, sources, nil, clock.Now)
	put := func(partition, key, value string) {
		t.Helper()
		if err := store.Commit(t.Context(), partition, kv.NewOp("test"), kv.Put{Key: key, Value: []byte(value), If: kv.Absent()}); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{"alice", "bob"} {
		for i := range 7 {
			put("inbox/"+user, fmt.Sprintf("m/%d", i), fmt.Sprintf(`{"n":%d}`, i))
		}
		put("wallet/"+user, "account", `{"balance":7}`)
		put("shared", "of/"+user+"/x", "no JSON")
	}
	all := func(user string, limit int) (records []userdata.Record) {
		t.Helper()
		for after := ""; ; {
			page, err := userdata.Export(t.Context(), store, sources, user, after, limit)
			if err != nil || len(page.Records) > limit {
				t.Fatalf("%d records, %v", len(page.Records), err)
			}
			records = append(records, page.Records...)
			if after = page.Next; after == "" {
				return records
			}
		}
	}
	for _, limit := range []int{1, 3, 7, 8, 9, 100} {
		if got := all("alice", limit); len(got) != 9 || got[7].Feature != "wallet" || got[8].Value != "no JSON" {
			t.Errorf("in pages of %d: %v", limit, got)
		}
	}
	if _, err := userdata.Export(t.Context(), store, sources, "alice", "9.x", 10); err == nil {
		t.Error("a page that there is not")
	}
	for round := range 2 { // erasing may be repeated
		done, err := eraser.Erase(t.Context(), "alice")
		want := 8
		if round > 0 {
			want = 0
		}
		kept := []userdata.Kept{{Feature: "shared", Why: "counts of rooms: expires by itself within 30 h"}, {Feature: "wallet", Why: "books of account"}}
		if err != nil || done.Erased != want || done.More || !slices.Equal(done.Kept, kept) {
			t.Errorf("%+v, %v", done, err)
		}
	}
	if got := all("alice", 100); len(got) != 1 || got[0].Feature != "wallet" {
		t.Errorf("what stays: %v", got)
	}
	if got := all("bob", 100); len(got) != 9 {
		t.Errorf("bob has lost records: %v", got)
	}
}

// testMany: more than one call erases.
func testMany(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	eraser := userdata.NewEraser(store, sources, nil, clock.Now)
	for i := range 600 {
		if err := store.Commit(t.Context(), "inbox/carol", kv.NewOp("test"), kv.Put{Key: fmt.Sprintf("m/%04d", i), Value: []byte("{}"), If: kv.Absent()}); err != nil {
			t.Fatal(err)
		}
	}
	calls := 0
	for more := true; more; calls++ {
		done, err := eraser.Erase(t.Context(), "carol")
		if err != nil || calls > 3 {
			t.Fatal(err)
		}
		more = done.More
	}
	left, err := userdata.Export(t.Context(), store, sources, "carol", "", 100)
	if err != nil || len(left.Records) != 0 || calls < 2 {
		t.Errorf("%d records left after %d calls, %v", len(left.Records), calls, err)
	}
}

// reads counts how often a store is asked for an item.
type reads struct {
	kv.Store
	n int
}

func (r *reads) Get(ctx context.Context, partition, key string) (kv.Item, error) {
	r.n++
	return r.Store.Get(ctx, partition, key)
}

// testPlaces: an erasure of a user with records in many rooms costs each call the same:
// no call reads again what an earlier call of its pass has read. What the first call of
// a pass met that waits is not forgotten by the last.
func testPlaces(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	r := &reads{Store: store}
	const rooms = 700
	for i := range rooms {
		n := userdata.Noted{Partition: fmt.Sprintf("room/%d", i), Key: "of/alice"}
		if err := userdata.Note(t.Context(), store, "alice", "shared", n); err != nil {
			t.Fatal(err)
		}
		if err := store.Commit(t.Context(), n.Partition, kv.NewOp("test"), kv.Put{Key: n.Key, Value: []byte(`{}`), If: kv.Absent()}); err != nil {
			t.Fatal(err)
		}
	}
	first, over := "", false // the place that the passes meet first is of something that is not over
	source := userdata.Source{Feature: "shared", Erase: func(ctx context.Context, store kv.Store, _ string, n userdata.Noted, _ time.Time) (bool, error) {
		if first == "" {
			first = n.Partition
		}
		if n.Partition == first && !over {
			return false, userdata.Waits("it is open")
		}
		return userdata.EraseItems(ctx, store, n.Partition, n.Key)
	}}
	pass := func() (erased int, waits []userdata.Kept, again time.Time) {
		t.Helper()
		for calls := 1; ; calls++ {
			r.n = 0
			// A process of its own each time: where the erasure stands is in the store.
			done, err := userdata.NewEraser(r, []userdata.Source{source}, nil, clock.Now).Erase(t.Context(), "alice")
			if err != nil || calls > 10 || r.n > 250 {
				t.Fatalf("call %d reads %d items: %+v, %v", calls, r.n, done, err)
			}
			erased, waits, again = erased+done.Erased, append(waits, done.Waits...), done.Again
			if !done.More {
				return erased, waits, again
			}
		}
	}
	if erased, waits, again := pass(); erased != rooms-1 || len(waits) != 1 || again.IsZero() {
		t.Errorf("the first pass erases %d, waits for %v, again %v", erased, waits, again)
	}
	clock.Advance(userdata.Settled)
	if erased, waits, again := pass(); erased != 0 || len(waits) != 1 || again.IsZero() {
		t.Errorf("the second pass erases %d, waits for %v, again %v", erased, waits, again)
	}
	over = true
	clock.Advance(userdata.Settled)
	if erased, waits, again := pass(); erased != 1 || len(waits) > 0 || !again.IsZero() {
		t.Errorf("the third pass erases %d, waits for %v, again %v", erased, waits, again)
	}
	page, err := store.List(t.Context(), "userdata/alice", kv.Range{})
	if err != nil || len(page.Items) > 0 {
		t.Errorf("left of the index: %v, %v", page.Items, err)
	}
}

// lists counts how many pages a store is asked for.
type lists struct {
	kv.Store
	n int
}

func (l *lists) List(ctx context.Context, partition string, r kv.Range) (kv.Page, error) {
	l.n++
	return l.Store.List(ctx, partition, r)
}

// testSearch: what a user wrote among what others wrote is exported and erased, in as
// many calls as the partitions are long, and what others wrote stays.
func testSearch(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	author := func(item kv.Item) string { return string(item.Value) }
	source := userdata.Source{Feature: "shared", Search: &userdata.Search{
		In: func(n userdata.Noted) bool { return n.Key == "from/alice" },
		Read: func(userID string, item kv.Item) (any, error) {
			if author(item) != userID {
				return nil, nil
			}
			return item.Key, nil
		},
		Erase: func(ctx context.Context, store kv.Store, userID, partition string, item kv.Item) (bool, error) {
			if author(item) != userID {
				return false, nil
			}
			return true, store.Commit(ctx, partition, kv.NewOp("test"), kv.Put{Key: item.Key, Value: []byte("nobody"), If: kv.Rev(item.Rev)})
		},
	}}
	sources := []userdata.Source{source}
	// Alice wrote the first messages of each room, and the last of one that is longer
	// than a page.
	sizes := []int{200, 200, kv.MaxPage + 100}
	const own = 3*150 + 1
	for room, messages := range sizes {
		partition := fmt.Sprintf("archive/%d", room)
		if err := userdata.Note(t.Context(), store, "alice", "shared", userdata.Noted{Partition: partition, Key: "from/alice"}); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < messages; i += 50 {
			var writes []kv.Write
			for seq := i; seq < i+50; seq++ {
				from := "bob"
				if seq < 200 && seq%4 != 3 || seq == kv.MaxPage+99 {
					from = "alice"
				}
				writes = append(writes, kv.Put{Key: fmt.Sprintf("%04d", seq), Value: []byte(from), If: kv.Absent()})
			}
			if err := store.Commit(t.Context(), partition, kv.NewOp("test"), writes...); err != nil {
				t.Fatal(err)
			}
		}
	}
	export := func(limit int) (records []userdata.Record) {
		t.Helper()
		for after := ""; ; {
			page, err := userdata.Export(t.Context(), store, sources, "alice", after, limit)
			if err != nil || len(page.Records) > limit || len(records) > own {
				t.Fatalf("%d records, %v", len(page.Records), err)
			}
			records = append(records, page.Records...)
			if after = page.Next; after == "" {
				return records
			}
		}
	}
	for _, limit := range []int{7, 150, own, own + 1, 1000} {
		seen := map[string]bool{}
		for _, r := range export(limit) {
			seen[r.Partition+r.Key] = true
		}
		if got := len(export(limit)); got != own || len(seen) != got {
			t.Errorf("in pages of %d: %d records, %d of them different", limit, got, len(seen))
		}
	}
	l := &lists{Store: store}
	for round := range 2 {
		erased, calls := 0, 0
		for more := true; more; calls++ {
			l.n = 0
			done, err := userdata.NewEraser(l, sources, nil, clock.Now).Erase(t.Context(), "alice")
			if err != nil || calls > 10 || done.Erased > 200 || l.n > 50 {
				t.Fatalf("call %d, %d pages: %+v, %v", calls, l.n, done, err)
			}
			erased, more = erased+done.Erased, done.More
		}
		if want := own * (1 - round); erased != want || calls < 3-2*round {
			t.Errorf("round %d: %d records erased in %d calls, want %d", round, erased, calls, want)
		}
		clock.Advance(userdata.Settled)
	}
	if left := export(1000); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	page, err := store.List(t.Context(), "archive/0", kv.Range{Limit: kv.MaxPage})
	if err != nil || len(page.Items) != sizes[0] || author(page.Items[3]) != "bob" {
		t.Errorf("of others: %d, %v", len(page.Items), err)
	}
	if page, err := store.List(t.Context(), "userdata/alice", kv.Range{}); err != nil || len(page.Items) > 0 {
		t.Errorf("left of the index: %v, %v", page.Items, err)
	}
}

// testLongJob: a job whose time does not suffice for all records of a user ends well,
// and others do the rest.
func testLongJob(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	for i := range 500 {
		if err := store.Commit(t.Context(), "inbox/dora", kv.NewOp("test"), kv.Put{Key: fmt.Sprintf("m/%04d", i), Value: []byte("{}"), If: kv.Absent()}); err != nil {
			t.Fatal(err)
		}
	}
	q := &queuetest.Line{}
	ledger := queue.NewLedger(store, q, clock.Now)
	eraser := userdata.NewEraser(store, sources, ledger, clock.Now)
	left := func() int {
		t.Helper()
		page, err := store.List(t.Context(), "inbox/dora", kv.Range{Limit: kv.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Items)
	}
	if _, err := eraser.Erase(t.Context(), "dora"); err != nil || left() != 300 {
		t.Fatalf("%d left, %v", left(), err)
	}
	for _, want := range []int{100, 0} {
		clock.Advance(2 * time.Minute)
		if err := userdata.Process.Sweep(store, ledger, clock.Now)(t.Context()); err != nil {
			t.Fatal(err)
		}
		brief, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		err := q.Work(brief, ledger, clock.Now)
		cancel()
		if err != nil || left() != want {
			t.Errorf("%d left, want %d, %v", left(), want, err)
		}
	}
}

// testLatePass: a pass that began before the second pass was due, and ends after it, is
// not the second one: it has passed over records that have been written since.
func testLatePass(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	for i := range 300 {
		if err := store.Commit(t.Context(), "inbox/carol", kv.NewOp("test"), kv.Put{Key: fmt.Sprintf("m/%04d", i), Value: []byte("{}"), If: kv.Absent()}); err != nil {
			t.Fatal(err)
		}
	}
	eraser := userdata.NewEraser(store, sources, nil, clock.Now)
	if done, err := eraser.Erase(t.Context(), "carol"); err != nil || !done.More {
		t.Fatalf("%+v, %v", done, err)
	}
	if err := store.Commit(t.Context(), "inbox/carol", kv.NewOp("test"), kv.Put{Key: "m/0000", Value: []byte("{}"), If: kv.Absent()}); err != nil {
		t.Fatal(err)
	}
	clock.Advance(userdata.Settled)
	if done, err := eraser.Erase(t.Context(), "carol"); err != nil || done.More || done.Again.IsZero() {
		t.Fatalf("the pass that began early: %+v, %v", done, err)
	}
	if done, err := eraser.Erase(t.Context(), "carol"); err != nil || done.Erased != 1 || !done.Again.IsZero() {
		t.Errorf("the second pass: %+v, %v", done, err)
	}
}

// noted writes records of users among those of others.
func noted(t *testing.T, store kv.Store, users ...string) {
	t.Helper()
	for _, user := range users {
		for room := range 3 {
			n := userdata.Noted{Partition: fmt.Sprintf("room/%d", room), Key: "of/" + user}
			for range 2 { // noting may be repeated
				if err := userdata.Note(t.Context(), store, user, "shared", n); err != nil {
					t.Fatal(err)
				}
			}
			if err := store.Commit(t.Context(), n.Partition, kv.NewOp("test"), kv.Put{Key: n.Key, Value: []byte(`{"by":"` + user + `"}`), If: kv.Absent()}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// names returns what of a dump names a user.
func names(dump []kvtest.Stored, user string) (found []string) {
	for _, one := range dump {
		if strings.Contains(one.Partition+one.Key+one.Text, user) {
			found = append(found, one.Partition+" "+one.Key)
		}
	}
	return found
}

// testNoted: records among those of others are exported and erased; one that was on
// its way is erased by the second pass, after which not even the index names the user.
func testNoted(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	r := kvtest.Record(store)
	noted(t, r, "alice", "bob")
	page, err := userdata.Export(t.Context(), r, sources, "alice", "", 100)
	if err != nil || len(page.Records) != 3 || page.Records[0].Key != "of/alice" {
		t.Fatalf("%v, %v", page.Records, err)
	}
	eraser := userdata.NewEraser(r, sources, nil, clock.Now)
	done, err := eraser.Erase(t.Context(), "alice")
	if err != nil || done.Erased != 3 || done.More || !done.Again.After(clock.Now().Add(25*time.Hour)) {
		t.Fatalf("%+v, %v", done, err)
	}
	noted(t, r, "alice") // an event that was on its way
	clock.Advance(userdata.Settled)
	if done, err = eraser.Erase(t.Context(), "alice"); err != nil || done.Erased != 3 || !done.Again.IsZero() {
		t.Fatalf("%+v, %v", done, err)
	}
	if found := names(r.Dump(t), "alice"); len(found) > 0 {
		t.Errorf("still there: %q", found)
	}
	if found := names(r.Dump(t), "bob"); len(found) != 6 {
		t.Errorf("of another: %q", found)
	}
}

// testWaits: what is not over when a user is erased is erased when it is, whether a job
// looks again or somebody asks; after that not even the index names the user.
func testWaits(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	r, q := kvtest.Record(store), &queuetest.Line{}
	over := false
	source := userdata.Source{Feature: "shared", Erase: func(ctx context.Context, store kv.Store, userID string, n userdata.Noted, _ time.Time) (bool, error) {
		if n.Partition == "room/1" && !over {
			return false, userdata.Waits("room 1 is open")
		}
		return userdata.EraseItems(ctx, store, n.Partition, n.Key)
	}}
	noted(t, r, "alice")
	ledger := queue.NewLedger(r, q, clock.Now)
	eraser := userdata.NewEraser(r, []userdata.Source{source}, ledger, clock.Now)
	pass := func() {
		t.Helper()
		clock.Advance(userdata.Settled + time.Minute)
		if err := errors.Join(userdata.Process.Sweep(r, ledger, clock.Now)(t.Context()), q.Work(t.Context(), ledger, clock.Now)); err != nil {
			t.Fatal(err)
		}
	}
	done, err := eraser.Erase(t.Context(), "alice")
	if err != nil || done.Erased != 2 || done.More || !slices.Equal(done.Waits, []userdata.Kept{{Feature: "shared", Why: "room 1 is open"}}) {
		t.Fatalf("%+v, %v", done, err)
	}
	for range 3 { // the second pass, and two more
		pass()
	}
	if done, err = eraser.Erase(t.Context(), "alice"); err != nil || len(done.Waits) != 1 || !done.Again.After(clock.Now().Add(userdata.Settled-time.Minute)) {
		t.Errorf("as long as it is open: %+v, %v", done, err)
	}
	over = true
	pass()
	pass()
	for _, where := range names(r.Dump(t), "alice") {
		if !strings.HasPrefix(where, "jobs/") {
			t.Errorf("still there: %s", where)
		}
	}
}

// testCrashes: an erasure dies with each of its commits, done or not, and its job
// finishes it.
func testCrashes(t *testing.T, store kv.Store, clock *kvtest.Clock) {
	q := &queuetest.Line{}
	for n := 1; n <= 40; n++ {
		for _, done := range []bool{false, true} {
			user := fmt.Sprintf("alice-%d-%v", n, done)
			r := kvtest.Record(store)
			noted(t, r, user)
			mortal, died := kvtest.Mortal(r, n, done)
			_, _ = userdata.NewEraser(mortal, sources, queue.NewLedger(mortal, q, clock.Now), clock.Now).Erase(t.Context(), user)
			ledger := queue.NewLedger(r, q, clock.Now)
			userdata.NewEraser(r, sources, ledger, clock.Now)
			for range 3 { // a minute, the second pass, and one that finds nothing
				clock.Advance(userdata.Settled + time.Minute)
				if err := userdata.Process.Sweep(r, ledger, clock.Now)(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := q.Work(t.Context(), ledger, clock.Now); err != nil {
					t.Fatal(err)
				}
			}
			begun := n > 2 || n == 2 && done || !died() // the first is the guard
			for _, where := range names(r.Dump(t), user) {
				if begun && !strings.HasPrefix(where, "jobs/") {
					t.Errorf("commit %d, done %v: still there: %s", n, done, where)
				}
			}
			if !died() {
				return
			}
		}
	}
	t.Error("more commits than are tried")
}
