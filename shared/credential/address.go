package credential

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxHops bounds how many addresses of X-Forwarded-For are looked at, from the end.
const maxHops = 16

// clientAddress returns the address that a request comes from: the one that the
// platform vouches for, or, if that is a trusted proxy, the last address in
// X-Forwarded-For that is not a trusted proxy. Anybody may have written the addresses
// before that one, so they are ignored.
//
// A request that Shopify has signed (proxied) comes from Shopify's own machine,
// which puts the shopper's address before its own.
func clientAddress(r *http.Request, trusted []netip.Prefix, proxied bool) string {
	peer, ok := parseAddress(r.RemoteAddr)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	hops = hops[max(0, len(hops)-maxHops):]
	// Some platforms add the peer itself at the end.
	if last, is := parseAddress(hops[len(hops)-1]); is && ok && last == peer {
		hops = hops[:len(hops)-1]
	}
	next := func() (addr netip.Addr, is bool) {
		if len(hops) == 0 {
			return addr, false
		}
		addr, is = parseAddress(hops[len(hops)-1])
		hops = hops[:len(hops)-1]
		return addr, is
	}
	for ok && slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(peer) }) {
		before, is := next()
		if !is {
			break
		}
		peer = before
	}
	if proxied {
		if shopper, is := next(); is {
			peer, ok = shopper, true
		}
	}
	if !ok {
		return ""
	}
	return peer.String()
}

// parseAddress reads host:port or host.
func parseAddress(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return addr.Unmap().WithZone(""), err == nil
}

// clientNetwork is the part of an address that stands for one client. An IPv6
// client counts by its /64 network, since it has all of that to itself.
func clientNetwork(address string) string {
	ip, ok := parseAddress(address)
	if !ok {
		return "unknown"
	}
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}
