package api_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/backchannel-im/backchannel/shared/api"
	"github.com/backchannel-im/backchannel/shared/fault"
)

func TestReadPage(t *testing.T) {
	for query, want := range map[string]api.Page{
		"":                   {Limit: 50},
		"limit=1&after=x%2F": {After: "x/", Limit: 1},
		"limit=100":          {Limit: 100},
	} {
		if got, err := api.ReadPage(httptest.NewRequest("GET", "/?"+query, nil)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", query, got, err)
		}
	}
	for _, query := range []string{"limit=0", "limit=101", "limit=-1", "limit=many", "limit=1.5", "after=" + strings.Repeat("x", 513), "after=%00", "after=a%FF"} {
		if _, err := api.ReadPage(httptest.NewRequest("GET", "/?"+query, nil)); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%.20q: %v", query, err)
		}
	}
}
