// Command dev runs everything on one machine: the bundle with its state in a folder, an
// emulator of IM, and a page on which you chat as several users and watch the bundle's
// callbacks and state.
//
//	go run ./scripts/dev [-fresh] [-addr HOST:PORT] [-emulator-addr HOST:PORT] [-state DIR] [-rules FILE]
//
// Its secrets are published development values, which the deployable programs refuse.
// It calls no other host.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/scripts/internal/loopback"
	"github.com/backchannel-im/backchannel/scripts/internal/server"
	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/faas"
	"github.com/backchannel-im/backchannel/shared/im"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/imtest/sdkgate"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/boltkv"
	"github.com/backchannel-im/backchannel/shared/moderation/wordlist/compile"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/boltqueue"
	"github.com/backchannel-im/backchannel/shared/wiring"
	"github.com/backchannel-im/backchannel/shared/wiring/features"
	"github.com/backchannel-im/backchannel/shared/wiring/virgil"
)

// appID is the development app's SDKAppID.
const appID = 1400000000

// stopTime is how long requests that are under way may take when it stops.
const stopTime = 5 * time.Second

func main() { server.Main("dev", run) }

type options struct {
	addr, emulator, state, rules, desk string
	fresh                              bool
}

func (o options) stateFile() string { return filepath.Join(o.state, "state.db") }
func (o options) imageFile() string { return filepath.Join(o.state, "rules.image") }
func (o options) queueFile() string { return filepath.Join(o.state, "jobs.db") }

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("dev", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "`host:port` of the bundle and its page")
	flags.StringVar(&o.emulator, "emulator-addr", "127.0.0.1:8081", "`host:port` of the emulator of IM")
	flags.StringVar(&o.state, "state", ".dev", "`folder` for the state")
	flags.StringVar(&o.rules, "rules", "", "moderation rule set, a JSON `file`; the default is the built-in one")
	flags.StringVar(&o.desk, "desk", "zendesk", "support desk, `zendesk or salesforce`; both are fakes")
	flags.BoolVar(&o.fresh, "fresh", false, "delete the state first")
	flags.Usage = func() {
		fmt.Fprintln(errs, "usage: go run ./scripts/dev [flags]\n\nRuns Backchannel on this machine, with a page to try it.")
		flags.PrintDefaults()
	}
	if err := server.Parse(flags, args); err != nil {
		return o, err
	}
	if o.desk != "zendesk" && o.desk != "salesforce" {
		return o, fmt.Errorf("-desk is zendesk or salesforce, not %q", o.desk)
	}
	return o, nil
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parse(args, errs)
	if err != nil {
		return err
	}
	if o.fresh {
		for _, file := range []string{o.stateFile(), o.queueFile()} {
			if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	if err := os.MkdirAll(o.state, 0o700); err != nil {
		return err
	}
	if o.rules != "" {
		if err := compileRules(o); err != nil {
			return fmt.Errorf("-rules %s: %w", o.rules, err)
		}
	}
	// The addresses are known before anything is opened, since each names another.
	var listeners [5]net.Listener
	for i, l := range []struct{ addr, flag string }{{o.addr, "-addr"}, {o.emulator, "-emulator-addr"}, {"127.0.0.1:0", ""}, {"127.0.0.1:0", ""}, {"127.0.0.1:0", ""}} {
		if listeners[i], err = server.Listen(l.addr, l.flag); err != nil {
			return errors.Join(err, closeAll(listeners[:i]))
		}
	}
	addr, stage := listeners[0].Addr().String(), newScene("http://"+listeners[1].Addr().String())
	deskURL := "http://" + listeners[2].Addr().String()
	desk, deskSettings := deskOf(o.desk, deskURL)
	play, playURL := newGame(stage.Users), "http://"+listeners[3].Addr().String()
	chat, err := im.NewClient(im.Config{Domain: stage.Emulator, SDKAppID: appID, Key: wiring.DevelopmentSecret, Admin: admin})
	if err != nil {
		return errors.Join(err, closeAll(listeners[:]))
	}
	seen := newFeed()
	merchant, err := newShop()
	if err != nil {
		return errors.Join(err, closeAll(listeners[:]))
	}
	model, err := modelSettings(o, "http://"+listeners[4].Addr().String(), "http://"+addr)
	if err != nil {
		return errors.Join(err, closeAll(listeners[:]))
	}
	values := settings(o, stage.Emulator, deskSettings, play.settings(playURL), model, merchant.settings())
	b, err := features.Bundle(wiring.Engines{
		States: []kv.Engine{boltkv.Engine},
		Queues: []queue.Engine{boltqueue.Engine},
	}, seen.add).Build(ctx, config.NewDevelopmentReader(values))
	if err != nil {
		return errors.Join(err, closeAll(listeners[:]))
	}
	for i, flag := range []string{"-addr", "-emulator-addr"} {
		if a, is := listeners[i].Addr().(*net.TCPAddr); is && !a.IP.IsLoopback() {
			fmt.Fprintf(errs, "warning: %s %s is open to the network, and the keys of this program are published: anybody who reaches it may do everything\n", flag, a)
		}
	}
	front, err := newStorefront(stage)
	if err != nil {
		return errors.Join(err, b.Close(), closeAll(listeners[:]))
	}
	merchant.bundle = b.HTTP
	emulator, app := newEmulator(addr)
	help := &support{desk: desk, bundle: b.HTTP, base: "http://" + addr, chat: chat, client: &http.Client{Timeout: 10 * time.Second}}
	ended := make(chan error, 6)
	servers := []*http.Server{
		serve(ctx, listeners[0], faas.Front("dev", loopback.Only(newSite(b.HTTP, seen, stage, addr, help.routes, play.routes, front.routes, merchant.routes, helpRoutes))), ended),
		serve(ctx, listeners[1], loopback.Only(emulator), ended),
		serve(ctx, listeners[2], desk, ended),
		serve(ctx, listeners[3], play, ended),
		serve(ctx, listeners[4], newModel(), ended),
	}
	if err := furnish(ctx, stage, chat, "http://"+addr); err != nil {
		return errors.Join(err, shutDown(servers), b.Close())
	}
	// Only now, since the bundle would take the groups for new ones, and begin to
	// count from zero, whenever the emulator has forgotten them in a restart.
	app.SetConsole(imtest.Console{CallbackURL: "http://" + addr + "/im", CallbackToken: wiring.DevelopmentToken, RetryCallbacks: true})
	// Communities are made anew after a restart, and know their members by callbacks.
	if err := stage.openCommunities(ctx, chat, "http://"+addr); err != nil {
		return errors.Join(err, shutDown(servers), b.Close())
	}
	fmt.Fprintf(out, "ready  page and bundle: http://%s/  callbacks: http://%s/im  emulator: %s\n", addr, addr, stage.Emulator)
	fmt.Fprintf(out, "kept on disk: %s and %s, the bundle's state and jobs; the emulator's users, messages, uploads and snapshots are in memory\n", o.stateFile(), o.queueFile())
	fmt.Fprintf(out, "SDK_APP_ID=%d\nSECRET=%s\nCALLBACK_TOKEN=%s\nAPI_KEY=%s\nIM_DOMAIN=%s\n", appID, wiring.DevelopmentSecret, wiring.DevelopmentToken, wiring.DevelopmentKey, stage.Emulator)
	fmt.Fprintf(out, "%s_URL=%s\n", strings.ToUpper(o.desk), deskURL)
	fmt.Fprintf(out, "CSS_CALLBACK_KEY=%s\n", wiring.DevelopmentCSSKey)
	fmt.Fprintf(out, "SHOPIFY_SECRET=%s\nSHOPIFY_SHOPS=%s\n", wiring.DevelopmentShopSecret, demoShop)
	fmt.Fprintf(out, "IDENTITY_SECRET=%s\nIDENTITY_ISSUER=%s\nIDENTITY_AUDIENCE=%s\nAGENT_USER_IDS=%s\n", wiring.DevelopmentIdentitySecret, identityIssuer, identityAudience, strings.Join(staff(), ","))
	fmt.Fprintf(out, "VIRGIL_APP_ID=%s\nVIRGIL_APP_KEY_ID=%s\nVIRGIL_APP_KEY=%s\n", virgil.DevelopmentAppID, virgil.DevelopmentKeyID, virgil.DevelopmentKey)

	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	var work sync.WaitGroup
	work.Go(func() {
		if err := b.Run(working); err != nil {
			ended <- fmt.Errorf("the worker: %w", err)
		}
	})
	work.Go(func() { tick(working, b.Tick, errs) })

	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	emulator.Close()
	err = errors.Join(err, shutDown(servers))
	stopWork()
	work.Wait()
	return errors.Join(err, b.Close())
}

func closeAll(listeners []net.Listener) error {
	var all error
	for _, l := range listeners {
		all = errors.Join(all, l.Close())
	}
	return all
}

// serve serves until the server is shut down, or tells what ended it.
func serve(ctx context.Context, l net.Listener, h http.Handler, ended chan<- error) *http.Server {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			ended <- err
		}
	}()
	return s
}

// shutDown lets requests under way end for a while.
func shutDown(servers []*http.Server) error {
	stopping, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	var all error
	for _, s := range servers {
		err := s.Shutdown(stopping)
		if errors.Is(err, context.DeadlineExceeded) {
			err = s.Close()
		}
		all = errors.Join(all, err)
	}
	return all
}

// newEmulator is IM with the development app, which calls back nobody yet.
func newEmulator(addr string) (*imtest.Server, *imtest.App) {
	_, port, _ := net.SplitHostPort(addr)
	emulator := imtest.NewServer(imtest.Options{Control: true, Origins: []string{"http://" + addr, "http://localhost:" + port}})
	sdkgate.Mount(emulator, sdkgate.Options{})
	return emulator, emulator.AddApp(imtest.AppConfig{SDKAppID: appID, Key: wiring.DevelopmentSecret, FirstSeq: uint32(time.Now().Unix())})
}

// furnish fills the emulator over its REST API, and the bundle over its routes.
func furnish(ctx context.Context, s scene, chat *im.Client, bundle string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := s.furnish(ctx, chat); err != nil {
		return err
	}
	return s.openRoom(ctx, bundle)
}

// tick is the clock: at start and every minute, as on the platforms.
func tick(ctx context.Context, do func(context.Context) error, errs io.Writer) {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			fmt.Fprintln(errs, "dev: the clock:", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-minute.C:
		}
	}
}

// compileRules turns the rule set into an image, as functions load it.
func compileRules(o options) error {
	b, err := os.ReadFile(o.rules)
	if err != nil {
		return err
	}
	set, err := compile.Parse(b)
	if err != nil {
		return err
	}
	image, err := compile.Compile(set)
	if err != nil {
		return err
	}
	return os.WriteFile(o.imageFile(), image, 0o600)
}

// settings are the development values, in place of an environment: nothing of
// the machine's own leaks in.
func settings(o options, emulator string, fakes ...map[string]string) func(string) (string, bool) {
	values := map[string]string{
		"SDK_APP_ID":     fmt.Sprint(appID),
		"SECRET":         wiring.DevelopmentSecret,
		"CALLBACK_TOKEN": wiring.DevelopmentToken,
		"API_KEYS":       "dev:" + wiring.DevelopmentKeyHash,
		"USERSIG_MODE":   "open",
		// Front ends that are developed beside: docs/scenarios/front-end.md.
		"ALLOWED_ORIGINS": "http://localhost:3000,http://127.0.0.1:3000,http://localhost:5173,http://127.0.0.1:5173,http://localhost:8000,http://127.0.0.1:8000",
		"STATE_URL":       "bolt:" + o.stateFile(),
		"QUEUE_URL":       "bolt:" + o.queueFile(),
		"IM_DOMAIN":       emulator,

		"CSS_CALLBACK_KEY": wiring.DevelopmentCSSKey,
		"CSS_PUSH_DOMAIN":  "push.example.com",
		"CSS_PUSH_KEY":     wiring.DevelopmentCSSPushKey,
		"CSS_PLAY_DOMAIN":  "play.example.com",
		"CSS_PLAY_KEY":     wiring.DevelopmentCSSPlayKey,
		"ROOM_HISTORY":     "200",
		"ROOM_DROP_METER":  "1",

		"VIRGIL_APP_ID":     virgil.DevelopmentAppID,
		"VIRGIL_APP_KEY_ID": virgil.DevelopmentKeyID,
		"VIRGIL_APP_KEY":    virgil.DevelopmentKey,
	}
	if o.rules != "" {
		values["MODERATION_RULES"] = o.imageFile()
	}
	for _, more := range fakes {
		maps.Copy(values, more)
	}
	return func(name string) (string, bool) {
		v, ok := values[name]
		return v, ok
	}
}
