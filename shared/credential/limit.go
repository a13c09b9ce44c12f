package credential

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Limit allows a number of requests per client address and span of time, over
// all instances that share a store. An IPv6 client counts by its /64 network,
// since it has all of that to itself.
type Limit struct {
	Store    kv.Store
	Requests int
	Span     time.Duration
	Now      func() time.Time // nil: time.Now
}

// limitTries is how often a count is tried again when several instances write
// it at once.
const limitTries = 8

// Take counts a request from an address (host:port or host). Its error is of
// code Throttled beyond the limit, and Unavailable if it cannot be counted:
// what cannot be counted is not allowed.
func (l *Limit) Take(ctx context.Context, address string) error {
	now := time.Now
	if l.Now != nil {
		now = l.Now
	}
	at := now()
	start := at.Truncate(l.Span)
	end := start.Add(l.Span)
	// The address itself is not kept.
	sum := sha256.Sum256([]byte(network(address)))
	partition := "guests/" + hex.EncodeToString(sum[:12])
	key := strconv.FormatInt(start.Unix(), 10)
	for range limitTries {
		count, cond := 0, kv.Absent()
		item, err := l.Store.Get(ctx, partition, key)
		switch {
		case errors.Is(err, kv.ErrNotFound):
		case err != nil:
			return err
		default:
			if count, err = strconv.Atoi(string(item.Value)); err != nil {
				return err
			}
			cond = kv.Rev(item.Rev)
		}
		if count >= l.Requests {
			return fault.New(fault.Throttled, "too many requests from this address, try again later").After(end.Sub(at))
		}
		err = l.Store.Commit(ctx, partition, kv.NewOp("guests"), kv.Put{
			Key: key, Value: strconv.AppendInt(nil, int64(count+1), 10), Expires: end.Add(time.Minute), If: cond,
		})
		if !errors.Is(err, kv.ErrConflict) {
			if err != nil {
				return err
			}
			return nil
		}
	}
	return fault.New(fault.Throttled, "too many requests from this address at once, try again").After(time.Second)
}

// network is the part of an address that stands for one client.
func network(address string) string {
	host := address
	if ap, err := netip.ParseAddrPort(address); err == nil {
		host = ap.Addr().String()
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		return "unknown"
	}
	ip = ip.Unmap()
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}
