package callback

import "sync/atomic"

type counter = atomic.Int64

// Stats counts what an [Endpoint] saw since it was made.
type Stats struct {
	refused, unknown, beforeFailed, allowedLost, afterFailed, deferred, lost, timeouts counter
}

// Counts is a reading of [Stats].
type Counts struct {
	Refused      int64 // requests that were not believed or not understood
	Unknown      int64 // authenticated callbacks of unknown commands
	BeforeFailed int64 // before-rules that failed, answered by their policy
	AllowedLost  int64 // effects of Allowed rules that were lost
	AfterFailed  int64 // after-rules that failed
	Deferred     int64 // of these, kept for later
	Lost         int64 // callbacks answered with 500 because they could not be kept
	Timeouts     int64 // rules of any kind that ran out of time
}

// Read returns the counts.
func (s *Stats) Read() Counts {
	return Counts{
		Refused: s.refused.Load(), Unknown: s.unknown.Load(), BeforeFailed: s.beforeFailed.Load(),
		AllowedLost: s.allowedLost.Load(), AfterFailed: s.afterFailed.Load(), Deferred: s.deferred.Load(),
		Lost: s.lost.Load(), Timeouts: s.timeouts.Load(),
	}
}
