package credential

import (
	"net/http"
	"net/netip"
)

// ClientAddress is clientAddress of a request that no shop's proxy signed.
func ClientAddress(r *http.Request, trusted ...string) string {
	var prefixes []netip.Prefix
	for _, t := range trusted {
		prefixes = append(prefixes, netip.MustParsePrefix(t))
	}
	return clientAddress(r, prefixes, false)
}
