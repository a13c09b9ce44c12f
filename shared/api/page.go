package api

import (
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/backchannel-im/backchannel/shared/fault"
)

// Bounds of one page of a list, in items.
const (
	MaxPage     = 100
	defaultPage = 50
)

// maxAfter bounds the query's after, in bytes: it is a key of the store.
const maxAfter = 512

// Page is which part of a list a request asks for.
type Page struct {
	After string // the "next" of the answer before; "" for the start
	Limit int    // items, 1 to MaxPage
}

// ReadPage reads the query's after and limit. Without limit it is 50.
func ReadPage(r *http.Request) (Page, error) {
	q := r.URL.Query()
	p := Page{After: q.Get("after"), Limit: defaultPage}
	if len(p.After) > maxAfter || !utf8.ValidString(p.After) || strings.Contains(p.After, "\x00") {
		return Page{}, fault.New(fault.Invalid, `after is the "next" of the answer before`)
	}
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > MaxPage {
			return Page{}, fault.New(fault.Invalid, "limit is a number from 1 to %d", MaxPage)
		}
		p.Limit = n
	}
	return p, nil
}
