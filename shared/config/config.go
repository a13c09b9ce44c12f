// Package config reads a program's settings once, at the edge, and reports all
// faults together.
//
// A program hands its [Reader] down to the wiring, which asks for every setting it may
// need, each with its meaning and format, and only then looks at [Reader.Err]. The
// settings that the wiring asked for are also the documentation: the program's -h, its
// .env.example and both deployment templates are held against [Reader.Settings] by a
// test.
//
// A setting NAME may be given as NAME, as NAME_FILE (a file with the value), or
// by a secrets source added with [Reader.Overlay], in this order.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Setting describes one setting to whoever has to fill it in.
type Setting struct {
	Name string
	// Meaning is read alone, in sorted lists: the text begins with a noun and names
	// its subject.
	Meaning  string
	Format   string // what a value looks like, with an example
	Default  string // value when unset; "" for no default
	Required bool
	Secret   bool // the value is never shown, not even in a fault
	// Group is what the setting is listed under: a feature, or what programs
	// share. "" is the group that [Reader.Group] set last.
	Group string
	// Least and Most bound the bytes of a value, or of each item of a list; 0 is no
	// bound. A development Reader knows no Least.
	Least, Most int
}

// Reader reads settings and collects faults. The zero value is not usable.
type Reader struct {
	lookup      func(string) (string, bool)
	overlay     map[string]string
	development bool
	listing     bool
	group       string
	published   []string
	asked       []Setting
	faults      []error
	warnings    []string
}

// NewReader returns a Reader over an environment such as os.LookupEnv.
func NewReader(lookup func(string) (string, bool)) *Reader {
	return &Reader{lookup: lookup}
}

// NewDevelopmentReader is a NewReader that accepts values listed as public.
// Only code can ask for it; no environment turns it on.
func NewDevelopmentReader(lookup func(string) (string, bool)) *Reader {
	return &Reader{lookup: lookup, development: true}
}

// NewLister returns a Reader that has no values and whose Err is always
// [ErrListing], so that a program stops after asking for its settings.
func NewLister() *Reader {
	return &Reader{lookup: func(string) (string, bool) { return "", false }, listing: true}
}

// ErrListing is the Err of a lister: nothing is wrong, but stop here.
var ErrListing = errors.New("settings were only listed")

// Overlay adds values for settings that the environment does not give.
func (r *Reader) Overlay(values map[string]string) { r.overlay = values }

// Development reports whether values that the whole world knows are accepted.
func (r *Reader) Development() bool { return r.development }

// Listing reports whether the Reader only lists settings.
func (r *Reader) Listing() bool { return r.listing }

// Group sets the group of settings that are asked for from now on and have none
// of their own.
func (r *Reader) Group(name string) { r.group = name }

// Err returns every fault so far as one error, a line each, or nil.
func (r *Reader) Err() error {
	if r.listing {
		return ErrListing
	}
	return errors.Join(r.faults...)
}

// Settings returns the settings that were asked for, sorted by name, each once and as
// it was asked for first.
func (r *Reader) Settings() []Setting {
	out := slices.Clone(r.asked)
	slices.SortStableFunc(out, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b Setting) bool { return a.Name == b.Name })
}

// Publish adds values that the whole world knows: samples and development values.
// They are refused in every secret setting that is asked for from now on, alone or
// as an item of a list, except by a development Reader.
func (r *Reader) Publish(values ...string) { r.published = append(r.published, values...) }

// Fault records that the value of a setting is invalid; the same fault is reported
// once. The reason must not repeat a secret.
func (r *Reader) Fault(name, format string, args ...any) {
	fault := fmt.Errorf("%s: %s", name, fmt.Sprintf(format, args...))
	if !slices.ContainsFunc(r.faults, func(f error) bool { return f.Error() == fault.Error() }) {
		r.faults = append(r.faults, fault)
	}
}

// Warn records a warning about a setting that is accepted. The program logs the
// warnings once it has started.
func (r *Reader) Warn(name, format string, args ...any) {
	warning := name + ": " + fmt.Sprintf(format, args...)
	if !slices.Contains(r.warnings, warning) {
		r.warnings = append(r.warnings, warning)
	}
}

// Warnings returns the warnings recorded with [Reader.Warn].
func (r *Reader) Warnings() []string { return r.warnings }

// Text returns a setting's value, or its default.
func (r *Reader) Text(s Setting) string {
	v, ok := r.value(s)
	if ok && !r.fits(s, v, "") {
		return ""
	}
	return v
}

// fits holds a value, or an item of a list, against the setting's bounds and
// against what is published. which names the item.
func (r *Reader) fits(s Setting, v, which string) bool {
	switch {
	case v == s.Default:
		return true
	case s.Secret && !r.development && slices.Contains(r.published, v):
		r.Fault(s.Name, "%sis a published sample value that anyone can use: make one of your own", which)
	case len(v) < s.Least && !r.development && s.Secret:
		r.Fault(s.Name, "%sis too easy to guess: it has fewer than %d characters", which, s.Least)
	case len(v) < s.Least && !r.development:
		r.Fault(s.Name, "%shas fewer than %d bytes", which, s.Least)
	case s.Most > 0 && len(v) > s.Most:
		r.Fault(s.Name, "%shas more than %d bytes", which, s.Most)
	default:
		return true
	}
	return false
}

// value returns the setting's value and whether there is one to parse.
func (r *Reader) value(s Setting) (string, bool) {
	repeated := slices.ContainsFunc(r.asked, func(a Setting) bool { return a.Name == s.Name })
	if s.Group == "" {
		s.Group = r.group
	}
	r.asked = append(r.asked, s)
	v, err := r.find(s.Name)
	switch {
	case err != nil:
		if !repeated {
			r.Fault(s.Name, "%v", err)
		}
		return "", false
	case v == "":
		if s.Required && !repeated && !r.listing {
			r.Fault(s.Name, "required: %s (%s)", s.Meaning, s.Format)
		}
		return s.Default, s.Default != ""
	case !utf8.ValidString(v) || strings.ContainsAny(v, "\x00\r\n") && !s.Secret:
		r.Fault(s.Name, "must be one line of UTF-8 text")
		return "", false
	}
	return v, true
}

func (r *Reader) find(name string) (string, error) {
	v, _ := r.lookup(name)
	file, _ := r.lookup(name + "_FILE")
	switch {
	case v != "" && file != "":
		return "", fmt.Errorf("given twice, as %s and as %s_FILE: keep one", name, name)
	case v != "":
		return v, nil
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("%s_FILE cannot be read: %w", name, err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	return r.overlay[name], nil
}

// Uint32 returns a setting that is an unsigned 32-bit number other than 0.
func (r *Reader) Uint32(s Setting) uint32 {
	v, ok := r.value(s)
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil || n == 0 {
		r.Fault(s.Name, "must be a whole number from 1 to 4294967295")
		return 0
	}
	return uint32(n)
}

// Int returns a setting that is a whole number from least to most.
func (r *Reader) Int(s Setting, least, most int) int {
	v, ok := r.value(s)
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		r.Fault(s.Name, "must be a whole number from %d to %d", least, most)
		return 0
	}
	return n
}

// Bool returns a setting that is 1 or 0.
func (r *Reader) Bool(s Setting) bool {
	v, ok := r.value(s)
	if !ok {
		return false
	}
	if v != "0" && v != "1" {
		r.Fault(s.Name, "must be 1 or 0")
	}
	return v == "1"
}

// Duration returns a setting such as 90s, 15m or 24h, from least to most.
func (r *Reader) Duration(s Setting, least, most time.Duration) time.Duration {
	v, ok := r.value(s)
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < least || d > most {
		r.Fault(s.Name, "must be a duration from %v to %v, such as %v", least, most, least)
		return 0
	}
	return d
}

// Choice returns a setting that is one of the words given.
func (r *Reader) Choice(s Setting, words ...string) string {
	v, ok := r.value(s)
	if ok && !slices.Contains(words, v) {
		r.Fault(s.Name, "must be one of %s", strings.Join(words, ", "))
		return ""
	}
	return v
}

// List returns a setting that is a comma-separated list; blanks around the
// items and empty items are dropped. Least and Most bound each item.
func (r *Reader) List(s Setting) []string {
	v, ok := r.value(s)
	if !ok {
		return nil
	}
	var out []string
	for item := range strings.SplitSeq(v, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		out = append(out, item)
		if !r.fits(s, item, fmt.Sprintf("item %d ", len(out))) {
			return nil
		}
	}
	return out
}

// URL returns a setting that is an absolute http or https URL, without a
// trailing slash, or "".
func (r *Reader) URL(s Setting) string {
	v, ok := r.value(s)
	if !ok {
		return ""
	}
	u, err := url.Parse(v)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		r.Fault(s.Name, "must be an absolute URL starting with https:// or http://")
		return ""
	}
	return strings.TrimRight(v, "/")
}
