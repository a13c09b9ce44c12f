package salesforce_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/backchannel-im/backchannel/shared/desk/desktest"
	"github.com/backchannel-im/backchannel/shared/desk/salesforce"
)

func TestOrg(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := noon
	clock := func() time.Time { return now }
	fake := desktest.NewSalesforce(desktest.SalesforceConfig{HMACKey: "hmac-key", Now: clock, APIVersion: version, KeyField: "K", GroupField: "G"})
	d := fake.Sign("/joingroup", []byte(`{"groupId":"500","userId":"005"}`))
	both := salesforce.Org{Key: "header-key", HMACKey: "hmac-key", Now: clock}
	byKey := func(key string) http.Header { return http.Header{"X-Im-Key": {key}} }
	with := func(name, value string) http.Header {
		h := d.Header.Clone()
		h.Set(name, value)
		return h
	}
	for _, c := range []struct {
		name  string
		org   salesforce.Org
		h     http.Header
		after time.Duration
		want  error
	}{
		{"signed", both, d.Header, 0, nil},
		{"signed, late", both, d.Header, 5 * time.Minute, nil},
		{"signed, too late", both, d.Header, 5*time.Minute + time.Second, salesforce.ErrStale},
		{"signed, too early", both, d.Header, -5*time.Minute - time.Second, salesforce.ErrStale},
		{"signed for another time", both, with("X-Im-Timestamp", "1772366401"), 0, salesforce.ErrUnknown},
		{"signed by another", both, with("X-Im-Signature", strings.Repeat("0", 64)), 0, salesforce.ErrUnknown},
		{"signed in capitals", both, with("X-Im-Signature", strings.ToUpper(d.Header.Get("X-Im-Signature"))), 0, salesforce.ErrUnknown},
		{"a wrong signature and the key", both, func() http.Header {
			h := with("X-Im-Signature", "no")
			h.Set("X-Im-Key", "header-key")
			return h
		}(), 0, salesforce.ErrUnknown},
		{"the key", both, byKey("header-key"), time.Hour, nil},
		{"another key", both, byKey("header-kez"), 0, salesforce.ErrUnknown},
		{"an empty key", both, byKey(""), 0, salesforce.ErrUnknown},
		{"nothing", both, http.Header{}, 0, salesforce.ErrUnknown},
		{"signed, where only the key counts", salesforce.Org{Key: "header-key"}, d.Header, 0, salesforce.ErrUnknown},
		{"no secrets, no key", salesforce.Org{}, byKey(""), 0, salesforce.ErrUnknown},
		{"no secrets, no signature", salesforce.Org{}, http.Header{}, 0, salesforce.ErrUnknown},
		{"the empty secret's signature", salesforce.Org{Now: clock}, http.Header{
			"X-Im-Timestamp": {"1772366400"}, "X-Im-Signature": {salesforce.Signature("", "1772366400", d.Body)},
		}, 0, salesforce.ErrUnknown},
	} {
		now = noon.Add(c.after)
		if err := c.org.Check(c.h, d.Body); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	now = noon
	if err := both.Check(d.Header, append(d.Body, ' ')); !errors.Is(err, salesforce.ErrUnknown) {
		t.Errorf("another body: %v", err)
	}
	// As a timestamp can be signed that is none.
	for _, timestamp := range []string{"", "soon", "1e9", "-1", "99999999999999999999", "9223372036854775807"} {
		h := http.Header{"X-Im-Timestamp": {timestamp}, "X-Im-Signature": {salesforce.Signature("hmac-key", timestamp, d.Body)}}
		if err := both.Check(h, d.Body); !errors.Is(err, salesforce.ErrStale) {
			t.Errorf("timestamp %q: %v", timestamp, err)
		}
	}
}
