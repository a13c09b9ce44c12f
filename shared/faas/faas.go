// Package faas runs one program on three platforms: AWS Lambda, Tencent SCF and
// an ordinary process that listens.
//
// Write your function as an [App] of standard parts and hand [Main] the
// function that builds it:
//
//	func main() { faas.Main("mail-carrier", build) }
//
//	func build(ctx context.Context, set *config.Reader) (*faas.App, error) {
//		store := state.Open(ctx, set)     // asks for its settings
//		if err := set.Err(); err != nil { // all faults, or only listing
//			return nil, err
//		}
//		return &faas.App{HTTP: mail.Handler(store)}, nil
//	}
//
// Main recognises the platform by its environment variables:
//
//   - AWS_LAMBDA_RUNTIME_API: a Lambda function. HTTP API (payload 2.0),
//     function URL and REST API events become requests, an SQS batch becomes
//     jobs with partial failures, an EventBridge schedule becomes a tick.
//   - _LAMBDA_SERVER_PORT: a Tencent event function. Function URL and gateway
//     events become requests, a timer becomes a tick, and an invocation with
//     {"backchannelJob": job} becomes a job.
//   - neither: a listener on PORT, which is both a local process and a Tencent
//     web function.
//
// What a handler may rely on everywhere: the request's path and query are those the
// caller sent, its RemoteAddr is the address the platform vouches for (never
// X-Forwarded-For), its context carries the request id ([fault.RequestID]) and ends
// shortly before the platform would stop the function, leaving time to answer. A panic
// is logged with its stack and answered with a bland 500. Each request, job and tick
// leaves one line in the log, with the route's template and never the path or query.
// This package answers GET /healthz.
//
// A Tencent event function cannot answer with a binary body nor set two
// cookies, and its function URL loses the bytes of a binary request. Such an
// answer becomes a 500 that the log explains, as does one over the platforms'
// 6 MiB. A Tencent web function can do both.
//
// A handler must not rely on time after its answer, since the platforms freeze a
// function then, nor on a call of Close, which no platform makes.
package faas

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"

	"github.com/backchannel-im/backchannel/shared/config"
)

// Build asks set for every setting, then opens what the function needs. It must
// not use a value, nor return an App, while set.Err is not nil: return that
// error instead. ctx ends when the process stops.
type Build func(ctx context.Context, set *config.Reader) (*App, error)

// App is what a function does. A nil field is a kind of event that the function does
// not handle: such an event is refused and logged.
type App struct {
	// HTTP answers requests. The log's route templates are the patterns of a
	// [http.ServeMux]; middleware before the mux must pass on the very request that it
	// got, since the mux sets the pattern in that request.
	HTTP http.Handler
	// Job does one queued job. The platform retries a job whose error is not nil. Jobs
	// of one SQS batch are done one after the other.
	Job func(ctx context.Context, body []byte) error
	// Tick does what is due. The platform's schedule calls it; a listener calls it
	// once at start and then every minute. The platform retries a tick whose error is
	// not nil.
	Tick func(ctx context.Context) error
	// Run works in the background and returns when ctx ends. Only a listener
	// runs it; an error before that stops the process.
	Run func(ctx context.Context) error
	// Close releases what Build opened. A listener calls it after the last request and
	// after Run; on a platform Close is called only after Stale had the app rebuilt.
	Close func() error
	// Stale reports whether settings have changed since the app was built from them.
	// On a platform Stale is called beside an invocation, every five minutes at the
	// most; if it returns true, Build builds the app anew. nil: settings never change.
	Stale func(ctx context.Context) (bool, error)
}

// Main builds the function and serves it on the present platform. It never returns.
// Main prints all invalid settings and ends the process with status 2; any other
// failure at start ends it with status 1. An event function on Tencent reports both at
// its first invocation instead, since the platform may deliver the environment only
// then, and retries with the next invocation.
//
// Off the platforms, -h prints what can be set and -settings the same as JSON.
func Main(name string, build Build) {
	setUpLog()
	f := &function{name: name, build: build}
	switch {
	case os.Getenv("AWS_LAMBDA_RUNTIME_API") != "":
		os.Exit(f.onLambda())
	case os.Getenv("_LAMBDA_SERVER_PORT") != "":
		os.Exit(f.onSCF())
	default:
		os.Exit(f.onCommandLine(os.Args[1:]))
	}
}

// function is a deployable on whichever platform it runs.
type function struct {
	name  string
	build Build
}

var logLevelSetting = config.Setting{
	Group:   "process",
	Name:    "LOG_LEVEL",
	Meaning: "lowest level of the lines logged to stdout",
	Format:  "debug, info, warn or error",
	Default: "info",
}

// settingsError is every fault of the settings, a line each.
type settingsError struct{ faults error }

func (e settingsError) Error() string { return e.faults.Error() }
func (e settingsError) Unwrap() error { return e.faults }

// open reads the settings and builds the app.
func (f *function) open(ctx context.Context, set *config.Reader) (app *App, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while starting: %v\n%s", p, debug.Stack())
		}
	}()
	level := set.Choice(logLevelSetting, "debug", "info", "warn", "error")
	app, err = f.build(ctx, set)
	if faults := set.Err(); faults != nil {
		return nil, settingsError{faults}
	}
	if err != nil {
		return nil, err
	}
	if app == nil {
		return nil, errors.New("nothing was built")
	}
	setLogLevel(level)
	for _, warning := range set.Warnings() {
		slog.Warn("setting", "warning", warning)
	}
	return app, nil
}

// start opens the app for a platform that knows the environment from the
// beginning. Otherwise it returns the status to exit with, having said why.
func (f *function) start(ctx context.Context, set *config.Reader) (*App, int) {
	app, err := f.open(ctx, set)
	if err == nil {
		return app, 0
	}
	if faults, ok := errors.AsType[settingsError](err); ok {
		fmt.Fprintf(os.Stderr, "%s cannot start, its settings need attention:\n%v\n", f.name, faults)
		return nil, 2
	}
	fmt.Fprintf(os.Stderr, "%s cannot start: %v\n", f.name, err)
	return nil, 1
}
