package faas

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/metric"
)

var logLevel slog.LevelVar

// setUpLog makes JSON lines on stdout the default of log/slog and of log, whose
// lines the platform libraries write.
func setUpLog() {
	slog.SetDefault(slog.New(requestIDs{slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: &logLevel})}))
}

// flushEvery is how often an instance on a platform writes what it counted: each line
// costs, and what is lost is what the last seconds of an instance counted.
const flushEvery = 10 * time.Second

var flushed atomic.Int64 // in Unix milliseconds

// flushSometimes is flush, unless one was a short time ago.
func flushSometimes(ctx context.Context, function string) {
	now, last := time.Now().UnixMilli(), flushed.Load()
	if now-last >= flushEvery.Milliseconds() && flushed.CompareAndSwap(last, now) {
		flush(ctx, function)
	}
}

// flush writes what was counted to the log's own place, stdout.
func flush(ctx context.Context, function string) {
	// On Lambda the function is known by the name that its stack gave it.
	name := cmp.Or(os.Getenv("AWS_LAMBDA_FUNCTION_NAME"), function)
	if err := metric.Flush(os.Stdout, name, time.Now()); err != nil {
		slog.WarnContext(ctx, "metrics were not written", "error", err.Error())
	}
}

// setLogLevel takes one of the words of the setting; they are slog's own.
func setLogLevel(word string) {
	var level slog.Level
	if level.UnmarshalText([]byte(word)) == nil {
		logLevel.Set(level)
	}
}

// requestIDs adds the request id of the context to every line, so that rules
// need not.
type requestIDs struct{ slog.Handler }

func (h requestIDs) Handle(ctx context.Context, r slog.Record) error {
	if id := fault.RequestID(ctx); id != "" {
		r.AddAttrs(slog.String("requestId", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h requestIDs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestIDs{h.Handler.WithAttrs(attrs)}
}

func (h requestIDs) WithGroup(name string) slog.Handler {
	return requestIDs{h.Handler.WithGroup(name)}
}
