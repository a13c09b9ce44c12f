package faas

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/fault"
)

// onSCF serves invocations of a Tencent event function. It returns only if the
// function cannot listen, with the status to exit with.
func (f *function) onSCF() int {
	l, err := net.Listen("tcp", "localhost:"+os.Getenv("_LAMBDA_SERVER_PORT"))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s cannot start: %v\n", f.name, err)
		return 1
	}
	serveSCF(l, &scfHandler{name: f.name, open: func(ctx context.Context) (*App, error) {
		return f.open(ctx, config.NewReader(os.LookupEnv))
	}})
	return 1
}

// scfHandler opens the app with the first invocation: only then has serveSCF
// put the invocation's environment in place. It keeps an app that opened and
// forgets one that did not, so a corrected setting works with the next
// invocation. Invocations may be concurrent; those that come while the app is
// being opened share the result.
type scfHandler struct {
	name string
	open func(context.Context) (*App, error)

	mu      sync.Mutex
	opening *opening
}

// opening is an attempt to open the app; what it found is there once done is
// closed.
type opening struct {
	done chan struct{}
	kept *keeper
	err  error
}

func (h *scfHandler) invoke(ctx context.Context, requestID string, payload []byte) ([]byte, error) {
	ctx = fault.WithRequestID(ctx, requestID)
	e, k, err := decodeEvent(payload)
	if err != nil {
		return nil, refuse(ctx, err)
	}
	kept, err := h.opened(ctx)
	if err != nil {
		if k.isHTTP() {
			return blandReply(ctx).encode(k)
		}
		return nil, bland(ctx)
	}
	app, done := kept.use(ctx)
	defer done()
	return invocation{h.name, app, e, k}.handle(ctx)
}

func (h *scfHandler) opened(ctx context.Context) (*keeper, error) {
	h.mu.Lock()
	o := h.opening
	first := o == nil
	if first {
		o = &opening{done: make(chan struct{})}
		h.opening = o
	}
	h.mu.Unlock()
	if !first {
		<-o.done
		return o.kept, o.err
	}
	// What is opened now outlives this invocation.
	app, err := h.open(context.WithoutCancel(ctx))
	if o.err = err; err == nil {
		o.kept = keep(app, h.open)
	} else {
		h.mu.Lock()
		h.opening = nil
		h.mu.Unlock()
		logStartFault(ctx, o.err)
	}
	close(o.done)
	return o.kept, o.err
}

// logStartFault says what keeps the app from opening, all faults of the settings
// together.
func logStartFault(ctx context.Context, err error) {
	if faults, ok := errors.AsType[settingsError](err); ok {
		slog.ErrorContext(ctx, "cannot start, the settings need attention", "faults", faults.Error())
		return
	}
	slog.ErrorContext(ctx, "cannot start", "error", err.Error())
}
