// Command imemu serves the IM emulator alone: the REST API, the client routes
// and the controls of one or more apps, for a backend in any language.
//
//	go run ./scripts/imemu [-app SDKAPPID:SECRET[@DATACENTRE]]... [-callback-url URL] [flags]
//
// It prints a line that starts with "ready" once it serves, and stops on SIGINT
// or SIGTERM. It calls only the host of the callback URL.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/scripts/internal/loopback"
	"github.com/backchannel-im/backchannel/scripts/internal/server"
	"github.com/backchannel-im/backchannel/shared/im/imtest"
	"github.com/backchannel-im/backchannel/shared/im/imtest/sdkgate"
	"github.com/backchannel-im/backchannel/shared/wiring"
)

// developmentApp is there when no other app is named; its secret is the
// published sample key that scripts/dev uses as well.
var developmentApp = app{id: 1400000000, secret: wiring.DevelopmentSecret}

// maxFeatures is how many binary digits the web SDK reads.
const maxFeatures = 64

// stopTime is how long requests that are under way may take when it stops.
const stopTime = 5 * time.Second

func main() { server.Main("imemu", run) }

// app is the value of one -app.
type app struct {
	id                 uint32
	secret, dataCentre string
}

var errApp = errors.New("an app is SDKAPPID:SECRET or SDKAPPID:SECRET@DATACENTRE")

// parseApp reads an -app.
func parseApp(s string) (app, error) {
	number, secret, ok := strings.Cut(s, ":")
	id, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil || id == 0 {
		return app{}, errApp
	}
	a := app{id: uint32(id), secret: secret}
	if at := strings.LastIndexByte(secret, '@'); at >= 0 {
		a.secret, a.dataCentre = secret[:at], secret[at+1:]
		if a.dataCentre == "" || strings.ContainsAny(a.dataCentre, "/?#%") {
			return app{}, errApp
		}
	}
	if a.secret == "" {
		return app{}, errApp
	}
	return a, nil
}

type options struct {
	addr, callbackURL, callbackToken string
	apps                             []app
	origins                          []string
	seed                             uint64
	webLogins                        int
	features                         string
	manual, control                  bool
}

func parse(args []string, errs io.Writer) (options, error) {
	var o options
	var apps []string // read below: flag's own errors would repeat the secret
	flags := flag.NewFlagSet("imemu", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8081", "`host:port` to serve on")
	flags.Func("app", "an app, as `SDKAPPID:SECRET[@DATACENTRE]`; repeatable. An app with a data centre\nis served under /dc/DATACENTRE and unknown (60026) elsewhere.\nThe default is the development app 1400000000", func(s string) error {
		apps = append(apps, s)
		return nil
	})
	flags.StringVar(&o.callbackURL, "callback-url", "", "`URL` for callbacks; without it none are sent")
	flags.StringVar(&o.callbackToken, "callback-token", "", "the console's authentication `token`; callbacks are unsigned without it")
	flags.Func("origin", "`origin` of a page that may use /client/ and /emulator/, such as http://127.0.0.1:8080; repeatable", func(s string) error {
		o.origins = append(o.origins, s)
		return nil
	})
	flags.Uint64Var(&o.seed, "seed", 0, "seed `number` of random choices; the same seed gives the same choices")
	flags.IntVar(&o.webLogins, "web-logins", 1, "`number` of Web logins that one user has at once, 1 to 10; a further login kicks the first")
	flags.StringVar(&o.features, "features", "", "purchased features of the apps, as the web SDK reads them: binary `digits`; default all, 0 is none")
	flags.BoolVar(&o.manual, "manual-clock", false, "time stands still until POST /emulator/clock moves it")
	flags.BoolVar(&o.control, "control", false, "serve /emulator/ on an address beyond loopback too: everybody who reaches it controls the emulator")
	flags.Usage = func() {
		fmt.Fprintln(errs, "usage: go run ./scripts/imemu [flags]\n\nServes the emulator of Tencent Cloud Chat (IM). shared/im/imtest/README.md describes its routes.")
		flags.PrintDefaults()
	}
	if err := server.Parse(flags, args); err != nil {
		return o, err
	}
	if o.webLogins < 1 || o.webLogins > 10 {
		return o, server.Usage("-web-logins %d: use 1 to 10, as in IM's console", o.webLogins)
	}
	if strings.Trim(o.features, "01") != "" || len(o.features) > maxFeatures {
		return o, server.Usage("-features %q: use up to 64 binary digits", o.features)
	}
	for _, s := range apps {
		a, err := parseApp(s)
		if err != nil {
			return o, err
		}
		if slices.ContainsFunc(o.apps, func(x app) bool { return x.id == a.id }) {
			return o, fmt.Errorf("app %d is given twice", a.id)
		}
		o.apps = append(o.apps, a)
	}
	if len(o.apps) == 0 {
		o.apps = []app{developmentApp}
	}
	if u, err := url.Parse(o.callbackURL); o.callbackURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return o, errors.New("-callback-url must be an http or https URL")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parse(args, errs)
	if err != nil {
		return err
	}
	listener, err := server.Listen(o.addr, "-addr")
	if err != nil {
		return err
	}
	clock := imtest.NewClock()
	if o.manual {
		clock = imtest.NewManualClock(time.Now())
	}
	emu := imtest.NewServer(imtest.Options{
		Clock: clock, Seed: o.seed, Origins: o.origins, Control: o.control || listener.Addr().(*net.TCPAddr).IP.IsLoopback(),
	})
	sdkgate.Mount(emu, sdkgate.Options{Features: o.features})
	server := &http.Server{Handler: loopback.Only(emu, o.origins...), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan error, 1)
	base := "http://" + listener.Addr().String()
	for _, a := range o.apps {
		emu.AddApp(imtest.AppConfig{
			SDKAppID: a.id, Key: a.secret, DataCentre: a.dataCentre, CallbackURL: o.callbackURL, CallbackToken: o.callbackToken,
			WebLogins: o.webLogins,
		})
	}
	go func() { ended <- server.Serve(listener) }()
	fmt.Fprintf(out, "ready  emulator: %s  pages: %s/client/  controls: %s/emulator/  chat SDK: %s/ws\n", base, base, base, strings.Replace(base, "http", "ws", 1))
	fmt.Fprintln(out, "kept on disk: nothing; users, messages, uploads and snapshots are in memory and end with this program")
	for _, a := range o.apps {
		domain := base
		if a.dataCentre != "" {
			domain += "/dc/" + a.dataCentre
		}
		fmt.Fprintf(out, "SDK_APP_ID=%d IM_DOMAIN=%s IM_ADMIN=administrator\n", a.id, domain)
	}

	select {
	case err = <-ended:
		emu.Close()
	case <-ctx.Done():
		emu.Close() // or event streams would never end
		stopping, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if err = server.Shutdown(stopping); errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
	}
	return err
}
