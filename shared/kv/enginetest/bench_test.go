package enginetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/due"
	"github.com/backchannel-im/backchannel/shared/idem"
	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/kv/dynamotest"
	"github.com/backchannel-im/backchannel/shared/mailbox"
	"github.com/backchannel-im/backchannel/shared/queue"
	"github.com/backchannel-im/backchannel/shared/queue/queuetest"
)

type operation = func(ctx context.Context, s kv.Store, n int) error

// mechanisms are what stands on the port. Where there is a prepare, it is done
// n times before anything is measured, and do then handles all of it at once.
var mechanisms = []struct {
	name        string
	prepare, do operation
}{
	{"due/Put", nil, putDue},
	{"due/Sweep", putDue, func(ctx context.Context, s kv.Store, _ int) error {
		_, err := due.New(s, "bench", nil).Sweep(ctx, func(context.Context, due.Entry) error { return nil })
		return err
	}},
	{"mailbox/Append", nil, appendTo},
	{"mailbox/Drain", appendTo, func(ctx context.Context, s kv.Store, _ int) error {
		box := mailbox.New(s, "bench", mailbox.Options{})
		for {
			err := box.Drain(ctx, "box", func(context.Context, mailbox.Entry) ([]kv.Write, error) { return nil, nil })
			if _, more := errors.AsType[queue.Later](err); !more {
				return err
			}
		}
	}},
	{"queue/Job", nil, func(ctx context.Context, s kv.Store, n int) error { return live(ctx, ledgerOf(s), n) }},
	{"queue/Sweep", func(ctx context.Context, s kv.Store, n int) error {
		if n == 0 {
			// The first hour of a store, in which sweeps look for jobs of an older
			// release.
			for _, ago := range []time.Duration{-3 * time.Hour, -time.Hour} {
				if _, err := queue.NewLedger(s, queuetest.Nowhere{}, func() time.Time { return time.Now().Add(ago) }).Sweep(ctx); err != nil {
					return err
				}
			}
		}
		return live(ctx, ledgerOf(s), n)
	}, func(ctx context.Context, s kv.Store, _ int) error {
		_, err := ledgerOf(s).Sweep(ctx)
		return err
	}},
	{"idem/Do", nil, func(ctx context.Context, s kv.Store, n int) error {
		_, _, err := idem.New(s, nil).Do(ctx, "scope", fmt.Sprint(n), [sha256.Size]byte{}, func(context.Context) ([]byte, error) { return []byte("answer"), nil })
		return err
	}},
}

// ledgerOf is a ledger whose queue is nowhere: jobs are brought by live.
func ledgerOf(s kv.Store) *queue.Ledger {
	l := queue.NewLedger(s, queuetest.Nowhere{}, nil)
	l.Handle("bench", func(context.Context, queue.Job) error { return nil })
	return l
}

// live is the life of a job, from being put until it is done.
func live(ctx context.Context, l *queue.Ledger, n int) error {
	j := queue.Job{ID: fmt.Sprint("job/", n), Kind: "bench", Lane: queue.Fast, Body: []byte(`"what is to be done"`)}
	if err := l.Put(ctx, j); err != nil {
		return err
	}
	encoded, err := queue.Encode(j)
	if err != nil {
		return err
	}
	return l.Perform(ctx, encoded)
}

func putDue(ctx context.Context, s kv.Store, n int) error {
	return due.New(s, "bench", nil).Put(ctx, fmt.Sprint(n), time.Now().Add(-time.Second), nil)
}

func appendTo(ctx context.Context, s kv.Store, n int) error {
	return mailbox.New(s, "bench", mailbox.Options{}).Append(ctx, "box", fmt.Sprint(n), int64(n), []byte("message"))
}

// BenchmarkMechanisms times one operation of each mechanism on bolt, for one
// caller.
func BenchmarkMechanisms(b *testing.B) {
	for _, m := range mechanisms {
		b.Run(m.name, func(b *testing.B) {
			store, err := startBolt(nil)(b, time.Now)
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			run(b, store, m.prepare, m.do)
		})
	}
}

// BenchmarkUnits counts what one operation costs on DynamoDB, in write and read
// units. Its times are the emulator's.
func BenchmarkUnits(b *testing.B) {
	proxy := dynamotest.Start(b)
	for _, m := range mechanisms {
		b.Run(m.name, func(b *testing.B) {
			store := DynamoDB(b, proxy.URL, time.Now)
			run(b, store, m.prepare, func(ctx context.Context, s kv.Store, n int) error {
				if n == 0 {
					proxy.Units() // counting begins
				}
				return m.do(ctx, s, n)
			})
			units := proxy.Units()
			b.ReportMetric(units.Write/float64(b.N), "WU/op")
			b.ReportMetric(units.Read/float64(b.N), "RU/op")
		})
	}
}

func run(b *testing.B, store kv.Store, prepare, do operation) {
	times := b.N
	if prepare != nil {
		for n := range b.N {
			if err := prepare(b.Context(), store, n); err != nil {
				b.Fatal(err)
			}
		}
		times = 1
	}
	b.ResetTimer()
	for n := range times {
		if err := do(b.Context(), store, n); err != nil {
			b.Fatal(err)
		}
	}
}
