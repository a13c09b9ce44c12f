package lists_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/kv/kvtest"
	"github.com/backchannel-im/backchannel/shared/moderation/lists"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
)

// shelf is the server where images lie, and a store beside it.
type shelf struct {
	testing.TB
	url   string
	store kv.Store
	clock *kvtest.Clock
	asked atomic.Int64
	away  atomic.Bool

	mu     sync.Mutex
	images map[string]string // path -> image
}

func newShelf(t testing.TB) *shelf {
	t.Helper()
	s := &shelf{TB: t, clock: kvtest.NewClock(), images: map[string]string{}}
	store, err := boltkv.Open(filepath.Join(t.TempDir(), "state"), boltkv.Options{Now: s.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	s.store = store
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.mu.Lock()
		image, found := s.images[r.URL.Path]
		s.mu.Unlock()
		if s.away.Load() || !found {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, image)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// image compiles a rule set of one word.
func image(t testing.TB, version string) string {
	t.Helper()
	set, err := compile.Parse(fmt.Appendf(nil, `{"version":%q,"words":[{"text":"casino"}]}`, version))
	if err != nil {
		t.Fatal(err)
	}
	b, err := compile.Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// put lays bytes on the shelf and returns what names them.
func (s *shelf) put(path, image string) lists.Ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images[path] = image
	return lists.Ref{URL: s.url + path + "?signature=s3cret", SHA256: sum(image)}
}

func sum(image string) string {
	b := sha256.Sum256([]byte(image))
	return hex.EncodeToString(b[:])
}

// instance is a function that has just started.
func (s *shelf) instance() *lists.Lists {
	return lists.New(lists.Config{Store: s.store, Base: wordlist.Default(), Now: s.clock.Now})
}

// must returns the standing of an order that has to work.
func (s *shelf) must(standing lists.Standing, err error) lists.Standing {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	return standing
}

// judged waits until an instance judges a group by a version, as it does while
// it is called.
func (s *shelf) judged(l *lists.Lists, groupID, version string) {
	s.Helper()
	got := ""
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if got = l.For(s.Context(), groupID).Version(); got == version {
			return
		}
	}
	s.Fatalf("group %q is judged by %q, want %q", groupID, got, version)
}

var base = wordlist.Default().Version()

// TestReleases: staged, promoted and rolled back, each taken up by instances
// that run and by one that starts, within half a minute of use.
func TestReleases(t *testing.T) {
	s := newShelf(t)
	desk, running := s.instance(), s.instance()
	one, two := s.put("/one", image(t, "one")), s.put("/two", image(t, "two"))
	next := func(version string) {
		t.Helper()
		s.clock.Advance(30 * time.Second)
		s.judged(running, "room", version)
		s.judged(running, "", version)
		s.judged(s.instance(), "room", version)
	}
	next(base)

	s.must(desk.Stage(t.Context(), one, 100, "ops"))
	s.clock.Advance(30 * time.Second)
	s.judged(running, "room", "one")
	s.judged(running, "", base) // one-to-one waits for the promotion

	s.must(desk.Promote(t.Context(), one.SHA256))
	next("one")
	s.must(desk.Stage(t.Context(), two, 50, "ops"))
	standing := s.must(desk.Promote(t.Context(), two.SHA256))
	if again := s.must(desk.Promote(t.Context(), two.SHA256)); len(again.Earlier) != 1 || standing.Active.By != "ops" {
		t.Errorf("promoted twice: %+v", again)
	}
	next("two")

	s.must(desk.Rollback(t.Context(), two.SHA256))
	s.must(desk.Rollback(t.Context(), two.SHA256)) // a repeat takes nothing more back
	next("one")
	s.must(desk.Rollback(t.Context(), one.SHA256))
	next(base)
}

// TestFreshIsNotLookedAtAgain: between looks, verdicts cost no store.
func TestFreshIsNotLookedAtAgain(t *testing.T) {
	s := newShelf(t)
	counted := &counting{Store: s.store}
	l := lists.New(lists.Config{Store: counted, Base: wordlist.Default(), Now: s.clock.Now})
	s.judged(l, "room", base)
	before := counted.gets.Load()
	for range 1000 {
		l.For(t.Context(), "room")
	}
	if n := counted.gets.Load() - before; n != 0 {
		t.Errorf("%d looks for a thousand verdicts in one second", n)
	}
	s.clock.Advance(lists.Fresh)
	for range 1000 {
		l.For(t.Context(), "room")
	}
	if n := counted.gets.Load() - before; n > 1 {
		t.Errorf("%d looks at once, want one", n)
	}
}

type counting struct {
	kv.Store
	gets atomic.Int64
}

func (c *counting) Get(ctx context.Context, partition, key string) (kv.Item, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, partition, key)
}

// TestShare: a candidate judges its share of the rooms, a room that it judges
// stays with it while the share grows, and another candidate meets others.
func TestShare(t *testing.T) {
	s := newShelf(t)
	l := s.instance()
	const rooms = 5000
	judges := func(version string) map[string]bool {
		in := map[string]bool{}
		for i := range rooms {
			if id := fmt.Sprintf("@TGS#%d", i); l.For(t.Context(), id).Version() == version {
				in[id] = true
			}
		}
		return in
	}
	stage := func(version string, share int) map[string]bool {
		s.must(l.Stage(t.Context(), s.put("/"+version, image(t, version)), share, ""))
		s.clock.Advance(30 * time.Second)
		// Some room of so many is within any share.
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			in := judges(version)
			if n := len(in) * 100 / rooms; n >= share-3 && n <= share+3 {
				return in
			}
		}
		t.Fatalf("%s judges %d of %d rooms, want %d %%", version, len(judges(version)), rooms, share)
		return nil
	}
	ten := stage("one", 10)
	thirty := stage("one", 30)
	for id := range ten {
		if !thirty[id] {
			t.Fatalf("%s left when the share grew", id)
		}
	}
	both := 0
	for id := range stage("two", 10) {
		if ten[id] {
			both++
		}
	}
	if both == len(ten) {
		t.Error("the second candidate was given the same rooms")
	}
}

// TestBadImagesReplaceNothing: neither at the desk nor in an instance.
func TestBadImagesReplaceNothing(t *testing.T) {
	for name, spoil := range map[string]func(string) string{
		"cut off":      func(s string) string { return s[:len(s)/2] },
		"one byte":     func(s string) string { return s[:100] + string(s[100]^1) + s[101:] },
		"older format": func(s string) string { return s[:4] + "\x00" + s[5:] },
		"empty":        func(string) string { return "" },
		"a web page":   func(string) string { return "<!doctype html>" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			l := s.instance()
			good := s.put("/good", image(t, "good"))
			s.must(l.Stage(t.Context(), good, 100, ""))
			s.must(l.Promote(t.Context(), good.SHA256))
			s.clock.Advance(30 * time.Second)
			s.judged(l, "room", "good")

			// The desk: whatever the checksum says.
			bad := s.put("/bad", spoil(image(t, "bad")))
			if _, err := l.Stage(t.Context(), bad, 100, ""); err == nil || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("staged: %v", err)
			}
			s.put("/bad", image(t, "bad"))
			if _, err := l.Stage(t.Context(), lists.Ref{URL: bad.URL, SHA256: good.SHA256}, 100, ""); err == nil || !strings.Contains(err.Error(), "checksum") {
				t.Errorf("another image than the checksum's: %v", err)
			}
			if standing := s.must(l.Standing(t.Context())); standing.Candidate != nil {
				t.Errorf("a candidate was left: %+v", standing.Candidate)
			}

			// The instance: a newer program staged what this one cannot open.
			standing := lists.Standing{Active: &lists.Release{Ref: s.put("/bad", spoil(image(t, "bad"))), Version: "bad"}}
			item, err := s.store.Get(t.Context(), "moderation/lists", "standing")
			if err != nil {
				t.Fatal(err)
			}
			value, _ := json.Marshal(standing)
			if err := s.store.Commit(t.Context(), "moderation/lists", "by hand", kv.Put{Key: "standing", Value: value, If: kv.Rev(item.Rev)}); err != nil {
				t.Fatal(err)
			}
			asked := s.asked.Load()
			for range 5 {
				s.clock.Advance(30 * time.Second)
				s.judged(l, "room", "good")
				s.quiet(l)
			}
			if n := s.asked.Load() - asked; n != 1 {
				t.Errorf("fetched %d times, want once", n)
			}
			s.judged(s.instance(), "room", base)
		})
	}
}

// quiet waits until an instance has no look under way.
func (s *shelf) quiet(l *lists.Lists) {
	s.Helper()
	for end := time.Now().Add(10 * time.Second); l.Looking(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.Fatal("a look does not end")
		}
	}
}

// TestAwayForAWhile: an image or store that cannot be reached leaves the list at
// hand, and is taken up when it is back.
func TestAwayForAWhile(t *testing.T) {
	var log bytes.Buffer
	s := newShelf(t)
	faulty := &failing{Store: s.store}
	l := lists.New(lists.Config{Store: faulty, Base: wordlist.Default(), Now: s.clock.Now, Log: slog.New(slog.NewJSONHandler(&log, nil))})
	ref := s.put("/one", image(t, "one"))
	s.must(l.Stage(t.Context(), ref, 100, ""))
	s.must(l.Promote(t.Context(), ref.SHA256))
	for _, away := range []*atomic.Bool{&s.away, &faulty.away} {
		away.Store(true)
		for range 3 {
			s.clock.Advance(30 * time.Second)
			s.judged(l, "room", base)
			s.quiet(l)
		}
		away.Store(false)
	}
	s.clock.Advance(30 * time.Second)
	s.judged(l, "room", "one")
	s.quiet(l)
	if text := log.String(); !strings.Contains(text, "release not loaded") || strings.Contains(text, "s3cret") {
		t.Errorf("the log says %s", text)
	}
}

type failing struct {
	kv.Store
	away atomic.Bool
}

func (f *failing) Get(ctx context.Context, partition, key string) (kv.Item, error) {
	if f.away.Load() {
		return kv.Item{}, kv.ErrUnavailable
	}
	return f.Store.Get(ctx, partition, key)
}

// TestSlowImageHoldsNobodyUp: while a fetch hangs, verdicts are given by the
// list at hand, and nobody fetches beside.
func TestSlowImageHoldsNobodyUp(t *testing.T) {
	s := newShelf(t)
	ref := s.put("/one", image(t, "one"))
	s.must(s.instance().Stage(t.Context(), ref, 100, ""))
	var fetches atomic.Int64
	arrived := make(chan struct{})
	l := lists.New(lists.Config{
		Store: s.store, Base: wordlist.Default(), Now: s.clock.Now,
		Fetch: func(ctx context.Context, r lists.Ref) (string, error) {
			fetches.Add(1)
			select {
			case <-arrived:
				return lists.Fetch(ctx, r)
			case <-ctx.Done():
				return "", ctx.Err()
			}
		},
	})
	for range 1000 {
		if got := l.For(t.Context(), "room").Version(); got != base {
			t.Fatalf("judged by %q before its image came", got)
		}
	}
	if n := fetches.Load(); n != 1 {
		t.Errorf("%d fetches at once", n)
	}
	close(arrived)
	s.judged(l, "room", "one")
}

// TestOperatorsAtOnce: of many orders at the same time none is lost.
func TestOperatorsAtOnce(t *testing.T) {
	s := newShelf(t)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			version := fmt.Sprint("v", i)
			ref := s.put("/"+version, image(t, version))
			for {
				if _, err := s.instance().Stage(t.Context(), ref, 10, version); err != nil {
					t.Error(err)
					return
				}
				if _, err := s.instance().Promote(t.Context(), ref.SHA256); err == nil {
					return
				}
			}
		})
	}
	all.Wait()
	standing := s.must(s.instance().Standing(t.Context()))
	seen := map[string]bool{standing.Active.Version: true}
	for _, r := range standing.Earlier {
		seen[r.Version] = true
	}
	if len(seen) != 8 || len(standing.Earlier) != 7 {
		t.Errorf("%d releases in force one after the other, %d earlier, want 8 and 7", len(seen), len(standing.Earlier))
	}
}

func TestRoutes(t *testing.T) {
	s := newShelf(t)
	key := sha256.Sum256([]byte("secret"))
	keys, err := api.ParseKeys([]string{"ops:" + hex.EncodeToString(key[:])})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	s.instance().Routes(mux, &api.Gate{Keys: keys})
	routes := api.Routes(mux)
	call := func(method, path, key, body string) (int, string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		routes.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	ref := s.put("/one", image(t, "one"))
	stage := fmt.Sprintf(`{"image":%q,"share":10}`, ref)
	for _, tt := range []struct {
		method, path, key, body string
		status                  int
		says                    string
	}{
		{"GET", "/moderation/lists", "wrong", "", 401, "unauthenticated"},
		{"POST", "/moderation/lists/candidate", "wrong", stage, 401, "unauthenticated"},
		{"GET", "/moderation/lists", "secret", "", 200, `"active":null`},
		{"POST", "/moderation/lists/candidate", "secret", `{"share":10}`, 400, "#sha256="},
		{"POST", "/moderation/lists/candidate", "secret", `{"image":"file:///etc/passwd#sha256=00","share":10}`, 400, "https://"},
		{"POST", "/moderation/lists/candidate", "secret", strings.Replace(stage, `"share":10`, `"share":0`, 1), 400, "percentage"},
		{"POST", "/moderation/lists/candidate", "secret", strings.Replace(stage, "/one?", "/none?", 1), 400, "answers 503"},
		{"POST", "/moderation/lists/promote", "secret", `{}`, 400, "sha256"},
		{"POST", "/moderation/lists/promote", "secret", `{"sha256":"ab"}`, 409, "no candidate"},
		{"GET", "/moderation/lists", "secret", "", 200, `"candidate":null`},
		{"POST", "/moderation/lists/candidate", "secret", stage, 200, `"by":"ops"`},
		{"POST", "/moderation/lists/promote", "secret", `{"sha256":"` + strings.ToUpper(ref.SHA256) + `"}`, 200, `"version":"one"`},
		{"POST", "/moderation/lists/candidate", "secret", stage, 409, "in force already"},
		{"POST", "/moderation/lists/rollback", "secret", `{"sha256":"` + ref.SHA256 + `"}`, 200, `"active":null`},
	} {
		status, body := call(tt.method, tt.path, tt.key, tt.body)
		if status != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s %s %s: %d %s, want %d and %q", tt.method, tt.path, tt.body, status, body, tt.status, tt.says)
		}
		if strings.Contains(body, "s3cret") {
			t.Errorf("%s %s tells the URL's query: %s", tt.method, tt.path, body)
		}
	}
}

func TestFetchFollowsNobody(t *testing.T) {
	elsewhere := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/secret", http.StatusFound))
	t.Cleanup(elsewhere.Close)
	_, err := lists.Fetch(t.Context(), lists.Ref{URL: elsewhere.URL, SHA256: sum("")})
	if err == nil || !strings.Contains(err.Error(), "302") {
		t.Errorf("%v, want the redirect as an error", err)
	}
	_, err = lists.Fetch(t.Context(), lists.Ref{URL: "http://127.0.0.1:1/?signature=s3cret", SHA256: sum("")})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v, want an error without the query", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = lists.Fetch(ctx, lists.Ref{URL: elsewhere.URL, SHA256: sum("")}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

func FuzzParseRef(f *testing.F) {
	f.Add("https://example.com/rules.image?x=1#sha256=" + sum(""))
	f.Add("file:///etc/passwd#sha256=" + sum(""))
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := lists.ParseRef(text)
		if err != nil {
			return
		}
		again, err := lists.ParseRef(ref.String())
		if err != nil || again != ref || len(ref.SHA256) != 64 {
			t.Errorf("%q -> %+v -> %+v, %v", text, ref, again, err)
		}
	})
}
