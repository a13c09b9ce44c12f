package credential

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/backchannel-im/backchannel/shared/fault"
	"github.com/backchannel-im/backchannel/shared/kv"
)

// Shopify proves requests that came through the app proxy of a shop, by the query
// that Shopify signs.
//
// Shopify signs keys and values without separators, and it signs what the shopper adds
// to the URL. Each of the five known parameters must therefore occur exactly once, in
// a form that cannot run into the next one, and no other parameter may occur except
// those in ignored. Method, path and body are not signed.
type Shopify struct {
	// Secrets are the client secrets of the Shopify app: the current one, and the
	// one before it while it is being changed.
	Secrets []string
	// Shops are the shops that may ask, such as "example.myshopify.com".
	Shops []string
	Store kv.Store
	Now   func() time.Time // nil: time.Now
}

// proxyAge is how far the time of a signed query may be from ours.
const proxyAge = 90 * time.Second

// proxyForms returns the form of each parameter's value. Expressions are compiled with
// the first request: a start of any function would pay for them.
var proxyForms = sync.OnceValue(func() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"shop":                  regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}\.myshopify\.com$`),
		"path_prefix":           regexp.MustCompile(`^(/[A-Za-z0-9_.~-]{1,60}){1,4}/?$`), // merchants change it: it is compared with nothing
		"timestamp":             regexp.MustCompile(`^[1-9][0-9]{8,10}$`),
		"logged_in_customer_id": regexp.MustCompile(`^([1-9][0-9]{0,18})?$`),
		"signature":             regexp.MustCompile(`^[0-9a-f]{64}$`),
	}
})

// ignored returns parameters that Shopify adds and signs at times, with no meaning for
// us (Shopify/shopify-api-js#878).
var ignored = sync.OnceValue(func() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{"pb": regexp.MustCompile(`^[0-9]{1,4}$`)}
})

// errProxy is the one answer to all queries that prove nothing.
var errProxy = fault.New(fault.Unauthenticated, "this request is not one that Shopify's app proxy just signed; ask again through the shop")

// Shopper is who is at the shop.
type Shopper struct {
	Shop     string
	Customer uint64 // 0: a visitor who is not logged in
}

// Prove returns the shopper whom Shopify's query names. The signed query of a customer
// is accepted once. A visitor's query names nobody, is the same for all visitors of a
// second, and is accepted as long as it is fresh.
//
// Its errors are of the codes Unauthenticated, with one message for all reasons, and
// Unavailable. The log has the reason.
func (s *Shopify) Prove(ctx context.Context, rawQuery string) (Shopper, error) {
	shopper, signature, reason := s.read(rawQuery)
	if reason != "" {
		slog.WarnContext(ctx, "request refused that should come from Shopify's app proxy", "reason", reason)
		return Shopper{}, errProxy
	}
	if shopper.Customer == 0 {
		return shopper, nil
	}
	err := s.Store.Commit(ctx, "shopify/"+signature, kv.NewOp("shopify"), kv.Put{
		Key: "used", Expires: s.now().Add(2*proxyAge + time.Minute), If: kv.Absent(),
	})
	if errors.Is(err, kv.ErrConflict) {
		slog.WarnContext(ctx, "request refused that should come from Shopify's app proxy", "reason", "the signed query was used before")
		return Shopper{}, errProxy
	}
	return shopper, err
}

// read checks all that can be checked without the store. The reason that it gives
// names a parameter and has no value in it.
func (s *Shopify) read(rawQuery string) (shopper Shopper, signature, reason string) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return shopper, "", "the query cannot be read"
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		form := proxyForms()[name]
		if form == nil {
			form = ignored()[name]
		}
		switch values := query[name]; {
		case form == nil:
			return shopper, "", "unknown parameter " + strconv.QuoteToASCII(name[:min(len(name), 40)])
		case len(values) != 1:
			return shopper, "", "parameter " + name + " occurs more than once"
		case !form.MatchString(values[0]):
			return shopper, "", "parameter " + name + " has an unexpected form"
		}
	}
	for name := range proxyForms() {
		if !query.Has(name) {
			return shopper, "", "parameter " + name + " is missing"
		}
	}
	seconds, err := strconv.ParseInt(query.Get("timestamp"), 10, 64)
	if age := s.now().Sub(time.Unix(seconds, 0)); err != nil || age > proxyAge || age < -proxyAge {
		return shopper, "", "the timestamp is over 90 seconds away from this machine's time"
	}
	signature = query.Get("signature")
	if !slices.ContainsFunc(s.Secrets, func(secret string) bool { return hmac.Equal([]byte(SignProxy(secret, query)), []byte(signature)) }) {
		return shopper, "", "the signature does not fit"
	}
	shopper.Shop = query.Get("shop")
	if !slices.ContainsFunc(s.Shops, func(shop string) bool { return strings.EqualFold(shop, shopper.Shop) }) {
		return shopper, "", "the shop is not in SHOPIFY_SHOPS"
	}
	if id := query.Get("logged_in_customer_id"); id != "" {
		if shopper.Customer, err = strconv.ParseUint(id, 10, 63); err != nil {
			return shopper, "", "parameter logged_in_customer_id has an unexpected form"
		}
	}
	return shopper, signature, ""
}

func (s *Shopify) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// SignProxy returns the signature that Shopify's app proxy gives a query: hex
// HMAC-SHA256 over its sorted parameters, joined without separator. A parameter
// "signature" is left out.
func SignProxy(secret string, query url.Values) string {
	var parts []string
	for name, values := range query {
		if name != "signature" {
			parts = append(parts, name+"="+strings.Join(values, ","))
		}
	}
	slices.Sort(parts)
	mac := hmac.New(sha256.New, []byte(secret))
	for _, p := range parts {
		mac.Write([]byte(p))
	}
	return hex.EncodeToString(mac.Sum(nil))
}
