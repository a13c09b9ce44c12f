package kvtest

import (
	"maps"

	"github.com/backchannel-im/backchannel/shared/kv"
)

// totals requires that kv.Totals gives exactly these sums.
func (s *suite) totals(want map[string]int64) {
	s.Helper()
	got, err := kv.Totals(s.Context(), s.Store, s.partition, "total/")
	s.must(err)
	if !maps.Equal(got, want) {
		s.Fatalf("totals %v, want %v", got, want)
	}
}
