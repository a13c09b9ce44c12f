package im

import (
	"fmt"
	"unicode/utf8"
)

// Limits of texts, in bytes of UTF-8 (269/9346, 1047/34381). Newer pages of the
// client SDK name larger ones for groups; these fit everywhere.
const (
	MaxUserID       = 32
	MaxGroupID      = 48
	MaxGroupName    = 30
	MaxIntroduction = 240
	MaxNotification = 300
	MaxFaceURL      = 100 // of a group
	MaxNameCard     = 50
	MaxMessage      = 12 << 10 // MsgBody as JSON and CloudCustomData together
)

// CutText returns the longest start of s that has at most so many bytes and ends on
// the edge of a rune. CutText is for texts that may be cut, such as names and notices;
// a text that must not be cut is refused with a [FieldError].
func CutText(s string, bytes int) string {
	if len(s) <= bytes {
		return s
	}
	bytes = max(bytes, 0)
	for bytes > 0 && !utf8.RuneStart(s[bytes]) {
		bytes--
	}
	return s[:bytes]
}

// atMost refuses a text of more than limit bytes, or one that is not UTF-8,
// whose size on the wire would differ.
func atMost(field, s string, limit int) error {
	switch {
	case len(s) > limit:
		return &FieldError{field, limit, fmt.Sprintf("has %d bytes (at most %d)", len(s), limit)}
	case !utf8.ValidString(s):
		return &FieldError{Field: field, Problem: "is not UTF-8"}
	}
	return nil
}

// needed refuses a text that is empty or has more than limit bytes.
func needed(field, s string, limit int) error {
	if s == "" {
		return &FieldError{Field: field, Problem: "is missing"}
	}
	return atMost(field, s, limit)
}

func neededUser(field, id string) error { return needed(field, id, MaxUserID) }

func neededGroup(id string) error { return needed("GroupId", id, MaxGroupID) }

// fewer refuses a list of more than limit items.
func fewer[T any](field string, list []T, limit int) error {
	if len(list) > limit {
		return &FieldError{field, limit, fmt.Sprintf("has %d items (at most %d)", len(list), limit)}
	}
	return nil
}

// some refuses an empty list.
func some[T any](field string, list []T) error {
	if len(list) == 0 {
		return &FieldError{Field: field, Problem: "is empty"}
	}
	return nil
}
