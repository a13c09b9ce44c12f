package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/faas/faastest"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv/enginetest"
	kit "github.com/backchannel-im/backchannel/shared/wiring/wiringtest"
)

// TestSoak keeps the bundle under mixed traffic while IM misbehaves: messages, some
// of them refused, some of them repeated, late or out of order, requests of servers,
// and calls that nobody signed. In the end memory and goroutines are where they
// were, and every delivered message is counted once. Half an hour before a release,
// seconds otherwise; BACKCHANNEL_SOAK gives another time, such as 5m.
func TestSoak(t *testing.T) {
	length := time.Duration(enginetest.Size(4, 1800)) * time.Second
	if text := os.Getenv("BACKCHANNEL_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	emulator := imtest.NewServer(imtest.Options{Seed: 1})
	t.Cleanup(emulator.Close)
	chat := httptest.NewServer(emulator)
	t.Cleanup(chat.Close)
	l := faastest.StartLocal(t, faastest.Build(t, "."), kit.Settings(map[string]string{
		"STATE_URL": "bolt:{dir}/state.db", "QUEUE_URL": "bolt:{dir}/jobs.db", "IM_DOMAIN": chat.URL, "LOG_LEVEL": "error",
		"USERSIG_MODE": "server",
	}))
	app := emulator.AddApp(imtest.AppConfig{
		SDKAppID: kit.AppID, Key: kit.Secret, CallbackURL: l.URL + "/im", CallbackToken: kit.Token, RetryCallbacks: true, RoomRate: -1, RatePerAPI: -1,
	})
	chaos := imtest.Chaos{Duplicate: 0.1, Reorder: 0.1, Delay: 0.05, DelayBy: 50 * time.Millisecond, LoseAnswer: 0.02, SlowAnswer: 0.02, Refuse: 0.02}
	admin, err := im.NewClient(im.Config{Domain: chat.URL, SDKAppID: kit.AppID, Key: kit.Secret, Admin: "administrator"})
	if err != nil {
		t.Fatal(err)
	}
	soak(t, l, app, admin, chaos, length)
}

// levels of a process at one moment.
type levels struct{ heap, goroutines float64 }

func soak(t *testing.T, l *faastest.Local, app *imtest.App, admin *im.Client, chaos imtest.Chaos, length time.Duration) {
	signer, err := usersig.NewSigner(kit.AppID, kit.Secret)
	if err != nil {
		t.Fatal(err)
	}
	login := func(user string) *imtest.Client {
		sig, err := signer.Sign(user, 24*time.Hour)
		if err == nil {
			err = admin.ImportAccount(t.Context(), im.Account{UserID: user})
		}
		if err == nil {
			var c *imtest.Client
			if c, err = app.Login(user, sig, imtest.Device{}); err == nil {
				return c
			}
		}
		t.Fatal(err)
		return nil
	}
	owner := login("owner")
	const rooms, talkers = 8, 8
	for r := range rooms {
		if _, err := owner.CreateGroup("Meeting", fmt.Sprintf("soak-%d", r), "soak"); err != nil {
			t.Fatal(err)
		}
	}
	var delivered [rooms]atomic.Int64
	// Whoever is in a room counts its messages from the first: let it be known first.
	if err := app.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	app.Misbehave(chaos)
	end := time.Now().Add(length)
	var traffic sync.WaitGroup
	for n := range talkers {
		c := login(fmt.Sprintf("talker-%d", n))
		for r := range rooms {
			if err := c.Join(fmt.Sprintf("soak-%d", r)); err != nil {
				t.Fatal(err)
			}
		}
		traffic.Go(func() {
			for i := n; time.Now().Before(end); i++ {
				text := "good evening"
				if i%7 == 0 {
					text = "join my casino now"
				}
				// Random numbers of IM's size meet within five minutes in so many messages,
				// and IM takes the second message for the first.
				if _, err := c.Send(fmt.Sprintf("soak-%d", i%rooms), imtest.Draft{Text: text, Random: uint32(i) + 1}); err == nil {
					delivered[i%rooms].Add(1)
				}
				switch i % 5 {
				case 0:
					call(l, kit.Get("/rooms/soak-1/stats", kit.Key))
				case 1:
					call(l, kit.Post("/usersig", kit.Key, `{"userID":"alice"}`))
				case 2:
					call(l, kit.Post("/im?CallbackCommand=Group.CallbackAfterSendMsg", "", "{}"))
				}
			}
		})
	}
	// The first tenth warms up. Of what is left, the lowest levels of the first and the
	// last third are compared: garbage comes and goes between.
	var seen []levels
	for time.Now().Before(end) {
		time.Sleep(length / 60)
		seen = append(seen, measured(t, l))
	}
	traffic.Wait()
	app.Misbehave(imtest.Chaos{})
	if err := app.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n := 0; n+5 <= len(seen); n += 5 {
		low := lowest(seen[n : n+5])
		t.Logf("up to %v: heap %.1f MiB, goroutines %.0f", length*time.Duration(n+5)/60, low.heap/(1<<20), low.goroutines)
	}
	seen = seen[len(seen)/10:]
	first, last := lowest(seen[:len(seen)/3]), lowest(seen[len(seen)*2/3:])
	quiet := measured(t, l)
	for range 300 { // what is in flight comes to an end
		if quiet.goroutines <= first.goroutines+64 {
			break
		}
		time.Sleep(100 * time.Millisecond)
		quiet = measured(t, l)
	}
	t.Logf("%v: heap %.1f to %.1f MiB, goroutines %.0f to %.0f, %.0f without traffic", length, first.heap/(1<<20), last.heap/(1<<20), first.goroutines, last.goroutines, quiet.goroutines)
	if last.heap > 1.5*first.heap+(16<<20) {
		t.Errorf("the heap grew from %.1f to %.1f MiB", first.heap/(1<<20), last.heap/(1<<20))
	}
	if quiet.goroutines > first.goroutines+64 {
		t.Errorf("goroutines grew from %.0f with traffic to %.0f without", first.goroutines, quiet.goroutines)
	}
	total := int64(0)
	for r := range rooms {
		want := delivered[r].Load()
		total += want
		got := float64(-1)
		// A callback whose rule failed becomes a job, and a job whose message to the
		// queue was lost comes again after two minutes.
		for range 3000 {
			if got, _ = answer(t, l, kit.Get(fmt.Sprintf("/rooms/soak-%d/stats", r), kit.Key)).JSON["messages"].(float64); int64(got) >= want {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if int64(got) != want {
			t.Errorf("room %d counts %.0f messages, and %d were delivered; jobs: %s", r, got, want, answer(t, l, kit.Get("/jobs", kit.Key)).Text)
		}
	}
	t.Logf("%d messages delivered and counted", total)
	if total == 0 {
		t.Error("no message was delivered")
	}
}

// call makes a request whose answer is nobody's business here.
func call(l *faastest.Local, r *http.Request) {
	if res, err := l.Do(faastest.Plain, r); err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
}

func lowest(list []levels) levels {
	low := list[0]
	for _, s := range list {
		low.heap, low.goroutines = min(low.heap, s.heap), min(low.goroutines, s.goroutines)
	}
	return low
}

var sampleLine = regexp.MustCompile(`(?m)^(go_memstats_heap_inuse_bytes|go_goroutines) (\S+)$`)

// measured reads the process's levels from its own metrics.
func measured(t *testing.T, l *faastest.Local) (s levels) {
	t.Helper()
	res, err := l.Do(faastest.Plain, kit.Get("/metrics", ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range sampleLine.FindAllStringSubmatch(kit.Read(t, res).Text, -1) {
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(m[1], "go_goroutines") {
			s.goroutines = v
		} else {
			s.heap = v
		}
	}
	if s.heap == 0 || s.goroutines == 0 {
		t.Fatal("the metrics tell no levels of the process")
	}
	return s
}
