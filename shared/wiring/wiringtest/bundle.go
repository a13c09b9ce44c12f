package wiringtest

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/usersig"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/boltqueue"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/features"
)

// Bundle is the whole bundle in the test's own process, with its state in files of the
// test, and an emulated IM whose callbacks come to it. The bundle carries out its jobs
// in the background; it ticks when the test calls [Bundle.Tick].
type Bundle struct {
	App *faas.App
	URL string      // of a listener in front of App.HTTP
	IM  *imtest.App // what IM knows
	// Emulator is IM, and Domain the URL of its REST API.
	Emulator *imtest.Server
	Domain   string
	// Client calls the emulator's REST API as the app's admin.
	Client *im.Client

	t    testing.TB
	stop func()
}

// OpenBundle opens the bundle with the settings of [Settings], a file for state
// and another for jobs, and more.
func OpenBundle(t testing.TB, more map[string]string) *Bundle {
	t.Helper()
	return OpenBundleOver(t, func(s kv.Store) kv.Store { return s }, more)
}

// OpenBundleOver is OpenBundle with a store between the bundle and its file.
func OpenBundleOver(t testing.TB, over func(kv.Store) kv.Store, more map[string]string) *Bundle {
	t.Helper()
	emulator := imtest.NewServer(imtest.Options{})
	chat := httptest.NewServer(emulator)
	b := &Bundle{t: t, Emulator: emulator, Domain: chat.URL}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { b.App.HTTP.ServeHTTP(w, r) }))
	b.URL = front.URL
	b.IM = emulator.AddApp(imtest.AppConfig{
		SDKAppID: AppID, Key: Secret, CallbackURL: front.URL + "/im", CallbackToken: Token, RetryCallbacks: true,
	})
	var err error
	b.Client, err = im.NewClient(im.Config{Domain: chat.URL, SDKAppID: AppID, Key: Secret, Admin: "administrator"})
	if err != nil {
		t.Fatal(err)
	}
	values := Settings(map[string]string{"STATE_URL": "bolt:{dir}/state.db", "QUEUE_URL": "bolt:{dir}/jobs.db", "IM_DOMAIN": chat.URL})
	maps.Copy(values, more)
	dir := t.TempDir()
	engine := boltkv.Engine
	engine.Open = func(ctx context.Context, url string) (kv.Store, error) {
		s, err := boltkv.Engine.Open(ctx, url)
		if err != nil {
			return nil, err
		}
		return over(s), nil
	}
	b.App, err = features.Bundle(wiring.Engines{
		States: []kv.Engine{engine}, Queues: []queue.Engine{boltqueue.Engine},
	}, nil).Build(t.Context(), config.NewReader(func(name string) (string, bool) {
		v, ok := values[name]
		return strings.ReplaceAll(v, "{dir}", dir), ok
	}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var work sync.WaitGroup
	if b.App.Run != nil {
		work.Go(func() {
			if err := b.App.Run(ctx); err != nil {
				t.Errorf("the worker: %v", err)
			}
		})
	}
	b.stop = func() { cancel(); work.Wait() }
	t.Cleanup(func() {
		emulator.Close()
		front.Close()
		chat.Close()
		b.stop()
		if err := b.App.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return b
}

// Do calls one of the bundle's routes.
func (b *Bundle) Do(r *http.Request) Answer {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.App.HTTP.ServeHTTP(w, r)
	return Read(b.t, w.Result())
}

// StopWork ends the worker: jobs wait from now on.
func (b *Bundle) StopWork() { b.stop() }

// Tick runs the clock's tasks of every minute.
func (b *Bundle) Tick() {
	b.t.Helper()
	if err := b.App.Tick(b.t.Context()); err != nil {
		b.t.Error(err)
	}
}

// Login imports an account and logs it in as IM's client SDK would. UserSig is
// what the user's requests to our routes carry.
func (b *Bundle) Login(userID string) (client *imtest.Client, userSig string) {
	b.t.Helper()
	if err := b.Client.ImportAccount(b.t.Context(), im.Account{UserID: userID}); err != nil {
		b.t.Fatal(err)
	}
	signer, err := usersig.NewSigner(AppID, Secret)
	if err != nil {
		b.t.Fatal(err)
	}
	userSig, err = signer.Sign(userID, 24*time.Hour)
	if err != nil {
		b.t.Fatal(err)
	}
	client, err = b.IM.Login(userID, userSig, imtest.Device{})
	if err != nil {
		b.t.Fatal(err)
	}
	return client, userSig
}
