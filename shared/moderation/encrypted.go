package moderation

import (
	"bytes"
	"encoding/base64"
	"math"
	"strings"
	"unicode/utf8"
)

// leastCipher is the least length of a text that may be encrypted: any cipher
// with a key, a nonce and a check is longer.
const leastCipher = 64

// encrypted reports whether a text is a ciphertext in base64: what E3Kit and its
// kind send in place of a message. That a client says so counts for nothing, or
// everybody would; nor does a word that only has the characters of base64, such
// as a sentence joined by hyphens. Its characters must be spread as chance does
// it, or nearly so behind an envelope with keys for the receivers.
func encrypted(s string) bool {
	s = strings.TrimRight(s, "=")
	if len(s) < leastCipher || strings.IndexFunc(s, outsideBase64) >= 0 {
		return false
	}
	b, ok := fromBase64(s)
	if !ok || utf8.Valid(b) {
		return false
	}
	excess := excessOf(s)
	return excess <= 0 || enveloped(b) && excess <= float64(len(s))/2
}

// fromBase64 decodes a word of either alphabet.
func fromBase64(s string) ([]byte, bool) {
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(s, "-_") {
		encoding = base64.RawURLEncoding
	}
	b, err := encoding.DecodeString(s)
	return b, err == nil
}

func outsideBase64(r rune) bool {
	return ('a' > r || r > 'z') && ('A' > r || r > 'Z') && ('0' > r || r > '9') && r != '+' && r != '/' && r != '-' && r != '_'
}

// excessOf returns by how much the characters of a base64 word are less evenly
// spread than chance allows: chi-squared of the 64 characters, less what hardly
// any ciphertext exceeds.
func excessOf(s string) float64 {
	var counts [256]float64
	for i := range len(s) {
		counts[s[i]]++
	}
	each, chi := float64(len(s))/64, -float64(len(s))
	for _, n := range counts {
		chi += n * n / each
	}
	const freedom = 63
	return chi - freedom - 5.5*math.Sqrt(2*freedom)
}

// envelope is the object identifier of CMS enveloped data (RFC 5652, 6.1) in DER.
var envelope = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03}

// enveloped reports whether data begins with a DER sequence that says, near its
// beginning, that it is CMS enveloped data.
func enveloped(b []byte) bool {
	if len(b) < 4 || b[0] != 0x30 || b[1] < 0x81 || b[1] > 0x83 {
		return false
	}
	size, head := 0, 2+int(b[1]-0x80)
	if len(b) < head {
		return false
	}
	for _, digit := range b[2:head] {
		size = size<<8 | int(digit)
	}
	const near = 32 // lengths and a version number stand before it
	return size <= len(b)-head && bytes.Contains(b[head:min(len(b), head+near)], envelope)
}

// mixed reports whether a word is written as chance writes it: with digits, or
// with capitals behind small letters. In a long ciphertext some short word stands
// in that way.
func mixed(word string) bool {
	digits := strings.ContainsAny(word, "0123456789+/")
	rest := word[min(1, len(word)):]
	return digits || word != strings.ToUpper(word) && rest != strings.ToLower(rest)
}
