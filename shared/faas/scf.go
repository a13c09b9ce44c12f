package faas

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"

	"github.com/tencentyun/scf-go-lib/cloudfunction"
	"github.com/tencentyun/scf-go-lib/functioncontext"

	"github.com/backchannel-im/backchannel/shared/config"
	"github.com/backchannel-im/backchannel/shared/fault"
)

// onSCF serves invocations of a Tencent event function. It never returns.
func (f *function) onSCF() {
	cloudfunction.StartHandler(&scfHandler{name: f.name, open: func(ctx context.Context) (*App, error) {
		return f.open(ctx, config.NewReader(os.LookupEnv))
	}})
}

// scfHandler opens the app with the first invocation: only then has the library
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
	app  *App
	err  error
}

func (h *scfHandler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if fc, ok := functioncontext.FromContext(ctx); ok {
		ctx = fault.WithRequestID(ctx, fc.RequestID)
	}
	e, k, err := decodeEvent(payload)
	if err != nil {
		return nil, refuse(ctx, err)
	}
	app, err := h.opened(ctx)
	if err != nil {
		if k.isHTTP() {
			return blandReply(ctx).encode(k)
		}
		return nil, bland(ctx)
	}
	return invocation{h.name, app, e, k}.handle(ctx)
}

func (h *scfHandler) opened(ctx context.Context) (*App, error) {
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
		return o.app, o.err
	}
	// What is opened now outlives this invocation.
	o.app, o.err = h.open(context.WithoutCancel(ctx))
	if o.err != nil {
		h.mu.Lock()
		h.opening = nil
		h.mu.Unlock()
		logStartFault(ctx, o.err)
	}
	close(o.done)
	return o.app, o.err
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
