package faas

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/metric"
)

var (
	portSetting = config.Setting{
		Group:   "process",
		Name:    "PORT",
		Meaning: "TCP port of the listener; unused on Lambda and by Tencent event functions",
		Format:  "0 to 65535, 0 takes any free port",
		Default: "9000", // what SCF web functions are asked on
	}
	hostSetting = config.Setting{
		Group:   "process",
		Name:    "HOST",
		Meaning: "IP address of the listener; unused on Lambda and by Tencent event functions",
		Format:  "an IP address; 127.0.0.1 keeps others away, 0.0.0.0 is what a Tencent web function needs",
		Default: "0.0.0.0",
	}
)

// How long each step of stopping may take. Together they stay below the 30 s
// that supervisors commonly wait before they kill.
const (
	requestsToFinish = 10 * time.Second
	workToFinish     = 10 * time.Second
	toClose          = 5 * time.Second
)

func listenAddress(set *config.Reader) string {
	port := set.Int(portSetting, 0, 65535)
	host := set.Text(hostSetting)
	if net.ParseIP(host) == nil {
		set.Fault(hostSetting.Name, "must be an IP address")
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// listen runs the app as a process of its own until SIGINT or SIGTERM and
// returns the status to exit with. A second signal kills.
func (f *function) listen() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Work and what Build opened outlive the requests that are still running.
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()

	set := config.NewReader(os.LookupEnv)
	addr := listenAddress(set)
	app, status := f.start(lasting, set)
	if app == nil {
		return status
	}
	p := &process{function: f, app: app, failed: make(chan error, 3)}
	if err := p.begin(lasting, addr); err != nil {
		slog.Error("cannot start", "error", err.Error())
		status = 1
	} else {
		select {
		case <-ctx.Done():
		case err := <-p.failed:
			slog.Error("stopping", "error", err.Error())
			status = 1
		}
		stop()
	}
	if !p.end(end) {
		status = 1
	}
	return status
}

// process is an app that listens and works.
type process struct {
	*function
	app    *App
	http   *http.Server
	work   sync.WaitGroup
	failed chan error
}

func (p *process) begin(ctx context.Context, addr string) error {
	if p.app.HTTP == nil && p.app.Run == nil && p.app.Tick == nil {
		return errors.New("nothing to do: this function only takes jobs from a platform")
	}
	if p.app.HTTP != nil {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		p.http = newServer(Front(p.name, p.app.HTTP))
		go func() {
			if err := p.http.Serve(limit(l, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
				p.failed <- err
			}
		}()
		addr = l.Addr().String()
	} else {
		addr = ""
	}
	if p.app.Run != nil {
		p.work.Go(func() {
			if err := p.app.Run(ctx); err != nil && ctx.Err() == nil {
				p.failed <- err
			}
		})
	}
	if p.app.Tick != nil {
		p.work.Go(func() { p.tick(ctx) })
	}
	p.work.Go(func() { p.measure(ctx) })
	announce("ready", slog.String("function", p.name), slog.String("address", addr))
	return nil
}

// announce logs at any level what a supervisor may wait for.
func announce(msg string, attrs ...slog.Attr) {
	r := slog.NewRecord(time.Now(), slog.LevelInfo, msg, 0)
	r.AddAttrs(attrs...)
	_ = slog.Default().Handler().Handle(context.Background(), r)
}

// Front wraps h as on a listener: it adds GET /healthz, a request id, one log line a
// request, a general answer after a panic, and GET /metrics. Only a listener has GET
// /metrics, since one instance of a platform's function would report its own metrics
// only.
func Front(name string, h http.Handler) http.Handler {
	front := server{name, h}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" && r.Method == http.MethodGet {
			w.Header().Set("Content-Type", metric.ContentType)
			w.Header().Set("Cache-Control", "no-store")
			_ = metric.WriteText(w) // the scraper hung up: nobody is left to tell
			return
		}
		front.ServeHTTP(w, r.WithContext(fault.WithRequestID(r.Context(), rand.Text())))
	})
}

func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second, // from the end of the headers: a handler's own time included
		IdleTimeout:       75 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
}

// maxConnections bounds the connections that are open at once. Each costs some
// 20 KiB before anybody has proven who he is; more wait to be accepted.
const maxConnections = 4096

// limitedListener accepts a connection when there is a place for it.
type limitedListener struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	close  func() error
}

func limit(l net.Listener, connections int) net.Listener {
	closed := make(chan struct{})
	return &limitedListener{l, make(chan struct{}, connections), closed, sync.OnceValue(func() error {
		close(closed)
		return l.Close()
	})}
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &limitedConn{conn, sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *limitedListener) Close() error { return l.close() }

// limitedConn gives its place back once.
type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// tick is the schedule of a process: once a minute, as on the platforms.
func (p *process) tick(ctx context.Context) {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		once := fault.WithRequestID(ctx, rand.Text())
		// The next minute is the repeat.
		_ = attempt(once, "tick", func() error { return p.app.Tick(once) })
		select {
		case <-ctx.Done():
			return
		case <-minute.C:
		}
	}
}

// measure writes what was counted, every minute and at the end.
func (p *process) measure(ctx context.Context) {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	defer flush(ctx, p.name)
	for {
		select {
		case <-ctx.Done():
			return
		case <-minute.C:
			flush(ctx, p.name)
		}
	}
}

// end stops in the order of dependence: requests, work, what both used. It
// reports whether all ended in time and in order.
func (p *process) end(endWork context.CancelFunc) bool {
	ok := true
	if p.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), requestsToFinish)
		defer cancel()
		if err := p.http.Shutdown(ctx); err != nil {
			slog.Error("requests were cut off", "error", err.Error())
			ok = false
		}
	}
	endWork()
	if err := within(workToFinish, func() error { p.work.Wait(); return nil }); err != nil {
		slog.Error("background work did not end", "error", err.Error())
		ok = false
	}
	if p.app.Close != nil {
		if err := within(toClose, p.app.Close); err != nil {
			slog.Error("closing failed", "error", err.Error())
			ok = false
		}
	}
	announce("stopped", slog.String("function", p.name))
	return ok
}

// within waits for do, but no longer than d.
func within(d time.Duration, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(d):
		return errors.New("still busy after " + d.String())
	}
}
