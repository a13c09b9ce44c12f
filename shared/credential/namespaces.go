package credential

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"strconv"
	"strings"
)

// Prefixes of the UserIDs that this package makes. No caller gets such an id by naming
// it.
const (
	// GuestPrefix starts the UserID of every guest.
	GuestPrefix = "g_"
	// CustomerPrefix starts the UserID of every customer of a Shopify shop.
	CustomerPrefix = "shp_"
)

// made reports whether an id is in a namespace of this package's own. Letter case
// is ignored, since people who read a name ignore it.
func made(id string) bool {
	id = strings.ToLower(id)
	return strings.HasPrefix(id, GuestPrefix) || strings.HasPrefix(id, CustomerPrefix)
}

var guestEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newGuest makes an id nobody can guess or meet again: 128 random bits.
func newGuest() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return GuestPrefix + guestEncoding.EncodeToString(b[:])
}

// customerID is the UserID of a customer of a shop: at most 32 bytes, and another
// for each customer of each shop. Both are checked before.
func customerID(shop string, customer uint64) string {
	sum := sha256.Sum256([]byte(shop))
	number := strconv.FormatUint(customer, 10)
	if len(number) > 15 {
		// No decimal number starts with a z.
		number = "z" + strconv.FormatUint(customer, 36)
	}
	return CustomerPrefix + hex.EncodeToString(sum[:6]) + "_" + number
}
