package userdata

import (
	"fmt"
	"strings"
	"time"
)

// Does is what an erasure does with records of a form.
type Does string

// The treatments. Only Kept needs a reason that outweighs the user's wish.
const (
	Erases   Does = "erased"
	TakesOut Does = "the user is taken out" // the record is of others, too, and stays without the user
	Expires  Does = "expires by itself"     // within Form.Within
	Keeps    Does = "kept"
)

// Form is a kind of stored records that name a user or hold a user's words, with what
// an erasure does with them. The list of all forms is a promise to users: a test fails
// for a stored type that is in none.
type Form struct {
	// Types are stored types, as package:Type below shared/. nil: the records are plain
	// text or a key.
	Types []string
	// Partition and Key begin the names of the records' partitions and keys.
	Partition, Key string
	Holds          string // what the records hold of a user
	Does           Does
	// Within is how long at most the records stay after what they tell of, for
	// Expires; zero: Why says until when.
	Within time.Duration
	Why    string // why records stay; how an erasure treats what is not over
	// Placed: the answer to an erasure names the form where the user has such records,
	// by [Place.Keep], and otherwise not.
	Placed bool
}

// stays returns what an erasure says of records that it leaves, "" of others.
func (f Form) stays() string {
	if f.Placed || f.Does != Expires && f.Does != Keeps {
		return ""
	}
	text := f.Holds + ": " + string(f.Does)
	if f.Within > 0 {
		text += " within " + span(f.Within)
	}
	if f.Why != "" {
		text += ", " + f.Why
	}
	return text
}

// span is a time in days, or in hours below two days.
func span(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%d h", int(d/time.Hour))
	}
	return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
}

// Table is the forms of sources as a table of Markdown, for people who ask what an
// erasure does.
func Table(sources []Source) string {
	var b strings.Builder
	b.WriteString("| feature | records | an erasure | how long, and why |\n|---|---|---|---|\n")
	for _, s := range sources {
		for _, f := range s.Forms {
			var more []string
			if f.Within > 0 {
				more = append(more, span(f.Within))
			}
			if f.Why != "" {
				more = append(more, f.Why)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", s.Feature, f.Holds, f.Does, strings.Join(more, "; "))
		}
	}
	return b.String()
}
