package boltkv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/backchannel-im/backchannel/shared/kv"
)

func put(key, value string) kv.Put {
	return kv.Put{Key: key, Value: []byte(value), If: kv.Absent()}
}

func dump(t *testing.T, s *Store) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Dump(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestOpenRefuses gives Open files it must not take: each error says what to
// do, and the file stays as it was.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	edited := func(name string, edit func(*bolt.Tx) error) string {
		path := filepath.Join(dir, name)
		db, err := bolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(db.Update(edit), db.Close()); err != nil {
			t.Fatal(err)
		}
		return path
	}
	state := func(name string, version string) string {
		path := filepath.Join(dir, name)
		s, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Commit(t.Context(), "p", "op", put("k", "v")), s.Close()); err != nil {
			t.Fatal(err)
		}
		return edited(name, func(tx *bolt.Tx) error {
			return tx.Bucket(metaBucket).Put(formatKey, []byte(version))
		})
	}
	readOnly := state("read-only", "1")
	if err := os.Chmod(readOnly, 0o400); err != nil {
		t.Fatal(err)
	}
	held := state("held", "1")
	openFor(t, held, Options{})

	for _, c := range []struct{ path, want string }{
		{dir, "is a directory; name a file in it"},
		{filepath.Join(dir, "missing", "state"), "the folder of the state file does not exist: create it"},
		{os.DevNull, "is not a regular file"},
		{readOnly, "is read-only; make it writable or name another file"},
		{held, "another process holds " + held + "; stop it, or give this one a file of its own"},
		{file("text", []byte(strings.Repeat("not a database\n", 4000))), "is not a bolt file, or is damaged"},
		{file("short", []byte("short")), "is not a bolt file, or is damaged"},
		{edited("foreign", func(tx *bolt.Tx) error {
			_, err := tx.CreateBucket([]byte("theirs"))
			return err
		}), "belongs to another program; name another file"},
		{state("newer", strconv.Itoa(format+1)), fmt.Sprintf("has format %d and this program knows up to %d; use the newer program", format+1, format)},
		{state("no version", ""), "is damaged: it has no format version"},
	} {
		t.Run(filepath.Base(c.path), func(t *testing.T) {
			before, _ := os.ReadFile(c.path)
			s, err := Open(c.path, Options{})
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant %q", err, c.want)
			}
			if after, _ := os.ReadFile(c.path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestEngine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if Engine.Scheme != "bolt" {
		t.Errorf("the scheme is %q", Engine.Scheme)
	}
	for _, url := range []string{"", "bolt:", path} {
		if _, err := Engine.Open(t.Context(), url); err == nil {
			t.Errorf("opened %q", url)
		}
	}
	s, err := Engine.Open(t.Context(), "bolt:"+path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Commit(t.Context(), "p", "op", put("k", "v")), s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if i, err := openFor(t, path, Options{}).Get(t.Context(), "p", "k"); err != nil || string(i.Value) != "v" {
		t.Fatalf("%+v, %v", i, err)
	}
}

// TestDiskFull lets the file hit the process's size limit, first while it
// writes within the file and then while it grows it.
func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s := openFor(t, path, Options{})
	commit := func(n int) error {
		return s.Commit(t.Context(), "p", fmt.Sprint("op", n), put(fmt.Sprint("k", n), strings.Repeat("x", 20_000)))
	}
	if err := commit(0); err != nil {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	limit := func(size uint64) {
		t.Helper()
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: old.Max}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { limit(old.Cur) })

	n := 1
	for _, room := range []func() uint64{
		func() uint64 { return 16 << 10 },
		func() uint64 {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			return uint64(info.Size())
		},
	} {
		limit(room())
		before := dump(t, s)
		err := commit(n)
		for err == nil {
			n++
			before = dump(t, s)
			err = commit(n)
		}
		if !errors.Is(err, kv.ErrUnavailable) || !strings.Contains(err.Error(), "the disk is full") {
			t.Fatalf("%v, want %v: the disk is full", err, kv.ErrUnavailable)
		}
		if dump(t, s) != before {
			t.Fatal("a failed write changed the store")
		}
		limit(old.Cur)
		if err := commit(n); err != nil {
			t.Fatalf("with room again: %v", err)
		}
		n++
	}
	want := dump(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, openFor(t, path, Options{})); got != want {
		t.Fatal("the file does not hold what the store held")
	}
}

// TestRefusedChangesNothing compares the whole file, indexes included, around
// calls that are refused or repeated.
func TestRefusedChangesNothing(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := openFor(t, filepath.Join(t.TempDir(), "state"), Options{Now: func() time.Time { return now }})
	ctx := t.Context()
	event := kv.Event{ID: "e", At: now}
	one := kv.Delta{Counter: "n", By: 1}
	first := []kv.Write{put("k", "v"), kv.Add{Key: "n", Deltas: []kv.Delta{one}, Expires: now.Add(time.Hour)}}
	_, err := s.Tally(ctx, "p", "s", event, one)
	if err := errors.Join(err, s.Commit(ctx, "p", "first", first...)); err != nil {
		t.Fatal(err)
	}
	before := dump(t, s)
	floor := int64(2)
	for name, refused := range map[string]struct {
		call func() error
		want error
	}{
		"conflict": {func() error { return s.Commit(ctx, "p", "op", put("new", "v"), put("k", "w")) }, kv.ErrConflict},
		"range": {func() error {
			return s.Commit(ctx, "p", "op", put("new", "v"), kv.Add{Key: "n", Deltas: []kv.Delta{{Counter: "n", Floor: &floor}}})
		}, kv.ErrRange},
		"invalid": {func() error { return s.Commit(ctx, "p", "op", put("new", "v"), put("", "")) }, kv.ErrInvalid},
		"repeat":  {func() error { return s.Commit(ctx, "p", "first", first...) }, nil},
		"duplicate": {func() error {
			_, err := s.Tally(ctx, "p", "s", event, one)
			return err
		}, nil},
		"too late": {func() error {
			_, err := s.Tally(ctx, "p", "s", kv.Event{ID: "old", At: now.Add(-kv.Horizon - time.Second)}, one)
			return err
		}, nil},
		"settle": {func() error { return s.Commit(ctx, "p", "op", put("new", "v"), kv.Settle{Segment: "s", Rev: "?"}) }, kv.ErrConflict},
	} {
		if err := refused.call(); !errors.Is(err, refused.want) {
			t.Errorf("%s: %v, want %v", name, err, refused.want)
		}
		if after := dump(t, s); after != before {
			t.Errorf("%s: the store changed:\n%s\nwas:\n%s", name, after, before)
		}
	}
}

// TestBusyDisk has callers wait for the disk: one whose context ends comes back
// at once, and a write that was not begun by then is not made.
func TestBusyDisk(t *testing.T) {
	begun, release, first := make(chan bool), make(chan bool), true
	path := filepath.Join(t.TempDir(), "state")
	s, err := open(path, Options{}, func(phase string) {
		if first && phase == "commit: begun" {
			first = false
			begun <- true
			<-release
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan error)
	commit := func(ctx context.Context, key string) {
		answers <- s.Commit(ctx, "p", "op", put(key, "v"))
	}
	go commit(ctx, "begun")
	<-begun
	go commit(ctx, "queued")
	for queued := 0; queued == 0; {
		s.mu.Lock()
		queued = len(s.queue)
		s.mu.Unlock()
	}
	cancel()
	for range 2 {
		if err := <-answers; !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want %v", err, context.Canceled)
		}
	}
	release <- true
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openFor(t, path, Options{})
	if _, err := s.Get(t.Context(), "p", "begun"); err != nil {
		t.Errorf("the commit under way: %v", err)
	}
	if _, err := s.Get(t.Context(), "p", "queued"); !errors.Is(err, kv.ErrNotFound) {
		t.Errorf("the commit not begun: %v, want %v", err, kv.ErrNotFound)
	}
}

// TestPurge lets everything expire and checks that later writes clear it all
// away, the index with it.
func TestPurge(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := openFor(t, filepath.Join(t.TempDir(), "state"), Options{Now: func() time.Time { return now }})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	one := kv.Delta{Counter: "n", By: 1}
	for n := range 10 {
		name := fmt.Sprint(n)
		must(s.Commit(t.Context(), "p", "made", kv.Put{Key: "expires/" + name, Expires: now.Add(time.Minute), If: kv.Absent()}, put("deleted/"+name, "v")))
		must(s.Commit(t.Context(), "p", "gone", kv.Delete{Key: "deleted/" + name, If: kv.Rev("made")}))
		_, err := s.Tally(t.Context(), "p", name, kv.Event{ID: "e", At: now}, one)
		must(err)
		segments, err := s.Open(t.Context(), "p", "", 1)
		must(err)
		must(s.Commit(t.Context(), "p", "settled", put("anchor/"+name, ""), kv.Settle{Segment: name, Rev: segments[0].Rev}))
	}
	// These are touched again before their time and stay.
	must(s.Commit(t.Context(), "p", "again", put("deleted/3", "w"), kv.Put{Key: "expires/3", If: kv.Rev("made")}))
	_, err := s.Tally(t.Context(), "p", "3", kv.Event{ID: "e2", At: now}, one)
	must(err)

	now = now.Add(kv.Horizon + kv.HorizonSlack)
	for n := range 30 {
		must(s.Commit(t.Context(), "p", "later", put(fmt.Sprint("later/", n), "")))
	}
	got := dump(t, s)
	for _, gone := range []string{`"expiry":`, `\u0000expires/1"`, `\u0000deleted/1"`, `"settled"`} {
		if strings.Contains(strings.ReplaceAll(got, `"ops":["settled"]`, ""), gone) {
			t.Errorf("%s is still there", gone)
		}
	}
	for _, stays := range []string{`\u0000expires/3"`, `\u0000deleted/3"`, `"open"`, `\u0000anchor/9"`} {
		if !strings.Contains(got, stays) {
			t.Errorf("%s is gone", stays)
		}
	}
}

// TestPurgeKeepsUp deletes more at once than a transaction clears at its ease.
func TestPurgeKeepsUp(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := openFor(t, filepath.Join(t.TempDir(), "state"), Options{Now: func() time.Time { return now }})
	const items = kv.MaxWrites
	for round := range 5 {
		var puts, deletes []kv.Write
		for n := range items {
			key := fmt.Sprintf("%d/%d", round, n)
			puts = append(puts, put(key, ""))
			deletes = append(deletes, kv.Delete{Key: key, If: kv.Rev("put")})
		}
		if err := errors.Join(s.Commit(t.Context(), "p", "put", puts...), s.Commit(t.Context(), "p", "delete", deletes...)); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(dump(t, s), `"deleted":true`); n > items {
			t.Fatalf("%d deleted items in round %d, want at most the last %d", n, round, items)
		}
		now = now.Add(2 * kv.TombstoneLife)
	}
}

// TestTruncated: a file that was cut off, as by a disk that was full while it was
// copied, is refused with what to do. bbolt would end the process.
func TestTruncated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	s := openFor(t, path, Options{})
	for n := range 200 {
		if err := s.Commit(t.Context(), fmt.Sprint("p", n), "op", kv.Put{Key: "k", Value: make([]byte, 1000), If: kv.Absent()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 4096, 5000, 8192, 16384, len(whole) / 2} {
		cut := filepath.Join(t.TempDir(), "cut")
		if err := os.WriteFile(cut, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(cut, Options{}); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%d of %d bytes: %v", size, len(whole), err)
		}
	}
}

// TestDamaged reads records that are not what was written.
func TestDamaged(t *testing.T) {
	s := openFor(t, filepath.Join(t.TempDir(), "state"), Options{})
	err := s.db.Update(func(tx *bolt.Tx) error {
		return errors.Join(
			tx.Bucket(itemBucket).Put(join("p", "k"), []byte{1, 2, 3}),
			tx.Bucket(openBucket).Put(join("p", "s"), []byte{0xff}))
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, get := s.Get(ctx, "p", "k")
	_, list := s.List(ctx, "p", kv.Range{})
	_, open := s.Open(ctx, "p", "", 1)
	_, tally := s.Tally(ctx, "p", "s", kv.Event{ID: "e", At: time.Now()}, kv.Delta{Counter: "n", By: 1})
	commit := s.Commit(ctx, "p", "op", put("k", "v"))
	for name, err := range map[string]error{"get": get, "list": list, "open": open, "tally": tally, "commit": commit} {
		if !errors.Is(err, kv.ErrUnavailable) || !errors.Is(err, errDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzRecords: what decodes encodes to the same bytes, and nothing panics.
func FuzzRecords(f *testing.F) {
	i := &item{hasValue: true, expiry: 7, ops: [][]byte{[]byte("a"), []byte("b")}, counters: []counter{{[]byte("n"), -3}}, value: []byte("v")}
	g := &segment{serial: 300, touched: 5, seen: digest("e"), counters: []counter{{[]byte("n"), 1 << 60}}}
	f.Add(i.encode())
	f.Add(g.encode())
	f.Add((&item{deleted: true, expiry: 1, ops: [][]byte{[]byte("a")}}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := decodeItem(b); err == nil {
			again, err := decodeItem(i.encode())
			if err != nil || !bytes.Equal(again.encode(), i.encode()) {
				t.Errorf("item %x became %x", b, i.encode())
			}
		}
		if g, err := decodeSegment(b); err == nil {
			again, err := decodeSegment(g.encode())
			if err != nil || !bytes.Equal(again.encode(), g.encode()) {
				t.Errorf("segment %x became %x", b, g.encode())
			}
		}
	})
}
