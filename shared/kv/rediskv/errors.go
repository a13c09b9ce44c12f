package rediskv

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/backchannel-im/backchannel/shared/kv"
	"github.com/backchannel-im/backchannel/shared/retry"
)

const (
	patience   = 5 * time.Second       // with a call whose caller set no deadline
	firstPause = 10 * time.Millisecond // at most, doubled from try to try
	lastPause  = 320 * time.Millisecond
)

// persist repeats a call, until the caller's deadline, as long as it fails for a
// reason that may pass. A write may be repeated because its op, or its event, is
// known from the first time.
func (s *Store) persist(ctx context.Context, try func(redis.UniversalClient) error) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(patience)
	}
	sentence := "no answer in time" // or why the last complete try failed
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		if err := ended(ctx); err != nil {
			return fmt.Errorf("rediskv: %s: %w", sentence, err)
		}
		client := s.current()
		err := try(client)
		if err == nil {
			return nil
		}
		if err := ended(ctx); err != nil {
			return fmt.Errorf("rediskv: %s: %w", sentence, err)
		}
		var passing bool
		sentence, passing = explain(err)
		if sentence == isReplica || errors.Is(err, redis.ErrClosed) {
			passing = s.reconnect(client)
		}
		wait := rand.N(pause)
		if !passing || time.Until(deadline) <= wait {
			return fmt.Errorf("%w: %s", kv.ErrUnavailable, sentence)
		}
		_ = retry.Sleep(ctx, wait) // the next round sees a context that ended
	}
}

// ended is ctx.Err, and sees a deadline that a connection's own timer was quicker
// to see.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

const isReplica = "the server is a replica; give the address of the primary"

// answers explains what a server says instead of an answer, by how it begins.
// None of these has changed anything.
var answers = []struct {
	prefix, sentence string
	passing          bool
}{
	{"LOADING", "the server is loading its data", true},
	{"BUSY", "the server is busy with a script", true},
	{"TRYAGAIN", "the cluster is moving the partition to another node", true},
	{"CLUSTERDOWN", "the cluster has lost nodes and does not answer for all its slots", true},
	{"MASTERDOWN", "the server is a replica without its primary", true},
	{"READONLY", isReplica, true},
	{"ERR max number of clients reached", "the server takes no more connections; raise maxclients", true},
	{"MOVED", "the server is a node of a cluster; add cluster=1 to the URL", true},
	{"ASK", "the server is a node of a cluster; add cluster=1 to the URL", true},
	{"ERR This instance has cluster support disabled", "the server is no cluster; remove cluster=1 from the URL", false},
	{"OOM", "the server's memory is full; raise maxmemory", false},
	{"MISCONF", "the server cannot write to its disk and refuses to go on", false},
	{"NOREPLICAS", "the server has fewer replicas than its min-replicas-to-write", false},
	{"WRONGPASS", "the server refuses the user and password", false},
	{"ERR AUTH", "the server refuses the user and password", false},
	{"ERR invalid password", "the server refuses the user and password", false},
	{"NOAUTH", "the server wants a user and password in the URL", false},
	{"NOPERM", "the ACL user lacks a command or the keys bc:*", false},
	{"The user executing the script", "the ACL user lacks a command or the keys bc:*", false},
	{"ERR DB index", "the server has no such database", false},
	{"ERR SELECT", "the server has no such database", false},
}

// explain says what happened and whether it may pass by itself. Of a server's
// own words only the first goes into the sentence: the others may quote what was
// sent.
func explain(err error) (sentence string, passing bool) {
	var (
		answer    redis.Error
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		cert      *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		network   *net.OpError
	)
	switch {
	case errors.Is(err, redis.ErrClosed):
		return "the store is closed", false
	case errors.As(err, &answer):
		text := answer.Error()
		// In Redis 6 an error within a script stands behind the place of it.
		if _, within, ok := strings.Cut(text, "@user_script: "); ok {
			_, within, _ = strings.Cut(within, ": ")
			text = strings.TrimPrefix(within, "-")
		}
		for _, a := range answers {
			if strings.HasPrefix(text, a.prefix) {
				return a.sentence, a.passing
			}
		}
		code, _, _ := strings.Cut(answer.Error(), " ")
		return "the server answers " + code, false
	case errors.As(err, &authority):
		return "the server's certificate is not from a CA that is trusted; name the CA's file with ca=", false
	case errors.As(err, &name):
		return "the server's certificate is for another host", false
	case errors.As(err, &cert):
		return "the server's certificate is not valid: " + cert.Err.Error(), false
	case errors.As(err, &record):
		return "the server does not speak TLS; use redis://", false
	case errors.As(err, &network) && network.Op == "dial":
		return "cannot connect: " + network.Error(), true
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time", true
	case errors.Is(err, redis.ErrPoolTimeout):
		return "all connections to the server are in use", true
	}
	return "the connection was lost: " + err.Error(), true
}
