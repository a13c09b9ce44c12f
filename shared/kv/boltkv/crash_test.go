package boltkv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// The crash test kills a child process, this very test binary, while it writes,
// and then looks at the file. The child tells on its standard output what the
// store has acknowledged; what it wrote before it died can still be read.

// kills is how many children die; each phase gets killsPerPhase of them and
// chance the rest.
const (
	kills         = 320
	killsPerPhase = 10
)

// phases are the moments at which a child can be told to stand still and be
// killed. Those of fold are announced by the child, the others by the Store.
var phases = []string{
	"commit: begun", "commit: half written", "commit: written",
	"tally: begun", "tally: reopened", "tally: written",
	"fold: marker read", "fold: segments read", "fold: settled", "fold: answered",
	"group: unsynced", "group: synced",
}

// The child's workers: each repeats its step until it is acknowledged, and then
// goes on to the next. Even ones commit and odd ones tally.
const workers = 4

const (
	crashPartition = "room/1"
	segmentEvents  = 8
)

func TestMain(m *testing.M) {
	if path := os.Getenv("BOLTKV_CRASH_FILE"); path != "" {
		if err := crashChild(path, os.Getenv("BOLTKV_CRASH_PHASE"), os.Getenv("BOLTKV_CRASH_STEPS")); err != nil {
			fmt.Println("failed", err)
		}
		return
	}
	os.Exit(m.Run())
}

// work does step n of a worker. Every commit but the first replaces the item of
// the one before, and adds to a sum without a condition of its own.
func work(ctx context.Context, s kv.Store, worker, n int) error {
	if worker%2 == 1 {
		e := kv.Event{ID: fmt.Sprintf("%d-%d", worker, n), At: time.Now()}
		_, err := s.Tally(ctx, crashPartition, fmt.Sprintf("%d/%06d", worker, n/segmentEvents), e,
			kv.Delta{Counter: counterOf(worker), By: 1}, kv.Delta{Counter: "all", By: 1})
		return err
	}
	op := func(n int) string { return fmt.Sprintf("%d-%d", worker, n) }
	writes := []kv.Write{
		kv.Put{Key: stepKey(worker, n), Value: make([]byte, 100), If: kv.Absent()},
		kv.Add{Key: "sum", Deltas: []kv.Delta{{Counter: counterOf(worker), By: 1}}},
	}
	if n > 0 {
		writes = append(writes, kv.Delete{Key: stepKey(worker, n-1), If: kv.Rev(op(n - 1))})
	}
	return s.Commit(ctx, crashPartition, op(n), writes...)
}

func stepKey(worker, n int) string { return fmt.Sprintf("step/%d/%d", worker, n) }

func counterOf(worker int) string { return fmt.Sprint("worker/", worker) }

// crashChild works until it is killed. With a phase, it says so the first time
// it gets there and stays there.
func crashChild(path, deadly, steps string) error {
	var out sync.Mutex
	say := func(words ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(words...)
	}
	phase := func(name string) {
		if name == deadly {
			say("phase", name)
			time.Sleep(time.Hour) // until it is killed
		}
	}
	s, err := open(path, Options{}, phase)
	if err != nil {
		return err
	}
	failed := make(chan error, workers+1)
	for worker, from := range strings.Split(steps, ",") {
		n, err := strconv.Atoi(from)
		if err != nil {
			return err
		}
		go func() {
			for ; ; n++ {
				if err := work(context.Background(), s, worker, n); err != nil {
					failed <- fmt.Errorf("worker %d, step %d: %w", worker, n, err)
					return
				}
				say("done", worker, n)
			}
		}()
	}
	go func() {
		for {
			_, err := kv.Fold(context.Background(), announced{s, phase}, crashPartition, kv.FoldOptions{
				Closed: func(kv.Segment) bool { return true },
				Into:   func(counter string) string { return "total/" + counter },
			})
			if err != nil && !errors.Is(err, kv.ErrConflict) {
				failed <- fmt.Errorf("fold: %w", err)
				return
			}
		}
	}()
	return <-failed
}

// announced names the phases of a fold that lie between its calls.
type announced struct {
	kv.Store
	phase func(string)
}

func (a announced) Get(ctx context.Context, partition, key string) (kv.Item, error) {
	i, err := a.Store.Get(ctx, partition, key)
	a.phase("fold: marker read")
	return i, err
}

func (a announced) Open(ctx context.Context, partition, after string, limit int) ([]kv.Segment, error) {
	g, err := a.Store.Open(ctx, partition, after, limit)
	if len(g) > 0 {
		a.phase("fold: segments read")
	}
	return g, err
}

func (a announced) Commit(ctx context.Context, partition, op string, writes ...kv.Write) error {
	err := a.Store.Commit(ctx, partition, op, writes...)
	if err == nil {
		a.phase("fold: answered")
	}
	return err
}

func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	next := make([]int, workers) // the first step of each worker that nobody acknowledged
	hits := map[string]int{}
	for n := range kills {
		phase := ""
		if n < killsPerPhase*len(phases) {
			phase = phases[n%len(phases)]
		}
		hits[kill(t, path, phase, next)]++
		survived(t, path, next)
		if t.Failed() {
			t.Fatalf("after kill %d, in phase %q", n, phase)
		}
	}
	summary := []string{}
	for _, phase := range phases {
		summary = append(summary, fmt.Sprintf("%s %d", phase, hits[phase]))
		if hits[phase] == 0 {
			t.Errorf("nobody died in %q", phase)
		}
	}
	t.Logf("%d kills: %s, at random %d; %v steps acknowledged", kills, strings.Join(summary, ", "), hits[""], next)

	s := openFor(t, path, Options{})
	err := s.db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// kill runs a child, kills it in the given phase or, without one, after a few
// of its steps, and notes in next what it acknowledged. It returns the phase
// that the child died in.
func kill(t *testing.T, path, phase string, next []int) string {
	t.Helper()
	steps := strings.Trim(strings.ReplaceAll(fmt.Sprint(next), " ", ","), "[]")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "BOLTKV_CRASH_FILE="+path, "BOLTKV_CRASH_PHASE="+phase, "BOLTKV_CRASH_STEPS="+steps)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	left, hit := 1+rand.IntN(60), ""
	if phase != "" {
		left = 5000 // by then it should have come there
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		var worker, n int
		switch _, err := fmt.Sscanf(line, "done %d %d", &worker, &n); {
		case line == "phase "+phase:
			left, hit = 0, phase
		case err != nil:
			t.Fatalf("the child says %q", line)
		case n != next[worker]:
			t.Fatalf("worker %d did step %d, want %d", worker, n, next[worker])
		default:
			next[worker]++
			left--
		}
		if left <= 0 {
			// More than once, since what it said before it died still follows.
			if err := child.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return hit
}

// survived opens the file as the next process would. Of every worker all that
// was acknowledged is there once, and the step it was at is there once or not.
func survived(t *testing.T, path string, next []int) {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := t.Context()
	sum, err := s.Get(ctx, crashPartition, "sum")
	if err != nil && !errors.Is(err, kv.ErrNotFound) {
		t.Fatal(err)
	}
	totals, err := kv.Totals(ctx, s, crashPartition, "total/")
	if err != nil {
		t.Fatal(err)
	}
	tallied := int64(0)
	for worker, n := range next {
		if worker%2 == 1 {
			got := totals[counterOf(worker)]
			tallied += got
			if got != int64(n) && got != int64(n+1) {
				t.Errorf("worker %d has %d events, acknowledged %d", worker, got, n)
			}
			continue
		}
		page, err := s.List(ctx, crashPartition, kv.Range{Prefix: fmt.Sprintf("step/%d/", worker)})
		if err != nil {
			t.Fatal(err)
		}
		did := sum.Counters[counterOf(worker)]
		if did != int64(n) && did != int64(n+1) {
			t.Errorf("worker %d has %d commits, acknowledged %d", worker, did, n)
		}
		want := []string{}
		if did > 0 {
			want = append(want, stepKey(worker, int(did-1)))
		}
		got := []string{}
		for _, i := range page.Items {
			got = append(got, i.Key)
		}
		if !slices.Equal(got, want) {
			t.Errorf("worker %d left %q, want %q", worker, got, want)
		}
	}
	if totals["all"] != tallied {
		t.Errorf("%d events by one counter, %d by the others", totals["all"], tallied)
	}
}
